//! What the town goes through: every command of a day, and what the world does to it.

use std::fs;
use std::time::Duration;
use std::time::Instant;

use gastown::gateway::client;
use gastown::messages::door::Call;
use gastown::messages::door::PROTOCOL;
use gastown::messages::door::Request;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::Op;
use gastown::model::value::Name;
use serde_json::Value;

use super::queue;
use super::town::Town;

/// The projects' own gates. A file `hold` beside the town keeps the tests waiting; a project
/// with a file `red` fails them.
const CHECK: &str = r#"#!/bin/sh
case "$1" in
test)
    while test -e "$HOLD"; do sleep 0.05; done
    test ! -e red
    ;;
lint) test -e README.md ;;
*) exit 2 ;;
esac
"#;

/// Plays all of it.
pub fn play(town: &mut Town) {
    type Act = fn(&mut Town);
    let acts: [(&str, Act); 9] = [
        ("offline", offline),
        ("up", Town::start),
        ("beads", beads),
        ("two rigs", two_rigs),
        ("post", post),
        ("release", release),
        ("withdraw", withdraw),
        ("queue", queue::play),
        ("hints", hints),
    ];
    for (name, act) in acts {
        let started = Instant::now();
        act(town);
        println!("{name}: {:.1} s", started.elapsed().as_secs_f64());
    }
}

/// Time goes by: what is over goes, and what landed is still proven.
pub fn age(town: &mut Town) {
    for (key, value) in [
        ("limits.backup_every_ms", "1s"),
        ("limits.archive_every_ms", "1s"),
        ("life.ephemera_keep_ms", "1s"),
        ("life.copy_margin_ms", "1ms"),
    ] {
        town.gt(&["config", "set", key, value]);
    }
    town.start();
    let points = ["after.effect.upkeep", "after.op.record_run", "after.op.decay"];
    town.until("the dogs have been here", |town| points.iter().all(|point| town.reached(point)));
    town.gt(&["mq", "proof"]);
    town.stop();
}

/// A bare repository whose reflog tells every commit that its branch pointed to.
fn origin(town: &Town, rig: &str) {
    let seed = format!("seed-{rig}");
    town.git(".", &["init", "--quiet", &seed]);
    fs::write(town.path(&seed).join("README.md"), format!("# {rig}\n")).unwrap();
    fs::write(town.path(&seed).join("check.sh"), CHECK).unwrap();
    town.git(&seed, &["add", "--all"]);
    town.git(&seed, &["commit", "--quiet", "-m", "first"]);
    let bare = format!("{rig}.git");
    town.git(".", &["clone", "--quiet", "--bare", &seed, &bare]);
    town.git(&bare, &["config", "core.logAllRefUpdates", "true"]);
}

/// Without a daemon each command is a writer of its own, and dies itself.
fn offline(town: &mut Town) {
    origin(town, "alpha");
    origin(town, "beta");
    town.install();
    let root = town.path("alpha.git").display().to_string();
    town.gt(&["rig", "add", "alpha", &root, "--prefix", "al"]);
    let hold = format!("HOLD={}", town.path("hold").display());
    for rig in ["alpha", "beta"] {
        for gate in ["test", "lint"] {
            let key = format!("rigs.{rig}.gates.{gate}.cmd");
            town.gt(&["config", "set", &key, &format!("{hold} sh check.sh {gate}")]);
        }
    }
    for (key, value) in [
        ("limits.polecats_max", "2"),
        // Sessions end whenever a command of theirs finds no daemon; that is no fault of theirs.
        ("limits.session_exits_max", "200"),
        ("limits.session_backoff_ms", "50"),
        ("limits.session_backoff_max_ms", "500"),
        ("limits.effect_retry_ms", "20"),
        ("limits.stop_grace_ms", "500"),
        ("limits.reaper_every_ms", "1000"),
        ("limits.nudge_ttl_ms", "1"),
    ] {
        town.gt(&["config", "set", key, value]);
    }
    town.bead("alpha", "al-loose", "A loose end", "write loose.txt: loose");
}

