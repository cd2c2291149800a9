//! Every integration test, in one binary.

mod world;
//! All integration tests in one binary.

mod store;
