//! The command line: what was asked for is parsed, sent through the door, and printed.
//!
//! [`context`] finds the town and the database that are meant, [`call`] asks the daemon or, without
//! one, the ledger itself; [`render`] prints; [`error`] has the exit codes. Families of commands are
//! one file each.

pub mod bd;
pub mod books;
pub mod boot;
pub mod call;
pub mod context;
pub mod demo;
pub mod doorman;
pub mod error;
pub mod finish;
pub mod gt;
pub mod render;
pub mod town;

pub use bd::run_bd;
pub use gt::run_gt;
pub mod when;
