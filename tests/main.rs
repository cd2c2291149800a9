//! Every integration test, in one binary.

mod actors;
mod machines;
mod sim;
mod store;
mod support;
mod world;
