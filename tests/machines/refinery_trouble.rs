//! The refinery in trouble: what fails for good, who does not answer, gates that cannot run or call
//! everything red, gates that change.

use gastown::machines::After;
use gastown::machines::Input;
use gastown::messages::Message;
use gastown::messages::RefineryMessage;
use gastown::model::merge::MrState;
use gastown::model::merge::Returned;
use gastown::model::ops::Op;
use gastown::model::parcel::Parcel;
use gastown::model::rows::GateRun;
use gastown::model::rows::Outbox;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;

use super::bench::Step;
use super::bench::rig;
use super::refinery::Script;
use super::refinery::settings;
use super::refinery_search::taught;
use super::refinery_search::teach;

impl Script {
    /// Turns until nothing is left to wait for; waits are over at once.
    fn run_through_waits(&mut self) -> String {
        let mut quiet = 0;
        for _ in 0..400 {
            let decision = self.turn();
            let idle = decision.ops.is_empty() && decision.after.is_empty();
            match decision.wake_at {
                Some(at) if idle => self.bench.now = self.bench.now.max(at),
                _ => quiet = if idle { quiet + 1 } else { 0 },
            }
            if quiet > 1 {
                let log = std::mem::take(&mut self.world.log);
                return format!("{log}{}", self.ends());
            }
        }
        panic!("no end: {}", self.world.log);
    }

    /// Alarms in the outbox: what they are, and whether they are raised.
    fn alarms(&mut self) -> Vec<(String, bool)> {
        let all = self.bench.memory.rows::<Outbox>(&Scan::default()).unwrap();
        let alarm = |row: Outbox| match row.parcel {
            Parcel::Alarm { condition, raise, .. } => Some((condition, raise.is_some())),
            _ => None,
        };
        all.into_iter().filter_map(alarm).collect()
    }

    fn verdict_of(&mut self, head: &str) -> Option<Returned> {
        let mut all = self.requests().into_iter();
        all.find(|mr| mr.head.as_str() == head).and_then(|mr| mr.verdict)
    }
}

fn script(heads: &[&str]) -> Script {
    let mut script = Script::new(settings());
    script.queue(heads);
    script
}

#[test]
fn a_landing_that_fails_for_good_parks_with_one_alarm_and_goes_on_when_it_is_mended() {
    let mut script = script(&["a"]);
    script.world.refused = usize::MAX;
    let text = script.run_through_waits();
    assert_eq!(text.matches("land: refused").count(), 6, "{text}");
    let parked = script.parked().unwrap();
    assert!(parked.starts_with("the branch is protected (6 times)"), "{parked}");
    assert_eq!(script.alarms(), [("the queue waits for a person".to_owned(), true)]);
    assert!(text.ends_with("a is queued\n"), "{text}");
    script.world.refused = 0;
    script.bench.commit("overseer", &Op::ParkQueue { rig: rig(), reason: None }).unwrap();
    assert!(script.run_through_waits().ends_with("a is merged\n"));
    assert!(!script.alarms().last().unwrap().1);
}

#[test]
fn an_outage_is_waited_out_with_one_alarm_that_clears_itself() {
    let mut script = script(&["a"]);
    script.world.away = 20;
    let text = script.run_through_waits();
    assert!(text.ends_with("a is merged\n"), "{text}");
    assert_eq!(script.parked(), None);
    let condition = "the remote does not answer".to_owned();
    assert_eq!(script.alarms(), [(condition.clone(), true), (condition, false)]);
}

#[test]
fn a_short_outage_is_nobodys_business() {
    let mut script = script(&["a"]);
    script.world.away = 5;
    assert!(script.run_through_waits().ends_with("a is merged\n"));
    assert_eq!(script.alarms(), []);
}

