//! The world outside the process: files, git, sessions and gates.
//!
//! Each effect of the model is performed here and answered with what the world looks like after
//! it. This room decides nothing and knows neither the ledger nor the actors.

#![expect(
    clippy::disallowed_methods,
    reason = "this room is where clocks are read, processes started and other processes waited for"
)]

pub mod agent_env;
pub mod clock;
pub mod detach;
pub mod files;
pub mod gates;
pub mod git;
pub mod host;
pub mod layout;
pub mod rig_setup;
pub mod scripted;
pub mod sessions;
pub mod templates;
pub mod token;
pub mod tool;
pub mod world;

/// Where reached failpoints leave their markers (`GT_FAILPOINTS`); `None` reaches none.
#[cfg(feature = "failpoints")]
#[must_use]
pub fn failpoint_dir() -> Option<std::path::PathBuf> {
    std::env::var_os("GT_FAILPOINTS").map(std::path::PathBuf::from)
}
