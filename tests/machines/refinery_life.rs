//! The life of a merge request: put first, kept back, aged, stacked behind what it needs, given up.

use gastown::machines::After;
use gastown::machines::refinery::QueueSettings;
use gastown::model::bead::DepType;
use gastown::model::bead::Status;
use gastown::model::effect::Effect;
use gastown::model::ids::BeadId;
use gastown::model::ids::Sha;
use gastown::model::line;
use gastown::model::merge::MrState;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::rows::Bead;
use gastown::model::rows::GateRun;
use gastown::model::rows::MergeRequest;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;
use proptest::prelude::ProptestConfig;
use proptest::prelude::any;
use proptest::prop_assert;

use super::bench::branch;
use super::bench::rig;
use super::refinery::Script;
use super::refinery::settings;

fn with(change: impl FnOnce(&mut QueueSettings)) -> Script {
    let mut settings = settings();
    change(&mut settings);
    Script::new(settings)
}

fn script() -> Script {
    with(|_| ())
}

/// Queues a head of a class, for a bead of its own.
fn add(script: &mut Script, head: &str, priority: i64) -> BeadId {
    script.waiting += 1;
    let id = format!("sh-{}", script.waiting);
    let (bead, title) = (Some(BeadId(id.clone())), "Work".to_owned());
    let new = NewBead { id: bead, title, priority: Some(priority), ..NewBead::default() };
    commit(script, Op::Create(new));
    commit(script, branch(&id, head));
    script.bench.now += 1;
    BeadId(id)
}

#[track_caller]
fn commit(script: &mut Script, op: Op) {
    script.bench.commit("overseer", &op).unwrap();
}

fn refusal(script: &mut Script, who: &str, op: Op) -> String {
    script.bench.commit(who, &op).unwrap_err().to_string()
}

fn hotfix(script: &mut Script, bead: &BeadId) {
    commit(script, Op::Hotfix { id: bead.clone(), reason: "it burns".to_owned() });
}

fn freeze(script: &mut Script, allow: Option<i64>) {
    commit(script, Op::FreezeQueue { rig: rig(), reason: Some("release day".to_owned()), allow });
}

fn thaw(script: &mut Script) {
    commit(script, Op::FreezeQueue { rig: rig(), reason: None, allow: None });
}

fn needs(script: &mut Script, child: &BeadId, parent: &BeadId) {
    let (bead, target) = (child.clone(), parent.clone());
    commit(script, Op::AddDep { bead, target, dep_type: DepType::Blocks });
}

fn close(bead: &BeadId) -> Op {
    Op::Close { id: bead.clone(), reason: "not wanted any more".to_owned() }
}

fn bead_of(script: &mut Script, id: &BeadId) -> Bead {
    script.bench.memory.find::<Bead>("by_id", id).unwrap().unwrap()
}

fn mr_of(script: &mut Script, head: &str) -> MergeRequest {
    script.requests().into_iter().find(|mr| mr.head.as_str() == head).unwrap()
}

fn runs(script: &mut Script) -> usize {
    script.bench.memory.rows::<GateRun>(&Scan::default()).unwrap().len()
}

#[test]
fn a_hotfix_goes_before_every_class() {
    let mut script = script();
    add(&mut script, "a", 0);
    add(&mut script, "b", 4);
    let fix = add(&mut script, "hot", 3);
    hotfix(&mut script, &fix);
    assert!(script.run().starts_with("stack hot a b\n"));
}

