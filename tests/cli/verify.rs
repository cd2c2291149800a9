//! `gt verify`: gates run ahead of the queue, and what the queue makes of it.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use super::running::Up;

/// Ada's clone.
const ADA: &str = "town/web/crew/ada";
/// Longest wait for a gate to begin.
const WITHIN: Duration = Duration::from_secs(60);

impl Up {
    /// With Ada's clone, and a gate that leaves a line for each of its runs.
    fn with_ada() -> Self {
        let up = Self::new();
        up.gate("");
        up.desk.gt("town", &["crew", "add", "ada", "--rig", "web"]).ok();
        up
    }

    fn gate(&self, more: &str) {
        let runs = self.desk.path("runs");
        let cmd = format!("echo ran >> {}; {more} echo seen; test ! -e red.txt", runs.display());
        self.desk.gt("town", &["config", "set", "rigs.web.gates.test.cmd", &cmd]).ok();
    }

    /// How often gates ran.
    fn ran(&self) -> usize {
        fs::read_to_string(self.desk.path("runs")).map_or(0, |text| text.lines().count())
    }

    /// A branch of Ada's with one file, from the newest target, pushed.
    fn branch(&self, name: &str, file: &str) {
        self.desk.git(ADA, &["fetch", "--quiet", "origin"]);
        self.desk.git(ADA, &["checkout", "--quiet", "-B", name, "origin/main"]);
        self.change(file, name);
        self.desk.git(ADA, &["push", "--quiet", "--force", "origin", name]);
    }

    fn change(&self, file: &str, text: &str) {
        fs::write(self.desk.path(ADA).join(file), format!("{text}\n")).unwrap();
        self.desk.git(ADA, &["add", file]);
        self.desk.git(ADA, &["commit", "--quiet", "-m", text]);
    }

    fn verify(&self) -> Value {
        self.desk.json(ADA, &["verify", "--json"])
    }

    fn land(&self, title: &str) {
        let bead = self.bead(title, "");
        let submit = || drop(self.desk.gt(ADA, &["mq", "submit", "--bead", &bead]).ok());
        self.wait_for("merged", submit);
    }
}

/// Somebody pushes to the target past the town.
fn outsider(up: &Up, file: &str) {
    let desk = &up.desk;
    if !desk.path("outsider").exists() {
        desk.git(".", &["clone", "--quiet", "web.git", "outsider"]);
    }
    desk.git("outsider", &["pull", "--quiet", "origin", "main"]);
    fs::write(desk.path("outsider").join(file), "from outside\n").unwrap();
    desk.git("outsider", &["add", file]);
    desk.git("outsider", &["commit", "--quiet", "-m", "outside"]);
    desk.git("outsider", &["push", "--quiet", "origin", "main"]);
}

#[test]
fn what_was_verified_lands_without_a_run() {
    let up = Up::with_ada();
    let desk = &up.desk;
    up.branch("one", "one.txt");
    let first = up.verify();
    assert_eq!((&first["verdict"], &first["known"]), (&"passed".into(), &false.into()), "{first}");
    assert_eq!(first["gates"][0]["tail"], "seen", "{first}");
    let again = up.verify();
    assert_eq!((&again["known"], &again["run"]), (&true.into(), &first["run"]), "{again}");
    assert_eq!(up.ran(), 1);
    up.land("One");
    assert_eq!(up.ran(), 1, "the queue ran gates on a tree that is known");

    let stats = desk.json("town", &["mq", "stats", "web", "--json"]);
    assert_eq!((&stats[0]["runs"], &stats[0]["verifications"]), (&0.into(), &1.into()), "{stats}");
    let proof = desk.json("town", &["mq", "proof", "web", "--json"]);
    assert_eq!(proof[0]["clean"], true, "{proof:#}");
    let commit = &proof[0]["commits"][0];
    assert_eq!(commit["run"], first["run"], "{proof:#}");
    let who = commit["verified_by"].as_str().unwrap();
    let said = desk.gt("town", &["mq", "proof"]).ok();
    assert!(said.contains(&format!(", verified by {who}")), "{said}");
    let mr = commit["mr"].as_str().unwrap();
    let why = desk.json("town", &["mq", "why", mr, "--json"]);
    assert_eq!(why["runs"][0]["run"], first["run"], "{why:#}");
    assert_eq!(why["runs"][0]["verified_by"], who, "{why:#}");

    // An agent asks for it in its worktree.
    let script =
        "```\nwrite three.txt: x\nrun: git add -A && git commit -qm three && gt verify\n```";
    let bead = up.bead("Three", script);
    up.do_all(&[&bead]);
    assert_eq!(up.ran(), 2);
    let proof = desk.json("town", &["mq", "proof", "web", "--json"]);
    let who = &proof[0]["commits"].as_array().unwrap().last().unwrap()["verified_by"];
    assert!(who.as_str().unwrap().starts_with("web/polecats/"), "{proof:#}");

    // Other gates, another environment, another base: each is another proof.
    up.branch("two", "two.txt");
    up.verify();
    up.gate("true;");
    assert_eq!(up.verify()["known"], false);
    desk.gt("town", &["config", "set", "gate_env.KIND", "other"]).ok();
    assert_eq!(up.verify()["known"], false);
    outsider(&up, "outside.txt");
    assert_eq!(up.verify()["known"], false);
    assert_eq!(up.ran(), 6);
    desk.gt("town", &["config", "set", "gate_env.KIND", "third"]).ok();
    up.land("Two");
    assert!(up.ran() > 6, "a proof of another environment was taken for one");
}

