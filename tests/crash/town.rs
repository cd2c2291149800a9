//! A town whose every process may die: commands are repeated until they stand.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use std::time::Instant;

use gastown::adapters::layout::Town as Layout;
use gastown::cli::town::wiring;
use gastown::config;
use gastown::gateway::client;
use gastown::store::ledger::Ledger;
use serde_json::Value;
use tempfile::TempDir;

use super::checker;
use crate::support::dolt;
use crate::support::dolt::free_port;

/// Tries of one command while processes keep dying.
const TRIES: usize = 30;
/// Starts of the daemon in a row that may fail.
const STARTS: usize = 50;
/// Longest wait for anything.
const WITHIN: Duration = Duration::from_secs(90);
/// Longest wait for one event before one looks anyway.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// What a command says whose daemon died, or that cannot tell what became of it.
const BROKEN: [&str; 4] = ["did not answer", "has the town", "not known", "is not running"];

/// How a command ended.
pub struct Said {
    /// `None` is a signal.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Where the ledger of the town under test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    Embedded,
    /// A Dolt server of the town's own.
    Server,
}

/// The town under test.
pub struct Town {
    store: Store,
    dir: TempDir,
    root: PathBuf,
    markers: PathBuf,
    up: bool,
    /// Commits that an outsider pushed and that need not be green.
    pub outside: Vec<String>,
    /// Beads that must be closed at the end.
    pub closed: Vec<String>,
    /// Beads that must be open at the end, with nobody at work on them.
    pub open: Vec<String>,
}

