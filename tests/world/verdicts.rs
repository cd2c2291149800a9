//! Gates that give no answer, a red target, and what fails for good: a whole queue on a real rig,
//! with a real process in every case. Nothing lands, and each has its own verdict.
//!
//! What is simulated: the full disk is the kernel's `/dev/full` behind the gate's log, so that a
//! write of the town's own finds no room while the gate runs; mounting a small disk needs rights
//! that a test does not have. The room of the real disk is looked at in every one of these runs.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;

use gastown::model::effect::Candidate;
use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::ids::RunId;
use gastown::model::merge::GateSpec;
use gastown::model::merge::Returned;
use gastown::model::merge::TestsWanted;
use gastown::model::merge::Verdict;

use super::Fifo;
use super::Process;
use super::commit;
use super::git;
use super::line::Line;

fn gate(cmd: &str) -> GateSpec {
    GateSpec::new("test", cmd, 20_000)
}

/// Nothing lands with this gate, nobody is blamed, and a person is told once, in these words.
async fn no_answer(mut line: Line, words: &str) {
    let before = line.target();
    let ann = line.submit("ann", &[("a", "a\n")]).await;
    line.settle().await;
    assert_eq!((line.target(), line.landings()), (before, 0));
    assert_eq!(line.state(&ann), "queued");
    let said: Vec<_> = line.runs().into_iter().map(|run| run.verdict).collect();
    assert_eq!(said, [Some(Verdict::CouldNotRun); 3]);
    let parked = line.parked().unwrap();
    assert!(parked.contains("could not run 3 times, nor on main itself"), "{parked}");
    assert!(parked.contains(words), "{parked}");
    assert_eq!(line.alarms(), [("the queue waits for a person".to_owned(), true)]);
}

#[tokio::test]
async fn a_missing_command() {
    no_answer(Line::new(vec![gate("no-such-command")]), "test: its command was not found: ").await;
}

#[tokio::test]
async fn exit_127() {
    let words = "test: exit code 127, as of a command that is not found";
    no_answer(Line::new(vec![gate("sh -c 'exit 127'")]), words).await;
}

#[tokio::test]
async fn zero_tests_where_the_rig_demands_some() {
    let tests = Some(TestsWanted { min: 1, pattern: None });
    let gate = GateSpec { tests, ..gate("echo 'test result: ok. 0 passed; 0 failed'") };
    no_answer(Line::new(vec![gate]), "it ran 0 tests; at least 1 are demanded").await;
}

#[tokio::test]
async fn a_timeout_ends_the_whole_tree() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Fifo::new(dir.path(), "pid");
    // A grandchild says who it is the first time, and outlives its parent.
    let deep = format!("sh -c 'echo $$ > {0} && rm {0}; sleep 1000' & wait", pipe.path.display());
    let gate = GateSpec::new("test", &deep, 1_500);
    let found = tokio::task::spawn_blocking(move || Process::of(&pipe.hear()));
    no_answer(Line::new(vec![gate]), "test: no answer within 1500 ms").await;
    assert!(found.await.unwrap().ends(), "the grandchild lives");
}

#[tokio::test]
async fn killed() {
    no_answer(Line::new(vec![gate("kill -9 $$")]), "test: ended by signal 9").await;
}

#[tokio::test]
async fn a_full_disk() {
    let line = Line::new(vec![gate("echo something")]);
    for run in ["demo-1-1-0", "demo-1-1-1", "demo-1-0-0"] {
        let logs = line.town.town.gate_logs(&RunId::from(run));
        fs::create_dir_all(&logs).unwrap();
        symlink("/dev/full", logs.join("test.log")).unwrap();
    }
    let words = "test: its output could not be written: No space left on device";
    no_answer(line, words).await;
}

#[tokio::test]
async fn a_red_target_blames_nobody_and_is_not_laundered() {
    let mut line = Line::new(vec![gate("test ! -f broken")]);
    line.town.outsider(&[("broken", "broken\n")]);
    let before = line.target();
    let ann = line.submit("ann", &[("a", "a\n")]).await;
    line.settle().await;
    assert_eq!((line.target(), line.landings()), (before, 0));
    assert_eq!(line.state(&ann), "queued");
    let parked = line.parked().unwrap();
    assert!(parked.starts_with("main itself is red: test: exit code 1"), "{parked}");
}