#[test]
fn a_red_verification_tells_and_a_cut_off_one_leaves_nothing() {
    let up = Up::with_ada();
    let desk = &up.desk;
    up.branch("red", "red.txt");
    let said = desk.gt(ADA, &["verify"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    for part in ["failed: tree ", "test failed: exit code 1", "    seen", "all of it: logs/gates/"]
    {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    up.gate("exit 127;");
    assert_eq!(desk.gt(ADA, &["verify"]).code, 4, "it could not run");

    // A gate says that it runs, and goes on until its daemon is killed.
    let told = desk.path("told");
    assert!(Command::new("mkfifo").arg(&told).status().unwrap().success());
    up.branch("long", "long.txt");
    up.gate(&format!("test ! -p {0} || {{ echo on > {0}; sleep 600; }};", told.display()));
    let count = |up: &Up| {
        up.desk.json("town", &["mq", "stats", "web", "--json"])[0]["verifications"].clone()
    };
    let before = count(&up);
    for ends in ["kill", "down"] {
        cut_off(&up, &told, ends);
        let error = desk.gt(ADA, &["verify"]).refused(4);
        assert!(error.contains("gt up"), "{error}");
        desk.gt("town", &["up"]).ok();
        assert_eq!(count(&up), before);
    }
    fs::remove_file(&told).unwrap();
    assert_eq!(up.verify()["known"], false);
}

/// The daemon ends while a gate runs for somebody who waits.
fn cut_off(up: &Up, told: &Path, ends: &str) {
    let desk = &up.desk;
    std::thread::scope(|scope| {
        let cut = scope.spawn(|| desk.gt(ADA, &["verify"]));
        let (send, runs) = mpsc::channel();
        let from = told.to_owned();
        std::thread::spawn(move || {
            let mut text = String::new();
            let read = fs::File::open(from).and_then(|mut fifo| fifo.read_to_string(&mut text));
            send.send(read.map(|_| text))
        });
        assert_eq!(runs.recv_timeout(WITHIN).unwrap().unwrap(), "on\n");
        if ends == "kill" {
            let pid = desk.read("town/daemon/daemon.pid");
            assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
        } else {
            desk.gt("town", &["down"]).ok();
        }
        let cut = cut.join().unwrap();
        assert_eq!(cut.code, 4, "{}{}", cut.out, cut.err);
        assert!(cut.err.contains("verify again"), "{}", cut.err);
    });
}

#[test]
fn what_cannot_be_verified_is_refused_with_what_to_do() {
    let up = Up::with_ada();
    let desk = &up.desk;
    desk.git(ADA, &["checkout", "--quiet", "-b", "mine"]);
    let nothing = desk.gt(ADA, &["verify"]).refused(1);
    assert!(nothing.contains("nothing would land"), "{nothing}");
    up.change("README.md", "mine");
    let unknown = desk.gt(ADA, &["verify"]).refused(1);
    assert!(unknown.contains("git push -u origin mine"), "{unknown}");
    desk.git(ADA, &["push", "--quiet", "origin", "mine"]);
    outsider(&up, "README.md");
    let conflict = desk.gt(ADA, &["verify"]).refused(1);
    assert!(
        conflict.contains("conflicts with main") && conflict.contains("README.md"),
        "{conflict}"
    );
    fs::write(desk.path(ADA).join("more"), "x").unwrap();
    let dirty = desk.gt(ADA, &["verify"]).refused(1);
    assert!(dirty.contains("uncommitted changes"), "{dirty}");
    assert_eq!(up.ran(), 0);
    desk.gt("town", &["config", "set", "rigs.web.gates", "none"]).ok();
    fs::remove_file(desk.path(ADA).join("more")).unwrap();
    let none = desk.gt(ADA, &["verify"]).refused(1);
    assert!(none.contains("has no gates"), "{none}");
}