impl Town {
    /// A directory with a home; there is no town in it yet.
    pub fn new(markers: &Path, store: Store) -> Self {
        let dir = tempfile::Builder::new().prefix("gt-crash-").tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(root.join("home")).unwrap();
        let town = Self {
            store,
            dir,
            root,
            markers: markers.to_owned(),
            up: false,
            outside: Vec::new(),
            closed: Vec::new(),
            open: Vec::new(),
        };
        town.git(".", &["config", "--global", "user.name", "Ada"]);
        town.git(".", &["config", "--global", "user.email", "ada@example.org"]);
        town.git(".", &["config", "--global", "init.defaultBranch", "main"]);
        town
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    pub fn layout(&self) -> Layout {
        Layout::new(self.path("town"))
    }

    /// Runs a program below the directory.
    pub fn run(&self, program: &str, below: &str, args: &[&str]) -> Said {
        let output = Command::new(program)
            .args(args)
            .current_dir(self.path(below))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("GT_FAILPOINTS", &self.markers)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn command(&self, who: &str, below: &str, args: &[&str]) -> Said {
        let program = if who == "gt" { env!("CARGO_BIN_EXE_gt") } else { env!("CARGO_BIN_EXE_bd") };
        self.run(program, below, args)
    }

    /// Git, which must succeed.
    #[track_caller]
    pub fn git(&self, below: &str, args: &[&str]) -> String {
        let said = self.run("git", below, args);
        assert_eq!(said.code, Some(0), "git {args:?}: {}{}", said.out, said.err);
        said.out.trim().to_owned()
    }

    /// Makes the town, whose server is up afterwards where it has one.
    #[track_caller]
    pub fn install(&self) {
        let mut words = vec!["install", "town"];
        let port = free_port().to_string();
        let program = match self.store {
            Store::Embedded => String::new(),
            Store::Server => dolt::program().display().to_string(),
        };
        if self.store == Store::Server {
            words.extend(["--store", "server", "--port", &port, "--dolt", &program]);
        }
        self.insist("gt", ".", &words, &[], |_| false);
        self.serve();
    }

    /// Starts the town's server, where it has one, without a daemon.
    #[track_caller]
    pub fn serve(&self) {
        if self.store == Store::Server {
            self.gt(&["dolt", "start"]);
        }
    }

    /// The ledger of a town that is down.
    pub fn ledger(&self) -> Ledger {
        let town = self.layout();
        let settings = wiring::ledger_settings(&town, &config::load(&town).unwrap()).unwrap();
        Ledger::open(town.root(), settings)
    }

    /// Ends the server of a town whose daemon is down.
    fn close(&self) {
        if self.store == Store::Server {
            let said = self.command("gt", "town", &["dolt", "stop"]);
            assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
        }
    }

    /// Starts the daemon, again and again if it dies at its start.
    #[track_caller]
    pub fn start(&mut self) {
        self.up = true;
        self.revive();
    }

    #[track_caller]
    pub fn revive(&self) {
        if !self.up {
            return;
        }
        let mut last = String::new();
        for _ in 0..STARTS {
            let said = self.command("gt", "town", &["up"]);
            if said.code == Some(0) {
                return;
            }
            last = said.err;
        }
        panic!("the daemon does not stay up: {last}");
    }

    /// Takes the town down for good.
    #[track_caller]
    pub fn stop(&mut self) {
        for _ in 0..TRIES {
            let said = self.command("gt", "town", &["down"]);
            if said.code == Some(0) {
                self.up = false;
                return;
            }
        }
        panic!("the town does not go down");
    }

    /// Asks until it is done. After a death one looks: what `stands` says need not be asked again,
    /// and neither what is refused with one of `words`.
    #[track_caller]
    pub fn insist(
        &self,
        who: &str,
        below: &str,
        args: &[&str],
        words: &[&str],
        stands: impl Fn(&Self) -> bool,
    ) -> String {
        let mut last = String::new();
        for attempt in 0..TRIES {
            let said = self.command(who, below, args);
            if said.code == Some(0) {
                return said.out;
            }
            let refused = words.iter().any(|word| said.err.contains(word));
            if attempt > 0 && refused {
                return said.out;
            }
            last = format!("{:?} {}{}", said.code, said.out, said.err);
            let broken = matches!(said.code, None | Some(4 | 5))
                || BROKEN.iter().any(|word| said.err.contains(word));
            assert!(broken, "{who} {args:?}: {last}");
            self.revive();
            if stands(self) {
                return said.out;
            }
        }
        panic!("{who} {args:?}: {last}");
    }

    /// A `gt` command that may be repeated.
    #[track_caller]
    pub fn gt(&self, args: &[&str]) -> String {
        self.insist("gt", "town", args, &[], |_| false)
    }

    /// A `bd` command that may be repeated.
    #[track_caller]
    pub fn bd(&self, args: &[&str]) -> String {
        self.insist("bd", "town", args, &[], |_| false)
    }

    /// A question.
    #[track_caller]
    pub fn ask(&self, who: &str, args: &[&str]) -> Value {
        let out = self.insist(who, "town", args, &[], |_| false);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
    }

    /// Makes a bead in a rig, with an id of our own, so that it can be asked for again.
    #[track_caller]
    pub fn bead(&self, rig: &str, id: &str, title: &str, steps: &str) {
        let text = format!("{title}.\n\n```\n{steps}\n```");
        let args = ["create", title, "--rig", rig, "--id", id, "-d", &text];
        self.insist("bd", "town", &args, &["already", "exists"], |_| false);
    }

    /// Slings beads to their rig.
    #[track_caller]
    pub fn sling(&self, beads: &[&str], rig: &str, more: &[&str]) {
        let mut args = vec!["sling"];
        args.extend(beads);
        args.push(rig);
        args.extend(more);
        // What was written before the death: somebody has it, or it has landed already.
        self.insist("gt", "town", &args, &["has it", "waits in", "closed"], |_| false);
    }

    /// One bead as `bd show` gives it.
    #[track_caller]
    pub fn show(&self, id: &str) -> Value {
        let shown = self.ask("bd", &["show", id, "--json"]);
        if shown.is_array() { shown[0].clone() } else { shown }
    }

    pub fn is_closed(&self, id: &str) -> bool {
        self.show(id)["status"] == "closed"
    }

    /// The merge requests of a bead, oldest first.
    pub fn mrs(&self, bead: &str) -> Vec<Value> {
        let all = self.ask("gt", &["mq", "list", "--all", "--json"]);
        let all = all.as_array().unwrap().iter().filter(|mr| mr["bead"] == bead);
        let mut all: Vec<Value> = all.cloned().collect();
        all.sort_by_key(|mr| mr["created_at"].as_str().unwrap().to_owned());
        all
    }

    /// The state of the newest merge request of a bead.
    pub fn mr_state(&self, bead: &str) -> String {
        let state = self.mrs(bead).last().map(|mr| mr["state"].as_str().unwrap().to_owned());
        state.unwrap_or_default()
    }

    /// Waits until it is so; each event of the town is a reason to look, and each death of the
    /// daemon one to start it.
    #[track_caller]
    pub fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + WITHIN;
        loop {
            let events = self.listen();
            if so(self) {
                return;
            }
            if Instant::now() >= deadline {
                let status = self.command("gt", "town", &["status"]);
                let log = self.command("gt", "town", &["daemon", "logs", "-n", "30"]);
                panic!("never: {what}\n{}{}\n{}", status.out, status.err, log.out);
            }
            if let Err(mpsc::RecvTimeoutError::Disconnected) = events.recv_timeout(LOOK_AGAIN) {
                self.revive();
            }
        }
    }

    fn listen(&self) -> Receiver<String> {
        let (send, events) = mpsc::channel();
        let socket = self.layout().socket_path();
        std::thread::spawn(move || {
            let Ok(lines) = client::events(&socket) else { return };
            for line in lines.map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        events
    }

    /// Whether a point was reached.
    pub fn reached(&self, point: &str) -> bool {
        self.markers.join(point).exists()
    }

    /// Looks at everything from outside.
    #[track_caller]
    pub fn check(&mut self) {
        checker::settle(self);
        checker::ledger(self);
        for rig in ["alpha", "beta"] {
            checker::history(self, rig);
        }
        let said = self.command("gt", "town", &["mq", "proof"]);
        assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
        self.close();
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        if self.up || self.store == Store::Server {
            let said = self.command("gt", "town", &["down"]);
            println!("down: {}{}", said.out, said.err);
        }
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            println!("the town is kept: {}", self.root.display());
        }
    }
}
