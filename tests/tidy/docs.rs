//! Documents say what is there.

use std::fs;

use super::source::root;

/// Words of a text that look like paths of the package, and where each stands.
fn cited(text: &str) -> Vec<(usize, String)> {
    let path = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for word in line.split(|c| !path(c)) {
            let word = word.trim_end_matches('.');
            let rooted = ["src/", "tests/", "docs/", "tools/", "examples/", "templates/"];
            if rooted.iter().any(|root| word.starts_with(root)) {
                found.push((at + 1, word.to_owned()));
            }
        }
    }
    found
}

#[test]
fn the_architecture_cites_every_invariant_where_it_holds() {
    let name = "docs/architecture.md";
    let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| {
        panic!("{name}: {error}: it must cite each of I1 to I14 with the files that assert it")
    });
    let mut findings = Vec::new();
    for number in 1..=14 {
        let invariant = format!("I{number}");
        let word = |c: char| !c.is_alphanumeric();
        let lines = text.lines().filter(|line| line.split(word).any(|word| word == invariant));
        let cites: Vec<String> = lines.flat_map(cited).map(|(_, p)| p).collect();
        for room in ["src/", "tests/"] {
            if !cites.iter().any(|path| path.starts_with(room)) {
                findings.push(format!("{name}: no line has {invariant} and a file of {room}"));
            }
        }
    }
    super::source::report(&findings);
}

#[test]
fn every_cited_file_is_there() {
    let mut findings = Vec::new();
    let mut documents = vec!["README.md".to_owned()];
    let entries = fs::read_dir(root().join("docs")).expect("the package has docs/");
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    documents.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")));
    for name in documents {
        let text = fs::read_to_string(root().join(&name))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        for (line, path) in cited(&text) {
            if !root().join(&path).exists() {
                findings.push(format!("{name}:{line}: {path} is not there"));
            }
        }
    }
    super::source::report(&findings);
}
