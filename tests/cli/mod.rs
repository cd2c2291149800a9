//! The commands, as a person or an agent calls them.

mod archive;
mod bd;
pub mod desk;
mod dolt;
mod everywhere;
mod gt;
mod integration;
mod mr_ready;
mod past;
mod running;
pub mod served;
mod server_down;
mod verify;
