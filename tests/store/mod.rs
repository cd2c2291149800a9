//! The ledger against its in-memory twin, and against damage, crashes and other writers.

mod conformance;
mod decay;
mod discipline;
mod faults;
mod groups;
mod growth;
mod home;
mod hooked;
mod keep;
mod keep_server;
mod killed;
mod lists;
mod past;
mod samples;
mod server;
mod skew;
mod support;
mod town;
