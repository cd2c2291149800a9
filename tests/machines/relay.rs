//! The relay: in order, until acknowledged, then pruned.

use gastown::machines::limits::Limits;
use gastown::machines::relay::Relay;
use gastown::model::effect::Outcome;
use gastown::model::ids::Db;
use gastown::model::mail::MailKind;
use gastown::model::mail::Priority;
use gastown::model::parcel::Letter;
use gastown::model::parcel::Parcel;
use gastown::model::rows::Outbox;
use gastown::model::tx::TxExt;

use super::bench::Bench;
use super::bench::RIG;
use super::bench::Step;
use super::bench::failed;
use super::bench::report;
use super::bench::wake;

fn bench(parcels: i64, batch: usize) -> Bench<Relay> {
    let limits = Limits { relay_batch: batch, ..Limits::default() };
    let mut bench = Bench::new(Relay::new(Db::from(RIG), Db::hq(), limits));
    for seq in 1..=parcels {
        let letter = Letter {
            sender: "shop/nux".to_owned(),
            recipient: "mayor".to_owned(),
            kind: MailKind::Text,
            subject: format!("letter {seq}"),
            body: String::new(),
            priority: Priority::Normal,
            thread: None,
        };
        bench.memory.add(&Outbox { dst: Db::hq(), seq, parcel: Parcel::Mail(letter) }).unwrap();
    }
    bench
}

fn check(parcels: i64, script: &[Step]) -> String {
    bench(parcels, 2).run(script)
}

fn delivered(key: &str) -> Step {
    report(key, Outcome::Delivered)
}

#[test]
fn batches_go_in_order_and_are_pruned_when_delivered() {
    let script =
        [wake(), wake(), delivered("2"), wake(), delivered("3"), wake(), delivered("3"), wake()];
    insta::assert_snapshot!(check(3, &script), @r"
    > wake
      deliver 2 to hq: [1, 2]
      wake in 900000
    > wake
      wake in 900000
    > 2: delivered
      commit prune dst=hq upto=2
      wake in 0
    > wake
      deliver 3 to hq: [3]
      wake in 900000
    > 3: delivered
      commit prune dst=hq upto=3
      wake in 0
    > wake
    > 3: delivered
    > wake
    ");
}

#[test]
fn a_failed_delivery_is_sent_again_later_and_ever_later() {
    let script = [
        wake(),
        report("2", failed()),
        Step::Pass(499),
        wake(),
        Step::Pass(1),
        wake(),
        report("2", failed()),
    ];
    insta::assert_snapshot!(check(2, &script), @r"
    > wake
      deliver 2 to hq: [1, 2]
      wake in 900000
    > 2: failed error=no room
      wake in 500
    ~ 499 ms
    > wake
      wake in 1
    ~ 1 ms
    > wake
      deliver 2 to hq: [1, 2]
      wake in 900000
    > 2: failed error=no room
      wake in 1000
    ");
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    insta::assert_snapshot!(check(1, &[wake(), Step::Pass(900_000), wake()]), @r"
    > wake
      deliver 1 to hq: [1]
      wake in 900000
    ~ 900000 ms
    > wake
      deliver 1 to hq: [1]
      wake in 900000
    ");
}

#[test]
fn an_empty_outbox_wants_nothing() {
    insta::assert_snapshot!(check(0, &[wake()]), @"> wake");
}