/// Every change of a bead by hand.
fn beads(town: &mut Town) {
    // The second rig is added while the daemon runs.
    let root = town.path("beta.git").display().to_string();
    town.gt(&["rig", "add", "beta", &root, "--prefix", "be"]);
    town.bead("alpha", "al-spare", "A spare one", "write spare.txt: spare");
    town.bd(&["update", "al-loose", "--title", "A looser end", "-p", "1"]);
    let words = ["comment", "al-loose", "a remark"];
    let count = |town: &Town| town.show("al-loose")["comment_count"].as_i64().unwrap_or(0);
    town.insist("bd", "town", &words, &[], |town| count(town) > 0);
    assert_eq!(count(town), 1);
    town.bd(&["dep", "add", "al-loose", "al-spare"]);
    let gone = ["not found", "no dependency"];
    let remove = ["dep", "remove", "al-loose", "al-spare"];
    town.insist("bd", "town", &remove, &gone, |_| false);
    town.bd(&["close", "al-spare", "-r", "not needed"]);
    town.bd(&["reopen", "al-spare"]);
    assert_eq!(town.show("al-spare")["status"], "open");
    let delete = ["delete", "al-spare", "--force"];
    town.insist("bd", "town", &delete, &["not found"], |_| false);
    town.bd(&["update", "al-loose", "--claim"]);
    assert_eq!(town.show("al-loose")["status"], "in_progress");
    town.bd(&["update", "al-loose", "--status", "open", "--assignee", ""]);
    town.open.push("al-loose".to_owned());
}

/// A bead of one rig waits for a bead of the other; both are slung at once.
fn two_rigs(town: &mut Town) {
    town.bead("alpha", "al-first", "The first", "write first.txt: first");
    town.bead("alpha", "al-rework", "Red at first", "write red: 1\nrework: run: git rm -q red");
    town.bead("beta", "be-second", "The second", "write second.txt: second");
    town.bd(&["dep", "add", "be-second", "al-first"]);
    assert_eq!(town.show("be-second")["dependencies"][0]["id"], "al-first");
    town.sling(&["be-second"], "beta", &[]);
    town.sling(&["al-first", "al-rework"], "alpha", &[]);
    town.until("both rigs have done their work", |town| {
        ["al-first", "al-rework", "be-second"].iter().all(|id| town.is_closed(id))
    });
    for id in ["al-first", "al-rework", "be-second"] {
        town.closed.push(id.to_owned());
    }
}

/// Mail, and what the Mayor makes of a call for help.
fn post(town: &mut Town) {
    let sent = |town: &Town, to: &str, subject: &str| {
        let inbox = town.ask("gt", &["mail", "inbox", to, "--all", "--json"]);
        inbox.as_array().unwrap().iter().filter(|mail| mail["subject"] == subject).count()
    };
    let send = ["mail", "send", "overseer", "-s", "a word", "-m", "hello"];
    town.insist("gt", "town", &send, &[], |town| sent(town, "overseer", "a word") > 0);
    let help = ["mail", "send", "mayor", "-s", "help", "-m", "please", "--type", "HELP"];
    town.insist("gt", "town", &help, &[], |town| sent(town, "mayor", "help") > 0);
    assert_eq!((sent(town, "overseer", "a word"), sent(town, "mayor", "help")), (1, 1));
    let inbox = town.ask("gt", &["mail", "inbox", "overseer", "--json"]);
    let word = inbox.as_array().unwrap().iter().find(|mail| mail["subject"] == "a word").unwrap();
    let id = word["id"].as_str().unwrap().to_owned();
    town.gt(&["mail", "read", &id]);
    town.gt(&["mail", "archive", &id]);
    town.until("the Mayor has told the person", |town| {
        let inbox = town.ask("gt", &["mail", "inbox", "mayor", "--json"]);
        inbox.as_array().unwrap().iter().all(|mail| mail["read"] == true)
    });
}

/// A worker that hangs loses its bead by hand, and then its place.
fn release(town: &mut Town) {
    let steps = "write unsaved.txt: precious\nhang";
    town.bead("beta", "be-hang", "Hang", steps);
    town.sling(&["be-hang"], "beta/ace", &[]);
    let phase = |town: &Town| -> String {
        let agents = town.ask("gt", &["polecat", "list", "beta", "--json"]);
        let ace = agents.as_array().unwrap().iter().find(|agent| agent["name"] == "ace").cloned();
        ace.map_or(String::new(), |ace| ace["agent_state"].as_str().unwrap().to_owned())
    };
    town.until("ace has written what it will not hand in", |town| {
        let place = town.path("town/beta/polecats/ace/beta/unsaved.txt");
        phase(town) == "working" && place.exists()
    });
    let released = ["release", "be-hang", "-r", "it hangs"];
    let free = ["nobody has", "not slung", "is free", "is not"];
    town.insist("gt", "town", &released, &free, |_| false);
    town.until("ace is idle", |town| phase(town) == "idle");
    let refs = town.git("town/beta/mayor/rig", &["for-each-ref", "refs/gt/rescue"]);
    assert!(!refs.is_empty(), "what ace wrote is lost");
    let nuke = ["polecat", "nuke", "beta/ace"];
    town.insist("gt", "town", &nuke, &["no worker"], |_| false);
    assert_eq!(phase(town), "");
    town.open.push("be-hang".to_owned());
}

