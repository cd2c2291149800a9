//! Every integration test, in one binary.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test runs programs, shows what it measured, and stops at the first surprise"
)]

mod actors;
mod cli;
#[cfg(feature = "failpoints")]
mod crash;
mod demo;
mod gateway;
mod machines;
mod sim;
mod store;
mod support;
mod tidy;
mod tour;
mod world;
