//! The ledger against its in-memory twin, and against damage, crashes and other writers.

mod conformance;
mod discipline;
mod faults;
mod groups;
mod home;
mod hooked;
mod killed;
mod lists;
mod samples;
mod server;
mod skew;
mod support;
mod town;
