//! The past as a person reads it: what beads were, what became of them, what history does not hold.

use serde_json::Value;

use super::desk::Desk;

/// A plain directory with beads of its own.
struct Notes {
    desk: Desk,
}

impl Notes {
    fn new() -> Self {
        let desk = Desk::new();
        let notes = Self { desk };
        notes.bd(&["init", "--prefix", "tt"]);
        notes
    }

    fn bd(&self, args: &[&str]) -> String {
        self.desk.run(env!("CARGO_BIN_EXE_bd"), "home", args).ok()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.bd(args)).unwrap()
    }

    fn make(&self, title: &str) -> String {
        self.bd(&["q", title]).trim().to_owned()
    }

    fn refused(&self, args: &[&str]) -> Value {
        let args = [args, &["--json"]].concat();
        let said = self.desk.run(env!("CARGO_BIN_EXE_bd"), "home", &args).refused(1);
        serde_json::from_str(&said).unwrap()
    }
}

#[test]
fn beads_are_shown_as_they_were() {
    let notes = Notes::new();
    let first = notes.make("First");
    notes.bd(&["label", "add", &first, "ui"]);
    let second = notes.make("Second");
    notes.bd(&["dep", "add", &second, &first]);
    notes.bd(&["update", &first, "--title", "Renamed", "-p", "0"]);
    notes.bd(&["close", &first, "-r", "done"]);
    let log = notes.json(&["log", "--json", "-n", "0"]);
    let commits = log.as_array().unwrap();
    assert!(commits[0]["message"].as_str().unwrap().starts_with("close by overseer"), "{log}");
    assert_eq!(notes.json(&["log", "--json", "-n", "2"]).as_array().unwrap().len(), 2);

    let was = notes.json(&["show", &first, "--as-of", "HEAD~2", "--json"]);
    assert_eq!(was[0]["title"], "First");
    assert_eq!(was[0]["status"], "open");
    assert_eq!(was[0]["labels"][0], "ui");
    assert_eq!(was[0]["dependent_count"], 1);
    let hash = commits[1]["commit"].as_str().unwrap();
    let was = notes.json(&["show", &first, &second, "--as-of", &hash[..8], "--json"]);
    assert_eq!(was[0]["title"], "Renamed");
    assert_eq!(was[1]["dependencies"][0]["id"], first.as_str());
    let now = notes.json(&["show", &second, "--json"]);
    assert_eq!(notes.json(&["show", &second, "--as-of", "now", "--json"]), now);
    let text = notes.bd(&["show", &first, "--as-of", "HEAD~1", "--short"]);
    assert!(text.starts_with("beads at "), "{text}");
    assert!(text.contains("Renamed"), "{text}");

    let gone = notes.refused(&["show", &second, "--as-of", "HEAD~4"]);
    assert_eq!(gone["code"], "not_found", "{gone}");
    let early = notes.refused(&["show", &first, "--as-of", "2020-01-01"]);
    assert_eq!(early["code"], "history_too_short", "{early}");
    assert_eq!(notes.refused(&["show", &first, "--as-of", "HEAD~99"])["code"], "history_too_short");
    let unknown = notes.refused(&["show", &first, "--as-of", "vvvvvvvv"]);
    assert_eq!(unknown["code"], "no_such_commit", "{unknown}");
    let said =
        notes.desk.run(env!("CARGO_BIN_EXE_bd"), "home", &["show", &first, "--as-of", "whenever"]);
    assert!(said.refused(2).contains("is no point in time"));
}

