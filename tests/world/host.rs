//! The session host with real processes.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use gastown::adapters::files;
use gastown::adapters::host::HostCommand;
use gastown::adapters::host::HostDir;
use gastown::adapters::host::HostKind;
use gastown::adapters::host::HostSpec;
use gastown::adapters::host::log::older;
use gastown::adapters::layout::Town;
use gastown::adapters::sessions::Launch;
use gastown::adapters::sessions::Sessions;
use gastown::adapters::token;
use gastown::model::agent::Exit;
use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::effect::SessionSpec;
use gastown::model::ids::SessionId;
use rustix::process::Pid;
use rustix::process::Signal;

use super::DEADLINE;
use super::Fifo;
use super::Process;
use super::TestTown;

const EXE: &str = env!("CARGO_BIN_EXE_gt");

struct Bench {
    dir: tempfile::TempDir,
    sessions: Sessions,
    id: SessionId,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let town = Town::new(dir.path().join("gt")).with_runtime_dir(dir.path());
        Self { sessions: Sessions::new(town), id: SessionId::from("demo-ann-1"), dir }
    }

    fn launch(&self, script: &str) -> Launch {
        let path = std::env::var("PATH").unwrap();
        Launch {
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            cwd: self.dir.path().to_owned(),
            env: BTreeMap::from([("PATH".to_owned(), path)]),
            log_max_bytes: 16 << 10,
            grace_ms: 200,
        }
    }

    async fn start(&self, script: &str) {
        self.sessions.spawn(&self.id, EXE.as_ref(), self.launch(script)).await.unwrap();
    }

    async fn exit(&self) -> Exit {
        let watch = self.sessions.watch(&self.id);
        tokio::time::timeout(DEADLINE, watch).await.expect("in time").unwrap()
    }

    fn host_dir(&self) -> HostDir {
        HostDir(self.dir.path().join("gt/daemon/sessions").join(self.id.as_str()))
    }
}

fn gate_spec(dir: &Path, script: &str, timeout_ms: u64) -> HostDir {
    let host = HostDir(dir.join("gate"));
    files::private_dir(&host.0).unwrap();
    let mark = format!("TMPDIR={}", host.0.display());
    let path = std::env::var("PATH").unwrap();
    let spec = HostSpec {
        kind: HostKind::Gate,
        command: HostCommand::Shell(script.to_owned()),
        cwd: dir.to_owned(),
        env: BTreeMap::from([
            ("PATH".to_owned(), path),
            ("TMPDIR".to_owned(), host.0.display().to_string()),
        ]),
        mark,
        log: host.log(),
        log_max_bytes: 16 << 10,
        timeout_ms: Some(timeout_ms),
        grace_ms: 100,
        socket: None,
    };
    files::write_json(&host.spec(), &spec).unwrap();
    host
}

