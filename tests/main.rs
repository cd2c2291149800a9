//! All integration tests in one binary.

mod store;
//! Every integration test, in one binary.

mod world;