#[test]
fn the_alarm_of_an_outage_outlives_the_memory_of_who_raised_it() {
    let mut script = script(&["a"]);
    script.world.away = 30;
    while script.alarms().is_empty() {
        let decision = script.turn();
        if decision.after.is_empty() {
            script.bench.now = decision.wake_at.unwrap_or(script.bench.now);
        }
    }
    script.bench.run(&[Step::Forget]);
    assert!(script.run_through_waits().ends_with("a is merged\n"));
    assert_eq!(script.alarms().iter().map(|one| one.1).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn times_without_an_answer_do_not_count_as_failures() {
    let mut script = script(&["a"]);
    script.run_to("begin_landing");
    script.world.away = 9;
    script.world.refused = 5;
    assert!(script.run_through_waits().ends_with("a is merged\n"));
    assert_eq!(script.parked(), None);
}

#[test]
fn gates_that_call_everything_red_send_back_one_and_then_the_target_is_asked() {
    let mut script = script(&["a"]);
    script.run();
    script.world.red = true;
    script.queue(&["b", "c", "d"]);
    let text = script.run();
    let back = script.requests().iter().filter(|mr| mr.state == MrState::Returned).count();
    assert_eq!(back, 1, "{text}");
    assert!(script.parked().unwrap().contains("main itself is red"), "{text}");
}

#[test]
fn one_that_makes_the_gates_unable_to_run_is_found_and_told_so() {
    for heads in [["q", "a", "b"], ["a", "q", "b"], ["a", "b", "q"]] {
        let mut script = script(&heads);
        let text = script.run_through_waits();
        assert_eq!(script.parked(), None, "{text}");
        for mr in script.requests() {
            let wanted = if mr.head.as_str() == "q" { MrState::Returned } else { MrState::Merged };
            assert_eq!(mr.state, wanted, "{} in {text}", mr.head);
        }
        let Some(Returned::Unable { tree, before, gates, .. }) = script.verdict_of("q") else {
            panic!("{text}")
        };
        assert_eq!(tree.as_str(), format!("{before}+q"));
        assert_eq!(gates[0].reason, "could-not-run");
    }
}

#[test]
fn gates_that_cannot_run_on_the_target_either_blame_nobody() {
    let mut script = script(&["a", "q"]);
    script.world.stuck = usize::MAX;
    script.run();
    let parked = script.parked().unwrap();
    assert!(parked.contains("could not run 3 times, nor on main itself: test:"), "{parked}");
    assert!(script.requests().iter().all(|mr| mr.state == MrState::Queued));
}

#[test]
fn a_hitch_that_is_over_blames_nobody() {
    for stuck in 1..=2 {
        let mut script = script(&["a", "b", "c"]);
        script.world.stuck = stuck;
        assert!(script.run().ends_with("a is merged\nb is merged\nc is merged\n"));
    }
}

fn other_gates(script: &mut Script) {
    let mut other = settings();
    other.gates[0].cmd = "other".to_owned();
    script.inputs.push(Input::Told(Message::Refinery(RefineryMessage::Configure(other))));
    assert!(script.turn().ops.is_empty());
}

#[test]
fn a_landing_that_waits_while_the_gates_change_starts_over() {
    let mut script = script(&["a"]);
    script.run_to("begin_landing");
    script.world.away = 1;
    let _ = script.turn();
    assert!(script.turn().after.is_empty(), "it waits for the remote");
    other_gates(&mut script);
    let text = script.run_through_waits();
    assert!(text.ends_with("a is merged\n"), "{text}");
    let runs = script.bench.memory.rows::<GateRun>(&Scan::default()).unwrap();
    assert_ne!(runs[0].gates, runs[1].gates, "the new gates were asked: {text}");
    assert_eq!(text.matches("land m+a\n").count(), 1, "{text}");
}

#[test]
fn what_earlier_gates_said_is_held_against_nobody() {
    let mut script = script(&["a", "x"]);
    teach(&mut script, taught());
    script.run_to("begin_landing");
    let landing = script.turn();
    assert!(matches!(landing.after[..], [After::Do(_)]), "the landing is on its way");
    let landed = script.inputs.pop().unwrap();
    other_gates(&mut script);
    script.inputs.push(landed);
    let finish = script.turn();
    assert!(finish.ops.iter().any(|op| op.name() == "finish_cycle"), "{:?}", finish.ops);
    let state =
        |script: &mut Script| script.requests().iter().map(|mr| mr.state).collect::<Vec<_>>();
    assert_eq!(state(&mut script), [MrState::Merged, MrState::Queued]);
    script.run();
    let Some(Returned::Red { run, .. }) = script.verdict_of("x") else { panic!("it is red") };
    let run = script.bench.memory.row::<GateRun>(&run).unwrap().unwrap();
    let first = script.bench.memory.rows::<GateRun>(&Scan::default()).unwrap().remove(0);
    assert_ne!(run.gates, first.gates, "the evidence is of the present gates");
}
