//! How many tests a gate ran, by what its runner says at the end.
//!
//! A gate that ran nothing ends with 0 as one whose tests all passed does; a rig may therefore
//! demand a number of tests.

/// Number of tests that the output tells of, summed over its summaries; `None` when there is no
/// summary that is known. `pattern` is the rig's own: text with `{n}` where the number is.
///
/// Known are cargo test, nextest, pytest, unittest, go test, jest, vitest and mocha.
#[must_use]
pub fn tests(output: &str, pattern: Option<&str>) -> Option<u64> {
    let mut sum = None;
    let mut add = |count: u64| sum = Some(sum.unwrap_or(0) + count);
    // Of a package `go test` says a line; of each test only when it is asked to.
    let (mut go_tests, mut go_packages) = (0, None);
    for line in output.lines() {
        let line = plain(line);
        let line = line.trim();
        if let Some(pattern) = pattern {
            numbers(line, pattern).for_each(&mut add);
        } else if line.starts_with("--- PASS: ") || line.starts_with("--- FAIL: ") {
            go_tests += 1;
        } else if line.starts_with("ok ") && line.contains('\t') || line.starts_with("ok\t") {
            let ran = u64::from(!line.contains("[no tests to run]"));
            go_packages = Some(go_packages.unwrap_or(0) + ran);
        } else if let Some(count) = summary(line) {
            add(count);
        }
    }
    match go_packages {
        _ if go_tests > 0 => add(go_tests),
        Some(packages) => add(packages),
        None => {}
    }
    sum
}

/// What one line of a known runner counts.
fn summary(line: &str) -> Option<u64> {
    let all = |patterns: &[&str]| -> Option<u64> {
        let found: Vec<u64> = patterns.iter().flat_map(|pattern| numbers(line, pattern)).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    };
    let bare = line.trim_matches(['=', ' ']);
    if line.starts_with("test result:") || line.starts_with("Tests:") || line.starts_with("Tests ")
    {
        return all(&["{n} passed", "{n} failed"]);
    }
    if line.starts_with("Summary [") {
        return all(&["{n} tests run", "{n} test run"]);
    }
    if line.starts_with("Ran ") {
        return all(&["Ran {n} test"]);
    }
    if bare.starts_with("no tests ran in ") {
        return Some(0);
    }
    if bare.contains(" in ") && bare.starts_with(|first: char| first.is_ascii_digit()) {
        return all(&["{n} passed", "{n} failed", "{n} error"]);
    }
    if line.ends_with(" passing") || line.contains(" passing (") || line.ends_with(" failing") {
        return all(&["{n} passing", "{n} failing"]);
    }
    None
}

/// The numbers that stand where `{n}` is in the pattern.
fn numbers(line: &str, pattern: &str) -> impl Iterator<Item = u64> {
    let (before, after) = pattern.split_once("{n}").unwrap_or((pattern, ""));
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(start) = line[rest..].find(|c: char| c.is_ascii_digit()).map(|at| rest + at) {
        let digits = line[start..].chars().take_while(char::is_ascii_digit).count();
        let end = start + digits;
        if line[..start].ends_with(before) && line[end..].starts_with(after) {
            found.extend(line[start..end].parse::<u64>());
        }
        rest = end;
    }
    found.into_iter()
}

/// A line without the colours of a terminal.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(one) = characters.next() {
        if one == '\u{1b}' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(one);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::tests;

    #[test]
    fn the_usual_runners_are_known() {
        let cargo = "running 2 tests\n..\ntest result: ok. 2 passed; 0 failed; 1 ignored; finished in 0.00s\n\
                     test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; finished in 1.20s\n";
        for (output, count) in [
            (cargo, Some(6)),
            ("test result: ok. 0 passed; 0 failed; 0 ignored; finished in 0.00s", Some(0)),
            ("     Summary [   0.012s] 12 tests run: 12 passed, 0 skipped", Some(12)),
            ("======= 1 failed, 12 passed, 2 skipped in 0.12s =======", Some(13)),
            ("\u{1b}[32m12 passed\u{1b}[0m\u{1b}[32m in 0.03s\u{1b}[0m", Some(12)),
            ("======= no tests ran in 0.01s =======", Some(0)),
            ("Ran 4 tests in 0.000s\n\nOK", Some(4)),
            ("ok  \texample.org/a\t0.002s\nok  \texample.org/b\t0.002s [no tests to run]", Some(1)),
            ("?   \texample.org/a\t[no test files]", None),
            ("--- PASS: TestA (0.00s)\n    --- PASS: TestA/one (0.00s)\nok  \tx\t0.1s", Some(2)),
            ("Tests:       1 failed, 12 passed, 13 total\nTime: 1 s", Some(13)),
            ("      Tests  4 passed (4)", Some(4)),
            ("  5 passing (12ms)\n  1 failing", Some(6)),
            ("everything is fine\n", None),
        ] {
            assert_eq!(tests(output, None), count, "{output}");
        }
    }

    #[test]
    fn a_pattern_of_the_rig_is_all_that_counts() {
        let output = "12 checks done\ntest result: ok. 3 passed;\n7 checks done";
        assert_eq!(tests(output, Some("{n} checks done")), Some(19));
        assert_eq!(tests(output, Some("did {n}")), None);
    }
}
