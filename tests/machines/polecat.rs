//! A worker: every phase, stale answers, and the restart policy of sessions.

use gastown::machines::limits::Limits;
use gastown::machines::polecat::Polecat;
use gastown::messages::Message;
use gastown::messages::PolecatMessage;
use gastown::model::agent::Exit;
use gastown::model::agent::Submission;
use gastown::model::effect::HostIdentity;
use gastown::model::effect::Outcome;
use gastown::model::ids::BeadId;
use gastown::model::ops::Op;
use gastown::model::rows::Order;
use gastown::model::tx::TxExt;

use super::bench::Bench;
use super::bench::Step;
use super::bench::bead;
use super::bench::failed;
use super::bench::order;
use super::bench::polecat;
use super::bench::report;
use super::bench::rig;
use super::bench::sha;
use super::bench::told;
use super::bench::wake;

const NUX: &str = "sh-shop-polecat-nux";

fn bench() -> Bench<Polecat> {
    let (name, id) = ("nux".to_owned(), BeadId::from(NUX));
    let machine = Polecat::new(rig(), name, id, "main".to_owned(), Limits::default());
    let mut bench = Bench::new(machine);
    let assign =
        Op::Assign { bead: BeadId::from("sh-1"), agent: BeadId::from(NUX), branch: "b1".into() };
    for op in [Op::RegisterAgent { who: polecat("nux") }, bead("sh-1"), order(&["sh-1"]), assign] {
        bench.commit("overseer", &op).unwrap();
    }
    bench
}

fn check(script: &[Step]) -> String {
    bench().run(script)
}

fn worktree() -> Step {
    report("make_worktree shop/nux b1", Outcome::Worktree { head: sha("c0") })
}

fn started(session: &str) -> Step {
    let token_hash = "hash".to_owned();
    let host = HostIdentity { pid: 7, start_time: 1, boot_id: "b".to_owned(), token_hash };
    report(&format!("spawn {session}"), Outcome::Started { host })
}

fn exited(session: &str, exit: Exit) -> Step {
    report(&format!("watch {session}"), Outcome::Exited { exit })
}

fn submit(incarnation: i64, no_change: Option<&str>) -> Step {
    let submission = Submission { head: sha("h1"), no_change: no_change.map(str::to_owned) };
    Step::Commit(Op::Submit { agent: BeadId::from(NUX), incarnation, submission })
}

fn recheck(incarnation: i64) -> Step {
    told(Message::Polecat(PolecatMessage::Recheck { incarnation }))
}

fn restart(incarnation: i64) -> Step {
    let reason = "silent".to_owned();
    told(Message::Polecat(PolecatMessage::Restart { incarnation, reason }))
}

/// The steps that bring a worker to work in its first session.
fn working() -> Vec<Step> {
    vec![wake(), worktree(), wake(), started("shop-nux-1"), wake()]
}

fn then(more: Vec<Step>) -> Vec<Step> {
    working().into_iter().chain(more).collect()
}

/// The lines of a script that goes on from a working session.
fn check_working(more: Vec<Step>) -> String {
    let mut bench = bench();
    bench.run(&working());
    bench.run(&more)
}

