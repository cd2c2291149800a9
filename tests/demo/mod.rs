//! `gt demo` as a stranger runs it, the examples, and what a second daemon is told.

mod daemon;
mod examples;

use std::process::Command;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

/// Runs a demo with a home and a directory for temporary files of its own.
fn demo(args: &[&str]) -> (i32, Value) {
    let home = tempfile::tempdir().unwrap();
    let output = run(&home, &[&["demo", "--json", "--timeout", "120"], args].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let last = out.lines().last().unwrap_or_else(|| panic!("nothing was printed: {err}"));
    let summary = serde_json::from_str(last).unwrap_or_else(|_| panic!("{out}{err}"));
    let left: Vec<_> = home.path().join("tmp").read_dir().unwrap().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    (output.status.code().unwrap(), summary)
}

fn run(home: &TempDir, args: &[&str]) -> Output {
    let tmp = home.path().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    Command::new(env!("CARGO_BIN_EXE_gt"))
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("TMPDIR", tmp)
        .output()
        .unwrap()
}

fn assert_whole(summary: &Value) {
    for (key, wanted) in
        [("beads_closed", 8), ("merged", 8), ("lost", 0), ("doubled", 0), ("red_landings", 0)]
    {
        assert_eq!(summary[key], wanted, "{key} in {summary}");
    }
    assert_eq!(summary["proof"], "clean", "{summary}");
}

#[test]
fn a_town_does_eight_pieces_of_work() {
    let (code, summary) = demo(&[]);
    assert_whole(&summary);
    assert_eq!(code, 0);
    assert_eq!((&summary["reworked"], &summary["daemon_deaths"]), (&1.into(), &0.into()));
    assert!(summary["gate_runs_red"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!((&summary["merge_requests"], &summary["culprits"]), (&9.into(), &1.into()));
    assert_eq!((&summary["runs_bound"], &summary["runs_serial"]), (&4.into(), &9.into()));
    assert!(summary["sessions_cut_short"].as_u64().unwrap() > 0, "{summary}");
}

#[test]
fn a_daemon_that_is_killed_loses_nothing() {
    let (code, summary) = demo(&["--kills", "3", "--seed", "11"]);
    assert_whole(&summary);
    assert_eq!((code, &summary["daemon_kills"]), (0, &3.into()), "{summary}");
}

#[test]
fn a_red_gate_lands_nothing_and_says_so() {
    let (code, summary) = demo(&["--red-gate"]);
    assert_eq!((code, &summary["merged"]), (1, &0.into()), "{summary}");
    assert_eq!((&summary["landings"], &summary["lost"]), (&0.into(), &0.into()), "{summary}");
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn a_town_with_a_server_does_the_same_work() {
    let (code, summary) = demo(&["--store", "server", "--dolt", &crate::cli::served::program()]);
    assert_whole(&summary);
    assert_eq!((code, &summary["server_deaths"]), (0, &0.into()), "{summary}");
    assert_eq!(summary["recover_ms"], Value::Null, "{summary}");
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn a_server_that_is_killed_ten_times_loses_nothing() {
    let dolt = crate::cli::served::program();
    let kills = ["--server-kills", "10", "--seed", "5"];
    let (code, summary) = demo(&[&["--store", "server", "--dolt", &dolt], &kills[..]].concat());
    assert_whole(&summary);
    assert_eq!((code, &summary["server_deaths"]), (0, &10.into()), "{summary}");
    let waited = summary["recover_ms"].as_u64().unwrap();
    println!("a write was acknowledged at most {waited} ms after a kill");
    assert!(waited < 20_000, "{summary}");
}
