//! Mailboxes round the machines: hosts, the store, the supervisor tree, effects and timers.
//!
//! One arbiter runs the control plane; whatever blocks runs on blocking threads. Nothing here
//! decides: [`host`] runs any machine, one short file per role says where it stands in the tree.

mod boot;
mod deacon;
pub mod directory;
mod dispatcher;
mod dogs;
pub mod effects;
pub mod host;
mod mayor;
pub mod parts;
mod polecat;
mod refinery;
mod relay;
pub mod store;
pub mod supervisor;
pub mod timers;
pub mod town;
mod witness;
