//! Gas Town: a town of coding agents on one machine.
//!
//! The map: [`model`] holds pure nouns and the ops on them; [`messages`] what is said; [`machines`]
//! pure decisions; [`store`] the ledger; [`adapters`] the world; [`actors`] the mailboxes round the
//! machines; [`gateway`] the door; [`cli`] the commands; [`config`] the settings; [`sim`] the seeded
//! simulator. `docs/architecture.md` says which room may name which.

pub mod actors;
pub mod adapters;
pub mod cli;
pub mod config;
pub mod gateway;
pub mod machines;
pub mod messages;
pub mod model;
pub mod sim;
pub mod store;
