//! Every command in a town whose server is down and that has no daemon: what needs the ledger says
//! so at once, names what to do, and writes nothing anywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use clap::CommandFactory;
use gastown::cli::bd::Bd;
use gastown::cli::gt::Gt;

use super::served::Served;

/// What a command is expected to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// It needs the ledger: exit 4, naming `gt dolt start` and the address.
    Down,
    /// It does its work without the ledger.
    Fine,
    /// It is refused for another reason, with this exit code.
    Refused(i32),
    /// It would start the server, whose program is not there.
    NoProgram,
    /// It is not about this town: it makes its own, or is started by the town itself.
    Elsewhere,
}

use Says::Down;
use Says::Elsewhere;
use Says::Fine;
use Says::NoProgram;
use Says::Refused;

/// Every command with arguments, and what it is expected to say.
const TABLE: &[(&str, &[&str], Says)] = &[
    ("bd blocked", &[], Down),
    ("bd close", &["we-one"], Down),
    ("bd comment", &["we-one", "text"], Down),
    ("bd comments", &["we-one"], Down),
    ("bd comments add", &["we-one", "text"], Down),
    ("bd completion", &["bash"], Fine),
    ("bd count", &[], Down),
    ("bd create", &["a title"], Down),
    ("bd delete", &["we-one", "--force"], Down),
    ("bd dep add", &["we-one", "we-two"], Down),
    ("bd dep list", &["we-one"], Down),
    ("bd dep remove", &["we-one", "we-two"], Down),
    ("bd dep tree", &["we-one"], Down),
    ("bd diff", &["HEAD~1"], Down),
    ("bd history", &["we-one"], Down),
    ("bd init", &[], Refused(1)),
    ("bd label add", &["we-one", "x"], Down),
    ("bd label list", &["we-one"], Down),
    ("bd label list-all", &[], Down),
    ("bd label remove", &["we-one", "x"], Down),
    ("bd list", &[], Down),
    ("bd log", &[], Down),
    ("bd q", &["a title"], Down),
    ("bd ready", &[], Down),
    ("bd reopen", &["we-one"], Down),
    ("bd search", &["word"], Down),
    ("bd show", &["we-one"], Down),
    ("bd stats", &[], Down),
    ("bd statuses", &[], Fine),
    ("bd types", &[], Fine),
    ("bd update", &["we-one", "--priority", "1"], Down),
    ("bd version", &[], Fine),
    ("bd where", &[], Fine),
    ("gt agents", &[], Down),
    ("gt completions", &["bash"], Fine),
    ("gt config agent list", &[], Fine),
    ("gt config agent remove", &["nobody"], Refused(3)),
    ("gt config agent set", &["scripted", ""], Refused(3)),
    ("gt config default-agent", &[], Fine),
    ("gt config get", &["store.port"], Fine),
    ("gt config list", &[], Fine),
    ("gt config set", &["store.dolt_mode", "embedded"], Refused(3)),
    ("gt config unset", &["git_jobs"], Refused(3)),
    ("gt convoy list", &[], Down),
    ("gt convoy status", &["hq-cv-1"], Down),
    ("gt crew add", &["ada", "--rig", "web"], Down),
    ("gt crew list", &[], Fine),
    ("gt crew remove", &["ada", "--rig", "web"], Down),
    ("gt daemon logs", &[], Fine),
    ("gt daemon run", &[], NoProgram),
    ("gt daemon status", &[], Fine),
    ("gt demo", &[], Elsewhere),
    ("gt dog history", &[], Down),
    ("gt dolt dump", &["web"], Down),
    ("gt dolt flatten", &["web"], Down),
    ("gt dolt gc", &["web"], Down),
    ("gt dolt init-rig", &["web"], Down),
    ("gt dolt list", &[], Down),
    ("gt dolt log", &["web"], Down),
    ("gt dolt logs", &[], Fine),
    ("gt dolt rebase", &["web"], Down),
    ("gt dolt recover", &["web"], Down),
    ("gt dolt restart", &[], NoProgram),
    ("gt dolt sql", &["web", "-e", "select 1"], Down),
    ("gt dolt start", &[], NoProgram),
    ("gt dolt status", &[], Down),
    ("gt dolt stop", &[], Fine),
    ("gt dolt sync", &["web"], Down),
    ("gt dolt sync remotes add", &["web", "origin", "file:///nowhere"], Down),
    ("gt dolt sync remotes list", &["web"], Down),
    ("gt dolt sync remotes remove", &["web", "origin"], Down),
    ("gt done", &[], Down),
    ("gt down", &[], Fine),
    ("gt hook", &[], Down),
    ("gt install", &["."], NoProgram),
    ("gt log", &["we-one"], Down),
    ("gt mail archive", &["hq-mail-1"], Down),
    ("gt mail inbox", &[], Down),
    ("gt mail read", &["hq-mail-1"], Down),
    ("gt mail send", &["mayor", "-s", "subject", "-m", "text"], Down),
    ("gt mq eta", &["web"], Down),
    ("gt mq freeze", &["web"], Down),
    ("gt mq hold", &["we-mr-1"], Down),
    ("gt mq hotfix", &["we-mr-1"], Down),
    ("gt mq integration create", &["we-1"], Down),
    ("gt mq integration drop", &["we-1"], Down),
    ("gt mq integration land", &["we-1"], Down),
    ("gt mq integration list", &[], Down),
    ("gt mq integration status", &["we-1"], Down),
    ("gt mq list", &[], Down),
    ("gt mq log", &["web"], Down),
    ("gt mq proof", &[], Down),
    ("gt mq reject", &["we-mr-1", "--reason", "no"], Down),
    ("gt mq retry", &["we-mr-1"], Down),
    ("gt mq status", &["web"], Down),
    ("gt mq stats", &[], Down),
    ("gt mq submit", &["--town", ".", "-C", "../mine", "--bead", "we-one"], Down),
    ("gt mq thaw", &["web"], Down),
    ("gt mq why", &["we-mr-1"], Down),
    ("gt nudge", &["mayor", "hint"], Down),
    ("gt polecat list", &[], Down),
    ("gt polecat nuke", &["web/alpha"], Refused(4)),
    ("gt polecat status", &["web/alpha"], Down),
    ("gt prime", &["--role", "mayor"], Down),
    ("gt release", &["we-one"], Down),
    ("gt rig add", &["ui", "../web.git"], Down),
    ("gt rig list", &[], Fine),
    ("gt rig remove", &["web"], Down),
    ("gt scripted-agent", &[], Elsewhere),
    ("gt session-host", &["nowhere"], Elsewhere),
    ("gt sim", &[], Elsewhere),
    ("gt sling", &["we-one", "web"], Down),
    ("gt status", &[], Down),
    ("gt store confirm", &["0123456789"], Refused(1)),
    ("gt store convert", &["--to", "embedded"], NoProgram),
    ("gt store status", &[], Fine),
    ("gt unsling", &["we-one"], Down),
    ("gt up", &[], NoProgram),
    ("gt version", &[], Fine),
    ("gt verify", &[], Refused(1)),
    ("gt where", &[], Fine),
];

