//! The command line.

pub mod town;
