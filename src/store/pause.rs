//! Waiting where there is no event: for an advisory lock, and before a commit is tried again.

#![expect(clippy::disallowed_methods, reason = "the store waits here and nowhere else")]

use std::time::Duration;

/// Blocks this thread.
pub(super) fn millis(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
