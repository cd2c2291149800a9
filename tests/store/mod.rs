//! The ledger against its in-memory twin, and against damage, crashes and other writers.

mod conformance;
mod faults;
mod groups;
mod home;
mod hooked;
mod lists;
mod past;
mod samples;
mod server;
mod skew;
mod support;
mod town;
