//! An engine that fails at a chosen step: what stands, and what the writer says of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;

use gastown::model::ids::Db;
use gastown::model::ops::Op;
use gastown::model::ops::Refused;
use gastown::store::conn::ConnError;
use gastown::store::error::GroupError;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::port::HeldLedger;
use gastown::store::port::Port;
use gastown::store::writer::Settled;
use gastown::store::writer::Single;
use gastown::store::writer::Writer;

use super::home::Home;
use super::home::both_engines;
use super::hooked;
use super::hooked::Hooks;
use super::support::T0;
use super::support::bead;
use super::support::create;
use super::support::one;
use super::support::writer;

both_engines!(
    an_unknown_outcome_is_settled_by_looking,
    a_collision_is_tried_again_within_its_bound,
    a_submission_by_itself_is_settled_and_stands_once,
    a_held_ledger_opens_a_lost_database_again_at_the_next_group,
    a_panic_within_a_group_costs_that_group_and_no_other,
    names_of_the_store_are_not_for_ops,
    a_known_failure_leaves_nothing_and_the_next_group_works,
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The connection is lost before the commit took effect.
    LostBefore,
    /// The connection is lost after it.
    LostAfter,
    /// Another writer was quicker.
    Busy,
    /// The disk fills at the second change.
    FullAtChange,
    /// A defect of the program strikes at the first change.
    Panic,
}

/// Faults that strike one after the other, each at its own step.
#[derive(Default)]
struct Faults(Mutex<VecDeque<Fault>>);

type Plan = Arc<Faults>;

impl Faults {
    fn add(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().unwrap().extend(faults);
    }

    fn strikes(&self, fault: Fault) -> bool {
        let mut plan = self.0.lock().unwrap();
        let now = plan.front() == Some(&fault);
        if now {
            plan.pop_front();
        }
        now
    }
}

impl Hooks for Faults {
    fn before_change(&self, number: usize) -> Result<(), ConnError> {
        if number == 2 && self.strikes(Fault::FullAtChange) {
            return Err(ConnError::Full("no space".to_owned()));
        }
        // Outside of the guard, which would be poisoned.
        let defect = self.strikes(Fault::Panic);
        assert!(!defect, "a defect");
        Ok(())
    }

    fn before_commit(&self) -> Result<(), ConnError> {
        if self.strikes(Fault::Busy) {
            return Err(ConnError::Busy("another".to_owned()));
        }
        if self.strikes(Fault::LostBefore) {
            return Err(ConnError::Unknown("lost".to_owned()));
        }
        Ok(())
    }

    fn after_commit(&self) -> Result<(), ConnError> {
        if self.strikes(Fault::LostAfter) {
            return Err(ConnError::Unknown("lost".to_owned()));
        }
        Ok(())
    }
}

/// Without retries, so that every fault shows; each with a database of its own.
fn faulty(home: &Home) -> (Ledger, Db, Writer, Plan) {
    faulty_with(home, 0)
}

fn faulty_with(home: &Home, retries: u32) -> (Ledger, Db, Writer, Plan) {
    let plan = Plan::default();
    let settings = Settings { retries, ..Settings::default() };
    let ledger = home.wrapped(settings, hooked::wrap(plan.clone()));
    let db = Db(format!("shop{}", ledger.databases().unwrap().len()));
    ledger.create_db(&db).unwrap();
    let writer = writer(&ledger, &db);
    (ledger, db, writer, plan)
}

fn an_unknown_outcome_is_settled_by_looking(home: &Home) {
    for (fault, settled) in
        [(Fault::LostBefore, Settled::Absent), (Fault::LostAfter, Settled::Stands)]
    {
        let (ledger, db, mut writer, plan) = faulty(home);
        plan.add([fault]);
        let group = [one("overseer", create("sh-a"))];
        let error = writer.commit_group(&group, T0).unwrap_err();
        assert!(matches!(error, GroupError::Unknown(_)), "{error}");
        let error = writer.commit_group(&group, T0).unwrap_err();
        assert!(error.to_string().contains("settle"), "no second group before: {error}");
        assert_eq!(writer.settle().unwrap(), settled);
        assert_eq!(bead(&ledger, &db, "sh-a").is_some(), settled == Settled::Stands);
        let again = writer.commit_group(&group, T0).unwrap();
        assert_eq!(again[0].is_ok(), settled == Settled::Absent, "{again:?}");
        assert!(bead(&ledger, &db, "sh-a").is_some());
    }
}

