//! Nothing is longer than a reader's patience: files, functions; and each module says what it is.

use super::source::Source;
use super::source::report;
use super::source::sources;

/// Lines of a file at most.
const FILE_MAX: usize = 500;
/// Lines of a function at most, from `fn` to its closing brace.
const FUNCTION_MAX: usize = 70;

/// The name of the function that starts on this line.
fn function(code: &str) -> Option<&str> {
    let mut words = code.split_whitespace().skip_while(|word| {
        word.starts_with("pub") || matches!(*word, "const" | "async" | "in" | "extern")
    });
    let name = (words.next()? == "fn").then(|| words.next())??;
    name.split(['(', '<']).next()
}

/// Functions of a formatted file with the line of each and its length.
fn functions(source: &Source) -> Vec<(usize, &str, usize)> {
    let mut found = Vec::new();
    for (at, line) in source.lines.iter().enumerate() {
        let Some(name) = function(&line.code) else { continue };
        let indent = &line.text[..line.text.len() - line.text.trim_start().len()];
        let first = line.code.trim_end();
        if first.ends_with('}') || first.ends_with(';') {
            continue;
        }
        let (close, declared) = (format!("{indent}}}"), format!("{indent})"));
        let end = source.lines[at..].iter().find(|line| {
            line.text == close || (line.text.starts_with(&declared) && line.text.ends_with(';'))
        });
        let end = end.unwrap_or_else(|| panic!("{}:{}: no end", source.path, line.number));
        found.push((line.number, name, end.number - line.number + 1));
    }
    found
}

#[test]
fn files_are_short() {
    let mut findings = Vec::new();
    for source in sources("src") {
        let lines = source.lines.len();
        if lines > FILE_MAX {
            findings.push(format!("{}:{lines}: more than {FILE_MAX} lines", source.path));
        }
    }
    report(&findings);
}

#[test]
fn functions_are_short() {
    let mut findings = Vec::new();
    let mut count = 0;
    for source in &sources("src") {
        for (line, name, length) in functions(source) {
            count += 1;
            if length > FUNCTION_MAX {
                let path = &source.path;
                findings.push(format!("{path}:{line}: fn {name} has {length} lines"));
            }
        }
    }
    assert!(count > 500, "the finder found only {count} functions");
    report(&findings);
}

#[test]
fn every_module_says_what_it_is() {
    let mut findings = Vec::new();
    for source in ["src", "tests", "examples"].into_iter().flat_map(sources) {
        if !source.lines.first().is_some_and(|line| line.text.starts_with("//! ")) {
            findings.push(format!("{}:1: no `//!` header", source.path));
        }
    }
    report(&findings);
}

#[test]
fn names_of_functions() {
    assert_eq!(function("    pub(crate) async fn run<T>(a: T) {"), Some("run"));
    assert_eq!(function("const fn planted(_: Mutant) -> bool {"), Some("planted"));
    assert_eq!(function("let f = fn_of(x);"), None);
}
