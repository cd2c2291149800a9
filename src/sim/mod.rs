//! The simulated town: an in-memory ledger that behaves as the real one.
//!
//! It may name model, messages and machines; never actix, the store or an adapter.

pub mod memory;
pub mod memory_query;
