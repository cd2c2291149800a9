//! The ledger: databases on disk, transactions over them, and the one writer of each.
//!
//! [`conn`] is the shape of an engine, [`doltlite`] the embedded one; [`sql_tx`] gives ops their
//! transaction, [`query`] answers lists; [`ledger`] holds all databases of a town, [`writer`]
//! commits groups and [`signing`] says so in their commits. Nothing here decides what work means,
//! and nothing knows actors or the CLI.

pub mod admin;
pub mod conn;
pub mod convert;
pub mod digest;
pub mod doltlite;
pub mod epoch;
pub mod error;
pub mod keep;
pub mod ledger;
mod lock;
mod outside;
pub mod past;
mod pause;
mod place;
mod pool;
pub mod port;
pub mod query;
pub mod remote;
pub mod schema;
pub mod served;
pub mod server;
pub mod signing;
pub mod sql_tx;
pub mod writer;
