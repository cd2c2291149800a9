//! Crash points: the real binary is killed before and after every op and every effect, and goes on.
//!
//! Two scenarios reach the points: the demo, whose daemon is started again whenever it is gone, and
//! a town that is driven by commands. Each has markers of its own, so that most points are
//! recovered twice. After each, everything is looked at from outside.

mod checker;
mod queue;
mod story;
mod town;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Instant;

use gastown::model::effect::Effect;
use gastown::model::ops::Op;
use serde_json::Value;

use super::support::dolt;
use super::support::processes;
use town::Store;
use town::Town;

/// Seconds that the demo may take with every death in it.
const DEMO_S: &str = "240";

/// Every point there is.
fn points() -> Vec<String> {
    let ops = Op::NAMES.iter().map(|name| ("op", name));
    let effects = Effect::NAMES.iter().map(|name| ("effect", name));
    ops.chain(effects)
        .flat_map(|(kind, name)| ["before", "after"].map(|side| format!("{side}.{kind}.{name}")))
        .collect()
}

/// The points that were reached, and who died there.
fn reached(dir: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let pair = |path: std::path::PathBuf| {
        let point = path.file_name().unwrap().to_str().unwrap().to_owned();
        (point, who(&fs::read_to_string(&path).unwrap()))
    };
    entries.map(pair).collect()
}

/// The program and its first two words.
fn who(words: &str) -> String {
    let mut words = words.split_whitespace();
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    let rest: Vec<&str> = words.take(2).filter(|word| !word.starts_with('/')).collect();
    format!("{program} {}", rest.join(" "))
}

/// The demo, whose last line must say that nothing was lost.
fn demo(markers: &Path, store: Store) -> impl FnOnce() + use<> {
    fs::create_dir_all(markers).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gt"));
    if store == Store::Server {
        command.args(["demo", "--store", "server", "--dolt"]).arg(dolt::program());
    } else {
        command.arg("demo");
    }
    let child = command
        .args(["--restart", "--json", "--timeout", DEMO_S])
        .env("GT_FAILPOINTS", markers)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    || {
        let output = child.wait_with_output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "the demo: {out}\n{err}");
        let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        for (key, wanted) in [("merged", 8), ("lost", 0), ("doubled", 0), ("red_landings", 0)] {
            assert_eq!(last[key], wanted, "{last}");
        }
        assert_eq!(last["proof"], "clean", "{last}");
        // How many points a demo reaches first is a matter of time; the table asks for all of them.
        assert!(last["daemon_deaths"].as_u64().unwrap() > 10, "{last}");
    }
}

#[test]
fn every_point_is_reached_and_recovered() {
    every_point(Store::Embedded);
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn every_point_is_reached_and_recovered_on_a_server() {
    every_point(Store::Server);
}

fn every_point(store: Store) {
    let started = Instant::now();
    let dir = tempfile::tempdir().unwrap();
    let (of_demo, of_town) = (dir.path().join("demo"), dir.path().join("town"));
    fs::create_dir_all(&of_town).unwrap();
    let demo = demo(&of_demo, store);
    let mut town = Town::new(&of_town, store);
    story::play(&mut town);
    town.check();
    story::age(&mut town);
    demo();
    assert_eq!(processes::under(town.dir()), Vec::<String>::new(), "left behind");

    let (demo, town) = (reached(&of_demo), reached(&of_town));
    let mut missing = Vec::new();
    println!("{:<28} {:<22} {:<22}", "point", "demo: who died", "town: who died");
    for point in points() {
        let of = |reached: &BTreeMap<String, String>| {
            reached.get(&point).cloned().unwrap_or_else(|| "-".to_owned())
        };
        println!("{point:<28} {:<22} {:<22}", of(&demo), of(&town));
        if !demo.contains_key(&point) && !town.contains_key(&point) {
            missing.push(point);
        }
    }
    let (count, seconds) = (points().len(), started.elapsed().as_secs_f64());
    println!(
        "{} of {count} points, {} deaths, {seconds:.0} s",
        count - missing.len(),
        demo.len() + town.len()
    );
    assert!(missing.is_empty(), "not reached: {missing:?}");
}
