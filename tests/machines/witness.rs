//! The witness: stalled, hung and zombie workers, and a restart that starts at "unknown".

use gastown::machines::limits::Limits;
use gastown::machines::witness::Witness;
use gastown::messages::Message;
use gastown::messages::WitnessMessage;
use gastown::model::bead::Hold;
use gastown::model::effect::HostIdentity;
use gastown::model::ids::BeadId;
use gastown::model::ids::SessionId;
use gastown::model::ops::Op;
use gastown::model::rows::Bead;
use gastown::model::tx::TxExt;

use super::bench::Bench;
use super::bench::Step;
use super::bench::bead;
use super::bench::order;
use super::bench::polecat;
use super::bench::rig;
use super::bench::told;
use super::bench::wake;

const NUX: &str = "sh-shop-polecat-nux";
const MINUTE: i64 = 60_000;

fn agent() -> BeadId {
    BeadId::from(NUX)
}

/// A worker that prepares; `working` brings it to its first session.
fn bench(working: bool) -> Bench<Witness> {
    let mut bench = Bench::new(Witness::new(rig(), Limits::default()));
    let assign = Op::Assign { bead: BeadId::from("sh-1"), agent: agent(), branch: "b1".into() };
    let mut ops = vec![Op::RegisterAgent { who: polecat("nux") }, bead("sh-1"), order(&["sh-1"])];
    ops.push(assign);
    if working {
        let session = SessionId::from("shop-nux-1");
        let start = Op::StartSession { agent: agent(), incarnation: 0, session: session.clone() };
        let token_hash = "hash".to_owned();
        let host = HostIdentity { pid: 7, start_time: 1, boot_id: "b".to_owned(), token_hash };
        ops.push(start);
        ops.push(Op::SessionStarted { agent: agent(), incarnation: 1, session, host });
    }
    for op in ops {
        bench.commit("overseer", &op).unwrap();
    }
    bench
}

/// Patrols at these minutes; other steps come before the patrol of their minute.
fn check(working: bool, minutes: &[i64], mut extra: Vec<(i64, Step)>) -> String {
    let mut bench = bench(working);
    let mut out = String::new();
    let mut at = 0;
    for minute in minutes {
        bench.now += (minute - at) * MINUTE;
        at = *minute;
        let mut script = Vec::new();
        while extra.first().is_some_and(|(when, _)| when <= minute) {
            script.push(extra.remove(0).1);
        }
        script.push(patrol());
        out.push_str(&format!("{minute} min\n{}", bench.run(&script)));
    }
    out.lines().filter(|l| !l.contains("heartbeat")).map(|l| format!("{l}\n")).collect()
}

fn patrol() -> Step {
    told(Message::Witness(WitnessMessage::Patrol))
}

fn progressed(incarnation: i64) -> Step {
    told(Message::Witness(WitnessMessage::Progressed { agent: agent(), incarnation }))
}

#[test]
fn a_phase_that_does_not_pass_is_looked_at_again() {
    insta::assert_snapshot!(check(false, &[0, 4, 5, 6, 10], Vec::new()), @r"
    0 min
    > told patrol
      wake in 60000
      = nux preparing#0
    4 min
    > told patrol
      wake in 60000
      = nux preparing#0
    5 min
    > told patrol
      tell shop/polecats/nux recheck incarnation=0
      wake in 60000
      = nux preparing#0
    6 min
    > told patrol
      wake in 60000
      = nux preparing#0
    10 min
    > told patrol
      tell shop/polecats/nux recheck incarnation=0
      wake in 60000
      = nux preparing#0
    ");
}

#[test]
fn a_silent_session_is_watched_nudged_and_restarted() {
    insta::assert_snapshot!(check(true, &[0, 5, 30, 35, 59, 66], Vec::new()), @r"
    0 min
    > told patrol
      wake in 60000
      = nux working#1
    5 min
    > told patrol
      tell shop/polecats/nux recheck incarnation=1
      wake in 60000
      = nux working#1
    30 min
    > told patrol
      commit send_nudge text=No sign of life for a while: are you stuck? 'gt done' or 'gt mail send mayor'
      wake in 60000
      = nux working#1
    35 min
    > told patrol
      wake in 60000
      = nux working#1
    59 min
    > told patrol
      wake in 60000
      = nux working#1
    66 min
    > told patrol
      tell shop/polecats/nux restart incarnation=1
      wake in 60000
      = nux working#1
    ");
}

#[test]
fn a_sign_of_life_of_this_incarnation_counts() {
    let signs = vec![(29, progressed(1)), (58, progressed(0))];
    insta::assert_snapshot!(check(true, &[0, 29, 31, 58, 59], signs), @r"
    0 min
    > told patrol
      wake in 60000
      = nux working#1
    29 min
    > told progressed incarnation=1
      wake in 60000
      = nux working#1
    > told patrol
      wake in 60000
      = nux working#1
    31 min
    > told patrol
      wake in 60000
      = nux working#1
    58 min
    > told progressed incarnation=0
      tell shop/polecats/nux recheck incarnation=1
      wake in 60000
      = nux working#1
    > told patrol
      wake in 60000
      = nux working#1
    59 min
    > told patrol
      commit send_nudge text=No sign of life for a while: are you stuck? 'gt done' or 'gt mail send mayor'
      wake in 60000
      = nux working#1
    ");
}

#[test]
fn a_session_without_its_bead_is_ended() {
    let mut bench = bench(true);
    let mut row = bench.memory.find::<Bead>("by_id", &BeadId::from("sh-1")).unwrap().unwrap();
    row.hold = Hold::Free;
    bench.memory.set(&row).unwrap();
    insta::assert_snapshot!(bench.run(&[patrol(), Step::Pass(MINUTE), patrol()]), @r"
    > told patrol
      tell shop/polecats/nux restart incarnation=1
      tell deacon heartbeat from=shop/witness
      wake in 60000
      = nux working#1
    ~ 60000 ms
    > told patrol
      tell shop/polecats/nux restart incarnation=1
      tell deacon heartbeat from=shop/witness
      wake in 60000
      = nux working#1
    ");
}

#[test]
fn a_restarted_witness_suspects_nobody_for_a_whole_period() {
    let mut bench = bench(true);
    bench.run(&[patrol(), Step::Pass(59 * MINUTE)]);
    insta::assert_snapshot!(bench.run(&[Step::Forget, patrol(), wake()]), @r"
    ~ forget
    > told patrol
      tell deacon heartbeat from=shop/witness
      wake in 60000
      = nux working#1
    > wake
      wake in 60000
      = nux working#1
    ");
}

#[test]
fn nobody_busy_no_timer() {
    let mut bench = Bench::new(Witness::new(rig(), Limits::default()));
    insta::assert_snapshot!(bench.run(&[wake()]), @r"
    > wake
      tell deacon heartbeat from=shop/witness
    ");
}
