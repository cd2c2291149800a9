//! A running town: the daemon, scripted agents, gates, and the proof of what landed.

use std::fs;
use std::sync::mpsc;
use std::time::Duration;
use std::time::Instant;

use gastown::adapters::layout::Town;
use gastown::gateway::client;
use serde_json::Value;

use super::desk::Desk;

/// Longest wait for a whole job.
const WITHIN: Duration = Duration::from_secs(120);
/// Longest wait for one fact before one looks anyway.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A running town that goes down when the test ends, however it ends.
pub struct Up {
    pub desk: Desk,
}

impl Drop for Up {
    fn drop(&mut self) {
        let said = self.desk.gt("town", &["down"]);
        if said.code != 0 {
            eprintln!("{}{}", said.out, said.err);
        }
    }
}

impl Up {
    /// With rig `web` of a bare remote, whose gate wants no `red.txt`.
    pub fn new() -> Self {
        let desk = Desk::town();
        desk.bare("web.git");
        desk.gt("town", &["rig", "add", "web", "../web.git"]).ok();
        desk.gt("town", &["config", "set", "rigs.web.gates.test.cmd", "test ! -e red.txt"]).ok();
        let up = Self { desk };
        up.desk.gt("town", &["up"]).ok();
        up
    }

    pub fn bead(&self, title: &str, description: &str) -> String {
        self.bead_in("web", title, description)
    }

    pub fn bead_in(&self, rig: &str, title: &str, description: &str) -> String {
        let args = ["create", title, "--rig", rig, "-d", description, "--json"];
        let said = self.desk.run(env!("CARGO_BIN_EXE_bd"), "town", &args).ok();
        let made: Value = serde_json::from_str(&said).unwrap();
        made["id"].as_str().unwrap().to_owned()
    }

    /// Slings beads and waits until their convoy has landed.
    pub fn do_all(&self, beads: &[&str]) {
        let mut sling = vec!["sling"];
        sling.extend(beads);
        sling.push("web");
        self.wait_for("convoy_landed", || drop(self.desk.gt("town", &sling).ok()));
    }

    /// Does something and waits until the town tells of it.
    pub fn wait_for(&self, fact: &'static str, act: impl FnOnce()) {
        let told = self.facts();
        act();
        let until = Instant::now() + WITHIN;
        while let Ok(said) = told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if said == fact {
                return;
            }
        }
        panic!("{}", self.desk.gt("town", &["status"]).out);
    }

    /// Waits until it is so; whatever the town tells is a reason to look.
    pub fn until(&self, what: &str, so: impl Fn() -> bool) {
        let told = self.facts();
        let until = Instant::now() + WITHIN;
        while !so() {
            assert!(Instant::now() < until, "never: {what}");
            // Branches go without a word.
            drop(told.recv_timeout(LOOK_AGAIN));
        }
    }

    /// The names of facts, as the town tells them from now on.
    fn facts(&self) -> mpsc::Receiver<String> {
        let socket = Town::new(self.desk.path("town")).socket_path();
        let events = client::events(&socket).unwrap();
        let (send, told) = mpsc::channel();
        std::thread::spawn(move || {
            for event in events.map_while(Result::ok) {
                let event: Value = serde_json::from_str(&event).unwrap();
                let fact = event["fact"]["fact"].as_str().unwrap_or_default().to_owned();
                if send.send(fact).is_err() {
                    return;
                }
            }
        });
        told
    }
}

/// A freeze is told wherever the queue is, until the thaw.
fn freeze_and_thaw(desk: &Desk) {
    let freeze = ["mq", "freeze", "web", "-r", "release day", "--allow-priority", "hotfix"];
    assert!(desk.gt("town", &freeze).ok().contains("only hotfixes land"));
    let status = desk.json("town", &["mq", "status", "web", "--json"]);
    assert_eq!(status["frozen"]["reason"], "release day", "{status:#}");
    assert!(desk.gt("town", &["status"]).ok().contains("frozen by overseer"));
    let nobody = desk.json("town", &["mq", "eta", "web", "--json"]);
    assert_eq!(nobody, Value::Array(Vec::new()));
    assert!(desk.gt("town", &["mq", "thaw", "web"]).ok().contains("lands again"));
    let status = desk.json("town", &["mq", "status", "web", "--json"]);
    assert!(status["frozen"].is_null(), "{status:#}");
}

