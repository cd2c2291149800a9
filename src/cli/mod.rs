//! The command line.

pub mod town;

pub mod boot;
