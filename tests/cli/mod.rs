//! The commands, as a person or an agent calls them.

mod archive;
mod bd;
pub mod desk;
mod gt;
mod mr_ready;
mod running;
