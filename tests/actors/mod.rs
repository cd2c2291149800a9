//! Real actors on virtual time, over a ledger in memory and a made-up world.

mod probe;
mod supervision;
mod town;