#[test]
fn from_assignment_to_idle() {
    let rest = vec![
        submit(1, None),
        wake(),
        report("push shop/nux b1", Outcome::Pushed { touches: None }),
        wake(),
        report("stop shop-nux-1", Outcome::Stopping),
        exited("shop-nux-1", Exit::Stopped),
        wake(),
        report("teardown shop/nux b1", Outcome::TornDown { rescued: None }),
        wake(),
    ];
    insta::assert_snapshot!(check(&then(rest)), @r"
    > wake
      do make_worktree
      wake in 900000
      = nux preparing#0
    > make_worktree shop/nux b1: worktree head=c0
      commit start_session incarnation=0 session=shop-nux-1
      = nux spawning#1
    > wake
      do spawn id=shop-nux-1
      wake in 900000
      = nux spawning#1
    > spawn shop-nux-1: started
      commit session_started incarnation=1 session=shop-nux-1
      = nux working#1
    > wake
      do watch session=shop-nux-1
      = nux working#1
    ~ submit
    > wake
      do push head=h1
      wake in 900000
      = nux submitted#1
    > push shop/nux b1: pushed
      commit enqueue incarnation=1
      = nux ending#1
    > wake
      do stop session=shop-nux-1
      wake in 900000
      = nux ending#1
    > stop shop-nux-1: stopping
      wake in 900000
      = nux ending#1
    > watch shop-nux-1: exited exit=stopped
      commit session_ended exit=stopped incarnation=1 session=shop-nux-1 then={at=T0+0 counted=false then=retry}
      = nux clearing#1
    > wake
      do teardown
      wake in 900000
      = nux clearing#1
    > teardown shop/nux b1: torn_down
      commit cleared incarnation=1
      = nux idle#1
    > wake
      = nux idle#1
    ");
}

#[test]
fn no_change_needs_no_push() {
    insta::assert_snapshot!(check_working(vec![submit(1, Some("done before")), wake()]), @r"
    ~ submit
    > wake
      commit enqueue incarnation=1
      = nux ending#1
    ");
}

#[test]
fn an_effect_in_flight_is_not_done_twice_but_a_restarted_machine_asks_again() {
    insta::assert_snapshot!(check(&[wake(), wake(), Step::Forget, wake()]), @r"
    > wake
      do make_worktree
      wake in 900000
      = nux preparing#0
    > wake
      wake in 900000
      = nux preparing#0
    ~ forget
    > wake
      do make_worktree
      wake in 900000
      = nux preparing#0
    ");
}

#[test]
fn stale_reports_mean_nothing() {
    let stale = vec![
        worktree(),
        started("shop-nux-0"),
        exited("shop-nux-0", Exit::Code(1)),
        report("push shop/nux b1", Outcome::Pushed { touches: None }),
        report("push shop/nux b0", Outcome::Pushed { touches: None }),
        report("teardown shop/nux b1", Outcome::TornDown { rescued: None }),
    ];
    insta::assert_snapshot!(check_working(stale), @r"
    > make_worktree shop/nux b1: worktree head=c0
      = nux working#1
    > spawn shop-nux-0: started
      = nux working#1
    > watch shop-nux-0: exited exit={code=1}
      = nux working#1
    > push shop/nux b1: pushed
      = nux working#1
    > push shop/nux b0: pushed
      = nux working#1
    > teardown shop/nux b1: torn_down
      = nux working#1
    ");
}

#[test]
fn orders_for_another_incarnation_are_no_ops() {
    let others = vec![recheck(0), restart(0), restart(2), wake()];
    insta::assert_snapshot!(check_working(others), @r"
    > told recheck incarnation=0
      = nux working#1
    > told restart incarnation=0
      = nux working#1
    > told restart incarnation=2
      = nux working#1
    > wake
      = nux working#1
    ");
}

#[test]
fn orders_for_this_incarnation_ask_the_world_again() {
    insta::assert_snapshot!(check_working(vec![recheck(1), restart(1)]), @r"
    > told recheck incarnation=1
      do watch session=shop-nux-1
      = nux working#1
    > told restart incarnation=1
      do stop session=shop-nux-1
      do watch session=shop-nux-1
      wake in 900000
      = nux working#1
    ");
}

#[test]
fn a_session_that_ends_early_is_started_again_after_a_wait() {
    let script = vec![
        exited("shop-nux-1", Exit::Code(1)),
        wake(),
        Step::Pass(1_000),
        wake(),
        wake(),
        started("shop-nux-2"),
        exited("shop-nux-2", Exit::Signal(9)),
        wake(),
    ];
    insta::assert_snapshot!(check_working(script), @r"
    > watch shop-nux-1: exited exit={code=1}
      commit session_ended exit={code=1} incarnation=1 session=shop-nux-1 then={at=T0+1000 counted=true then=retry}
      = nux backoff#1
    > wake
      wake in 1000
      = nux backoff#1
    ~ 1000 ms
    > wake
      commit start_session incarnation=1 session=shop-nux-2
      = nux spawning#2
    > wake
      do spawn id=shop-nux-2
      wake in 900000
      = nux spawning#2
    > spawn shop-nux-2: started
      commit session_started incarnation=2 session=shop-nux-2
      = nux working#2
    > watch shop-nux-2: exited exit={signal=9}
      commit session_ended exit={signal=9} incarnation=2 session=shop-nux-2 then={at=T0+3000 counted=true then=retry}
      = nux backoff#2
    > wake
      wake in 2000
      = nux backoff#2
    ");
}

#[test]
fn a_stop_that_the_town_asked_for_does_not_count() {
    insta::assert_snapshot!(check_working(vec![exited("shop-nux-1", Exit::Stopped)]), @r"
    > watch shop-nux-1: exited exit=stopped
      commit session_ended exit=stopped incarnation=1 session=shop-nux-1 then={at=T0+0 counted=false then=retry}
      = nux backoff#1
    ");
}

#[test]
fn a_stop_for_want_of_progress_counts() {
    let script = vec![restart(1), exited("shop-nux-1", Exit::Stopped)];
    insta::assert_snapshot!(check_working(script), @r"
    > told restart incarnation=1
      do stop session=shop-nux-1
      do watch session=shop-nux-1
      wake in 900000
      = nux working#1
    > watch shop-nux-1: exited exit=stopped
      commit session_ended exit=stopped incarnation=1 session=shop-nux-1 then={at=T0+1000 counted=true then=retry}
      = nux backoff#1
    ");
}

/// Ends sessions until the worker gives the bead back.
fn three_exits() -> Vec<Step> {
    let mut script = Vec::new();
    for n in 1..=3 {
        let session = format!("shop-nux-{n}");
        script.extend([wake(), started(&session), exited(&session, Exit::Code(n))]);
        script.extend([Step::Pass(60_000), wake()]);
    }
    script
}

#[test]
fn three_exits_give_the_bead_to_another_worker() {
    let mut bench = bench();
    bench.run(&[wake(), worktree()]);
    let text = bench.run(&three_exits());
    let ends: Vec<&str> = text.lines().filter(|line| line.contains("session_ended")).collect();
    insta::assert_snapshot!(ends.join("\n"), @r"
    commit session_ended exit={code=1} incarnation=1 session=shop-nux-1 then={at=T0+1000 counted=true then=retry}
    commit session_ended exit={code=2} incarnation=2 session=shop-nux-2 then={at=T0+62000 counted=true then=retry}
    commit session_ended exit={code=3} incarnation=3 session=shop-nux-3 then={then=reassign}
    ");
    let order = bench.memory.row::<Order>(&BeadId::from("sh-1")).unwrap().unwrap();
    assert_eq!((order.tries, order.worker), (1, None));
}

#[test]
fn a_worker_that_gives_up_too_tells_a_person() {
    let mut bench = bench();
    bench.run(&[wake(), worktree()]);
    bench.run(&three_exits());
    bench.run(&[report("teardown shop/nux b1", Outcome::TornDown { rescued: None })]);
    let again =
        Op::Assign { bead: BeadId::from("sh-1"), agent: BeadId::from(NUX), branch: "b2".into() };
    let mut script = vec![Step::Commit(again), wake()];
    script.push(report("make_worktree shop/nux b2", Outcome::Worktree { head: sha("c0") }));
    for n in 4..=6 {
        let session = format!("shop-nux-{n}");
        script.extend([wake(), started(&session), exited(&session, Exit::Vanished)]);
        script.extend([Step::Pass(60_000), wake()]);
    }
    let text = bench.run(&script);
    let told: Vec<&str> = text.lines().filter(|line| line.contains("session_ended")).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    commit session_ended exit=vanished incarnation=4 session=shop-nux-4 then={at=T0+181000 counted=true then=retry}
    commit session_ended exit=vanished incarnation=5 session=shop-nux-5 then={at=T0+242000 counted=true then=retry}
    commit session_ended exit=vanished incarnation=6 session=shop-nux-6 then={then=give_up}
    ");
}

#[test]
fn an_effect_that_fails_is_tried_on_and_then_the_bead_goes_back() {
    let mut script = vec![wake()];
    for _ in 0..6 {
        script.extend([report("make_worktree shop/nux b1", failed()), Step::Pass(60_000), wake()]);
    }
    insta::assert_snapshot!(check(&script), @r"
    > wake
      do make_worktree
      wake in 900000
      = nux preparing#0
    > make_worktree shop/nux b1: failed error=no room
      wake in 500
      = nux preparing#0
    ~ 60000 ms
    > wake
      do make_worktree
      wake in 900000
      = nux preparing#0
    > make_worktree shop/nux b1: failed error=no room
      wake in 1000
      = nux preparing#0
    ~ 60000 ms
    > wake
      do make_worktree
      wake in 900000
      = nux preparing#0
    > make_worktree shop/nux b1: failed error=no room
      wake in 2000
      = nux preparing#0
    ~ 60000 ms
    > wake
      do make_worktree
      wake in 900000
      = nux preparing#0
    > make_worktree shop/nux b1: failed error=no room
      wake in 4000
      = nux preparing#0
    ~ 60000 ms
    > wake
      do make_worktree
      wake in 900000
      = nux preparing#0
    > make_worktree shop/nux b1: failed error=no room
      wake in 8000
      = nux preparing#0
    ~ 60000 ms
    > wake
      do make_worktree
      wake in 900000
      = nux preparing#0
    > make_worktree shop/nux b1: failed error=no room
      commit withdraw incarnation=0 then={then=reassign}
      = nux clearing#0
    ~ 60000 ms
    > wake
      do teardown
      wake in 900000
      = nux clearing#0
    ");
}

#[test]
fn a_released_bead_ends_the_session_and_rescues_the_worktree() {
    let release = Op::Release { bead: BeadId::from("sh-1"), reason: "asked".to_owned() };
    let script = vec![
        Step::Commit(release),
        wake(),
        exited("shop-nux-1", Exit::Stopped),
        wake(),
        report(
            "teardown shop/nux b1",
            Outcome::TornDown { rescued: Some("refs/gt/rescue/nux/c1".to_owned()) },
        ),
    ];
    insta::assert_snapshot!(check_working(script), @r"
    ~ release
    > wake
      do stop session=shop-nux-1
      wake in 900000
      = nux ending#1
    > watch shop-nux-1: exited exit=stopped
      commit session_ended exit=stopped incarnation=1 session=shop-nux-1 then={at=T0+0 counted=false then=retry}
      = nux clearing#1
    > wake
      do teardown
      wake in 900000
      = nux clearing#1
    > teardown shop/nux b1: torn_down rescued=refs/gt/rescue/nux/c1
      commit cleared incarnation=1 rescued=refs/gt/rescue/nux/c1
      = nux idle#1
    ");
}

#[test]
fn a_submission_of_an_earlier_session_is_refused() {
    let script =
        vec![exited("shop-nux-1", Exit::Code(1)), Step::Pass(1_000), wake(), submit(1, None)];
    let text = check_working(script);
    assert!(text.ends_with(
        "~ submit: sh-shop-polecat-nux is at incarnation 2, not 1: this session is no longer its \
         holder\n"
    ));
}
