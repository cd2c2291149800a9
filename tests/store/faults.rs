//! An engine that fails at a chosen step: what stands, and what the writer says of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;

use gastown::model::ids::Db;
use gastown::model::value::Value;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Conn;
use gastown::store::conn::ConnError;
use gastown::store::conn::Dialect;
use gastown::store::conn::Intent;
use gastown::store::error::GroupError;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::writer::Settled;
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
        self.inner.execute(sql, params)
    }
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, ConnError> {
        self.inner.query(sql, params)
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
    fn publish(&mut self) -> Result<(), ConnError> {
        self.inner.publish()
    }
    fn rollback(&mut self) -> Result<(), ConnError> {
        self.inner.rollback()
    }
    fn head(&mut self) -> Result<String, ConnError> {
        self.inner.head()
    }
}

fn faulty() -> (tempfile::TempDir, Ledger, Db, Writer, Plan) {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::default();
    let given = Arc::clone(&plan);
    let ledger = Ledger::wrapped(
        dir.path(),
        Settings::default(),
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
