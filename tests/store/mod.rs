//! The ledger against its in-memory twin, and against damage, crashes and other writers.

mod conformance;
mod decay;
mod faults;
mod groups;
mod growth;
mod keep;
mod lists;
mod samples;
mod server;
mod support;
mod town;
