//! What tests share: a ledger in memory, a made-up world, virtual time, a real server.

pub mod clock;
pub mod dolt;
pub mod fake_world;
pub mod kennel;
pub mod memory_port;
pub mod processes;
