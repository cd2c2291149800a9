//! An engine that fails at a chosen step: what stands, and what the writer says of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;

use gastown::model::ids::Db;
use gastown::model::ops::Op;
use gastown::model::ops::Refused;
use gastown::model::value::Value;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Conn;
use gastown::store::conn::ConnError;
use gastown::store::conn::Dialect;
use gastown::store::conn::Grid;
use gastown::store::conn::Intent;
use gastown::store::conn::Most;
use gastown::store::error::GroupError;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::port::HeldLedger;
use gastown::store::port::Port;
use gastown::store::writer::Settled;
use gastown::store::writer::Single;
use gastown::store::writer::Writer;

use super::support::T0;
use super::support::bead;
use super::support::create;
use super::support::one;
use super::support::writer;

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

type Plan = Arc<Mutex<VecDeque<Fault>>>;

struct Faulty {
    inner: Box<dyn Conn>,
    plan: Plan,
    changes: usize,
}

impl Faulty {
    fn strikes(&self, fault: Fault) -> bool {
        let mut plan = self.plan.lock().unwrap();
        let now = plan.front() == Some(&fault);
        if now {
            plan.pop_front();
        }
        now
    }
}

impl Conn for Faulty {
    fn dialect(&self) -> &'static Dialect {
        self.inner.dialect()
    }
    fn begin(&mut self, intent: Intent) -> Result<(), ConnError> {
        self.changes = 0;
        self.inner.begin(intent)
    }
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize, ConnError> {
        self.changes += 1;
        if self.changes == 2 && self.strikes(Fault::FullAtChange) {
            return Err(ConnError::Full("no space".to_owned()));
        }
        // Outside of the guard, which would be poisoned.
        let defect = self.strikes(Fault::Panic);
        assert!(!defect, "a defect");
        self.inner.execute(sql, params)
    }
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, ConnError> {
        self.inner.query(sql, params)
    }
    fn grid(&mut self, sql: &str, most: Most) -> Result<Grid, ConnError> {
        self.inner.grid(sql, most)
    }
    fn savepoint(&mut self) -> Result<(), ConnError> {
        self.inner.savepoint()
    }
    fn release(&mut self) -> Result<(), ConnError> {
        self.inner.release()
    }
    fn rollback_to(&mut self) -> Result<(), ConnError> {
        self.inner.rollback_to()
    }
    fn commit(&mut self, info: &CommitInfo<'_>) -> Result<Option<String>, ConnError> {
        if self.strikes(Fault::Busy) {
            return Err(ConnError::Busy("another".to_owned()));
        }
        if self.strikes(Fault::LostBefore) {
            return Err(ConnError::Unknown("lost".to_owned()));
        }
        let done = self.inner.commit(info)?;
        if self.strikes(Fault::LostAfter) {
            return Err(ConnError::Unknown("lost".to_owned()));
        }
        Ok(done)
    }
    fn call(&mut self, procedure: &str, args: &[&str]) -> Result<Vec<Vec<Value>>, ConnError> {
        self.inner.call(procedure, args)
    }
    fn end(&mut self, published: bool) -> Result<(), ConnError> {
        self.inner.end(published)
    }
    fn rollback(&mut self) -> Result<(), ConnError> {
        self.inner.rollback()
    }
    fn disturbed(&mut self) -> Result<bool, ConnError> {
        self.inner.disturbed()
    }
    fn head(&mut self) -> Result<String, ConnError> {
        self.inner.head()
    }
}

/// Without retries, so that every fault shows.
fn faulty() -> (tempfile::TempDir, Ledger, Db, Writer, Plan) {
    faulty_with(0)
}

fn faulty_with(retries: u32) -> (tempfile::TempDir, Ledger, Db, Writer, Plan) {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::default();
    let given = Arc::clone(&plan);
    let ledger = Ledger::wrapped(
        dir.path(),
        Settings { retries, ..Settings::default() },
        Arc::new(move |inner| Box::new(Faulty { inner, plan: Arc::clone(&given), changes: 0 })),
    );
    let db = Db::from("shop");
    ledger.create_db(&db).unwrap();
    let writer = writer(&ledger, &db);
    (dir, ledger, db, writer, plan)
}

#[test]
fn an_unknown_outcome_is_settled_by_looking() {
    for (fault, settled) in
        [(Fault::LostBefore, Settled::Absent), (Fault::LostAfter, Settled::Stands)]
    {
        let (_dir, ledger, db, mut writer, plan) = faulty();
        plan.lock().unwrap().push_back(fault);
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

#[test]
fn a_collision_is_tried_again_within_its_bound() {
    let (_dir, ledger, db, mut writer, plan) = faulty_with(2);
    plan.lock().unwrap().extend([Fault::Busy, Fault::Busy]);
    let answers = writer.commit_group(&[one("overseer", create("sh-a"))], T0).unwrap();
    assert!(answers[0].is_ok(), "{answers:?}");
    assert!(bead(&ledger, &db, "sh-a").is_some());
    plan.lock().unwrap().extend([Fault::Busy, Fault::Busy, Fault::Busy]);
    let error = writer.commit_group(&[one("overseer", create("sh-b"))], T0).unwrap_err();
    assert!(matches!(error, GroupError::Busy(_)), "{error}");
    assert!(bead(&ledger, &db, "sh-b").is_none());
}

#[test]
fn a_submission_by_itself_is_settled_and_stands_once() {
    for (fault, done) in [(Fault::LostBefore, true), (Fault::LostAfter, false), (Fault::Busy, true)]
    {
        let (_dir, ledger, db, mut writer, plan) = faulty();
        plan.lock().unwrap().push_back(fault);
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

#[test]
fn a_held_ledger_opens_a_lost_database_again_at_the_next_group() {
    for fault in [Fault::LostBefore, Fault::LostAfter, Fault::Busy, Fault::FullAtChange] {
        let (_dir, ledger, db, writer, plan) = faulty();
        drop(writer);
        let held = HeldLedger::new(Arc::new(ledger), 0);
        held.hold(&db).unwrap();
        plan.lock().unwrap().push_back(fault);
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

#[test]
fn a_panic_within_a_group_costs_that_group_and_no_other() {
    let (_dir, ledger, db, writer, plan) = faulty();
    drop(writer);
    let held = HeldLedger::new(Arc::new(ledger), 0);
    held.hold(&db).unwrap();
    plan.lock().unwrap().push_back(Fault::Panic);
    let group = [one("overseer", create("sh-a"))];
    let panicked = std::panic::AssertUnwindSafe(|| held.commit(&db, &group, T0));
    assert!(std::panic::catch_unwind(panicked).is_err());
    let next = held.commit(&db, &group, T0).unwrap();
    assert!(next[0].is_ok(), "{next:?}");
    assert!(bead(held.ledger(), &db, "sh-a").is_some());
}

#[test]
fn names_of_the_store_are_not_for_ops() {
    let (_dir, _ledger, _db, mut writer, _plan) = faulty();
    let op = Op::SetMeta { name: "store.schema".into(), value: "9".to_owned() };
    let answer = writer.commit_one(&one("overseer", op), T0).unwrap();
    assert!(matches!(answer, Single::Refused(Refused::Invalid(_))), "{answer:?}");
}

#[test]
fn a_known_failure_leaves_nothing_and_the_next_group_works() {
    for fault in [Fault::Busy, Fault::FullAtChange] {
        let (_dir, ledger, db, mut writer, plan) = faulty();
        plan.lock().unwrap().push_back(fault);
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
