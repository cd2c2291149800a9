//! Every integration test, in one binary.

mod cli;
mod gateway;
mod store;
mod world;
