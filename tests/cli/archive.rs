//! The archive in git: what is in it, what is not, and when it stops.

use std::path::Path;
use std::sync::Arc;

use gastown::cli::town::keep::TownKeep;
use gastown::config::Settings;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::Edit;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::upkeep::Chore;
use gastown::model::upkeep::ChoreDone;
use gastown::model::value::Name;
use gastown::store::ledger;
use gastown::store::ledger::Ledger;
use gastown::store::port::HeldLedger;
use gastown::store::port::Keep;
use gastown::store::port::Port;
use gastown::store::writer::Submission;

/// 2026-01-01.
const T0: i64 = 1_767_225_600_000;
const DAY: i64 = 86_400_000;

struct Stocked {
    dir: tempfile::TempDir,
    held: Arc<HeldLedger>,
    keep: TownKeep,
    db: Db,
}

impl Stocked {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::open(dir.path(), ledger::Settings::default()));
        let db = Db::from("shop");
        ledger.create_db(&db).unwrap();
        let held = Arc::new(HeldLedger::new(ledger, 0));
        let keep = TownKeep::new(dir.path().to_owned(), held.clone(), &Settings::default());
        let town = Self { dir, held, keep, db };
        town.put(T0, Op::SetMeta { name: Name::from("prefix"), value: "sh".to_owned() });
        town
    }

    fn put(&self, now: i64, op: Op) {
        let group = [Submission { actor: "overseer".to_owned(), ops: vec![op] }];
        self.held.commit(&self.db, &group, now).unwrap()[0].as_ref().unwrap();
    }

    fn create(&self, id: &str) {
        let id = BeadId::from(id);
        let new = NewBead { id: Some(id.clone()), title: format!("T {id}"), ..NewBead::default() };
        self.put(T0, Op::Create(new));
    }

    fn archive(&self, now: i64) -> ChoreDone {
        self.keep.keep(&self.db, &Chore::Archive, now).unwrap()
    }

    fn file(&self, name: &str) -> String {
        let path = self.dir.path().join(".dolt-archive/shop").join(name);
        std::fs::read_to_string(path).unwrap()
    }

    fn commits(&self) -> usize {
        log(&self.dir.path().join(".dolt-archive")).lines().count()
    }
}

fn log(dir: &Path) -> String {
    let output = std::process::Command::new("git")
        .args(["log", "--format=%an %s"])
        .current_dir(dir)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn beads_are_lines_as_bd_shows_them_without_secrets_and_a_run_without_news_commits_nothing() {
    let town = Stocked::new();
    for at in 0..3 {
        town.create(&format!("sh-b{at}"));
    }
    let metadata = Some("{\"api_token\":\"hush\",\"kept\":1}".to_owned());
    let edit = Edit { add_labels: vec![Name::from("x")], metadata, ..Edit::default() };
    town.put(T0, Op::Edit { id: "sh-b1".into(), edit });
    town.put(T0, Op::Comment { id: "sh-b1".into(), text: "a remark".to_owned() });
    let done = town.archive(T0);
    assert!(done.done, "{done:?}");
    let lines: Vec<serde_json::Value> =
        town.file("beads.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["id"], "sh-b1");
    assert_eq!(lines[1]["labels"], serde_json::json!(["x"]));
    assert_eq!(lines[1]["comments"][0]["text"], "a remark");
    assert_eq!(lines[1]["metadata"], serde_json::json!({"api_token": "[scrubbed]", "kept": 1}));
    let changes = town.file("changes.jsonl");
    assert!(changes.contains("\"op\":\"comment\"") && !changes.contains("hush"), "{changes}");
    assert_eq!(town.commits(), 1);
    let again = town.archive(T0);
    assert_eq!(again.words, "nothing is new");
    assert_eq!(town.commits(), 1);
}

#[test]
fn it_halts_when_more_is_gone_than_may_be() {
    let town = Stocked::new();
    for at in 0..20 {
        town.create(&format!("sh-b{at}"));
    }
    assert!(town.archive(T0).done);
    let before = town.file("beads.jsonl");
    for at in 0..12 {
        town.put(T0, Op::Delete { id: format!("sh-b{at}").as_str().into() });
    }
    // Some days later: what is gone had not ended, so it was no decay.
    let halted = town.archive(T0 + DAY);
    assert!(!halted.done && halted.findings.len() == 1, "{halted:?}");
    assert_eq!(town.file("beads.jsonl"), before, "nothing was written");
    assert_eq!(town.commits(), 1);
    // What ended long ago may go.
    assert!(town.archive(T0 + 40 * DAY).done);
    assert_eq!(town.commits(), 2);
    assert_eq!(town.file("beads.jsonl").lines().count(), 8);
}

#[test]
fn the_doctor_finds_a_database_that_nobody_knows() {
    let town = Stocked::new();
    town.held.ledger().create_db(&Db::from("stray")).unwrap();
    let known = vec![Db::hq(), town.db.clone()];
    let done = town.keep.keep(&Db::hq(), &Chore::Checkup { known: known.clone() }, T0).unwrap();
    let orphans: Vec<&str> = done.findings.iter().map(|one| one.condition.as_str()).collect();
    assert_eq!(orphans, ["orphan databases"], "{done:?}");
    assert!(done.findings[0].words.starts_with("stray:"));
    let known = [known, vec![Db::from("stray")]].concat();
    let done = town.keep.keep(&Db::hq(), &Chore::Checkup { known }, T0).unwrap();
    assert_eq!(done.findings, []);
}
