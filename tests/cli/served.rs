//! A town whose ledger is on a Dolt server of its own: started, found again, watched, ended; and
//! the ledger's way from one engine to the other.

use std::fs;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use gastown::adapters::dolt;
use gastown::adapters::dolt::DoltError;
use gastown::adapters::dolt::Holder;
use gastown::adapters::dolt::Site;
use gastown::adapters::host::tree::ProcessId;
use gastown::adapters::layout::Town;
use serde_json::Value;

use super::desk::Desk;
use crate::support::processes;

/// Longest wait for anything.
const WITHIN: Duration = Duration::from_secs(60);

/// The program that the tests serve with.
pub fn program() -> String {
    std::env::var("GT_TEST_DOLT").expect("GT_TEST_DOLT names dolt: tools/dolt/build.sh")
}

/// A town with a server of its own; everything ends with the test.
pub struct Served {
    pub desk: Desk,
    pub port: u16,
}

impl Drop for Served {
    fn drop(&mut self) {
        let said = self.desk.gt("town", &["down"]);
        if said.code != 0 {
            eprintln!("{}{}", said.out, said.err);
        }
    }
}

impl Served {
    pub fn new() -> Self {
        let desk = Desk::new();
        let port = dolt::free_port().unwrap();
        let (number, program) = (port.to_string(), program());
        let words = ["install", "town", "--store", "server", "--port", &number, "--dolt", &program];
        desk.gt(".", &words).ok();
        Self { desk, port }
    }

