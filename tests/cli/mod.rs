//! The commands, as a person or an agent calls them.

mod bd;
mod desk;
mod gt;
mod mr_ready;
mod running;
