//! Each example is a whole simulated town, and ends well.

use std::path::Path;
use std::process::Command;

/// Runs an example that was built with the tests; its asserts are its own.
fn example(name: &str) {
    let gt = Path::new(env!("CARGO_BIN_EXE_gt"));
    let program = gt.parent().unwrap().join("examples").join(name);
    assert!(program.exists(), "{} is not built: 'cargo build --examples'", program.display());
    let output = Command::new(&program).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("beads merged") || said.contains("merged"), "{said}");
}

#[test]
fn one_town() {
    example("one_town");
}

#[test]
fn three_rigs_busy_day() {
    example("three_rigs_busy_day");
}

#[test]
fn crash_and_recover() {
    example("crash_and_recover");
}