    /// With a rig `web`, and its server up.
    pub fn with_rig() -> Self {
        let served = Self::new();
        served.desk.gt("town", &["dolt", "start"]).ok();
        served.desk.bare("web.git");
        served.desk.gt("town", &["rig", "add", "web", "../web.git"]).ok();
        served
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn bd(&self, args: &[&str]) -> super::desk::Said {
        self.desk.run(env!("CARGO_BIN_EXE_bd"), "town", args)
    }

    fn site(&self) -> Site {
        let town = Town::new(self.desk.path("town"));
        let path = std::env::var("PATH").unwrap();
        let env = [("PATH".to_owned(), path)].into_iter().collect();
        Site::of(&town, &program(), self.port, env)
    }

    /// The server's process, by its lock.
    fn server(&self) -> ProcessId {
        match self.site().holder().unwrap() {
            Holder::Server { process, .. } => process,
            other => panic!("{other:?}"),
        }
    }

    fn kill(&self, process: &ProcessId) {
        let killed = Command::new("kill").args(["-9", &process.pid.to_string()]).status().unwrap();
        assert!(killed.success());
        let began = Instant::now();
        while process.is_alive() {
            assert!(began.elapsed() < WITHIN, "{process:?} does not end");
            std::thread::yield_now();
        }
    }

    /// Writes until it is acknowledged, each time under another title.
    fn write_until_done(&self, title: &str) -> Duration {
        let began = Instant::now();
        loop {
            let said = self.bd(&["create", title, "--silent"]);
            if said.code == 0 {
                return began.elapsed();
            }
            assert_eq!(said.code, 4, "{}", said.err);
            assert!(began.elapsed() < WITHIN, "{}", said.err);
        }
    }

    fn titles(&self) -> Vec<String> {
        let list: Value =
            serde_json::from_str(&self.bd(&["list", "--json", "--limit", "0"]).ok()).unwrap();
        let titles = list.as_array().unwrap().iter();
        let mut titles: Vec<String> =
            titles.map(|bead| bead["title"].as_str().unwrap().to_owned()).collect();
        titles.sort();
        titles
    }
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn a_server_is_started_for_an_install_and_kept_for_a_town() {
    let served = Served::new();
    let (desk, address) = (&served.desk, served.address());
    assert_eq!(served.site().holder().unwrap(), Holder::Nobody, "ended after the install");
    let metadata: Value = serde_json::from_str(&desk.read("town/.beads/metadata.json")).unwrap();
    assert_eq!(metadata["dolt_mode"], "server");
    // Without its server a command says so at once; nothing starts it silently.
    let asked = Instant::now();
    let error = desk.gt("town", &["status"]).refused(4);
    assert!(error.contains(&address) && error.contains("gt dolt start"), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(2));
    assert!(desk.gt("town", &["dolt", "status"]).code == 4);

    let started = desk.json("town", &["dolt", "start", "--json"]);
    assert_eq!((&started["started"], &started["address"]), (&true.into(), &address.clone().into()));
    let again = desk.json("town", &["dolt", "start", "--json"]);
    assert_eq!((&again["started"], &again["pid"]), (&false.into(), &started["pid"]));
    let first = served.server();
    assert_eq!(Value::from(first.pid), started["pid"]);
    // The lock admits no second server on the same data, whoever asks.
    match served.site().start() {
        Err(DoltError::Running { .. }) => {}
        other => panic!("{other:?}"),
    }
    let state: Value = serde_json::from_str(&desk.read("town/daemon/dolt-state.json")).unwrap();
    assert_eq!((&state["pid"], &state["port"]), (&started["pid"], &served.port.into()));
    assert_eq!(desk.read("town/daemon/dolt.pid").trim(), first.pid.to_string());
    let status = desk.json("town", &["dolt", "status", "--json"]);
    assert_eq!(status["server"]["databases"], serde_json::json!(["hq"]), "{status:#}");
    assert_eq!(status["server"]["ok"], true);

    desk.gt("town", &["up"]).ok();
    assert_eq!(served.server(), first, "the daemon adopted it");
    served.bd(&["create", "kept", "--silent"]).ok();
    let error = desk.gt("town", &["dolt", "stop"]).refused(1);
    assert!(error.contains("gt down"), "{error}");
    let daemon = desk.json("town", &["status", "--json"])["daemon"].clone();
    assert_eq!(daemon["server"]["health"]["ok"], true, "{daemon:#}");
    // It outlives the daemon; commands go on, and so does the next daemon.
    let pid: i32 = desk.read("town/daemon/daemon.pid").trim().parse().unwrap();
    served.kill(&ProcessId::of(pid));
    served.bd(&["create", "without a daemon", "--silent"]).ok();
    desk.gt("town", &["up"]).ok();
    assert_eq!(served.server(), first);
    desk.gt("town", &["down", "--keep-sessions"]).ok();
    assert_eq!(served.server(), first);
    assert_eq!(served.titles(), ["kept", "without a daemon"]);
    desk.gt("town", &["up"]).ok();
    desk.gt("town", &["down"]).ok();
    assert_eq!(served.site().holder().unwrap(), Holder::Nobody);
    assert!(!desk.path("town/daemon/dolt.pid").exists());
    assert_eq!(processes::under(&desk.path("town")), Vec::<String>::new());
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn a_server_that_dies_is_started_again_and_writes_go_on() {
    let served = Served::new();
    let desk = &served.desk;
    // Deaths that are meant must not park it.
    desk.gt("town", &["config", "set", "limits.server_crash_period_ms", "1"]).ok();
    desk.gt("town", &["up"]).ok();
    let mut waits = Vec::new();
    for round in 0..4 {
        served.bd(&["create", &format!("before {round}"), "--silent"]).ok();
        let before = served.server();
        served.kill(&before);
        waits.push(served.write_until_done(&format!("after {round}")));
        assert_ne!(served.server(), before);
    }
    println!("a write was acknowledged after {waits:?}");
    let titles = served.titles();
    for round in 0..4 {
        for word in ["before", "after"] {
            let wanted = format!("{word} {round}");
            assert_eq!(titles.iter().filter(|title| **title == wanted).count(), 1, "{titles:?}");
        }
    }
    let server = desk.json("town", &["status", "--json"])["daemon"]["server"].clone();
    assert_eq!((&server["deaths"], &server["parked"]), (&4.into(), &false.into()), "{server:#}");
    let restarted = desk.json("town", &["dolt", "restart", "--json"]);
    assert_eq!(restarted["pid"], served.server().pid);
    served.write_until_done("after a restart");
    let server = desk.json("town", &["status", "--json"])["daemon"]["server"].clone();
    assert_eq!(server["deaths"], 4, "one that was asked to end did not die: {server:#}");
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn a_server_that_dies_too_often_is_tried_now_and_then_and_a_person_is_told() {
    let served = Served::new();
    let desk = &served.desk;
    desk.gt("town", &["config", "set", "limits.server_crashes_max", "1"]).ok();
    desk.gt("town", &["config", "set", "limits.server_probe_ms", "300"]).ok();
    desk.gt("town", &["up"]).ok();
    for round in 0..2 {
        served.kill(&served.server());
        served.write_until_done(&format!("after {round}"));
    }
    let began = Instant::now();
    let status = loop {
        let status = desk.json("town", &["status", "--json"]);
        let told = status["escalations"].as_array().unwrap();
        if told.iter().any(|alarm| alarm["subject"] == "dolt server") {
            break status;
        }
        assert!(began.elapsed() < WITHIN, "{status:#}");
    };
    assert_eq!(status["daemon"]["server"]["parked"], true, "{status:#}");
    let titles = served.titles();
    assert_eq!(titles[..2], ["after 0", "after 1"], "{titles:?}");
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn a_damaged_database_is_mended_only_with_a_persons_word() {
    let served = Served::new();
    let desk = &served.desk;
    desk.gt("town", &["dolt", "start"]).ok();
    for number in 0..10 {
        served.bd(&["create", &format!("early {number}"), "--silent"]).ok();
    }
    // A native backup, as the backup dog makes it.
    let backup = desk.path("town/.dolt-backup/hq/hq");
    let secret = desk.read("town/daemon/dolt/secret");
    let server = gastown::store::server::Server {
        host: "127.0.0.1".to_owned(),
        port: served.port,
        user: dolt::USER.to_owned(),
        password: secret.trim().to_owned(),
        database: "hq".to_owned(),
        tls: false,
    };
    let mut conn = gastown::store::server::DoltServer::connect(&server).unwrap();
    fs::create_dir_all(backup.parent().unwrap()).unwrap();
    let url = format!("file://{}", backup.display());
    gastown::store::conn::Conn::call(&mut conn, "dolt_backup", &["sync-url", &url]).unwrap();
    drop(conn);
    for number in 0..3 {
        served.bd(&["create", &format!("late {number}"), "--silent"]).ok();
    }
    let error = desk.gt("town", &["dolt", "recover"]).refused(1);
    assert!(error.contains("the server runs"), "{error}");
    desk.gt("town", &["dolt", "stop"]).ok();
    assert!(desk.gt("town", &["dolt", "recover"]).ok().contains("nothing is to be mended"));

    // Bytes in the middle of the journal are lost.
    let journal = desk.path("town/.dolt-data/hq/.dolt/noms/vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv");
    let mut bytes = fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xA5);
    fs::write(&journal, &bytes).unwrap();
    let error = desk.gt("town", &["up"]).refused(4);
    assert!(error.contains("gt dolt recover"), "{error}");
    let said = desk.gt("town", &["dolt", "recover", "--json"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let plan: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(plan["damaged"][0]["source"], "backup", "{plan:#}");
    assert_eq!(fs::read(&journal).unwrap(), bytes, "nothing was touched");
    desk.gt("town", &["up"]).refused(4);
    desk.gt("town", &["dolt", "recover", "--confirm", "0123456789"]).refused(1);
    let token = plan["token"].as_str().unwrap();
    let said = desk.gt("town", &["dolt", "recover", "--confirm", token]).ok();
    assert!(said.contains("hq is whole again"), "{said}");
    desk.gt("town", &["up"]).ok();
    let titles = served.titles();
    assert_eq!(titles.len(), 10, "{titles:?}");
    let aside = fs::read_dir(desk.path("town")).unwrap().map(|entry| entry.unwrap().file_name());
    let aside = aside.filter(|name| name.to_string_lossy().starts_with(".dolt-data.damaged-"));
    assert_eq!(aside.count(), 1, "the damaged one is kept");
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn a_first_start_that_was_cut_short_is_completed() {
    let served = Served::new();
    let desk = &served.desk;
    // As if it had been killed before its user was made, and again before that was written down.
    for forgotten in [&["cfg", "user-made"][..], &["user-made"]] {
        for name in forgotten {
            let path = desk.path("town/daemon/dolt").join(name);
            let gone =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone.unwrap();
        }
        let mut started = served.site().start().unwrap();
        served.kill(&started.process);
        started.child.wait().unwrap();
        desk.gt("town", &["dolt", "start"]).ok();
        served.bd(&["list"]).ok();
        desk.gt("town", &["dolt", "stop"]).ok();
    }
    assert!(desk.path("town/daemon/dolt/user-made").is_file());
    // A starter that was killed before it wrote the record: the server is found by its input.
    desk.gt("town", &["dolt", "start"]).ok();
    let process = served.server();
    fs::write(desk.path("town/daemon/dolt/server.lock"), "").unwrap();
    assert_eq!(served.server(), process);
    desk.gt("town", &["dolt", "stop"]).ok();
    assert!(!process.is_alive());
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn what_is_wrong_with_a_server_is_said() {
    let served = Served::new();
    let desk = &served.desk;
    let taken = std::net::TcpListener::bind(("127.0.0.1", served.port)).unwrap();
    let error = desk.gt("town", &["dolt", "start"]).refused(4);
    assert!(error.contains(&format!("port {}", served.port)), "{error}");
    assert!(error.contains("gt config set store.port"), "{error}");
    let error = desk.gt("town", &["up"]).refused(4);
    assert!(error.contains("is taken by another program"), "{error}");
    drop(taken);
    desk.gt("town", &["dolt", "start"]).ok();
    desk.gt("town", &["config", "set", "store.port", "1"]).ok();
    let error = desk.gt("town", &["dolt", "start"]).refused(4);
    assert!(error.contains("gt dolt restart"), "{error}");
    desk.gt("town", &["config", "set", "store.port", &served.port.to_string()]).ok();
    desk.gt("town", &["dolt", "stop"]).ok();
    desk.gt("town", &["config", "set", "store.dolt", "/nowhere/dolt"]).ok();
    let error = desk.gt("town", &["dolt", "start"]).refused(3);
    assert!(error.contains("'/nowhere/dolt' is not there"), "{error}");
    // Where the rows are does not follow a word.
    let error = desk.gt("town", &["config", "set", "store.dolt_mode", "embedded"]).refused(3);
    assert!(error.contains("gt store convert"), "{error}");
    let error = desk.gt(".", &["install", "town", "--store", "embedded"]).refused(1);
    assert!(error.contains("gt store convert --to embedded"), "{error}");
    let path = desk.path("town/.beads/metadata.json");
    let text = fs::read_to_string(&path).unwrap().replace("\"server\"", "\"embedded\"");
    fs::write(&path, text).unwrap();
    for command in [&["status"][..], &["up"], &["rig", "add", "x", "../x"]] {
        let error = desk.gt("town", command);
        assert!(matches!(error.code, 3 | 4), "{command:?}: {}", error.err);
        assert!(error.err.contains(".beads/metadata.json: dolt_mode"), "{}", error.err);
    }
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn an_external_server_is_used_and_left_alone() {
    let served = Served::new();
    served.desk.gt("town", &["dolt", "start"]).ok();
    let process = served.server();
    let secret = served.desk.read("town/daemon/dolt/secret");
    // A second town whose settings name the first one's server, as somebody else's.
    let desk = Desk::new();
    let port = served.port.to_string();
    let vars = [("GT_DOLT_PORT", port.as_str()), ("GT_DOLT_USER", "gt")];
    let vars: Vec<(&str, &str)> =
        vars.into_iter().chain([("GT_DOLT_PASSWORD", secret.as_str())]).collect();
    let gt = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gt"))
            .args(args)
            .current_dir(desk.path("."))
            .env("HOME", desk.path("home"))
            .envs(vars.iter().copied())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
    };
    // Its hq is the first town's: the second one's daemon is refused it.
    let (code, said) = gt(&["install", "other", "--store", "server"]);
    assert_eq!(code, 0, "{said}");
    assert!(!desk.path("other/daemon/dolt").exists(), "nothing of a server of its own");
    let (code, said) = gt(&["--town", "other", "dolt", "start"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("somebody else's"), "{said}");
    let (code, said) = gt(&["--town", "other", "dolt", "status", "--json"]);
    assert_eq!(code, 0, "{said}");
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&told["managed"], &told["server"]["ok"]), (&false.into(), &true.into()));
    let (_, said) = gt(&["--town", "other", "config", "list"]);
    assert!(said.contains("GT_DOLT_PORT") && !said.contains(&secret), "{said}");
    let (code, said) = gt(&["--town", "other", "down"]);
    assert_eq!(code, 0, "{said}");
    assert!(process.is_alive(), "an external server is never ended");
}

/// The rows of a town, as `bd` shows them.
fn rows(served: &Served) -> Value {
    let said = served.bd(&["list", "--all", "--all-rigs", "--json", "--limit", "0"]).ok();
    let mut list: Value = serde_json::from_str(&said).unwrap();
    let key = |bead: &Value| bead["id"].as_str().unwrap().to_owned();
    list.as_array_mut().unwrap().sort_by_key(key);
    list
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn the_ledger_goes_to_the_other_engine_and_back() {
    let served = Served::with_rig();
    let desk = &served.desk;
    for number in 0..120 {
        let title = format!("bead {number} \u{2603} it's \"quoted\" \\ and long");
        served.bd(&["create", &title, "--rig", "web", "--silent"]).ok();
    }
    desk.gt("town", &["nudge", "overseer", "a hint"]).ok();
    let before = rows(&served);
    desk.gt("town", &["up"]).ok();
    let error = desk.gt("town", &["store", "convert", "--to", "embedded"]).refused(4);
    assert!(error.contains("the town is in use"), "{error}");
    desk.gt("town", &["down"]).ok();
    let error = desk.gt("town", &["store", "convert", "--to", "server"]).refused(1);
    assert!(error.contains("already"), "{error}");

    let done = desk.json("town", &["store", "convert", "--to", "embedded", "--json"]);
    assert_eq!(done["mode"], "embedded");
    let token = done["old"]["token"].as_str().unwrap();
    assert_eq!(rows(&served), before, "without any server");
    assert!(desk.gt("town", &["hook"]).ok().contains("a hint"), "ephemeral rows too");
    let metadata = desk.read("town/web/mayor/rig/.beads/metadata.json");
    assert!(metadata.contains("\"embedded\""), "{metadata}");
    desk.gt("town", &["dolt", "start"]).refused(1);
    let old = desk.path("town").join(done["old"]["path"].as_str().unwrap());
    assert!(old.join("web/.dolt").is_dir(), "the old store is kept");
    let said = desk.gt("town", &["store", "status"]).ok();
    assert!(said.contains(token), "{said}");
    desk.gt("town", &["store", "confirm", "0123456789"]).refused(1);
    desk.gt("town", &["store", "confirm", token]).ok();
    assert!(!old.exists());

    served.bd(&["create", "on files", "--rig", "web", "--silent"]).ok();
    let before = rows(&served);
    desk.gt("town", &["store", "convert", "--to", "server"]).ok();
    desk.gt("town", &["dolt", "start"]).ok();
    assert_eq!(rows(&served), before);
    // The one who owned the database before owns it now.
    desk.gt("town", &["up"]).ok();
    served.bd(&["create", "on the server", "--rig", "web", "--silent"]).ok();
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn a_conversion_that_is_killed_anywhere_is_repeated() {
    let served = Served::with_rig();
    let desk = &served.desk;
    for number in 0..20 {
        served.bd(&["create", &format!("bead {number}"), "--rig", "web", "--silent"]).ok();
    }
    let wanted = rows(&served);
    // How long a whole one takes: the moments walk over it, and a little beyond.
    let began = Instant::now();
    desk.gt("town", &["store", "convert", "--to", "embedded"]).ok();
    let whole = began.elapsed();
    let mut to = "server";
    let (mut killed, mut went_on) = (0, 0);
    for step in 0..16_u32 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gt"))
            .args(["store", "convert", "--to", to])
            .current_dir(desk.path("town"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + whole * (step + 1) / 15;
        while child.try_wait().unwrap().is_none() && Instant::now() < until {
            std::thread::yield_now();
        }
        killed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().ok();
        child.wait().unwrap();
        // The repeat starts over or goes on; where all was done already, it says so.
        let again = desk.gt("town", &["store", "convert", "--to", to]);
        went_on += u32::from(again.code == 1);
        assert!(again.code == 0 || again.err.contains("already"), "{}{}", again.out, again.err);
        if to == "server" {
            desk.gt("town", &["dolt", "start"]).ok();
        }
        assert_eq!(rows(&served), wanted, "step {step}, to {to}");
        to = if to == "server" { "embedded" } else { "server" };
    }
    println!("of 16 conversions of {whole:?} {killed} were killed, {went_on} had ended");
    assert!(killed > 8, "{killed}");
}
