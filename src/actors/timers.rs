//! The one owner of timers: at most one wake-up per address, the latest wish replaces the earlier.
//!
//! actix's own timers are not first-in-first-out at equal deadlines and cost at every poll; a
//! timer here carries no meaning but "look again", so that a late one does no harm.

#![expect(clippy::disallowed_methods, reason = "the one owner of timers is the one that sleeps")]

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::actors::directory::Directory;
use crate::actors::parts::Clock;
use crate::messages::Address;

/// Handle to the timer task.
#[derive(Clone)]
pub struct Timers {
    wishes: mpsc::UnboundedSender<(Address, Option<i64>)>,
}

impl Timers {
    /// Starts the task on the present arbiter.
    #[must_use]
    pub fn start(clock: Arc<dyn Clock>, directory: Directory) -> Self {
        let (wishes, inbox) = mpsc::unbounded_channel();
        actix_rt::spawn(run(clock, directory, inbox));
        Self { wishes }
    }

    /// Replaces an address's wake-up; `None` cancels it. One wish per decision bounds the channel.
    pub fn set(&self, address: &Address, at: Option<i64>) {
        if self.wishes.send((address.clone(), at)).is_err() {
            tracing::error!(%address, "the timer task is gone");
        }
    }
}

async fn run(
    clock: Arc<dyn Clock>,
    directory: Directory,
    mut inbox: mpsc::UnboundedReceiver<(Address, Option<i64>)>,
) {
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
            wish = inbox.recv() => {
                let Some((address, at)) = wish else { return };
                if let Some(old) = wanted.remove(&address) {
                    due.remove(&(old, address.clone()));
                }
                if let Some(at) = at {
                    wanted.insert(address.clone(), at);
                    due.insert((at, address));
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
