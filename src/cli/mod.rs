//! The command line.

pub mod boot;
pub mod gt;
pub mod town;
