//! The commands, as a person or an agent calls them.

mod bd;
mod desk;
mod gt;
mod running;
