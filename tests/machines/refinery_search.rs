//! The refinery's search: several runs at once, flakes, late answers, old proofs, learnt risks.

use gastown::machines::After;
use gastown::machines::Input;
use gastown::machines::refinery::QueueSettings;
use gastown::model::ids::Identity;
use gastown::model::learner::Learner;
use gastown::model::learner::Traits;
use gastown::model::merge::MrState;
use gastown::model::ops::Op;
use gastown::model::rows::GateRun;
use gastown::model::rows::Queue;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;

use super::bench::bead;
use super::bench::branch;
use super::bench::rig;
use super::refinery::Script;
use super::refinery::settings;

fn with(change: impl FnOnce(&mut QueueSettings)) -> Script {
    let mut settings = settings();
    change(&mut settings);
    Script::new(settings)
}

fn queue(script: &mut Script) -> Queue {
    script.bench.memory.rows::<Queue>(&Scan::default()).unwrap().remove(0)
}

/// A learner that has seen so many merge requests, each tenth of them red, by nobody in particular.
pub fn taught() -> Learner {
    let mut learner = Learner::default();
    for at in 0..200 {
        learner.decided(&Traits::new(), (at % 10 == 0).then_some(0));
    }
    learner.suspects = 33;
    learner
}

pub fn teach(script: &mut Script, learner: Learner) {
    let row = Queue { learner: Some(learner), ..queue(script) };
    script.bench.memory.begin();
    script.bench.memory.set(&row).unwrap();
    script.bench.memory.commit();
}