#[test]
fn a_hotfix_takes_the_next_cycle_once_the_running_gates_have_answered_and_the_green_landed() {
    let mut script = script();
    script.queue(&["a", "b", "c", "x", "d", "e"]);
    script.run_to("start_run");
    let fix = add(&mut script, "hot", 2);
    hotfix(&mut script, &fix);
    insta::assert_snapshot!(script.run(), @r"
    stack a b c x d e
    test m+a+b+c+x+d+e: failed
    test m+a+b: passed
    land m+a+b
    remove b-sh-1
    remove b-sh-2
    stack hot c x d e
    test m+a+b+hot+c+x+d+e: failed
    test m+a+b+hot+c: passed
    land m+a+b+hot+c
    remove b-sh-7
    remove b-sh-3
    test m+a+b+hot+c+x: failed
    test m+a+b+hot+c+x: failed
    stack d e
    test m+a+b+hot+c+d+e: passed
    land m+a+b+hot+c+d+e
    remove b-sh-5
    remove b-sh-6
    a is merged
    b is merged
    c is merged
    x is returned red
    d is merged
    e is merged
    hot is merged
    ");
}

#[test]
fn with_several_slots_no_run_is_started_while_a_hotfix_waits_for_others() {
    let mut script = with(|settings| settings.slots = 2);
    script.queue(&["a", "b", "x", "c", "d", "e"]);
    script.run_to("start_run");
    let decision = script.turn();
    let gates = |after: &After| matches!(after, After::Do(Effect::RunGates { .. }));
    assert_eq!(decision.after.iter().filter(|after| gates(after)).count(), 2);
    let fix = add(&mut script, "hot", 2);
    hotfix(&mut script, &fix);
    let before = runs(&mut script);
    let answered = script.turn();
    assert_eq!(answered.ops.len(), 1, "the first answer is recorded");
    let waits = script.turn();
    assert!(waits.ops.iter().all(|op| op.name() == "finish_run"), "{:?}", waits.ops);
    assert_eq!(runs(&mut script), before);
    let text = script.run();
    assert!(text.contains("\nstack hot "), "{text}");
    assert!(text.contains("hot is merged"), "{text}");
}

#[test]
fn a_mended_hotfix_is_one_again_and_a_decided_one_cannot_become_one() {
    let mut script = script();
    let fix = add(&mut script, "x1", 2);
    hotfix(&mut script, &fix);
    script.run();
    let op = Op::Hotfix { id: mr_of(&mut script, "x1").id, reason: "again".to_owned() };
    assert!(refusal(&mut script, "overseer", op).contains("only what waits can go first"));
    commit(&mut script, Op::Release { bead: fix.clone(), reason: "by hand".to_owned() });
    add(&mut script, "a", 0);
    commit(&mut script, branch(fix.as_str(), "mended"));
    assert!(script.run().starts_with("stack mended a\n"));
}

#[test]
fn frozen_nothing_lands_and_after_the_thaw_nothing_is_tested_again() {
    let mut script = script();
    script.queue(&["a", "b"]);
    script.run_to("start_run");
    freeze(&mut script, None);
    insta::assert_snapshot!(script.run(), @r"
    stack a b
    test m+a+b: passed
    a is queued
    b is queued
    ");
    let before = runs(&mut script);
    thaw(&mut script);
    insta::assert_snapshot!(script.run(), @r"
    stack a b
    land m+a+b
    remove b-sh-1
    remove b-sh-2
    a is merged
    b is merged
    ");
    assert_eq!(runs(&mut script), before);
}

#[test]
fn a_freeze_lets_its_classes_pass_and_a_hotfix_only_if_it_may() {
    let mut script = script();
    freeze(&mut script, None);
    add(&mut script, "a", 0);
    let fix = add(&mut script, "hot", 2);
    hotfix(&mut script, &fix);
    add(&mut script, "b", 1);
    assert!(!script.run().contains("land"));
    freeze(&mut script, Some(line::HOTFIX));
    insta::assert_snapshot!(script.run(), @r"
    stack hot
    test m+hot: passed
    land m+hot
    remove b-sh-2
    a is queued
    hot is merged
    b is queued
    ");
    freeze(&mut script, Some(0));
    insta::assert_snapshot!(script.run(), @r"
    stack a
    test m+hot+a: passed
    land m+hot+a
    remove b-sh-1
    a is merged
    hot is merged
    b is queued
    ");
}

#[test]
fn what_a_freeze_lets_pass_lands_from_a_running_stack() {
    let mut script = script();
    add(&mut script, "a", 0);
    add(&mut script, "b", 2);
    add(&mut script, "x", 2);
    add(&mut script, "c", 2);
    script.run_to("start_run");
    freeze(&mut script, Some(0));
    let text = script.run();
    assert!(text.contains("a is merged\nb is queued\nx is queued\nc is queued\n"), "{text}");
    thaw(&mut script);
    let text = script.run();
    assert!(text.ends_with("a is merged\nb is merged\nx is returned red\nc is merged\n"), "{text}");
}

#[test]
fn a_freeze_that_came_first_keeps_a_landing_back_that_was_decided_before_it() {
    let mut script = script();
    script.queue(&["a"]);
    script.run_to("finish_run");
    let proof = script.bench.memory.rows::<GateRun>(&Scan::default()).unwrap().remove(0).id;
    freeze(&mut script, None);
    let op = Op::BeginLanding { rig: rig(), len: 1, culprit: None, proof };
    let why = refusal(&mut script, "shop/refinery", op);
    assert!(why.contains("has changed meanwhile"), "{why}");
}

#[test]
fn who_needs_another_is_stacked_behind_it_whatever_their_classes() {
    let mut script = script();
    let child = add(&mut script, "child", 0);
    add(&mut script, "a", 1);
    let parent = add(&mut script, "parent", 4);
    needs(&mut script, &child, &parent);
    assert!(script.run().starts_with("stack parent child a\n"));
}

#[test]
fn who_needs_a_culprit_is_not_blamed_and_waits_until_it_is_mended() {
    let mut script = script();
    let parent = add(&mut script, "x1", 2);
    let child = add(&mut script, "child", 2);
    add(&mut script, "a", 2);
    needs(&mut script, &child, &parent);
    let text = script.run();
    assert!(text.ends_with("x1 is returned red\nchild is queued\na is merged\n"), "{text}");
    let order = script.bench.memory.rows::<gastown::model::rows::Order>(&Scan::default()).unwrap();
    assert_eq!(order.len(), 1, "the parent is ordered again: {order:?}");
    commit(&mut script, Op::Release { bead: parent.clone(), reason: "by hand".to_owned() });
    commit(&mut script, branch(parent.as_str(), "mended"));
    let text = script.run();
    assert!(text.starts_with("stack mended child\n"), "{text}");
    assert!(text.contains("child is merged"), "{text}");
}

#[test]
fn who_needs_one_that_bounces_is_not_stacked_without_it() {
    let mut script = script();
    let parent = add(&mut script, "clash", 2);
    let child = add(&mut script, "child", 2);
    add(&mut script, "a", 2);
    needs(&mut script, &child, &parent);
    let text = script.run();
    assert!(text.ends_with("clash is returned conflict\nchild is queued\na is merged\n"), "{text}");
    assert!(!text.contains("+child"), "{text}");
}

#[test]
fn when_what_it_needs_is_given_up_it_goes_on_alone() {
    let mut script = script();
    let parent = add(&mut script, "parent", 2);
    let child = add(&mut script, "child", 2);
    needs(&mut script, &child, &parent);
    let parents = mr_of(&mut script, "parent").id;
    let held = Op::SetMr { mr: parents, state: MrState::Held, reason: "wait".to_owned() };
    commit(&mut script, held);
    assert!(script.run().ends_with("parent is held\nchild is queued\n"));
    commit(&mut script, close(&parent));
    assert!(script.run().contains("child is merged"));
}

#[test]
fn nobody_can_need_each_other() {
    let mut script = script();
    let one = add(&mut script, "a", 2);
    let other = add(&mut script, "b", 2);
    needs(&mut script, &one, &other);
    let op = Op::AddDep { bead: other, target: one, dep_type: DepType::Blocks };
    assert!(refusal(&mut script, "overseer", op).contains("sh-1"));
}

#[test]
fn closing_the_bead_cancels_what_waits() {
    let mut script = script();
    let gone = add(&mut script, "a", 2);
    add(&mut script, "b", 2);
    commit(&mut script, close(&gone));
    let text = script.run();
    assert!(text.starts_with("stack b\n"), "{text}");
    assert!(text.ends_with("a is rejected rejected\nb is merged\n"), "{text}");
    assert_eq!(bead_of(&mut script, &gone).status, Status::Closed);
    let mr = mr_of(&mut script, "a").id;
    assert_eq!(bead_of(&mut script, &mr).status, Status::Closed);
}

#[test]
fn closing_the_bead_cancels_what_is_being_tested_and_nothing_tested_is_lost() {
    let mut script = script();
    script.queue(&["a", "b", "c"]);
    script.run_to("finish_run");
    let gone = BeadId::from("sh-2");
    commit(&mut script, close(&gone));
    let text = script.run();
    assert!(text.ends_with("a is merged\nb is rejected rejected\nc is merged\n"), "{text}");
    assert!(!script.world.target.contains('b'), "{}", script.world.target);
}

#[test]
fn a_run_of_one_that_was_cancelled_still_answers_and_blames_nobody() {
    let mut script = script();
    script.queue(&["a", "x", "c"]);
    script.run_to("start_run");
    assert_eq!(script.turn().after.len(), 1, "its gates run");
    commit(&mut script, close(&BeadId::from("sh-2")));
    let text = script.run();
    assert!(text.ends_with("a is merged\nx is rejected rejected\nc is merged\n"), "{text}");
    let open = script.bench.memory.rows::<GateRun>(&Scan::default()).unwrap();
    assert!(open.iter().all(|run| run.verdict.is_some()), "{open:?}");
}

#[test]
fn what_lands_already_is_not_cancelled_but_what_is_behind_it_is() {
    let mut script = script();
    script.queue(&["a", "b", "x", "c"]);
    script.run_to("begin_landing");
    let why = refusal(&mut script, "overseer", close(&BeadId::from("sh-1")));
    assert!(why.contains("it is landing"), "{why}");
    commit(&mut script, close(&BeadId::from("sh-3")));
    let text = script.run();
    assert!(
        text.ends_with("a is merged\nb is merged\nx is rejected rejected\nc is merged\n"),
        "{text}"
    );
}

#[test]
fn an_agent_does_not_cancel_what_it_handed_in() {
    let mut script = script();
    let bead = add(&mut script, "a", 2);
    let why = refusal(&mut script, "shop/polecats/ace", close(&bead));
    assert!(why.contains("only a person gives it up"), "{why}");
    let mr = mr_of(&mut script, "a").id;
    let why = refusal(&mut script, "overseer", close(&mr));
    assert!(why.contains("decided by the queue"), "{why}");
    assert!(script.run().contains("a is merged"));
}

#[test]
fn a_culprit_is_known_by_its_head_whoever_hands_it_in() {
    let mut script = script();
    let bead = add(&mut script, "x", 2);
    script.run();
    commit(&mut script, Op::Release { bead: bead.clone(), reason: "by hand".to_owned() });
    let before = runs(&mut script);
    let other = BeadId::from("sh-other");
    let new = NewBead { id: Some(other.clone()), title: "Work".to_owned(), ..NewBead::default() };
    commit(&mut script, Op::Create(new));
    for id in [&bead, &other] {
        let why = refusal(&mut script, "overseer", branch(id.as_str(), "x"));
        assert!(why.contains("red with tree m+x") && why.contains("test (failed)"), "{why}");
    }
    assert_eq!(runs(&mut script), before);
    commit(&mut script, branch(other.as_str(), "y"));
    assert!(script.run().contains("y is merged"));
}

/// Whether the one that waits for its turn has it, with newer ones of all classes coming all the
/// time: the number of batches that it was overtaken by.
fn batches(priority: i64, batch: usize, slots: usize, seed: u64) -> (usize, i64) {
    let mut script = with(|settings| {
        settings.batch_max = batch;
        settings.slots = slots;
    });
    let mut state = seed;
    let mut draw = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    add(&mut script, "old", priority);
    let mut number = 0;
    for landings in 0..60 {
        // More than one stack of the most urgent is always there; some of it is bad.
        while script.requests().iter().filter(|mr| mr.state == MrState::Queued).count() <= batch {
            number += 1;
            let bad = if draw(4) == 0 { 'x' } else { 'n' };
            let class = if draw(3) == 0 { draw(5) as i64 } else { 0 };
            add(&mut script, &format!("{bad}{number}"), class);
        }
        script.run_to("finish_cycle");
        let old = mr_of(&mut script, "old");
        if old.state == MrState::Merged {
            return (landings, old.overtaken);
        }
    }
    panic!("P{priority} in batches of {batch} with {slots} slots still waits: seed {seed}");
}

proptest::proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// However many more urgent ones come: a class is two batches, and one batch at most of its
    /// own class passes it. Culprits of its own class that were stacked before it cost a cycle
    /// each.
    #[test]
    fn no_wait_is_without_bound(
        priority in 0_i64..=4, batch in 1_usize..=6, slots in 1_usize..=2, seed in any::<u64>()
    ) {
        let (landings, overtaken) = batches(priority, batch, slots, seed);
        let bound = line::AGE_BATCHES * priority + 2 + batch as i64;
        prop_assert!(landings as i64 <= bound, "{landings} batches before P{priority}, bound {bound}");
        prop_assert!(overtaken <= batch as i64, "{overtaken} newer ones of its class");
    }
}

#[test]
fn the_class_falls_with_each_two_batches_and_no_further_than_the_first() {
    let mut script = script();
    add(&mut script, "a", 4);
    let mut mr = mr_of(&mut script, "a");
    let classes: Vec<i64> = (0..12)
        .map(|outranked| {
            mr.outranked = outranked;
            line::class(&mr)
        })
        .collect();
    assert_eq!(classes, [4, 4, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0]);
    mr.hotfix = true;
    assert_eq!(line::class(&mr), line::HOTFIX);
    assert_eq!(mr.head, Sha::from("a"));
}