/// Every command of a tree that may be called: those at the ends, and those that need no other.
fn commands(tree: &clap::Command, path: &str, found: &mut Vec<String>) {
    if tree.get_subcommands().next().is_none() || tree.get_positionals().next().is_some() {
        found.push(path.to_owned());
    }
    for inner in tree.get_subcommands() {
        commands(inner, &format!("{path} {}", inner.get_name()), found);
    }
}

/// Every file below a directory with its content.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_dir() && !path.is_symlink() {
                found.insert(format!("{name}/"), Vec::new());
                open.push(path);
            } else {
                found.insert(name, fs::read(&path).unwrap_or_default());
            }
        }
    }
    found
}

/// What differs between two trees. A command that would start the server takes the town for that
/// time and leaves its name in the lock; a daemon that could not start says so in its log.
fn difference(
    before: &BTreeMap<String, Vec<u8>>,
    after: &BTreeMap<String, Vec<u8>>,
    says: Says,
) -> Vec<String> {
    let allowed = ["daemon/daemon.lock", "daemon/daemon.log", "daemon/dolt/server.lock"];
    let names = before.keys().chain(after.keys());
    let mut changed: Vec<String> =
        names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect();
    changed.sort();
    changed.dedup();
    changed.retain(|name| says != NoProgram || !allowed.contains(&name.as_str()));
    changed
}

/// What is wrong with what a command said.
fn complaint(says: Says, code: i32, text: &str, address: &str) -> Option<String> {
    let good = match says {
        Down => code == 4 && text.contains("gt dolt start") && text.contains(address),
        Fine => code == 0,
        Refused(wanted) => code == wanted,
        NoProgram => matches!(code, 3 | 4) && text.contains("store.dolt"),
        Elsewhere => true,
    };
    (!good).then(|| format!("wanted {says:?}, ended with {code}: {text}"))
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn every_command_says_that_the_server_is_down_and_writes_nothing() {
    let mut all = Vec::new();
    commands(&Gt::command(), "gt", &mut all);
    commands(&Bd::command(), "bd", &mut all);
    let unknown: Vec<&String> =
        all.iter().filter(|name| !TABLE.iter().any(|(known, ..)| known == name)).collect();
    assert!(unknown.is_empty(), "commands that the table does not know: {unknown:?}");
    for (known, ..) in TABLE {
        assert!(all.iter().any(|name| name == known), "there is no command '{known}'");
    }

    let served = Served::with_rig();
    for id in ["we-one", "we-two"] {
        served.bd(&["create", id, "--rig", "web", "--id", id, "--silent"]).ok();
    }
    served.desk.git(".", &["clone", "--quiet", "web.git", "mine"]);
    served.desk.gt("town", &["dolt", "stop"]).ok();
    served.desk.gt("town", &["config", "set", "store.dolt", "/nowhere/dolt"]).ok();
    let root = served.desk.path("town");
    let address = served.address();
    let mut findings = Vec::new();
    for (name, args, says) in TABLE.iter().filter(|(.., says)| *says != Elsewhere) {
        let mut words: Vec<&str> = name.split(' ').collect();
        let program = match words.remove(0) {
            "gt" => env!("CARGO_BIN_EXE_gt"),
            _ => env!("CARGO_BIN_EXE_bd"),
        };
        words.extend(*args);
        let before = tree(&root);
        let asked = Instant::now();
        let said = served.desk.run(program, "town", &words);
        let took = asked.elapsed();
        let text = format!("{}{}", said.out, said.err);
        if let Some(wrong) = complaint(*says, said.code, &text, &address) {
            findings.push(format!("{name}: {wrong}"));
        }
        if took > Duration::from_secs(2) {
            findings.push(format!("{name}: it took {took:?}"));
        }
        let changed = difference(&before, &tree(&root), *says);
        if !changed.is_empty() {
            findings.push(format!("{name}: it wrote {changed:?}"));
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}
