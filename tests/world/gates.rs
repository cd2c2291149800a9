//! Gate runs with real processes.

use gastown::adapters::gates;
use gastown::adapters::world::World;
use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::ids::RunId;
use gastown::model::ids::Sha;
use gastown::model::merge::GateResult;
use gastown::model::merge::GateSpec;
use gastown::model::merge::Verdict;

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
}
