//! Boot: the triage of a silent Deacon.

use gastown::machines::boot::Boot;
use gastown::machines::boot::Triage;
use gastown::machines::boot::triage;
use gastown::machines::limits::Limits;
use gastown::messages::BootMessage;
use gastown::messages::Message;

use super::bench::Bench;
use super::bench::Step;
use super::bench::told;
use super::bench::wake;

fn check(script: &[Step]) -> String {
    Bench::new(Boot::new(Limits::default())).run(script)
}

#[test]
fn four_answers() {
    let at = |silent| triage(silent, 100);
    assert_eq!([at(0), at(99)], [Triage::Nothing; 2]);
    assert_eq!([at(100), at(199)], [Triage::Wake; 2]);
    assert_eq!([at(200), at(399)], [Triage::Nudge; 2]);
    assert_eq!(at(400), Triage::Start);
}

#[test]
fn a_silent_deacon_is_woken_then_started_and_given_time() {
    let mut script = vec![wake()];
    for _ in 0..5 {
        script.extend([Step::Pass(300_000), wake()]);
    }
    insta::assert_snapshot!(check(&script), @r"
    > wake
      wake in 150000
    ~ 300000 ms
    > wake
      tell deacon wake
      wake in 150000
    ~ 300000 ms
    > wake
      tell deacon wake
      wake in 150000
    ~ 300000 ms
    > wake
      tell deacon wake
      wake in 150000
    ~ 300000 ms
    > wake
      restart deacon
      wake in 150000
    ~ 300000 ms
    > wake
      tell deacon wake
      wake in 150000
    ");
}

#[test]
fn a_deacon_that_is_heard_of_is_left_alone() {
    let alive = || told(Message::Boot(BootMessage::DeaconAlive));
    let script = [wake(), Step::Pass(299_000), alive(), Step::Pass(299_000), wake()];
    insta::assert_snapshot!(check(&script), @r"
    > wake
      wake in 150000
    ~ 299000 ms
    > told deacon_alive
      wake in 150000
    ~ 299000 ms
    > wake
      wake in 150000
    ");
}
