//! Every command with explicit arguments means the same in every directory of a town.
//!
//! The table has each command of both trees; one that is missing fails. Those that read are run
//! from every kind of directory and their bytes compared.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use clap::Command;
use clap::CommandFactory;
use gastown::adapters::layout::Town;
use gastown::cli::bd::Bd;
use gastown::cli::gt::Gt;
use gastown::gateway::client;
use serde_json::Value;

use super::desk::Desk;

/// Longest wait for a worker to begin.
const WITHIN: Duration = Duration::from_secs(60);
/// Directories looked at side by side.
const HANDS: usize = 4;

/// What a command does, and how it is run here.
enum Does {
    /// It reads: its arguments, with `BEAD`, `OTHER`, `CONVOY`, `REQUEST` as placeholders.
    Reads(&'static [&'static str]),
    /// It reads, and so do others beside it: without a daemon too.
    ReadsAlone(&'static [&'static str]),
    /// It changes something, or starts something of its own.
    Acts,
    /// It explains the directory, or names what the directory gives.
    Explains,
}

use Does::Acts;
use Does::Explains;
use Does::Reads;
use Does::ReadsAlone;

/// Every command.
const TABLE: &[(&str, Does)] = &[
    ("bd init", Acts),
    ("bd create", Acts),
    ("bd q", Acts),
    ("bd show", ReadsAlone(&["BEAD", "OTHER", "hq-mayor", "--json"])),
    ("bd list", ReadsAlone(&["--rig", "web", "--all", "--json"])),
    ("bd ready", ReadsAlone(&["--rig", "ui", "--json"])),
    ("bd blocked", Reads(&["--all-rigs", "--json"])),
    ("bd search", Reads(&["work", "--all-rigs", "--json"])),
    ("bd count", Reads(&["--rig", "hq", "--by-type", "--json"])),
    ("bd update", Acts),
    ("bd close", Acts),
    ("bd reopen", Acts),
    ("bd delete", Acts),
    ("bd dep add", Acts),
    ("bd dep remove", Acts),
    ("bd dep list", Reads(&["BEAD", "--json"])),
    ("bd dep tree", Reads(&["BEAD"])),
    ("bd comment", Acts),
    ("bd comments", Reads(&["BEAD", "--json"])),
    ("bd comments add", Acts),
    ("bd label add", Acts),
    ("bd label remove", Acts),
    ("bd label list", Reads(&["BEAD", "--json"])),
    ("bd label list-all", Reads(&["--rig", "web"])),
    ("bd stats", ReadsAlone(&["--rig", "web", "--json"])),
    ("bd history", ReadsAlone(&["BEAD", "--json"])),
    ("bd diff", Reads(&["HEAD~2..HEAD", "--rig", "web", "--json"])),
    ("bd log", ReadsAlone(&["--rig", "web", "--json"])),
    ("bd where", Explains),
    ("bd types", Reads(&[])),
    ("bd statuses", Reads(&[])),
    ("bd version", Reads(&[])),
    ("bd completion", Reads(&["bash"])),
    ("gt install", Acts),
    ("gt rig add", Acts),
    ("gt rig list", Reads(&["--json"])),
    ("gt rig remove", Acts),
    ("gt config get", Reads(&["queue.batch_max"])),
    ("gt config set", Acts),
    ("gt config unset", Acts),
    ("gt config list", Reads(&["--json"])),
    ("gt config agent set", Acts),
    ("gt config agent list", Reads(&["--json"])),
    ("gt config agent remove", Acts),
    ("gt config default-agent", Reads(&[])),
    ("gt up", Acts),
    ("gt down", Acts),
    ("gt daemon run", Acts),
    ("gt daemon status", Reads(&["--json"])),
    ("gt daemon logs", Reads(&[])),
    ("gt dolt start", Acts),
    ("gt dolt stop", Acts),
    ("gt dolt restart", Acts),
    ("gt dolt status", Acts),
    ("gt dolt logs", Acts),
    ("gt dolt sql", ReadsAlone(&["web", "-e", "select id from beads order by id", "--json"])),
    ("gt dolt list", Reads(&["--json"])),
    ("gt dolt log", Reads(&["ui", "--json"])),
    ("gt dolt init-rig", Acts),
    ("gt dolt dump", Reads(&["hq"])),
    ("gt dolt sync", Acts),
    ("gt dolt sync remotes list", Reads(&["web", "--json"])),
    ("gt dolt sync remotes add", Acts),
    ("gt dolt sync remotes remove", Acts),
    ("gt dolt flatten", Acts),
    ("gt dolt rebase", Acts),
    ("gt dolt gc", Acts),
    ("gt dolt recover", Acts),
    ("gt dog history", Reads(&["--json"])),
    ("gt store convert", Acts),
    ("gt store status", Reads(&["--json"])),
    ("gt store confirm", Acts),
    ("gt status", ReadsAlone(&["--json"])),
    ("gt sling", Acts),
    ("gt unsling", Acts),
    ("gt release", Acts),
    ("gt hook", Reads(&["web/polecats/ann", "--json"])),
    ("gt prime", Explains),
    ("gt done", Acts),
    ("gt verify", Acts),
    ("gt polecat list", ReadsAlone(&["--json"])),
    ("gt polecat status", Reads(&["web/ann", "--json"])),
    ("gt polecat nuke", Acts),
    ("gt crew add", Acts),
    ("gt crew list", Reads(&["--json"])),
    ("gt crew remove", Acts),
    ("gt mq list", Reads(&["--all", "--json"])),
    ("gt mq status", Reads(&["web", "--json"])),
    ("gt mq submit", Acts),
    ("gt mq retry", Acts),
    ("gt mq reject", Acts),
    ("gt mq hold", Acts),
    ("gt mq hotfix", Acts),
    ("gt mq freeze", Acts),
    ("gt mq thaw", Acts),
    ("gt mq log", Reads(&["web", "--json"])),
    ("gt mq eta", Reads(&["web", "--json"])),
    ("gt mq stats", Reads(&["--json"])),
    ("gt mq why", Reads(&["REQUEST", "--json"])),
    ("gt mq integration create", Acts),
    ("gt mq integration list", Reads(&["--all", "--json"])),
    // It asks the remote of an epic that has such a branch; none here has.
    ("gt mq integration status", Acts),
    ("gt mq integration land", Acts),
    ("gt mq integration drop", Acts),
    ("gt mq proof", Reads(&["--json"])),
    ("gt convoy list", Reads(&["--all", "--json"])),
    ("gt convoy status", Reads(&["CONVOY", "--json"])),
    ("gt mail send", Acts),
    ("gt mail inbox", ReadsAlone(&["mayor", "--json"])),
    ("gt mail read", Acts),
    ("gt mail archive", Acts),
    ("gt nudge", Acts),
    ("gt agents", Reads(&["--json"])),
    ("gt log", Reads(&["BEAD", "--json"])),
    ("gt where", Explains),
    ("gt demo", Acts),
    ("gt sim", Acts),
    ("gt completions", Reads(&["bash"])),
    ("gt version", Reads(&[])),
];