#[test]
fn a_town_does_the_work_and_proves_it() {
    let up = Up::new();
    let desk = &up.desk;
    assert!(desk.gt("town", &["up"]).ok().contains("up already"));
    let plain = up.bead("Write the manual", "Say what it does.");
    let red = "```\nwrite red.txt: oops\nrework: run: rm red.txt\n\
               rework: write fine.txt: mended\n```";
    let red = up.bead("Red at first", red);
    let crash = up.bead("Crash once", "```script\ncrash-once\nwrite c.txt: x\n```");
    up.do_all(&[&plain, &red, &crash]);

    let proof = desk.json("town", &["mq", "proof", "web", "--json"]);
    assert_eq!(proof[0]["clean"], true, "{proof:#}");
    let stats = desk.json("town", &["mq", "stats", "web", "--json"]);
    let number = |field: &str| stats[0][field].as_f64().unwrap();
    assert!(number("merged") >= 1.0 && number("runs") >= number("landings"), "{stats:#}");
    assert!(number("bound_per_merged") < number("serial_per_merged"), "{stats:#}");
    let queue = desk.json("town", &["mq", "list", "--all", "--json"]);
    // The one that was red comes first where it was stacked first.
    let landed = queue.as_array().unwrap().iter().find(|mr| mr["state"] == "merged").unwrap();
    let why = desk.json("town", &["mq", "why", landed["id"].as_str().unwrap(), "--json"]);
    let runs = why["runs"].as_array().unwrap();
    assert!(runs.iter().any(|run| run["verdict"] == "passed"), "{why:#}");
    let log = desk.json("town", &["mq", "log", "web", "--limit", "1000", "--json"]);
    let log = log.as_array().unwrap();
    let first = |op: &str| log.iter().position(|event| event["op"] == op);
    let order = ["enqueue", "begin_cycle", "start_run", "finish_run", "begin_landing"];
    let places: Vec<usize> = order.map(|op| first(op).unwrap_or_else(|| panic!("{op}"))).to_vec();
    assert!(places.is_sorted() && first("give_back").is_some(), "{log:#?}");
    let said = desk.gt("town", &["mq", "log", "web", "-n", "3"]).ok();
    assert!(said.contains("is over: ") && said.contains(" landed"), "{said}");
    freeze_and_thaw(desk);
    let commits = proof[0]["commits"].as_array().unwrap();
    assert!(commits.iter().all(|commit| commit["mr"].is_string()), "{proof:#}");
    let log = desk.git("web.git", &["log", "--format=%s", "main"]);
    assert!(log.contains(&format!("Write the manual ({plain})")), "{log}");
    assert!(log.contains(&format!("Red at first ({red}) after we-mr-")), "{log}");
    desk.git("web.git", &["cat-file", "-e", "main:fine.txt"]);
    desk.git("web.git", &["cat-file", "-e", "main:c.txt"]);
    let crashed = desk.read(&format!("town/logs/agents/{crash}.crashed"));
    assert_eq!(crashed, "");

    tamper(desk);
    assert!(desk.gt("town", &["down"]).ok().contains("the town is down"));
    assert!(desk.gt("town", &["down"]).ok().contains("not running"));
    assert!(!desk.path("town/daemon/daemon.pid").exists());
}

/// What the proof must notice, and what it must not mind.
fn tamper(desk: &Desk) {
    let proof = desk.json("town", &["mq", "proof", "web", "--json"]);
    let run = proof[0]["commits"][0]["run"].as_str().unwrap();
    let record = desk.path("town/logs/gates").join(run).join("result.json");
    let kept = fs::read(&record).unwrap();
    fs::remove_file(&record).unwrap();
    let said = desk.gt("town", &["mq", "proof"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.out.contains("there is no"), "{}", said.out);
    fs::write(&record, kept).unwrap();
    desk.gt("town", &["mq", "proof"]).ok();

    desk.git(".", &["clone", "--quiet", "web.git", "mine"]);
    desk.git("mine", &["commit", "--quiet", "--allow-empty", "-m", "by hand"]);
    desk.git("mine", &["push", "--quiet", "origin", "main"]);
    let proof = desk.json("town", &["mq", "proof", "--json"]);
    assert_eq!(proof[0]["outside"][0]["subject"], "by hand", "{proof:#}");
    let name = "user.name=web/refinery";
    desk.git("mine", &["-c", name, "commit", "--quiet", "--allow-empty", "-m", "sneaked in"]);
    desk.git("mine", &["push", "--quiet", "origin", "main"]);
    let said = desk.gt("town", &["mq", "proof"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.out.contains("no landing accounts for it: sneaked in"), "{}", said.out);
}

#[test]
fn rigs_come_and_go_while_the_town_runs() {
    let up = Up::new();
    let desk = &up.desk;
    desk.repository("ui");
    let said = desk.gt("town", &["rig", "add", "ui", "../ui"]).ok();
    assert!(said.contains("git pull"), "{said}");
    desk.gt("town", &["crew", "add", "ada", "--rig", "ui"]).ok();
    assert!(desk.path("town/ui/crew/ada/README.md").is_file());
    desk.gt("town", &["config", "set", "rigs.ui.gates", "none"]).ok();
    // Work lands on the town's own clone here: a person pushes there, and pulls from there.
    let bead = up.bead_in("ui", "By hand", "");
    let ada = "town/ui/crew/ada";
    desk.git(ada, &["checkout", "--quiet", "-b", "mine"]);
    fs::write(desk.path("town/ui/crew/ada/mine.txt"), "mine\n").unwrap();
    desk.git(ada, &["add", "mine.txt"]);
    desk.git(ada, &["commit", "--quiet", "-m", "By hand"]);
    desk.git(ada, &["push", "--quiet", "origin", "mine"]);
    up.wait_for("merged", || drop(desk.gt(ada, &["mq", "submit", "--bead", &bead]).ok()));
    desk.git(ada, &["checkout", "--quiet", "main"]);
    desk.git(ada, &["pull", "--quiet"]);
    assert_eq!(desk.read("town/ui/crew/ada/mine.txt"), "mine\n");
    desk.gt("town", &["crew", "remove", "ada", "--rig", "ui"]).ok();
    desk.gt("town", &["rig", "remove", "ui"]).ok();
    let error = desk.gt("town", &["rig", "remove", "ui"]).refused(1);
    assert!(error.contains("no rig 'ui'"), "{error}");
    let error = desk.gt("town", &["config", "set", "rigs.web.batch_max", "0"]).refused(3);
    assert!(error.contains("rigs.web.batch_max: must be 1 or more"), "{error}");
    desk.gt("town", &["status"]).ok();
}
