//! Every integration test, in one binary.

mod actors;
mod cli;
mod machines;
mod sim;
mod store;
mod support;
mod tidy;
mod world;
