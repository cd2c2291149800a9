//! `bd` as a real process in a plain directory: every command, its JSON, and what it refuses.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

/// What a command printed and how it ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    #[track_caller]
    fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    #[track_caller]
    fn refused(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self.err
    }
}

/// A directory with beads of its own; ids begin with `tt-`.
struct Notes {
    dir: TempDir,
}

impl Notes {
    fn new() -> Self {
        let notes = Self { dir: tempfile::tempdir().unwrap() };
        notes.bd(&["init", "--prefix", "tt"]).ok();
        notes
    }

    fn path(&self, below: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(below)
    }

    fn bd(&self, args: &[&str]) -> Said {
        self.bd_with(".", args, "")
    }

    fn bd_with(&self, below: &str, args: &[&str], input: &str) -> Said {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bd"))
            .args(args)
            .current_dir(self.path(below))
            .env_clear()
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses its arguments does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Makes a bead and gives its id.
    fn make(&self, args: &[&str]) -> String {
        let args = [&["create", "--silent"], args].concat();
        self.bd(&args).ok().trim().to_owned()
    }

    /// Text with ids in order of appearance as `tt-A`, and times, keys and this directory by name.
    fn scrub(&self, text: &str) -> String {
        let text = text.replace(&self.path("").display().to_string(), "DIR/");
        scrub(&text)
    }
}

fn scrub(text: &str) -> String {
    let mut names: BTreeMap<String, char> = BTreeMap::new();
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(time) = time(rest) {
            out.push_str("TIME");
            rest = &rest[time..];
        } else if let Some(after) = rest.strip_prefix("tt-") {
            let hash = after.bytes().take_while(u8::is_ascii_alphanumeric).count();
            if hash == 0 {
                out.push_str("tt-");
                rest = after;
                continue;
            }
            let next = char::from(b'A' + u8::try_from(names.len()).unwrap());
            let name = *names.entry(after[..hash].to_owned()).or_insert(next);
            out.push_str(&format!("tt-{name}"));
            rest = &after[hash..];
        } else if rest.bytes().take(15).filter(u8::is_ascii_digit).count() == 15 {
            out.push_str("KEY");
            rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// Length of the RFC 3339 time that the text begins with.
fn time(text: &str) -> Option<usize> {
    let shape = b"dddd-dd-ddTdd:dd:dd.dddZ";
    let bytes = text.as_bytes().get(..shape.len())?;
    let fits = bytes.iter().zip(shape).all(|(byte, shape)| match shape {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    });
    fits.then_some(shape.len())
}

/// Snapshots what a command printed.
macro_rules! shot {
    ($name:literal, $notes:expr, $args:expr) => {
        let said = $notes.bd($args).ok();
        insta::assert_snapshot!($name, $notes.scrub(&said));
    };
}

#[test]
fn a_place_is_made_once() {
    let notes = Notes::new();
    assert!(notes.path(".beads/.dolt-data/beads/beads.db").is_file());
    let again = notes.bd(&["init"]).refused(1);
    assert!(again.contains("is there already"), "{again}");
    shot!("where", notes, &["where", "--json"]);
    fs::create_dir_all(notes.path("deep/down")).unwrap();
    let below = notes.bd_with("deep/down", &["where"], "").ok();
    assert!(notes.scrub(&below).starts_with("DIR/.beads\n"), "{below}");

    let bare = tempfile::tempdir().unwrap();
    let bare = Notes { dir: bare };
    assert!(bare.bd(&["list"]).refused(3).contains("'bd init' makes a place"));
    assert!(bare.bd(&["init", "--prefix", "Up"]).refused(2).contains("cannot be a prefix"));
    assert!(bare.bd(&["init", "--prefix", "hq"]).refused(2).contains("'hq' is a town's"));
    assert!(!bare.path(".beads").exists(), "nothing was made");
}

#[test]
fn a_redirect_leads_on() {
    let notes = Notes::new();
    let id = notes.make(&["here"]);
    fs::create_dir_all(notes.path("elsewhere/.beads")).unwrap();
    fs::write(notes.path("elsewhere/.beads/redirect"), "../.beads\n").unwrap();
    let shown = notes.bd_with("elsewhere", &["show", &id], "").ok();
    assert!(shown.contains("here"), "{shown}");
    let told = notes.bd_with("elsewhere", &["where", "--json"], "").json();
    assert!(told["redirected_from"].as_str().unwrap().ends_with("elsewhere/.beads"));
    fs::write(notes.path("elsewhere/.beads/redirect"), ".beads\n").unwrap();
    let circle = notes.bd_with("elsewhere", &["list"], "").refused(3);
    assert!(circle.contains("redirects go in a circle"), "{circle}");
}

#[test]
fn beads_are_made_with_all_that_is_said() {
    let notes = Notes::new();
    let first = notes.make(&["First"]);
    let args = [
        "create",
        "Mend the parser",
        "-t",
        "bug",
        "-p",
        "P1",
        "-d",
        "It drops lines",
        "--design",
        "count them",
        "--acceptance",
        "none dropped",
        "--notes",
        "n",
        "-a",
        "ada",
        "-l",
        "ui,core",
        "--deps",
        &format!("{first},related:{first}0"),
        "--json",
    ];
    let unknown = notes.bd(&args).refused(1);
    assert!(unknown.contains("not_found"), "{unknown}");
    assert_eq!(notes.bd(&["list", "--json"]).json().as_array().unwrap().len(), 1, "none made");
    let mut args = args.to_vec();
    let deps = format!("blocks:{first}");
    args[19] = &deps;
    args.extend(["-e", "90", "--external-ref", "jira-1", "--metadata", r#"{"a": 1}"#]);
    shot!("create", notes, &args);
    let child = notes.make(&["Child", "--parent", &first]);
    assert_eq!(child, format!("{first}.1"));
    let chosen = notes.bd(&["create", "Chosen", "--id", "tt-mine"]).ok();
    assert_eq!(chosen, "Created tt-mine: Chosen\n");
    let piped = notes.bd_with(".", &["create", "Piped", "--stdin", "--json"], "from\npipe").json();
    assert_eq!(piped["description"], "from\npipe");
    let quick = notes.bd(&["q", "Two", "words"]).ok();
    assert!(notes.bd(&["show", quick.trim()]).ok().contains("Two words"));
    let before = notes.bd(&["count", "--json"]).json()["count"].clone();
    assert_eq!(notes.bd(&["create", "not", "--dry-run"]).ok(), "would make: not\n");
    assert_eq!(notes.bd(&["count", "--json"]).json()["count"], before);
}

#[test]
fn wrong_words_are_usage_and_write_nothing() {
    let notes = Notes::new();
    let usage = |args: &[&str]| notes.scrub(&notes.bd(args).refused(2));
    let told = [
        usage(&["create", "x", "-t", "thing"]),
        usage(&["create", "x", "-p", "urgent"]),
        usage(&["create", "x", "--due", "soon"]),
        usage(&["create", "x", "--deps", "likes:tt-1"]),
        usage(&["list", "-s", "doing"]),
        usage(&["update", "tt-1"]),
        usage(&["frobnicate", "--json"]),
    ];
    insta::assert_snapshot!("usage", told.join("---\n"));
    let told = [
        notes.bd(&["create", " "]).refused(1),
        notes.bd(&["create", "x", "--id", "other-1"]).refused(1),
        notes.bd(&["create", "x", "--id", "tt-shop-witness"]).refused(1),
        notes.bd(&["create", "x", "--id", "tt-UP"]).refused(1),
        notes.bd(&["create", "x", "--metadata", "[1]", "--json"]).refused(1),
        notes.bd(&["list", "--rig", "shop"]).refused(3),
    ];
    insta::assert_snapshot!("refused", notes.scrub(&told.join("---\n")));
    assert_eq!(notes.bd(&["list", "--json"]).ok(), "[]\n");
}

#[test]
fn what_is_there_is_listed() {
    let notes = Notes::new();
    let parser = notes.make(&["Mend the parser", "-t", "bug", "-p", "1", "-l", "core"]);
    let docs = notes.make(&["Write it down", "-t", "chore", "-p", "3", "-a", "ada"]);
    let test = notes.make(&["Test the parser", "-d", "Well", "--deps", &parser, "-l", "core,slow"]);
    let later = notes.make(&["Later", "--defer", "+1d"]);
    shot!("list", notes, &["list"]);
    shot!("list_json", notes, &["list", "-l", "core", "--json"]);
    shot!("ready", notes, &["ready", "--json"]);
    shot!("blocked", notes, &["blocked", "--json"]);
    let ids = |args: &[&str]| -> Vec<String> {
        let said = notes.bd(&[args, &["--json"]].concat()).json();
        let list = said.as_array().unwrap().iter();
        list.map(|issue| issue["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["list", "--label-any", "slow,nosuch"]), [test.as_str()]);
    assert_eq!(ids(&["list", "-a", "ada"]), [docs.as_str()]);
    assert_eq!(ids(&["list", "-u", "--sort", "title", "-n", "1"]), [later.as_str()]);
    assert_eq!(ids(&["list", "--ready", "--priority-max", "1"]), [parser.as_str()]);
    assert_eq!(ids(&["ready", "-t", "chore"]), [docs.as_str()]);
    assert_eq!(ids(&["search", "PARSER"]), [parser.as_str(), test.as_str()]);
    assert_eq!(ids(&["search", &docs]), [docs.as_str()]);
    shot!("count", notes, &["count", "--by-type", "--json"]);
    shot!("stats", notes, &["stats", "--json"]);
    let claimed = notes.bd(&["ready", "--claim", "--json"]).json();
    assert_eq!(claimed[0]["id"], parser.as_str());
    assert_eq!(claimed[0]["status"], "in_progress");
}

#[test]
fn beads_are_shown_whole_or_by_part_of_the_id() {
    let notes = Notes::new();
    let epic = notes.make(&["Big", "-t", "epic", "--id", "tt-big"]);
    let child = notes.make(&["Small", "--parent", &epic]);
    let target = notes.make(&["Before", "--id", "tt-before"]);
    notes.bd(&["dep", "add", &child, &target]).ok();
    notes.bd(&["comment", &child, "needs", "care"]).ok();
    let args = ["show", &epic, &child, "--include-comments", "--include-dependents", "--json"];
    shot!("show_json", notes, &args);
    shot!("show", notes, &["show", &child]);
    let short = notes.bd(&["show", "--short", &epic, &child]).ok();
    assert_eq!(short.lines().count(), 2);
    let children = notes.bd(&["show", &epic, "--children", "--json"]).json();
    assert_eq!(children[0]["id"], child.as_str());

    let hash = target.strip_prefix("tt-").unwrap();
    assert!(notes.bd(&["show", hash]).ok().starts_with(&target), "without the prefix");
    notes.make(&["One", "--id", "tt-long1"]);
    notes.make(&["Two", "--id", "tt-long2"]);
    assert!(notes.bd(&["show", "tt-long"]).refused(1).contains("name one of tt-long1, tt-long2"));
    notes.bd(&["close", "tt-long2"]).ok();
    assert!(notes.bd(&["comment", "long1", "x"]).ok().contains("tt-long1"));
    notes.make(&["Three", "--id", "tt-other3"]);
    assert_eq!(notes.bd(&["comment", "tt-oth", "x"]).ok(), "Commented on tt-other3\n");
    let mixed = notes.bd(&["show", "tt-none", &target]);
    assert_eq!(mixed.code, 1);
    assert!(mixed.out.starts_with(&target) && mixed.err.contains("tt-none"));
    assert!(notes.bd(&["show", "xx-1"]).refused(1).contains("known prefixes: tt-"));
}

#[test]
fn beads_change() {
    let notes = Notes::new();
    let id = notes.make(&["Old", "-l", "a,b"]);
    let args = [
        "update",
        &id,
        "--title",
        "New",
        "-p",
        "0",
        "-s",
        "deferred",
        "--append-notes",
        "more",
        "--add-label",
        "c",
        "--remove-label",
        "a",
        "--due",
        "2030-01-31T09:00:00Z",
        "--json",
    ];
    shot!("update", notes, &args);
    let set = notes.bd(&["update", &id, "--set-labels", "z", "--due", "", "--json"]).json();
    assert_eq!(set[0]["labels"], serde_json::json!(["z"]));
    assert_eq!(set[0].get("due_at"), None);
    notes.bd(&["update", &id, "-s", "open"]).ok();
    notes.bd(&["--actor", "ada", "update", &id, "--claim"]).ok();
    let held = notes.bd(&["--actor", "bob", "update", &id, "--claim"]).refused(1);
    assert!(held.contains("is held by ada"), "{held}");
    assert_eq!(notes.bd(&["update", &id, "-s", "closed"]).refused(1).lines().count(), 1);
    let hook = notes.bd(&["update", &id, "--mr-ready"]).refused(1);
    assert!(hook.contains("is not on your hook: overseer has none"), "{hook}");
    let both = notes.bd(&["update", &id, "tt-none", "-p", "3", "--json"]);
    assert_eq!((both.code, both.out.contains(&id)), (1, true), "the good one is changed");
}

#[test]
fn beads_end() {
    let notes = Notes::new();
    let before = notes.make(&["Before"]);
    let after = notes.make(&["After", "--deps", &before]);
    assert!(notes.bd(&["close", &after]).refused(1).contains("it waits for"));
    shot!("close", notes, &["close", &before, "-r", "done", "--suggest-next", "--json"]);
    assert_eq!(notes.bd(&["list", "--json"]).json().as_array().unwrap().len(), 1);
    let reopened = notes.bd(&["reopen", &before, "-r", "not yet", "--json"]).json();
    assert_eq!(reopened[0]["status"], "open");
    assert_eq!(notes.bd(&["comments", &before, "--json"]).json()[0]["text"], "not yet");
    notes.bd(&["close", &after, "--force"]).ok();
    let epic = notes.make(&["Epic", "-t", "epic"]);
    notes.make(&["Child", "--parent", &epic]);
    assert!(notes.bd(&["close", &epic]).refused(1).contains("1 of its children are open"));
    assert!(notes.bd(&["delete", &after]).refused(2).contains("--force"));
    assert_eq!(notes.bd(&["delete", &after, "--force"]).ok(), format!("Deleted {after}\n"));
    notes.bd(&["show", &after]).refused(1);
    shot!("history", notes, &["history", &before, "--json"]);
}

#[test]
fn edges_come_and_go() {
    let notes = Notes::new();
    let [a, b, c] = ["a", "b", "c"].map(|id| notes.make(&[id, "--id", &format!("tt-{id}")]));
    shot!("dep_add", notes, &["dep", "add", &a, &b, "--json"]);
    notes.bd(&["dep", "add", &b, &c]).ok();
    notes.bd(&["dep", "add", &a, &c, "-t", "related"]).ok();
    let cycle = notes.bd(&["dep", "add", &c, &a, "--json"]).refused(1);
    insta::assert_snapshot!("cycle", notes.scrub(&cycle));
    assert!(notes.bd(&["dep", "add", &a, &a]).refused(1).contains("cycle"));
    assert!(notes.bd(&["dep", "add", &a, "tt-none"]).refused(1).contains("tt-none"));
    shot!("dep_list", notes, &["dep", "list", &a, "--json"]);
    shot!("dep_tree", notes, &["dep", "tree", &a]);
    shot!("dep_tree_json", notes, &["dep", "tree", &a, "--max-depth", "1", "--json"]);
    let up = notes.bd(&["dep", "list", &c, "--direction", "up"]).ok();
    assert_eq!(up.lines().count(), 2, "{up}");
    notes.bd(&["dep", "remove", &a, &b]).ok();
    assert!(notes.bd(&["dep", "rm", &a, &b]).refused(1).contains("dependency"));
}

#[test]
fn labels_and_remarks() {
    let notes = Notes::new();
    let [a, b] = ["A", "B"].map(|title| notes.make(&[title]));
    shot!("label_add", notes, &["label", "add", &a, &b, "ui", "--json"]);
    notes.bd(&["label", "add", &a, "core"]).ok();
    notes.bd(&["label", "remove", &b, "ui"]).ok();
    assert_eq!(notes.bd(&["label", "list", &a]).ok(), "core\nui\n");
    assert_eq!(notes.bd(&["label", "list", &b, "--json"]).ok(), "[]\n");
    assert_eq!(notes.bd(&["label", "list-all"]).ok(), "core\nui\n");
    let said = notes.bd_with(".", &["comments", "add", &a, "-", "--json"], "from a pipe").ok();
    assert!(said.contains("\"text\": \"from a pipe\""), "{said}");
    assert!(notes.bd(&["comments", &a]).ok().contains("overseer\n  from a pipe"));
    assert_eq!(notes.bd(&["comments", &b]).ok(), "no comments\n");
    assert!(notes.bd(&["comment", &a, " "]).refused(1).contains("a comment needs text"));
}

/// A town with two rigs, `shop` (`sh-`) and `ui`, whose prefix is longer (`she-`).
fn town() -> Notes {
    let notes = Notes { dir: tempfile::tempdir().unwrap() };
    fs::create_dir(notes.path("home")).unwrap();
    let run = |program: &str, below: &str, args: &[&str]| {
        let output = Command::new(program)
            .args(args)
            .current_dir(notes.path(below))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", notes.path("home"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    for (key, value) in [("user.name", "Ada"), ("user.email", "ada@example.org")] {
        run("git", ".", &["config", "--global", key, value]);
    }
    let gt = env!("CARGO_BIN_EXE_gt");
    run(gt, ".", &["install", "town"]);
    for (rig, prefix) in [("shop", "sh"), ("ui", "she")] {
        run("git", ".", &["init", "-q", "-b", "main", rig]);
        run("git", rig, &["commit", "-q", "--allow-empty", "-m", "first"]);
        let repo = notes.path(rig).display().to_string();
        run(gt, "town", &["rig", "add", rig, &repo, "--prefix", prefix]);
    }
    notes
}

#[test]
fn a_towns_directories_say_which_beads_are_meant() {
    let notes = town();
    let at = |below: &str, args: &[&str]| notes.bd_with(below, args, "");
    let make = |below: &str, title: &str| at(below, &["q", title]).ok().trim().to_owned();
    assert!(make("town", "own").starts_with("hq-"));
    assert!(make("town/shop", "shop's").starts_with("sh-"));
    let deep = make("town/ui/refinery/rig", "deep");
    assert!(deep.starts_with("she-"));
    let there = at("town/shop/mayor/rig", &["q", "there", "--rig", "ui"]).ok();
    assert!(there.starts_with("she-"), "--rig wins");
    assert!(at("town/shop", &["show", &deep]).ok().contains("deep"), "an id wins");
    let listed = at("town/shop", &["list", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let everywhere = at("town/shop", &["list", "--all-rigs", "--json"]).json();
    assert_eq!(everywhere.as_array().unwrap().len(), 4, "agents and roles are left out");
    assert!(at("town", &["show", "hq-mayor"]).ok().contains("role: mayor (hq-mayor-role)"));
    assert!(
        at("town", &["create", "x", "--id", "sh-shop-polecat-x"]).refused(1).contains("reserved")
    );
    let unknown = at("town", &["list", "--rig", "shpo"]).refused(1);
    assert!(unknown.contains("did you mean 'shop'?"), "{unknown}");
    let shop = at("town/shop", &["list", "--json"]).json()[0]["id"].as_str().unwrap().to_owned();
    at("town", &["dep", "add", &shop, &deep]).ok();
    let blocked = at("town/shop", &["blocked", "--json"]).json();
    assert_eq!(blocked[0]["blocked_by"][0], deep.as_str(), "a blocker in another rig");
    let told = at("town/ui/refinery/rig", &["where", "--json"]).json();
    assert!(
        told["redirected_from"].as_str().unwrap().ends_with("ui/refinery/rig/.beads"),
        "{told}"
    );
    assert!(at("town/shop", &["init"]).refused(1).contains("is in the town at"));
    let from_afar = notes.bd_with("home", &["--town", "../town", "show", &deep], "");
    assert!(from_afar.ok().contains("deep"));
}

#[test]
fn a_daemon_that_does_not_answer_is_not_passed_by() {
    let notes = town();
    let lock = notes.path("town/daemon/daemon.lock");
    let mut held = fs::File::create(&lock).unwrap();
    held.write_all(b"process 1 (a test)").unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let refused = notes.bd_with("town", &["list", "--json"], "").refused(4);
    let refused: Value = serde_json::from_str(&refused).unwrap();
    assert_eq!(refused["code"], "unavailable");
    assert!(refused["error"].as_str().unwrap().starts_with("process 1 (a test) has the town"));
    drop(held);
    notes.bd_with("town", &["list"], "").ok();
}

#[test]
fn it_says_what_it_is() {
    let notes = Notes::new();
    assert!(notes.bd(&["--help"]).ok().contains("bd ready"));
    assert!(notes.bd(&["create", "--help"]).ok().contains("Examples:"));
    assert!(notes.bd(&["version", "--json"]).json()["version"].is_string());
    assert!(notes.bd(&["completion", "bash"]).ok().contains("complete"));
    assert!(notes.bd(&["types"]).ok().contains("merge-request"));
    assert!(notes.bd(&["statuses", "--json"]).ok().contains("in_progress"));
}