fn a_collision_is_tried_again_within_its_bound(home: &Home) {
    let (ledger, db, mut writer, plan) = faulty_with(home, 2);
    plan.add([Fault::Busy, Fault::Busy]);
    let answers = writer.commit_group(&[one("overseer", create("sh-a"))], T0).unwrap();
    assert!(answers[0].is_ok(), "{answers:?}");
    assert!(bead(&ledger, &db, "sh-a").is_some());
    plan.add([Fault::Busy, Fault::Busy, Fault::Busy]);
    let error = writer.commit_group(&[one("overseer", create("sh-b"))], T0).unwrap_err();
    assert!(matches!(error, GroupError::Busy(_)), "{error}");
    assert!(bead(&ledger, &db, "sh-b").is_none());
}

fn a_submission_by_itself_is_settled_and_stands_once(home: &Home) {
    for (fault, done) in [(Fault::LostBefore, true), (Fault::LostAfter, false), (Fault::Busy, true)]
    {
        let (ledger, db, mut writer, plan) = faulty(home);
        plan.add([fault]);
        let answer = writer.commit_one(&one("overseer", create("sh-a")), T0);
        match answer {
            Ok(Single::Done(facts)) => assert!(done && !facts.is_empty(), "{fault:?}"),
            Ok(Single::Stands) => assert!(!done, "{fault:?}"),
            Err(GroupError::Busy(_)) => assert_eq!(fault, Fault::Busy),
            other => panic!("{fault:?}: {other:?}"),
        }
        assert_eq!(bead(&ledger, &db, "sh-a").is_some(), fault != Fault::Busy);
        let again = writer.commit_one(&one("overseer", create("sh-a")), T0).unwrap();
        assert_eq!(matches!(again, Single::Refused(_)), fault != Fault::Busy, "{again:?}");
    }
}

fn a_held_ledger_opens_a_lost_database_again_at_the_next_group(home: &Home) {
    for fault in [Fault::LostBefore, Fault::LostAfter, Fault::Busy, Fault::FullAtChange] {
        let (ledger, db, writer, plan) = faulty(home);
        drop(writer);
        let held = HeldLedger::new(Arc::new(ledger), 0);
        held.hold(&db).unwrap();
        plan.add([fault]);
        let group = [one("overseer", create("sh-a")), one("mayor", create("sh-b"))];
        let error = held.commit(&db, &group, T0).unwrap_err();
        let unknown = matches!(error, GroupError::Unknown(_));
        assert_eq!(unknown, matches!(fault, Fault::LostBefore | Fault::LostAfter), "{error}");
        let next = held.commit(&db, &[one("mayor", create("sh-c"))], T0).unwrap();
        assert!(next[0].is_ok(), "{fault:?}: {next:?}");
        let stands = bead(held.ledger(), &db, "sh-a").is_some();
        assert_eq!(stands, fault == Fault::LostAfter, "{fault:?}");
    }
}

fn a_panic_within_a_group_costs_that_group_and_no_other(home: &Home) {
    let (ledger, db, writer, plan) = faulty(home);
    drop(writer);
    let held = HeldLedger::new(Arc::new(ledger), 0);
    held.hold(&db).unwrap();
    plan.add([Fault::Panic]);
    let group = [one("overseer", create("sh-a"))];
    let panicked = std::panic::AssertUnwindSafe(|| held.commit(&db, &group, T0));
    assert!(std::panic::catch_unwind(panicked).is_err());
    let next = held.commit(&db, &group, T0).unwrap();
    assert!(next[0].is_ok(), "{next:?}");
    assert!(bead(held.ledger(), &db, "sh-a").is_some());
}

fn names_of_the_store_are_not_for_ops(home: &Home) {
    let (_ledger, _db, mut writer, _plan) = faulty(home);
    let op = Op::SetMeta { name: "store.schema".into(), value: "9".to_owned() };
    let answer = writer.commit_one(&one("overseer", op), T0).unwrap();
    assert!(matches!(answer, Single::Refused(Refused::Invalid(_))), "{answer:?}");
}

fn a_known_failure_leaves_nothing_and_the_next_group_works(home: &Home) {
    for fault in [Fault::Busy, Fault::FullAtChange] {
        let (ledger, db, mut writer, plan) = faulty(home);
        plan.add([fault]);
        let group = [one("overseer", create("sh-a")), one("mayor", create("sh-b"))];
        let error = writer.commit_group(&group, T0).unwrap_err();
        match fault {
            Fault::Busy => assert!(matches!(error, GroupError::Busy(_)), "{error}"),
            _ => assert!(matches!(error, GroupError::Full(_)), "{error}"),
        }
        assert!(bead(&ledger, &db, "sh-a").is_none());
        let answers = writer.commit_group(&group, T0).unwrap();
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert!(bead(&ledger, &db, "sh-b").is_some());
    }
}
