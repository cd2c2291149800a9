//! A connection with something in between: faults, and others who act at a chosen moment.

use std::sync::Arc;

use gastown::model::value::Value;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Conn;
use gastown::store::conn::ConnError;
use gastown::store::conn::Dialect;
use gastown::store::conn::Grid;
use gastown::store::conn::Intent;
use gastown::store::conn::Most;
use gastown::store::ledger::Wrap;

/// What happens around the steps of a transaction. An error stands in for the engine's.
pub trait Hooks: Send + Sync + 'static {
    /// Before the change with this number in its transaction, counting from 1.
    fn before_change(&self, _number: usize) -> Result<(), ConnError> {
        Ok(())
    }
    /// Before a commit is asked for.
    fn before_commit(&self) -> Result<(), ConnError> {
        Ok(())
    }
    /// After a commit stands.
    fn after_commit(&self) -> Result<(), ConnError> {
        Ok(())
    }
}

/// Puts these hooks on every connection of a ledger.
pub fn wrap(hooks: Arc<impl Hooks>) -> Wrap {
    Arc::new(move |inner| {
        let hooks: Arc<dyn Hooks> = hooks.clone();
        Box::new(Hooked { inner, hooks, changes: 0 })
    })
}

struct Hooked {
    inner: Box<dyn Conn>,
    hooks: Arc<dyn Hooks>,
    changes: usize,
}

impl Conn for Hooked {
    fn dialect(&self) -> &'static Dialect {
        self.inner.dialect()
    }
    fn begin(&mut self, intent: Intent) -> Result<(), ConnError> {
        self.changes = 0;
        self.inner.begin(intent)
    }
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize, ConnError> {
        self.changes += 1;
        self.hooks.before_change(self.changes)?;
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
        self.hooks.before_commit()?;
        let done = self.inner.commit(info)?;
        self.hooks.after_commit()?;
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
