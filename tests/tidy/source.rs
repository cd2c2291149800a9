//! The project's files as the rules see them.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The package's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file with its lines; comments and test code are told apart.
pub struct Source {
    /// Relative to the root, with `/`.
    pub path: String,
    pub lines: Vec<Line>,
}

pub struct Line {
    pub number: usize,
    /// As written.
    pub text: String,
    /// Without comments and without what stands in string literals.
    pub code: String,
    /// Inside a `#[cfg(test)]` item.
    pub test: bool,
}

/// Every Rust file under a directory of the package, in order.
pub fn sources(under: &str) -> Vec<Source> {
    let mut files = Vec::new();
    collect(&root().join(under), &mut files);
    files.sort();
    assert!(!files.is_empty(), "no sources under {under}");
    files.iter().map(|path| read(path)).collect()
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            into.push(path);
        }
    }
}

fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap();
    let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    let whole = path.ends_with("/tests.rs");
    let mut lines = Vec::new();
    let mut blanker = Blanker::default();
    // The indentation of the test item that is open, once its first line was seen.
    let mut open: Option<usize> = None;
    for (at, text) in text.lines().enumerate() {
        let code = blanker.line(text);
        let indent = text.len() - text.trim_start().len();
        if open.is_none() && text.trim() == "#[cfg(test)]" {
            open = Some(indent);
        }
        let test = whole || open.is_some();
        let ends = text.trim_start().starts_with('}') || text.trim_end().ends_with(';');
        if open == Some(indent) && ends {
            open = None;
        }
        lines.push(Line { number: at + 1, text: text.to_owned(), code, test });
    }
    Source { path, lines }
}

/// Takes comments and the insides of string literals out of lines.
#[derive(Default)]
struct Blanker {
    /// What closes the open string literal: a quote and its hashes.
    open: Option<String>,
}

impl Blanker {
    fn line(&mut self, text: &str) -> String {
        let mut code = String::new();
        let mut rest = text;
        loop {
            if let Some(close) = &self.open {
                let Some(end) = closing(rest, close) else { return code };
                rest = &rest[end..];
                self.open = None;
                code.push('"');
                continue;
            }
            let Some(at) = rest.find(['"', '/', '\'']) else {
                code.push_str(rest);
                return code;
            };
            if rest[at..].starts_with("//") {
                code.push_str(&rest[..at]);
                return code;
            }
            if rest[at..].starts_with('\'') {
                let length = character(&rest[at..]);
                code.push_str(&rest[..at]);
                rest = &rest[at + length..];
                continue;
            }
            code.push_str(&rest[..=at]);
            if rest[at..].starts_with('"') {
                let hashes = rest[..at].len() - rest[..at].trim_end_matches('#').len();
                let raw = rest[..at - hashes].ends_with('r');
                self.open =
                    Some(if raw { format!("\"{}", "#".repeat(hashes)) } else { "\\".into() });
            }
            rest = &rest[at + 1..];
        }
    }
}

/// Where the open literal ends; `\` stands for a literal with escapes.
fn closing(rest: &str, close: &str) -> Option<usize> {
    if close != "\\" {
        return rest.find(close).map(|at| at + close.len());
    }
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The length of a character literal at the start, or of the quote of a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    let first = chars.next();
    if first.is_some_and(|(_, c)| c == '\\') {
        return rest[2..].find('\'').map_or(1, |at| at + 3).max(4);
    }
    match chars.next() {
        Some((at, '\'')) => at + 1,
        _ => 1,
    }
}

/// Fails with every finding, one a line, as `file:line: what`.
pub fn report(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn strings_and_comments_are_taken_out() {
    let mut blanker = Blanker::default();
    assert_eq!(blanker.line(r#"let a = "x // \" y"; // why"#), r#"let a = ""; "#);
    assert_eq!(blanker.line(r##"f(r#"a "b" c"#, '"', 'a') // x"##), r##"f(r#"", , ) "##);
    assert_eq!(blanker.line("let s: &'static str = \"open"), "let s: &static str = \"");
    assert_eq!(blanker.line("still open\" + end"), "\" + end");
}