/// Every kind of directory of the town.
const PLACES: &[&str] = &[
    "",
    ".beads",
    "mayor",
    "web/mayor/rig",
    "web",
    "web/refinery/rig",
    "web/witness",
    "web/crew/ada",
    "web/polecats/ann",
    "web/polecats/ann/web",
    "web/polecats/ann/web/deep/down",
    "ui/mayor/rig",
    "deacon/dogs/reaper",
    "daemon",
    "settings",
];

/// Commands that can be run, with the program first: the leaves, and what runs without a word more.
fn leaves(command: &Command, path: &str, found: &mut BTreeSet<String>) {
    let below: Vec<&Command> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).collect();
    if below.is_empty() || command.is_args_conflicts_with_subcommands_set() {
        found.insert(path.to_owned());
    }
    for sub in below.into_iter().filter(|sub| sub.get_name() != "help") {
        leaves(sub, &format!("{path} {}", sub.get_name()), found);
    }
}

fn commands() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    leaves(&Gt::command(), "gt", &mut found);
    leaves(&Bd::command(), "bd", &mut found);
    found
}

/// Commands that the document says take something from the directory.
fn from_the_directory() -> BTreeSet<String> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/resolution.md"));
    let text = text.unwrap();
    let (_, table) = text.split_once("## What the directory gives").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

