//! The door: who may ask what, how it is answered, and how a call travels.
//!
//! [`desk`] answers one call over [`books`] (what it needs of a ledger), in the daemon and in a
//! command's own process alike; [`http`] puts it behind a socket, [`client`] speaks to it. This
//! room decides nothing about work and names no engine.

pub mod books;
pub mod client;
pub mod desk;
pub mod http;
pub mod routing;