#[tokio::test]
async fn one_that_deletes_the_test_runner_goes_back_and_the_others_land() {
    let mut line = Line::new(vec![gate("./runner")]);
    let seed = line.town.dir.path().join("seed");
    fs::write(seed.join("runner"), "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(seed.join("runner"), fs::Permissions::from_mode(0o755)).unwrap();
    git(&seed, &["add", "runner"]);
    line.town.outsider(&[]);
    let ann = line.submit("ann", &[("a", "a\n")]).await;
    let (branch, incarnation) = ("polecat/bob-1".to_owned(), 1);
    line.town.make("bob", &branch, incarnation).await;
    let dir = line.town.worktree("bob");
    git(&dir, &["rm", "--quiet", "runner"]);
    let head = commit(&dir, "no runner", &[]);
    let place = line.town.place("bob", incarnation);
    let push = Effect::Push { place, branch: branch.clone(), head: head.clone() };
    let pushed = line.town.perform(push).await;
    assert!(matches!(pushed, Outcome::Pushed { .. }), "{pushed:?}");
    let bob = line.queue(&Candidate { mr: "dm-bob".into(), branch, head, whole: false });
    let eve = line.submit("eve", &[("e", "e\n")]).await;
    line.settle().await;
    assert_eq!(line.parked(), None);
    assert_eq!([line.state(&ann), line.state(&eve)], ["merged", "merged"]);
    let Some(Returned::Unable { gates, .. }) = line.verdict(&bob) else {
        panic!("{:?}", line.verdict(&bob))
    };
    assert!(gates[0].reason.contains("its command was not found"), "{gates:?}");
    assert_eq!(git(&line.town.source, &["ls-tree", "--name-only", "main", "runner"]), "runner");
}

#[tokio::test]
async fn a_protected_branch_parks_with_one_alarm() {
    let mut line = Line::new(vec![gate("true")]);
    let ann = line.submit("ann", &[("a", "a\n")]).await;
    let before = line.target();
    let hook = line.town.source.join("hooks/pre-receive");
    fs::write(&hook, "#!/bin/sh\necho 'main is protected' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    line.settle().await;
    assert_eq!((line.target(), line.landings()), (before, 0));
    let parked = line.parked().unwrap();
    assert!(parked.contains("main is protected") && parked.contains("(6 times)"), "{parked}");
    assert_eq!(line.alarms(), [("the queue waits for a person".to_owned(), true)]);
    assert_eq!(line.done.iter().filter(|name| **name == "land").count(), 6);
    fs::remove_file(&hook).unwrap();
    line.retry();
    line.settle().await;
    assert_eq!(line.state(&ann), "merged");
}

#[tokio::test]
async fn a_remote_that_is_not_there_parks_with_one_alarm() {
    let mut line = Line::new(vec![gate("true")]);
    let ann = line.submit("ann", &[("a", "a\n")]).await;
    let aside = line.town.source.with_extension("aside");
    fs::rename(&line.town.source, &aside).unwrap();
    line.settle().await;
    let parked = line.parked().unwrap();
    assert!(parked.contains("does not appear to be a git repository"), "{parked}");
    assert_eq!(line.alarms(), [("the queue waits for a person".to_owned(), true)]);
    fs::rename(&aside, &line.town.source).unwrap();
    line.retry();
    line.settle().await;
    assert_eq!(line.state(&ann), "merged");
}

#[tokio::test]
async fn a_remote_that_does_not_answer_is_waited_for() {
    let mut line = Line::new(vec![gate("true")]);
    let ann = line.submit("ann", &[("a", "a\n")]).await;
    let dir = line.town.canonical();
    let url = git(&dir, &["remote", "get-url", "origin"]);
    // A port that nobody listens on any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    git(&dir, &["remote", "set-url", "origin", &format!("git://127.0.0.1:{port}/demo")]);
    line.settle_until(|line| line.done.len() >= 12).await;
    assert_eq!(line.parked(), None);
    let condition = "the remote does not answer".to_owned();
    assert_eq!(line.alarms(), [(condition.clone(), true)]);
    git(&dir, &["remote", "set-url", "origin", &url]);
    line.settle().await;
    assert_eq!(line.state(&ann), "merged");
    assert_eq!(line.alarms(), [(condition.clone(), true), (condition, false)]);
}
