//! The Deacon: rounds, dogs, heartbeats in memory, nothing written.

use gastown::machines::deacon::Deacon;
use gastown::machines::limits::Limits;
use gastown::messages::DeaconMessage;
use gastown::messages::Message;

use super::bench::Bench;
use super::bench::Step;
use super::bench::rig;
use super::bench::told;
use super::bench::wake;

fn check(script: &[Step]) -> String {
    Bench::new(Deacon::new(vec![rig()], Limits::default())).run(script)
}

#[test]
fn a_round_wakes_whoever_may_have_missed_something() {
    insta::assert_snapshot!(check(&[wake(), wake(), Step::Pass(180_000), wake()]), @r"
    > wake
      tell boot deacon_alive
      tell mayor read_mail
      tell shop/witness patrol
      wake shop/dispatcher
      wake shop/refinery
      wake relay/hq/shop
      wake relay/shop/hq
      tell dog/reaper run rigs=[shop]
      tell dog/reaper-shop run rigs=[shop]
      wake in 30000
    > wake
      wake in 30000
    ~ 180000 ms
    > wake
      tell boot deacon_alive
      tell mayor read_mail
      tell shop/witness patrol
      wake shop/dispatcher
      wake shop/refinery
      wake relay/hq/shop
      wake relay/shop/hq
      tell dog/backup-hq run rigs=[shop]
      tell dog/backup-shop run rigs=[shop]
      tell dog/archive-hq run rigs=[shop]
      tell dog/archive-shop run rigs=[shop]
      tell dog/compactor-hq run rigs=[shop]
      tell dog/compactor-shop run rigs=[shop]
      tell dog/doctor run rigs=[shop]
      wake in 180000
    ");
}

#[test]
fn boot_may_ask_for_a_round() {
    let asked = told(Message::Deacon(DeaconMessage::Wake));
    let text = check(&[wake(), Step::Pass(1_000), asked]);
    assert_eq!(text.matches("tell boot deacon_alive").count(), 2, "{text}");
}

#[test]
fn heartbeats_are_kept_in_memory() {
    let mut bench = Bench::new(Deacon::new(vec![rig()], Limits::default()));
    let from = "shop/witness".to_owned();
    bench.run(&[wake(), told(Message::Deacon(DeaconMessage::Heartbeat { from: from.clone() }))]);
    assert_eq!(bench.machine.beats().get(&from), Some(&bench.now));
    bench.run(&[Step::Forget]);
    assert!(bench.machine.beats().is_empty(), "unknown, not stale");
}
