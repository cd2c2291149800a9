//! Virtual time: tokio's paused clock, which moves on when everybody waits.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use gastown::actors::parts::Clock;
use tokio::runtime::Builder;
use tokio::time::Instant;

/// The first moment of every scenario.
pub const T0: i64 = 1_767_225_600_000;
/// Longest that a scenario waits for anything, in virtual time.
const DEADLINE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A clock that follows tokio's.
pub struct VirtualClock(Instant);

impl VirtualClock {
    /// It says [`T0`] now. Needs a runtime.
    pub fn start() -> Arc<Self> {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for VirtualClock {
    fn now_ms(&self) -> i64 {
        T0 + i64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
}

/// Runs a scenario on an arbiter of its own with paused time.
pub fn scenario<F: Future>(body: F) -> F::Output {
    let paused = || Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    actix_rt::System::with_tokio_rt(paused).block_on(body)
}

/// Waits for an event, at most until the deadline.
pub async fn soon<F: Future>(what: &str, event: F) -> F::Output {
    let Ok(output) = tokio::time::timeout(DEADLINE, event).await else {
        panic!("{what} did not happen")
    };
    output
}
