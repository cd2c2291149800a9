//! Dogs of stored databases: they look, and do something only where something has changed.

use gastown::machines::dog_doctor::Doctor;
use gastown::machines::dog_store::StoreDog;
use gastown::machines::dog_store::Trade;
use gastown::machines::limits::Life;
use gastown::machines::limits::Limits;
use gastown::messages::DogMessage;
use gastown::messages::Message;
use gastown::model::effect::Outcome;
use gastown::model::ids::Db;
use gastown::model::ids::RigName;
use gastown::model::upkeep::ChoreDone;
use gastown::model::upkeep::Finding;
use gastown::model::upkeep::Measure;

use super::bench::Bench;
use super::bench::RIG;
use super::bench::Step;
use super::bench::failed;
use super::bench::report;
use super::bench::told;

const MB: i64 = 1 << 20;

fn dog(trade: Trade) -> Bench<StoreDog> {
    Bench::new(StoreDog::new(trade, Db::from(RIG), Limits::default(), Life::default()))
}

fn run() -> Step {
    told(Message::Dog(DogMessage::Run { rigs: vec![RigName(RIG.to_owned())] }))
}

fn measure(head: &str, commits: i64, bytes: i64) -> Measure {
    Measure { head: head.to_owned(), commits, bytes, live: 0 }
}

fn kept(before: Measure, after: Measure) -> Outcome {
    let done = ChoreDone { before, after, done: true, ..ChoreDone::default() };
    Outcome::Kept { done }
}

fn looked(head: &str, commits: i64, bytes: i64) -> Step {
    let size = measure(head, commits, bytes);
    report("upkeep shop look", kept(size.clone(), size))
}

/// The verbs of a script's decisions, in order.
fn verbs(text: &str) -> Vec<String> {
    let words = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let what =
            words.iter().find(|word| word.starts_with("chore=") || word.contains("\"chore\""));
        match words.first() {
            Some(&"commit") => Some(words[1].to_owned()),
            Some(&"do") => Some(format!("do {}", what.unwrap_or(&""))),
            _ => None,
        }
    };
    text.lines().filter_map(words).collect()
}

#[test]
fn a_backup_is_made_when_the_newest_commit_is_another() {
    let mut bench = dog(Trade::Backup);
    let first = bench.run(&[run(), looked("a", 5, MB)]);
    assert_eq!(verbs(&first).len(), 2, "{first}");
    let done = kept(measure("a", 5, MB), measure("b", 6, MB));
    let text = bench.run(&[report("upkeep shop backup", done)]);
    assert_eq!(verbs(&text), ["record_run"], "{text}");
    // What was copied is at least what stood before it: the same is not copied again.
    let text = bench.run(&[run(), looked("a", 5, MB)]);
    assert_eq!(verbs(&text).len(), 1, "only the look: {text}");
    let text = bench.run(&[run(), looked("b", 6, MB)]);
    assert_eq!(verbs(&text).len(), 2, "{text}");
    // A machine that forgot everything reads what it did from the rows.
    let text = bench.run(&[Step::Forget, run(), looked("a", 5, MB)]);
    assert_eq!(verbs(&text).len(), 1, "{text}");
}

#[test]
fn two_failures_are_one_alarm_that_ends_with_the_next_success() {
    let mut bench = dog(Trade::Backup);
    let key = "upkeep shop backup";
    let fails = || [run(), looked("a", 5, MB), report(key, failed())];
    assert!(!bench.run(&fails()).contains("set_alarm"), "one failure is nobody's business");
    assert_eq!(bench.run(&fails()).matches("set_alarm").count(), 1);
    assert_eq!(bench.run(&fails()).matches("set_alarm").count(), 0, "told once");
    let done = kept(measure("a", 5, MB), measure("a", 5, MB));
    let text = bench.run(&[run(), looked("a", 5, MB), report(key, done)]);
    assert_eq!(text.matches("set_alarm").count(), 1, "{text}");
    assert!(!text.contains("raise=Some") && !text.contains("boom"), "cleared: {text}");
}

#[test]
fn a_history_is_made_shorter_only_above_a_threshold() {
    let life = Life::default();
    let most = life.size_mb_max * MB;
    let cases = [
        ("small", looked("a", life.commits_max, 4 * MB), false),
        ("unknown", looked("a", 5, 5 * MB), true),
        ("commits", looked("a", life.commits_max + 1, MB), true),
        ("size", looked("a", 5, most + 1), true),
    ];
    for (name, look, due) in cases {
        let text = dog(Trade::Compactor).run(&[run(), look]);
        assert_eq!(verbs(&text).len() == 2, due, "{name}: {text}");
    }
}

#[test]
fn growth_counts_from_the_last_compaction_and_nothing_is_done_twice() {
    let mut bench = dog(Trade::Compactor);
    let most = Life::default().commits_max + 1;
    bench.run(&[run(), looked("a", most, 50 * MB)]);
    let done = kept(measure("a", most, 50 * MB), measure("b", 900, 2 * MB));
    bench.run(&[report("upkeep shop compact", done)]);
    let looks = [("b", 2 * MB, false), ("c", 16 * MB, false), ("d", 17 * MB, true)];
    for (head, bytes, due) in looks {
        let text = bench.run(&[run(), looked(head, 1_000, bytes)]);
        assert_eq!(verbs(&text).len() == 2, due, "{head}: {text}");
    }
}

#[test]
fn the_bound_on_size_wins_over_the_kept_time() {
    let mut bench = dog(Trade::Compactor);
    let most = Life::default().size_mb_max * MB;
    bench.run(&[run(), looked("a", 10, 2 * most)]);
    let still = kept(measure("a", 10, 2 * most), measure("b", 9, most + 1));
    let text = bench.run(&[report("upkeep shop compact", still)]);
    assert!(text.contains("commits_max=9"), "half of them go: {text}");
    let still = kept(measure("b", 9, most + 1), measure("c", 9, most + 1));
    let text = bench.run(&[report("upkeep shop compact", still)]);
    assert!(text.contains("flatten"), "no more can: {text}");
    let flat = kept(measure("b", 9, most + 1), measure("c", 2, most + 1));
    let text = bench.run(&[report("upkeep shop compact", flat)]);
    assert_eq!(verbs(&text), ["record_run"], "that is all that can be done: {text}");
    let text = bench.run(&[run(), looked("d", 3, most + 2)]);
    assert_eq!(verbs(&text).len(), 1, "not again before it has doubled: {text}");
}

#[test]
fn the_doctor_tells_a_condition_once_and_writes_nothing_while_nothing_changes() {
    let mut bench = Bench::new(Doctor::new(Limits::default()));
    let sick = Finding { condition: "orphan databases".to_owned(), words: "old".to_owned() };
    let checked = |findings: Vec<Finding>| {
        let done = ChoreDone { done: true, findings, ..ChoreDone::default() };
        report("upkeep hq checkup", Outcome::Kept { done })
    };
    let text = bench.run(&[run(), checked(Vec::new())]);
    assert!(!text.contains("  commit "), "{text}");
    let text = bench.run(&[run(), checked(vec![sick.clone()])]);
    assert!(text.contains("set_alarm") && text.contains("record_run"), "{text}");
    let text = bench.run(&[run(), checked(vec![sick])]);
    assert!(!text.contains("  commit "), "{text}");
    let text = bench.run(&[run(), checked(Vec::new())]);
    assert!(text.contains("set_alarm"), "{text}");
}
