//! Pure nouns: ids, beads, agents, merge requests, mail, convoys; and the ops that change them.
//!
//! Nothing here does IO, reads a clock, the environment or randomness. Rows are plain data; every
//! op is a function from a transaction and a time to facts or a refusal.

pub mod agent;
pub mod bead;
pub mod effect;
pub mod eta;
pub mod exact;
pub mod ids;
pub mod learner;
pub mod line;
mod lists;
pub mod mail;
pub mod merge;
pub mod mutant;
pub mod ops;
pub mod parcel;
pub mod past;
pub mod query;
pub mod rows;
pub mod sql;
pub mod table;
pub mod tx;
pub mod upkeep;
pub mod value;
