//! A bounded set of reading connections. One is made when it is wanted and none is free.

use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::Intent;

/// Makes a connection: the one place where an engine is chosen.
pub(super) type Opener = Arc<dyn Fn() -> Result<Box<dyn Conn>, ConnError> + Send + Sync>;

/// What a pool answers instead of a result.
#[derive(Debug)]
pub(super) enum PoolError {
    /// All were in use for too long.
    Exhausted,
    /// The engine failed.
    Engine(ConnError),
}

impl From<ConnError> for PoolError {
    fn from(error: ConnError) -> Self {
        Self::Engine(error)
    }
}

#[derive(Default)]
struct State {
    idle: Vec<Box<dyn Conn>>,
    out: usize,
}

/// The reading connections of one database.
pub(super) struct ReadPool {
    opener: Opener,
    state: Mutex<State>,
    freed: Condvar,
    size: usize,
    wait: Duration,
}

/// One place in the pool; given back when dropped, also by a panic.
struct Place<'a>(&'a ReadPool);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().out -= 1;
        self.0.freed.notify_one();
    }
}

impl ReadPool {
    /// At most `size` connections; a caller waits at most `wait` for one.
    pub(super) fn new(opener: Opener, size: usize, wait: Duration) -> Self {
        let size = size.max(1);
        Self { opener, state: Mutex::default(), freed: Condvar::new(), size, wait }
    }

    /// The most connections.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Runs `body` in a snapshot. A connection on which it failed is closed, not kept.
    ///
    /// # Errors
    /// [`PoolError`], also `body`'s own.
    pub(super) fn with<T>(
        &self,
        body: impl FnOnce(&mut dyn Conn) -> Result<T, ConnError>,
    ) -> Result<T, PoolError> {
        let (place, idle) = self.place()?;
        let mut conn = match idle {
            Some(conn) => conn,
            None => (self.opener)()?,
        };
        match conn.begin(Intent::Read) {
            // It broke while it was idle, and so did the others: the server was started anew.
            Err(ConnError::Down(_)) => {
                self.close_idle();
                conn = (self.opener)()?;
                conn.begin(Intent::Read)?;
            }
            other => other?,
        }
        let answer = body(conn.as_mut())?;
        conn.rollback()?;
        self.give(conn);
        drop(place);
        Ok(answer)
    }

    /// Keeps a connection that is in no transaction for the next caller.
    pub(super) fn give(&self, conn: Box<dyn Conn>) {
        self.lock().idle.push(conn);
    }

    /// Takes away a connection that nobody uses.
    pub(super) fn take_idle(&self) -> Option<Box<dyn Conn>> {
        self.lock().idle.pop()
    }

    /// Closes every connection that is not in use: before the file is replaced or compacted.
    pub(super) fn close_idle(&self) {
        self.lock().idle.clear();
    }

    fn place(&self) -> Result<(Place<'_>, Option<Box<dyn Conn>>), PoolError> {
        let state = self.lock();
        let (mut state, _) = self
            .freed
            .wait_timeout_while(state, self.wait, |state| state.out >= self.size)
            .unwrap_or_else(PoisonError::into_inner);
        if state.out >= self.size {
            return Err(PoolError::Exhausted);
        }
        state.out += 1;
        let idle = state.idle.pop();
        drop(state);
        Ok((Place(self), idle))
    }

    /// No code that can panic runs under the lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
