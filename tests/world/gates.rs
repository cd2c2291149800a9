//! Gate runs with real processes.

use gastown::adapters::gates;
use gastown::adapters::world::World;
use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::ids::RunId;
use gastown::model::ids::Sha;
use gastown::model::merge::GateResult;
use gastown::model::merge::GateSpec;
use gastown::model::merge::TestsWanted;
use gastown::model::merge::Verdict;
use gastown::model::merge::overall;

use super::TestTown;
use super::git;

fn gate(name: &str, cmd: &str, timeout_ms: i64) -> GateSpec {
    GateSpec::new(name, cmd, timeout_ms)
}

impl TestTown {
    async fn gates(&self, run: &str, tree: &Sha, gates: Vec<GateSpec>) -> Outcome {
        let (rig, run, tree) = (self.rig.clone(), RunId::from(run), tree.clone());
        let commit = self.target();
        self.perform(Effect::RunGates { rig, run, commit, tree, gates }).await
    }

    fn tree(&self) -> Sha {
        Sha(git(&self.source, &["rev-parse", "refs/heads/main^{tree}"]))
    }
}

fn results(outcome: Outcome) -> Vec<GateResult> {
    match outcome {
        Outcome::Gates { results } => results,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_gate_answers_with_one_of_three() {
    let town = TestTown::new();
    let gates = vec![
        gate("green", "grep -q hello README && echo fine", 20_000),
        gate("red", "echo broken; exit 3", 20_000),
        gate("missing", "no-such-command", 20_000),
        gate("killed", "kill -9 $$", 20_000),
        gate("slow", "sleep 1000", 200),
    ];
    let got = results(town.gates("run-1", &town.tree(), gates.clone()).await);
    let verdicts: Vec<_> = got.iter().map(|r| (r.name.as_str(), r.verdict)).collect();
    assert_eq!(
        verdicts,
        [
            ("green", Verdict::Passed),
            ("red", Verdict::Failed),
            ("missing", Verdict::CouldNotRun),
            ("killed", Verdict::CouldNotRun),
            ("slow", Verdict::CouldNotRun),
        ]
    );
    assert_eq!((got[1].tail.as_str(), got[1].reason.as_str()), ("broken", "exit code 3"));
    assert!(got[4].reason.contains("200 ms"));
    let log = town.town.root().join(&got[0].log);
    assert_eq!(std::fs::read_to_string(log).unwrap(), "fine\n");
    let run = RunId::from("run-1");
    assert!(!town.town.run(&town.rig, &run).exists());
    assert!(!town.town.gate_hosts(&run).exists());
    let record = gates::read_record(&town.town, &run).unwrap().unwrap();
    assert_eq!((&record.commit, &record.tree), (&town.target(), &town.tree()));
    assert_eq!(record.results, got);
    let again = results(town.gates("run-1", &town.tree(), gates).await);
    assert_eq!(again, got);
    assert_eq!(gates::read_record(&town.town, &run).unwrap().unwrap(), record, "not run again");
    let other = vec![gate("green", "exit 1", 20_000)];
    let other = results(town.gates("run-1", &town.tree(), other).await);
    assert_eq!(other[0].verdict, Verdict::Failed, "a record counts only for its own gates");
}

#[tokio::test]
async fn a_gate_sees_an_allow_list_and_its_own_directory() {
    let town = TestTown::new();
    let mut settings = (*town.world.settings()).clone();
    settings.base_env.insert("GT_TOKEN".to_owned(), "secret".to_owned());
    settings.agent_env.insert("API_KEY".to_owned(), "secret".to_owned());
    town.world.configure(settings);
    let list = gate("env", "env; test -d $TMPDIR", 20_000);
    let got = results(town.gates("run-2", &town.tree(), vec![list]).await);
    assert_eq!(got[0].verdict, Verdict::Passed);
    assert!(!got[0].tail.contains("secret"), "{}", got[0].tail);
    assert!(got[0].tail.contains("CI=true"));
}

#[tokio::test]
async fn another_tree_than_the_asked_one_is_no_answer() {
    let town = TestTown::new();
    let wrong = Sha("2".repeat(40));
    let got = results(town.gates("run-3", &wrong, vec![gate("green", "exit 0", 9000)]).await);
    assert_eq!(got[0].verdict, Verdict::CouldNotRun);
    assert_eq!(results(town.gates("run-4", &town.tree(), vec![]).await), vec![]);
}

#[tokio::test]
async fn a_run_that_was_cut_short_is_done_again() {
    let town = TestTown::new();
    let ready = super::Fifo::new(town.dir.path(), "ready");
    let script = format!("echo $$ > {}; sleep 1000", ready.path.display());
    let run = RunId::from("run-5");
    let cut = Effect::RunGates {
        rig: town.rig.clone(),
        run: run.clone(),
        commit: town.target(),
        tree: town.tree(),
        gates: vec![gate("one", &script, 60_000)],
    };
    let task = tokio::spawn(town.world.perform(cut));
    let pid = tokio::task::spawn_blocking(move || ready.hear()).await.unwrap();
    let first = super::Process::of(&pid);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let got = results(town.gates("run-5", &town.tree(), vec![gate("one", "exit 0", 9000)]).await);
    assert_eq!(got[0].verdict, Verdict::Passed);
    assert!(first.ends());

    // The machine's death leaves names without content.
    let host = town.town.gate_hosts(&RunId::from("run-12")).join("one");
    std::fs::create_dir_all(&host).unwrap();
    for torn in ["host.json", "spec.json"] {
        std::fs::write(host.join(torn), "").unwrap();
    }
    let got = results(town.gates("run-12", &town.tree(), vec![gate("one", "exit 0", 9000)]).await);
    assert_eq!(got[0].verdict, Verdict::Passed);
}

/// Each way of not answering has its own words, and none is a verdict on the commit.
#[tokio::test]
async fn what_is_no_answer_is_told_apart() {
    let town = TestTown::new();
    let run = RunId::from("run-6");
    let logs = town.town.gate_logs(&run);
    std::fs::create_dir_all(&logs).unwrap();
    // The kernel's own full disk.
    std::os::unix::fs::symlink("/dev/full", logs.join("unheard.log")).unwrap();
    let tests =
        |min, pattern: Option<&str>| Some(TestsWanted { min, pattern: pattern.map(str::to_owned) });
    let none = "echo 'test result: ok. 0 passed; 0 failed; 9 ignored; finished in 0.00s'";
    let two = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored; finished in 0.00s'";
    let gates = vec![
        gate("missing", "no-such-command", 20_000),
        gate("exit-127", "sh -c 'exit 127'", 20_000),
        gate("not-executable", "./README", 20_000),
        gate("timeout", "sleep 1000", 200),
        gate("signal", "kill -9 $$", 20_000),
        gate("oom", "sh -c 'kill -9 $$'; exit $?", 20_000),
        gate("disk", "cp README /dev/full", 20_000),
        gate("unheard", "echo something", 20_000),
        GateSpec { tests: tests(1, None), ..gate("no-tests", none, 20_000) },
        GateSpec { tests: tests(3, None), ..gate("few-tests", two, 20_000) },
        GateSpec { tests: tests(1, None), ..gate("silent", "true", 20_000) },
        GateSpec { tests: tests(2, None), ..gate("tests", two, 20_000) },
        GateSpec {
            tests: tests(7, Some("did {n} things")),
            ..gate("own", "echo did 7 things", 20_000)
        },
    ];
    let got = results(town.gates("run-6", &town.tree(), gates).await);
    let of = |name: &str| got.iter().find(|result| result.name == name).unwrap();
    for (name, words) in [
        ("missing", "its command was not found"),
        ("exit-127", "exit code 127, as of a command that is not found"),
        ("not-executable", "its command is not executable"),
        ("timeout", "no answer within 200 ms"),
        ("signal", "ended by signal 9"),
        ("oom", "a program of it was killed (exit code 137)"),
        ("unheard", "its output could not be written: No space left on device"),
        ("no-tests", "it ran 0 tests; at least 1 are demanded"),
        ("few-tests", "it ran 2 tests; at least 3 are demanded"),
        ("silent", "it tells of no tests; at least 1 are demanded"),
    ] {
        let result = of(name);
        assert_eq!(result.verdict, Verdict::CouldNotRun, "{result:?}");
        assert!(result.reason.contains(words), "{name}: {}", result.reason);
        assert_eq!(overall(std::slice::from_ref(result)), Verdict::CouldNotRun);
    }
    assert_eq!(
        (of("tests").verdict, of("tests").reason.as_str()),
        (Verdict::Passed, "exit code 0, 2 tests")
    );
    // It says that a disk was full; the machine says that its own was not.
    assert_eq!(of("disk").verdict, Verdict::Failed, "{:?}", of("disk"));
    assert!(of("disk").tail.contains("No space left on device"));
    assert_eq!(of("own").verdict, Verdict::Passed, "{:?}", of("own"));
}

#[tokio::test]
async fn a_setup_step_comes_first_and_its_failure_says_nothing_of_the_commit() {
    let town = TestTown::new();
    let setup = |cmd: &str| GateSpec { setup: true, ..gate("setup", cmd, 20_000) };
    let needs = gate("needs", "cat prepared", 20_000);
    let gates = vec![setup("echo ready > prepared"), needs.clone()];
    let got = results(town.gates("run-7", &town.tree(), gates).await);
    assert_eq!(overall(&got), Verdict::Passed, "{got:?}");
    assert_eq!(got[1].tail, "ready");
    let gates = vec![setup("echo no network; exit 3"), needs];
    let got = results(town.gates("run-8", &town.tree(), gates).await);
    assert_eq!([got[0].verdict, got[1].verdict], [Verdict::CouldNotRun; 2]);
    assert_eq!(got[0].reason, "the setup step: exit code 3");
    assert_eq!(got[1].reason, got[0].reason);
    assert_eq!((got[0].tail.as_str(), got[1].tail.as_str()), ("no network", ""));
}

/// Gates leave what they like behind; the next run finds none of it, in the same directory.
#[tokio::test]
async fn a_checkout_is_used_again_and_never_unclean() {
    let town = TestTown::new();
    let which = |text: &str| text.lines().next().unwrap().to_owned();
    let dirty = "git rev-parse --git-dir && echo changed > README && echo target/ > .gitignore && mkdir target && \
                 echo x > target/ignored && echo x > untracked && git init -q nested && rm text && \
                 git update-index --assume-unchanged README && chmod a-w target";
    let got = results(town.gates("run-9", &town.tree(), vec![gate("g", dirty, 20_000)]).await);
    assert_eq!(got[0].verdict, Verdict::Passed, "{got:?}");
    let first = which(&got[0].tail);
    town.world.settled().await;
    assert!(!town.town.run(&town.rig, &RunId::from("run-9")).exists());
    let look =
        "git rev-parse --git-dir && cat README && test -f text && git status --porcelain --ignored";
    let seed = town.dir.path().join("seed");
    super::commit(&seed, "next", &[("next", "next\n")]);
    git(&seed, &["push", "--quiet", town.source.to_str().unwrap(), "main"]);
    town.stack(vec![]).await;
    let got = results(town.gates("run-10", &town.tree(), vec![gate("g", look, 20_000)]).await);
    assert_eq!(got[0].verdict, Verdict::Passed, "{got:?}");
    assert_eq!(got[0].tail, format!("{first}\nhello"), "the same directory, and clean");
    town.world.settled().await;

    // What waits is not trusted: a file that came meanwhile, and the checkout is made anew.
    let waiting = std::fs::read_dir(town.town.pool(&town.rig)).unwrap().next().unwrap().unwrap();
    std::fs::write(waiting.path().join("intruder"), "x\n").unwrap();
    let got = results(town.gates("run-11", &town.tree(), vec![gate("g", look, 20_000)]).await);
    assert_eq!(got[0].verdict, Verdict::Passed, "{got:?}");
    assert_ne!(which(&got[0].tail), first);
    assert!(got[0].tail.ends_with("\nhello"), "{}", got[0].tail);
}
