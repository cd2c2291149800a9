//! The commands, as a person or an agent calls them.

mod bd;
pub mod desk;
mod gt;
mod mr_ready;
mod past;
mod running;
mod served;
mod server_down;
