//! Machine tables: rows and inputs in, decisions out.

mod bench;
mod boot;
mod deacon;
mod dispatcher;
mod dog;
mod dog_store;
mod lane;
mod learner;
mod mayor;
mod polecat;
mod policy;
mod refinery;
mod refinery_search;
mod relay;
mod supervision;
mod verification;
mod witness;
