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
pub mod dolt;
pub mod failpoint;
pub mod files;
pub mod gates;
pub mod git;
pub mod host;
pub mod interrupt;
pub mod layout;
pub mod rig_setup;
pub mod scripted;
pub mod sessions;
pub mod templates;
pub mod token;
pub mod tool;
pub mod world;