#[test]
fn the_table_has_every_command_and_the_document_what_the_directory_gives() {
    let there = commands();
    let known: BTreeSet<String> = TABLE.iter().map(|(name, _)| (*name).to_owned()).collect();
    let missing: Vec<_> = there.symmetric_difference(&known).collect();
    assert!(missing.is_empty(), "in the trees or in the table, not in both: {missing:?}");
    let told = from_the_directory();
    let wrong: Vec<_> = told.difference(&there).collect();
    assert!(wrong.is_empty(), "docs/resolution.md names {wrong:?}");
    for (name, does) in TABLE {
        let explicit = match does {
            Reads(args) | ReadsAlone(args) => {
                let dolt =
                    name.starts_with("gt dolt") && !args.is_empty() && !args[0].starts_with('-');
                args.contains(&"--rig")
                    || args.contains(&"--all-rigs")
                    || (dolt && !name.contains("remotes"))
            }
            Acts => continue,
            Explains => true,
        };
        assert_eq!(told.contains(*name), explicit, "{name}: what says its database here?");
    }
}

/// A town with two rigs, beads in them, a crew clone, and a worker at something that never ends.
struct Running {
    desk: Desk,
    names: Vec<(&'static str, String)>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let said = self.desk.gt("town", &["down"]);
        if said.code != 0 {
            eprintln!("{}{}", said.out, said.err);
        }
    }
}

impl Running {
    fn new() -> Self {
        let desk = Desk::town();
        desk.repository("seed");
        fs::create_dir_all(desk.path("seed/deep/down")).unwrap();
        fs::write(desk.path("seed/deep/down/here"), "far below\n").unwrap();
        desk.git("seed", &["add", "."]);
        desk.git("seed", &["commit", "--quiet", "-m", "deep"]);
        desk.git(".", &["clone", "--quiet", "--bare", "seed", "web.git"]);
        desk.gt("town", &["rig", "add", "web", "../web.git", "--prefix", "we"]).ok();
        desk.gt("town", &["rig", "add", "ui", "../web.git", "--prefix", "ui"]).ok();
        desk.gt("town", &["crew", "add", "ada", "--rig", "web"]).ok();
        let bd = |args: &[&str]| {
            let said = desk.run(env!("CARGO_BIN_EXE_bd"), "town", args).ok();
            said.trim().to_owned()
        };
        let script = ["-d", "```script\nhang\n```", "--silent"];
        let bead = bd(&[&["create", "Work for ever", "--rig", "web"], &script[..]].concat());
        let other = bd(&["q", "More work", "--rig", "ui"]);
        bd(&["dep", "add", &other, &bead]);
        bd(&["comment", &bead, "A remark"]);
        bd(&["label", "add", &bead, "ui"]);
        desk.gt("town", &["mail", "send", "mayor", "-s", "Hello", "-m", "there"]).ok();
        let clone = "town/web/crew/ada";
        desk.git(clone, &["checkout", "--quiet", "-b", "by-hand"]);
        desk.git(clone, &["commit", "--quiet", "--allow-empty", "-m", "by hand"]);
        desk.git(clone, &["push", "--quiet", "origin", "by-hand"]);
        let queued = bd(&["q", "Work by hand", "--rig", "web"]);
        desk.gt(clone, &["mq", "submit", "--bead", &queued]).ok();
        let requests = desk.json("town", &["mq", "list", "--json"]);
        let request = requests[0]["id"].as_str().unwrap().to_owned();
        desk.gt("town", &["mq", "hold", &request]).ok();
        let names = vec![("BEAD", bead), ("OTHER", other), ("REQUEST", request)];
        Self { desk, names }
    }

    /// The daemon, and a worker whose session has started.
    fn up(&mut self) {
        let desk = &self.desk;
        desk.gt("town", &["up"]).ok();
        let socket = Town::new(desk.path("town")).socket_path();
        let events = client::events(&socket).unwrap();
        let (send, working) = mpsc::channel();
        std::thread::spawn(move || {
            for event in events.map_while(Result::ok) {
                let event: Value = serde_json::from_str(&event).unwrap();
                if event["fact"]["phase"] == "working" && send.send(()).is_err() {
                    return;
                }
            }
        });
        let bead = self.names[0].1.clone();
        desk.gt("town", &["sling", &bead, "web/ann"]).ok();
        if working.recv_timeout(WITHIN).is_err() {
            panic!("{}", desk.gt("town", &["status"]).out);
        }
        let convoys = desk.json("town", &["convoy", "list", "--json"]);
        self.names.push(("CONVOY", convoys[0]["id"].as_str().unwrap().to_owned()));
    }

