//! What the queue makes of gates that ran ahead of it.

use gastown::model::ids::RunId;
use gastown::model::merge::GateResult;
use gastown::model::merge::Judge;
use gastown::model::merge::Verdict;
use gastown::model::merge::Verification;
use gastown::model::ops::Op;
use gastown::model::rows::GateRun;
use gastown::model::tx::TxExt;

use super::bench::rig;
use super::bench::sha;
use super::refinery::Script;
use super::refinery::settings;

/// Somebody had the gates run on a tree.
fn verified(script: &mut Script, run: &str, tree: &str, verdict: Verdict, judge: Judge) {
    let result = GateResult {
        name: "test".to_owned(),
        verdict,
        reason: verdict.to_string(),
        log: String::new(),
        tail: String::new(),
    };
    let told = Verification {
        run: run.into(),
        commit: sha(tree),
        tree: sha(tree),
        judge,
        results: vec![result],
        asked_by: "shop/polecats/ann".into(),
        started_at: script.bench.now,
    };
    let op = Op::RecordVerification { rig: rig(), told };
    script.bench.commit("shop/polecats/ann", &op).unwrap();
    let again = script.bench.commit("shop/polecats/ann", &op).unwrap();
    assert_eq!(again, [gastown::model::ops::Fact::Unchanged]);
}

#[test]
fn a_verified_tree_lands_without_a_run() {
    let mut script = Script::new(settings());
    verified(&mut script, "v-1", "m+a", Verdict::Passed, settings().judge());
    script.queue(&["a"]);
    let text = script.run();
    assert!(text.starts_with("stack a\nland m+a\n"), "{text}");
    let landed = script.bench.memory.row::<GateRun>(&RunId::from("v-1")).unwrap().unwrap();
    assert_eq!(landed.asked_by, Some("shop/polecats/ann".into()));
}

#[test]
fn it_speaks_for_its_gates_its_environment_and_its_tree_alone() {
    let judge = settings().judge();
    let other_gates = Judge { gates: "other".into(), ..judge.clone() };
    let other_place = Judge { environment: "other".into(), ..judge.clone() };
    for (tree, judge) in [("m+a", other_gates), ("m+a", other_place), ("old+a", judge)] {
        let mut script = Script::new(settings());
        verified(&mut script, "v-1", tree, Verdict::Passed, judge);
        script.queue(&["a"]);
        let text = script.run();
        assert!(text.starts_with("stack a\ntest m+a: passed\nland m+a\n"), "{text}");
    }
}

#[test]
fn one_that_could_not_run_or_was_red_never_lands() {
    for verdict in [Verdict::CouldNotRun, Verdict::Failed] {
        let mut script = Script::new(settings());
        verified(&mut script, "v-1", "m+a+x", verdict, settings().judge());
        script.queue(&["a", "x"]);
        let text = script.run();
        assert!(text.contains("a is merged") && text.contains("x is returned red"), "{text}");
    }
}

#[test]
fn a_verification_teaches_nothing_of_failure_rates() {
    let mut script = Script::new(settings());
    for run in ["v-1", "v-2", "v-3"] {
        verified(&mut script, run, "m+b", Verdict::Failed, settings().judge());
    }
    let queue = script.bench.memory.row::<gastown::model::rows::Queue>(&rig()).unwrap().unwrap();
    assert_eq!(queue.learner, None);
}
