//! The one owner of timers: at most one wake-up per address, the latest wish replaces the earlier.
//!
//! actix's own timers are not first-in-first-out at equal deadlines and cost at every poll; a
//! timer here carries no meaning but "look again", so that a late one does no harm.

#![expect(clippy::disallowed_methods, reason = "the one owner of timers is the one that sleeps")]

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::Notify;

use crate::actors::directory::Directory;
use crate::actors::parts::Clock;
use crate::messages::Address;

/// Handle to the timer task.
#[derive(Clone, Default)]
pub struct Timers {
    board: Arc<Board>,
}

/// Wishes that the task has not seen yet: at most one per address, so it needs no other bound.
#[derive(Default)]
struct Board {
    wishes: Mutex<BTreeMap<Address, Option<i64>>>,
    news: Notify,
}

impl Board {
    fn take(&self) -> BTreeMap<Address, Option<i64>> {
        std::mem::take(&mut *self.wishes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Timers {
    /// Starts the task on the present arbiter, with which it ends.
    #[must_use]
    pub fn start(clock: Arc<dyn Clock>, directory: Directory) -> Self {
        let timers = Self::default();
        actix_rt::spawn(run(clock, directory, timers.board.clone()));
        timers
    }

    /// Replaces an address's wake-up; `None` cancels it.
    pub fn set(&self, address: &Address, at: Option<i64>) {
        let mut wishes = self.board.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        wishes.insert(address.clone(), at);
        drop(wishes);
        self.board.news.notify_one();
    }
}

async fn run(clock: Arc<dyn Clock>, directory: Directory, board: Arc<Board>) {
    let mut due: BTreeSet<(i64, Address)> = BTreeSet::new();
    let mut wanted: BTreeMap<Address, i64> = BTreeMap::new();
    loop {
        let wait = due.first().map(|(at, _)| at.saturating_sub(clock.now_ms()).max(0));
        let sleep = async {
            match wait {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms.unsigned_abs())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = board.news.notified() => {
                for (address, at) in board.take() {
                    if let Some(old) = wanted.remove(&address) {
                        due.remove(&(old, address.clone()));
                    }
                    if let Some(at) = at {
                        wanted.insert(address.clone(), at);
                        due.insert((at, address));
                    }
                }
            }
            () = sleep => {
                let now = clock.now_ms();
                while due.first().is_some_and(|(at, _)| *at <= now) {
                    let Some((_, address)) = due.pop_first() else { break };
                    wanted.remove(&address);
                    directory.wake(&address);
                }
            }
        }
    }
}