    /// What a command prints in a directory, without what a clock says.
    fn say(&self, name: &str, args: &[&str], place: &str) -> String {
        let mut words = name.split(' ');
        let program = match words.next() {
            Some("bd") => env!("CARGO_BIN_EXE_bd"),
            _ => env!("CARGO_BIN_EXE_gt"),
        };
        let named = args.iter().map(|arg| {
            let name = self.names.iter().find(|(name, _)| name == arg);
            name.map_or(*arg, |(_, value)| value.as_str())
        });
        let all: Vec<&str> = words.chain(named).collect();
        let dir = format!("town/{place}");
        assert!(self.desk.path(&dir).is_dir(), "there is no {dir}");
        let said = self.desk.run(program, &dir, &all);
        assert_eq!(said.code, 0, "{name} in '{place}': {}{}", said.out, said.err);
        let clock = |line: &&str| !line.trim_start().starts_with("\"uptime_ms\"");
        said.out.lines().filter(clock).map(|line| format!("{line}\n")).collect()
    }

    /// Runs each command in each directory; what differs from the first, by name and place.
    fn differing(&self, wanted: &[(&str, &[&str])], places: &[&str]) -> Vec<String> {
        let todo: Mutex<Vec<(&str, &[&str])>> = Mutex::new(wanted.to_vec());
        let differing = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..HANDS {
                scope.spawn(|| {
                    while let Some((name, args)) = { todo.lock().unwrap().pop() } {
                        let first = self.say(name, args, places[0]);
                        for place in &places[1..] {
                            let here = self.say(name, args, place);
                            // The town goes on: what moved is not what the directory changed.
                            if here != first && here != self.say(name, args, places[0]) {
                                let text = format!("{name} in '{place}':\n{here}not\n{first}");
                                differing.lock().unwrap().push(text);
                            }
                        }
                    }
                });
            }
        });
        differing.into_inner().unwrap()
    }
}

#[test]
fn explicit_arguments_mean_the_same_in_every_directory() {
    let mut town = Running::new();
    let alone: Vec<(&str, &[&str])> = TABLE
        .iter()
        .filter_map(
            |(name, does)| if let ReadsAlone(args) = does { Some((*name, *args)) } else { None },
        )
        .collect();
    let still: Vec<&str> = PLACES
        .iter()
        .copied()
        .filter(|place| town.desk.path("town").join(place).is_dir())
        .collect();
    let differing = town.differing(&alone, &still);
    assert!(differing.is_empty(), "without a daemon: {}", differing.join("\n"));

    town.up();
    let all: Vec<(&str, &[&str])> = TABLE
        .iter()
        .filter_map(|(name, does)| match does {
            Reads(args) | ReadsAlone(args) => Some((*name, *args)),
            Acts | Explains => None,
        })
        .collect();
    let differing = town.differing(&all, PLACES);
    assert!(differing.is_empty(), "with a daemon: {}", differing.join("\n"));
    explained(&town.desk);
}

/// What the directory gives is said, with the rule.
fn explained(desk: &Desk) {
    for (place, db, rule) in [
        ("town", "hq", "default"),
        ("town/web", "web", "redirect"),
        ("town/web/mayor/rig", "web", "directory"),
        ("town/web/polecats/ann/web/deep", "web", "redirect"),
        ("town/ui/refinery/rig", "ui", "redirect"),
        ("town/settings", "hq", "default"),
    ] {
        let bd = desk.run(env!("CARGO_BIN_EXE_bd"), place, &["where", "--json"]).ok();
        let bd: Value = serde_json::from_str(&bd).unwrap();
        let gt = desk.json(place, &["where", "--json"]);
        assert_eq!((&bd["database"], &bd["chosen_by"]), (&db.into(), &rule.into()), "{place}");
        assert_eq!((&gt["database"], &gt["chosen_by"]), (&db.into(), &rule.into()), "{place}");
        assert_eq!(gt["found_by"], "around the directory");
        let walked = bd["chain"].as_array().unwrap().len();
        assert_eq!(walked > 1, rule == "redirect", "{place}: {bd}");
        let rig = if db == "hq" { Value::Null } else { db.into() };
        assert_eq!(gt["rig"], rig, "{place}");
    }
    let named = desk.run(env!("CARGO_BIN_EXE_bd"), "town/ui", &["where", "--rig", "web", "--json"]);
    let named: Value = serde_json::from_str(&named.ok()).unwrap();
    assert_eq!((&named["database"], &named["chosen_by"]), (&"web".into(), &"--rig".into()));
    let by_id = desk.run(env!("CARGO_BIN_EXE_bd"), "town/ui", &["where", "we-x", "--json"]).ok();
    let by_id: Value = serde_json::from_str(&by_id).unwrap();
    assert_eq!((&by_id["database"], &by_id["chosen_by"]), (&"web".into(), &"id".into()));
}
