//! Machine tables: rows and inputs in, decisions out.

pub mod bench;
mod boot;
mod deacon;
mod dispatcher;
mod dog;
mod dog_store;
mod eta;
mod integration;
mod lane;
mod learner;
mod mayor;
mod polecat;
mod policy;
pub mod refinery;
mod refinery_life;
mod refinery_search;
mod refinery_trouble;
mod relay;
mod supervision;
mod verification;
mod witness;
