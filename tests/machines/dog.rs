//! The reaper: removes hints whose time is over, when it is asked.

use gastown::machines::dog::Reaper;
use gastown::machines::limits::Life;
use gastown::machines::limits::Limits;
use gastown::messages::DogMessage;
use gastown::messages::Message;
use gastown::model::ids::Db;
use gastown::model::ids::RigName;
use gastown::model::ops::Op;
use gastown::model::value::Name;

use super::bench::Bench;
use super::bench::RIG;
use super::bench::Step;
use super::bench::told;
use super::bench::wake;

fn check(script: &[Step]) -> String {
    let (limits, life) = (Limits::default(), Life::default());
    Bench::new(Reaper::new("reaper-shop".to_owned(), Db::from(RIG), limits, life)).run(script)
}

fn run() -> Step {
    told(Message::Dog(DogMessage::Run { rigs: vec![RigName(RIG.to_owned())] }))
}

#[test]
fn old_hints_go_when_it_is_asked() {
    let nudge = Op::SendNudge { to: Name::from("shop/polecats/nux"), text: "well?".to_owned() };
    let script = [Step::Commit(nudge), run(), Step::Pass(7_200_001), wake(), run(), run()];
    insta::assert_snapshot!(check(&script), @r"
    ~ send_nudge
    > told run rigs=[shop]
    ~ 7200001 ms
    > wake
    > told run rigs=[shop]
      commit reap before=T0+1 limit=500
    > told run rigs=[shop]
    ");
}