#[test]
fn a_diff_names_what_was_added_removed_and_changed() {
    let notes = Notes::new();
    let kept = notes.make("Kept");
    let gone = notes.make("Gone");
    notes.bd(&["label", "add", &kept, "old"]);
    let start = notes.json(&["log", "--json", "-n", "1"])[0]["commit"].as_str().unwrap().to_owned();
    let fresh = notes.make("Fresh");
    notes.bd(&["delete", &gone, "--force"]);
    notes.bd(&["update", &kept, "-p", "1"]);
    notes.bd(&["label", "remove", &kept, "old"]);
    notes.bd(&["label", "add", &kept, "new"]);
    notes.bd(&["dep", "add", &kept, &fresh]);
    notes.bd(&["comment", &kept, "Look at this"]);
    let range = format!("{start}..HEAD");
    let diff = notes.json(&["diff", &range, "--json"]);
    let ids = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|b| b["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&diff["added"]), [fresh.as_str()]);
    assert_eq!(ids(&diff["removed"]), [gone.as_str()]);
    let changed = &diff["changed"][0];
    assert_eq!(changed["id"], kept.as_str(), "{diff:#}");
    let fields: Vec<&str> = changed["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["priority", "blocked"]);
    assert_eq!(changed["fields"][0]["from"], 2);
    assert_eq!(changed["fields"][0]["to"], 1);
    assert_eq!(changed["labels_added"][0], "new");
    assert_eq!(changed["labels_removed"][0], "old");
    assert_eq!(changed["dependencies_added"][0]["depends_on_id"], fresh.as_str());
    assert_eq!(changed["comments_added"][0]["text"], "Look at this");
    let text = notes.bd(&["diff", &start]);
    for line in ["priority: 2 -> 1", "+ label new", "- label old", "comment of overseer: Look at"] {
        assert!(text.contains(line), "{text}");
    }
    // The other way around it is the opposite, and a point with itself is nothing.
    let back = notes.json(&["diff", "HEAD", &start, "--json"]);
    assert_eq!(ids(&back["added"]), [gone.as_str()]);
    assert!(notes.bd(&["diff", "HEAD..HEAD"]).starts_with("no bead differs"));
}

#[test]
fn history_knows_a_merge_request_by_its_id() {
    let desk = Desk::town();
    desk.bare("web.git");
    desk.gt("town", &["rig", "add", "web", "../web.git"]).ok();
    let bd = |args: &[&str]| desk.run(env!("CARGO_BIN_EXE_bd"), "town", args).ok();
    let bead = bd(&["q", "By hand", "--rig", "web"]).trim().to_owned();
    desk.git(".", &["clone", "--quiet", "web.git", "mine"]);
    desk.git("mine", &["checkout", "--quiet", "-b", "by-hand"]);
    desk.git("mine", &["commit", "--quiet", "--allow-empty", "-m", "by hand"]);
    desk.git("mine", &["push", "--quiet", "origin", "by-hand"]);
    desk.gt("mine", &["--town", "../town", "mq", "submit", "--bead", &bead]).ok();
    let request = desk.json("town", &["mq", "list", "--json"])[0]["id"].clone();
    let request = request.as_str().unwrap();
    desk.gt("town", &["mq", "hold", request]).ok();
    let told = bd(&["history", request, "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let ops: Vec<&str> =
        told.as_array().unwrap().iter().map(|change| change["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["enqueue", "set_mr"], "{told:#}");
}

#[test]
fn history_knows_agents_and_rigs_too() {
    let desk = Desk::town();
    desk.bare("web.git");
    desk.gt("town", &["rig", "add", "web", "../web.git"]).ok();
    let by_address = desk.json("town", &["log", "mayor", "--json"]);
    assert_eq!(by_address[0]["op"], "register_agent", "{by_address}");
    assert_eq!(desk.json("town", &["log", "hq-mayor", "--json"]), by_address);
    let said = desk.run(env!("CARGO_BIN_EXE_bd"), "town", &["history", "nobody/at/all"]).refused(1);
    assert!(said.contains("nobody here is called"), "{said}");
    let said = desk.run(env!("CARGO_BIN_EXE_bd"), "town", &["history", "web"]).refused(1);
    assert!(said.contains("nothing is recorded of 'web' in web"), "{said}");
}