/// An agent that is taken out of the settings before its turn: nobody can do the bead, until
/// another agent is named.
fn withdraw(town: &mut Town) {
    town.gt(&["config", "agent", "set", "ghost", "exec true"]);
    town.bead("alpha", "al-gate", "Opens the way", "write gate.txt: open");
    town.bead("alpha", "al-ghost", "For a ghost", "write ghost.txt: boo");
    town.bd(&["dep", "add", "al-ghost", "al-gate"]);
    town.sling(&["al-ghost"], "alpha", &["--agent", "ghost"]);
    town.insist("gt", "town", &["config", "agent", "remove", "ghost"], &["no agent"], |_| false);
    town.bd(&["close", "al-gate", "-r", "open"]);
    town.until("two workers have given the ghost's bead back", |town| {
        let shown = town.show("al-ghost");
        let labels = shown["labels"].as_array().cloned().unwrap_or_default();
        shown["status"] == "open" && labels.iter().any(|label| label == "gt:escalated")
    });
    town.sling(&["al-ghost"], "alpha", &[]);
    town.until("somebody else has done it", |town| town.is_closed("al-ghost"));
    town.closed.extend(["al-gate", "al-ghost"].map(str::to_owned));
}

/// Sends ops through the door, as a program of one's own would.
fn write(town: &Town, db: &str, op: Op) -> Result<(), client::ClientError> {
    let call = Call {
        protocol: PROTOCOL,
        town: None,
        token: None,
        actor: None,
        request: Request::Write { db: Db::from(db), ops: vec![op] },
    };
    client::call(&town.layout().socket_path(), &call, Duration::from_secs(20)).map(|_| ())
}

/// Writes until it stands.
fn write_on(town: &Town, db: &str, op: &Op, stands: impl Fn(&Town) -> bool) {
    for _ in 0..10 {
        match write(town, db, op.clone()) {
            Ok(()) => return,
            Err(client::ClientError::Door(error)) => panic!("{error}"),
            Err(_) => town.revive(),
        }
        if stands(town) {
            return;
        }
    }
    panic!("the door does not take {}", op.name());
}

/// Hints come, are taken and are reaped; a convoy is made by hand.
fn hints(town: &mut Town) {
    let nudges = |town: &Town| {
        let hook = town.ask("gt", &["hook", "mayor", "--json"]);
        hook["nudges"].as_array().unwrap().len()
    };
    town.gt(&["nudge", "mayor", "look", "up"]);
    write_on(town, "hq", &Op::TakeNudges { by: Name::from("mayor") }, |_| false);
    assert_eq!(nudges(town), 0);
    town.until("the reaper has been here", |town| {
        if !town.reached("before.op.reap") {
            town.gt(&["nudge", "mayor", "once more"]);
        }
        town.reached("after.op.reap")
    });
    town.until("no hint is left", |town| nudges(town) == 0);

    let beads = ["al-loose", "be-hang"].map(|id| (BeadId::from(id), "alpha".into(), false));
    let convoy = Op::CreateConvoy {
        title: "By hand".to_owned(),
        owner: Name::from("overseer"),
        beads: beads.to_vec(),
    };
    let made = |town: &Town| {
        let convoys = town.ask("gt", &["convoy", "list", "--all", "--json"]);
        convoys.as_array().unwrap().iter().any(|convoy: &Value| convoy["title"] == "By hand")
    };
    write_on(town, "hq", &convoy, made);
    assert!(made(town));
    let text = "UPDATE beads SET notes = 'a note' WHERE title = 'By hand'".to_owned();
    write_on(town, "hq", &Op::Sql { text }, |_| false);
}