fn gate_host(host: &HostDir) -> std::process::Child {
    Command::new(EXE)
        .arg("session-host")
        .arg(&host.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_host_outlives_its_starter() {
    let bench = Bench::new();
    let ready = Fifo::new(bench.dir.path(), "ready");
    let go = bench.dir.path().join("go");
    assert!(Command::new("mkfifo").arg(&go).status().unwrap().success());
    // A first host of another session writes the spec; the one under test is started by a shell.
    let script = format!("echo $$ > {}; read x < {}; exit 7", ready.path.display(), go.display());
    let host = gate_spec(bench.dir.path(), &script, 60_000);
    let mut spec = host.read_spec().unwrap().unwrap();
    spec.kind = HostKind::Session;
    spec.socket = Some(host.0.join("sock"));
    files::write_json(&host.spec(), &spec).unwrap();
    let line = format!("{EXE} session-host {} > /dev/null & wait", host.0.display());
    let mut starter = Command::new("sh").args(["-c", &line]).process_group(0).spawn().unwrap();
    let program = Process::of(&ready.hear());
    let group = Pid::from_child(&starter);
    rustix::process::kill_process_group(group, Signal::KILL).unwrap();
    starter.wait().unwrap();
    let us = Process::of(&host.host_record().unwrap().unwrap().host.pid.to_string());
    std::fs::write(&go, "go\n").unwrap();
    assert!(program.ends() && us.ends());
    let end = host.end_record().unwrap().unwrap();
    assert_eq!((end.exit, end.timed_out), (Exit::Code(7), false));
}

#[tokio::test]
async fn one_id_is_one_process_whoever_starts_it() {
    let bench = Bench::new();
    let count = bench.dir.path().join("count");
    let script = format!("echo $$ >> {}; exit 3", count.display());
    let start = || bench.sessions.spawn(&bench.id, EXE.as_ref(), bench.launch(&script));
    let (one, two) = tokio::join!(start(), start());
    let one = one.unwrap();
    assert_eq!(one, two.unwrap());
    assert_eq!(bench.exit().await, Exit::Code(3));
    assert_eq!(start().await.unwrap(), one, "started again after its end");
    let again = Command::new(EXE).arg("session-host").arg(bench.host_dir().0).output().unwrap();
    assert!(again.status.success() && again.stdout.is_empty(), "{again:?}");
    assert_eq!(bench.exit().await, Exit::Code(3));
    assert_eq!(std::fs::read_to_string(count).unwrap().lines().count(), 1);
    assert_eq!(bench.sessions.list().unwrap(), std::slice::from_ref(&bench.id));
    bench.sessions.forget(&bench.id).unwrap();
    assert_eq!(bench.exit().await, Exit::Vanished, "nobody has heard of it");
}

#[tokio::test]
async fn a_stop_ends_a_tree_that_tries_to_leave() {
    let bench = Bench::new();
    let ready = Fifo::new(bench.dir.path(), "ready");
    let deaf = format!("trap '' TERM; echo $$ > {}; sleep 1000", ready.path.display());
    std::fs::write(bench.dir.path().join("deaf.sh"), deaf).unwrap();
    bench.start("setsid sh deaf.sh & trap '' TERM; wait; sleep 1000").await;
    let deaf = Process::of(&ready.hear());
    let status = bench.sessions.status(&bench.id).await.unwrap().unwrap();
    assert!(status.child.is_some());
    bench.sessions.stop(&bench.id, 50).await.unwrap();
    assert_eq!(bench.exit().await, Exit::Stopped);
    assert!(deaf.ends());
    bench.sessions.stop(&bench.id, 50).await.expect("nothing to stop is no error");
}

#[tokio::test]
async fn the_end_of_the_program_is_the_end_of_its_tree() {
    let bench = Bench::new();
    let ready = Fifo::new(bench.dir.path(), "ready");
    let rest = format!("echo $$ > {}; sleep 1000", ready.path.display());
    std::fs::write(bench.dir.path().join("rest.sh"), rest).unwrap();
    let go = bench.dir.path().join("go");
    assert!(Command::new("mkfifo").arg(&go).status().unwrap().success());
    bench.start("setsid sh rest.sh & read x < go; exit 5").await;
    let rest = Process::of(&ready.hear());
    std::fs::write(&go, "go\n").unwrap();
    assert_eq!(bench.exit().await, Exit::Code(5));
    assert!(rest.ends());
}

#[tokio::test]
async fn a_killed_host_has_vanished_and_leaves_nothing_running() {
    let bench = Bench::new();
    let ready = Fifo::new(bench.dir.path(), "ready");
    bench.start("echo $$ > ready; sleep 1000").await;
    let program = Process::of(&ready.hear());
    let host = bench.host_dir().host_record().unwrap().unwrap().host.pid;
    let us = Process::of(&host.to_string());
    rustix::process::kill_process(Pid::from_raw(host).unwrap(), Signal::KILL).unwrap();
    assert!(us.ends());
    assert_eq!(bench.exit().await, Exit::Vanished);
    assert!(program.ends());
    let again = bench.sessions.spawn(&bench.id, EXE.as_ref(), bench.launch("exit 0")).await;
    assert_eq!(again.unwrap().pid, host, "the id is spent");
}

#[tokio::test]
async fn a_town_with_a_long_path_has_sessions_too() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("long".repeat(30));
    let sessions = Sessions::new(Town::new(root).with_runtime_dir(dir.path()));
    let bench = Bench { sessions, id: SessionId::from("demo-ann-1"), dir };
    let ready = Fifo::new(bench.dir.path(), "ready");
    bench.start("echo $$ > ready; sleep 1000").await;
    ready.hear();
    bench.sessions.stop(&bench.id, 1000).await.unwrap();
    assert_eq!(bench.exit().await, Exit::Stopped);
    let restarted = Sessions::new(Town::new(bench.dir.path().join("long".repeat(30))));
    assert_eq!(restarted.watch(&bench.id).await.unwrap(), Exit::Stopped);
}

#[tokio::test]
async fn the_log_is_bounded_and_keeps_the_end() {
    let bench = Bench::new();
    bench.start("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done").await;
    assert_eq!(bench.exit().await, Exit::Code(0));
    let path = bench.host_dir().log();
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    assert!(size(&path) + size(&older(&path)) <= 16 << 10);
    let tail = bench.sessions.tail(&bench.id, 3, 4096).unwrap();
    assert_eq!(tail, "line 19997\nline 19998\nline 19999");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let bench = Bench::new();
    let launch = Launch { argv: vec!["no-such-program".to_owned()], ..bench.launch("") };
    bench.sessions.spawn(&bench.id, EXE.as_ref(), launch).await.unwrap();
    match bench.exit().await {
        Exit::NotStarted(why) => assert!(why.contains("no-such-program"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_gate_ends_with_its_daemon_and_leaves_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let ready = Fifo::new(dir.path(), "ready");
    let host = gate_spec(dir.path(), "trap '' TERM; echo $$ > ready; sleep 1000", 60_000);
    let mut running = gate_host(&host);
    let program = Process::of(&ready.hear());
    drop(running.stdin.take());
    assert!(running.wait().unwrap().success());
    assert!(program.ends());
    assert!(host.end_record().unwrap().is_none());
}

#[test]
fn a_gate_out_of_time_is_ended_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let ready = Fifo::new(dir.path(), "ready");
    let script = "setsid sh -c 'echo $$ > ready; sleep 1000' & wait; sleep 1000";
    let host = gate_spec(dir.path(), script, 300);
    let mut running = gate_host(&host);
    // Waiting for a child closes its standard input, which would be the end of the daemon.
    let held = running.stdin.take();
    let rest = Process::of(&ready.hear());
    assert!(running.wait().unwrap().success());
    drop(held);
    assert!(rest.ends());
    assert!(host.end_record().unwrap().unwrap().timed_out);
}

#[tokio::test]
async fn a_session_knows_who_it_is() {
    let town = TestTown::new();
    let mut settings = (*town.world.settings()).clone();
    let argv = ["sh", "-c", "env | sort; pwd; exit 0"].map(str::to_owned).to_vec();
    settings.presets.insert("scripted".to_owned(), argv);
    settings.default_preset = "scripted".to_owned();
    town.world.configure(settings);
    let head = town.make("ann", "polecat/ann-1", 1).await;
    assert_eq!(head, town.target());
    let spec = SessionSpec {
        id: SessionId::from("demo-polecats-ann-2"),
        actor: "demo/polecats/ann".to_owned(),
        agent: "dm-demo-polecat-ann".into(),
        place: town.place("ann", 2),
        bead: "dm-1".into(),
        branch: "polecat/ann-1".to_owned(),
        preset: None,
    };
    let host = match town.perform(Effect::Spawn(spec.clone())).await {
        Outcome::Started { host } => host,
        other => panic!("{other:?}"),
    };
    let exited = town.perform(Effect::Watch { session: spec.id.clone() }).await;
    assert_eq!(exited, Outcome::Exited { exit: Exit::Code(0) });
    let printed = town.world.sessions().tail(&spec.id, 100, 1 << 16).unwrap();
    let worktree = town.worktree("ann").canonicalize().unwrap();
    for line in [
        "BD_ACTOR=demo/polecats/ann",
        "GT_BEAD=dm-1",
        "GT_RIG=demo",
        "GIT_AUTHOR_EMAIL=ann@example.org",
        worktree.to_str().unwrap(),
    ] {
        assert!(printed.lines().any(|found| found == line), "{line} in {printed}");
    }
    let secret = printed.lines().find_map(|line| line.strip_prefix("GT_TOKEN=")).unwrap();
    assert_eq!(token::token_hash(secret), host.token_hash);
    assert!(secret.starts_with("demo-polecats-ann-2."));
    let (place, branch) = (town.place("ann", 1), "polecat/ann-1".to_owned());
    let stale = town.perform(Effect::Teardown { place, branch }).await;
    assert_eq!(stale, Outcome::TornDown { rescued: None });
    assert!(worktree.exists(), "the place belongs to incarnation 2 since its session started");
}