#[test]
fn two_slots_test_two_prefixes_at_once() {
    let mut script = with(|settings| settings.slots = 2);
    teach(&mut script, taught());
    script.queue(&["a", "b", "c", "x", "d", "e"]);
    insta::assert_snapshot!(script.run(), @r"
    stack a b c x d e
    test m+a+b+c: passed
    test m+a+b+c+x+d+e: failed
    land m+a+b+c
    remove b-sh-1
    remove b-sh-2
    remove b-sh-3
    test m+a+b+c+x: failed
    test m+a+b+c+x+d: failed
    stack d e
    test m+a+b+c+d: passed
    test m+a+b+c+d+e: passed
    land m+a+b+c+d+e
    remove b-sh-5
    remove b-sh-6
    a is merged
    b is merged
    c is merged
    x is returned red
    d is merged
    e is merged
    ");
}

#[test]
fn no_more_runs_than_slots_are_ever_in_progress() {
    for slots in 1..=4 {
        let mut script = with(|settings| settings.slots = slots);
        script.queue(&["a", "x1", "b", "c", "x2", "d", "e", "f"]);
        let mut quiet = 0;
        while quiet < 2 {
            let decision = script.turn();
            let started = decision.ops.iter().filter(|op| op.name() == "start_run").count();
            assert!(started <= slots, "{started} runs started with {slots} slots");
            let idle = decision.ops.is_empty() && decision.after.is_empty();
            quiet = if idle { quiet + 1 } else { 0 };
        }
        let back = script.requests().into_iter().filter(|mr| mr.state == MrState::Returned);
        let heads: Vec<String> = back.map(|mr| mr.head.to_string()).collect();
        assert_eq!(heads, ["x1", "x2"], "{slots} slots");
    }
}

#[test]
fn a_flake_is_found_by_a_second_run_and_remembered() {
    let mut script = with(|_| ());
    script.world.flaky = 1;
    script.queue(&["a"]);
    insta::assert_snapshot!(script.run(), @r"
    stack a
    test m+a: failed
    test m: passed
    test m+a: passed
    land m+a
    remove b-sh-1
    a is merged
    ");
    let learner = queue(&mut script).learner.unwrap();
    assert!(learner.flake() > 0.0);
    // Now that flakes are known, each suspect is looked at until it is surely red.
    script.queue(&["x"]);
    let text = script.run();
    assert!(text.matches("test m+a+x: failed").count() >= 2, "{text}");
}

#[test]
fn an_answer_that_comes_when_its_cycle_is_over_is_kept() {
    let mut script = with(|_| ());
    script.queue(&["a"]);
    script.run_to("start_run");
    assert_eq!(script.turn().after.len(), 1);
    let late = script.inputs.pop().unwrap();
    let abandon = Op::AbandonCycle { rig: rig(), reason: "asked".to_owned() };
    script.bench.commit("overseer", &abandon).unwrap();
    script.inputs.push(late);
    insta::assert_snapshot!(script.run(), @r"
    stack a
    test m+a: passed
    stack a
    land m+a
    remove b-sh-1
    a is merged
    ");
}

#[test]
fn a_run_of_a_cycle_that_is_over_still_holds_its_slot() {
    let mut script = with(|_| ());
    script.queue(&["a"]);
    script.run_to("start_run");
    let _ = script.turn();
    let late = script.inputs.pop().unwrap();
    let abandon = Op::AbandonCycle { rig: rig(), reason: "asked".to_owned() };
    script.bench.commit("overseer", &abandon).unwrap();
    script.queue(&["b"]);
    script.run_to("begin_cycle");
    assert!(script.turn().ops.is_empty(), "its one slot is taken");
    script.inputs.push(late);
    script.run();
    assert!(script.requests().iter().all(|mr| mr.state == MrState::Merged));
}

#[test]
fn a_merge_request_waits_for_others_no_longer_than_it_is_told_to() {
    let mut script = with(|settings| settings.batch_wait_ms = 5_000);
    script.queue(&["a"]);
    let waits = script.turn();
    assert_eq!((waits.after.len(), waits.wake_at), (0, Some(script.bench.now - 2 + 5_000)));
    script.bench.now += 5_000;
    assert!(script.run().ends_with("a is merged\n"));
}

#[test]
fn an_old_green_run_of_the_target_does_not_speak_for_it() {
    let mut script = with(|settings| settings.base_age_ms = 60_000);
    teach(&mut script, taught());
    script.queue(&["a"]);
    script.run();
    script.queue(&["x1"]);
    assert!(!script.run().contains("test m+a:"), "the landing's own run is fresh");
    script.bench.now += 120_000;
    script.queue(&["x2"]);
    insta::assert_snapshot!(script.run(), @r"
    stack x2
    test m+a+x2: failed
    test m+a: passed
    a is merged
    x1 is returned red
    x2 is returned red
    ");
}

#[test]
fn the_target_turned_red_by_itself_is_seen_although_it_was_green_once() {
    let mut script = with(|settings| settings.base_age_ms = 60_000);
    teach(&mut script, taught());
    script.queue(&["a"]);
    script.run();
    script.bench.now += 120_000;
    script.world.red = true;
    script.queue(&["b"]);
    assert!(script.run().ends_with("b is queued\n"));
    assert!(script.parked().unwrap().contains("main itself is red"));
}

#[test]
fn the_likeliest_culprit_is_stacked_last_and_what_passes_it_is_counted() {
    let mut script = with(|_| ());
    let mut learner = taught();
    for at in 0..100 {
        let who = vec![("author", "wild".to_owned()), ("attempt", "first".to_owned())];
        learner.decided(&who, (at % 2 == 0).then_some(0));
        let who = vec![("author", "overseer".to_owned()), ("attempt", "first".to_owned())];
        learner.decided(&who, None);
    }
    learner.suspects = 33;
    teach(&mut script, learner);
    for (id, head) in [("sh-8", "x1"), ("sh-9", "x2")] {
        script.bench.commit("overseer", &bead(id)).unwrap();
        script.bench.commit("wild", &branch(id, head)).unwrap();
        script.bench.now += 1;
    }
    script.queue(&["a", "b"]);
    insta::assert_snapshot!(script.run(), @r"
    stack a b x1 x2
    test m+a+b+x1: failed
    test m+a+b: passed
    land m+a+b
    remove b-sh-1
    remove b-sh-2
    stack x2
    test m+a+b+x2: failed
    x1 is returned red
    x2 is returned red
    a is merged
    b is merged
    ");
    let passed: Vec<i64> = script.requests().iter().map(|mr| mr.overtaken).collect();
    assert_eq!(passed, [0, 2, 0, 0]);
}

#[test]
fn each_verdict_teaches_once() {
    let mut script = with(|_| ());
    script.queue(&["a", "b", "x", "c"]);
    script.run();
    let learner = queue(&mut script).learner.unwrap();
    assert_eq!((learner.suspects, learner.doubt.all / 1_000_000), (1, 3));
    assert!(learner.records.keys().any(|key| key == "author overseer"), "{learner:?}");
}

#[test]
fn a_culprit_goes_back_only_with_a_red_run_of_its_own_tree() {
    let mut script = with(|_| ());
    script.queue(&["a", "b"]);
    script.run_to("finish_run");
    let proof = script.bench.memory.rows::<GateRun>(&Scan::default()).unwrap().remove(0).id;
    let who = Identity::Refinery(rig()).actor();
    let op = Op::BeginLanding { rig: rig(), len: 2, culprit: None, proof: proof.clone() };
    assert!(script.bench.commit(&who, &op).is_ok());
    let mut script = with(|_| ());
    script.queue(&["a", "x"]);
    script.run_to("finish_run");
    let red = script.bench.memory.rows::<GateRun>(&Scan::default()).unwrap().remove(0).id;
    for (len, culprit) in [(2, None), (1, Some(0))] {
        let op = Op::BeginLanding { rig: rig(), len, culprit, proof: red.clone() };
        let refused = script.bench.commit(&who, &op).unwrap_err();
        assert!(refused.to_string().contains("I4"), "{refused}");
    }
    let end = gastown::model::merge::CycleEnd::Returned(0);
    let (target, judge) = ("main".to_owned(), settings().judge());
    let op = Op::FinishCycle { rig: rig(), end, rework_max: 3, target, judge };
    assert!(script.bench.commit(&who, &op).unwrap_err().to_string().contains("I5"));
    let wake = script.bench.take(&Input::Wake).0;
    assert!(wake.after.iter().all(|after| matches!(after, After::Do(_))), "and it goes on");
}
