//! Every integration test, in one binary.

mod machines;
mod sim;
mod store;
mod world;
