//! Gas Town: a town of coding agents on one machine.
//!
//! The map: [`model`] holds pure nouns and the ops on them;

pub mod adapters;
pub mod cli;
pub mod config;
pub mod machines;
pub mod messages;
pub mod model;
pub mod sim;
pub mod store;
