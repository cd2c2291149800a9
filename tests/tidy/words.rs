//! Words that may not stand in the sources, and crates that may not stand in the lock file.

use std::fs;

use super::source::report;
use super::source::root;
use super::source::sources;

/// Left over from writing; spelled in parts, so that this file does not find itself.
const LEFTOVERS: &[&str] = &[
    concat!(".unwrap", "()"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
];
const NOTES: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

#[test]
fn nothing_is_left_over() {
    let mut findings = Vec::new();
    for source in sources("src") {
        for line in &source.lines {
            let code = LEFTOVERS.iter().filter(|word| !line.test && line.code.contains(**word));
            let notes = NOTES.iter().filter(|word| line.text.contains(**word));
            let place = |word: &&str| format!("{}:{}: {word}", source.path, line.number);
            findings.extend(code.chain(notes).map(place));
        }
    }
    report(&findings);
}

#[test]
fn an_ignored_test_says_what_it_needs() {
    let mut findings = Vec::new();
    for source in ["src", "tests"].into_iter().flat_map(sources) {
        for line in &source.lines {
            let text = line.text.trim_start();
            let bare = text.starts_with(concat!("#[ign", "ore"));
            if bare && !text.starts_with(concat!("#[ign", "ore = \"needs ")) {
                findings.push(format!("{}:{}: {text}", source.path, line.number));
            }
        }
    }
    report(&findings);
}

#[test]
fn no_test_sleeps() {
    let mut findings = Vec::new();
    for source in sources("tests") {
        for line in &source.lines {
            let word = |c: char| !c.is_alphanumeric() && c != '_';
            if line.code.contains("sleep(") && line.code.split(word).any(|word| word == "sleep") {
                let text = line.text.trim();
                findings.push(format!("{}:{}: {text}", source.path, line.number));
            }
        }
    }
    report(&findings);
}

#[test]
fn nothing_needs_a_development_package() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let banned =
        ["libsqlite3-sys", "openssl-sys", "cmake", "aws-lc-sys", "native-tls", "pkg-config-sys"];
    let named = |name: &&&str| lock.contains(&format!("name = \"{name}\""));
    let found: Vec<&&str> = banned.iter().filter(named).collect();
    assert!(found.is_empty(), "Cargo.lock has {found:?}");
}

#[test]
fn unsafe_code_is_forbidden() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
}
