//! The simulator: seeds, invariants, faults, and the five planted defects.

#[cfg(feature = "mutants")]
mod mutants;
mod queue_bench;
mod runs;
