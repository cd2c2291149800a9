//! What scenario tests share: a ledger in memory, a made-up world, virtual time.

pub mod clock;
pub mod fake_world;
pub mod kennel;
pub mod memory_port;
pub mod processes;
