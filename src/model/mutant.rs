//! Five deliberate defects that the simulator must catch, chosen at run time.
//!
//! Without the `mutants` feature the question is a constant `false` and the branches vanish.

use super::value::text_enum;

text_enum! {
    /// A planted defect and, in its doc, the invariant that must catch it.
    Mutant {
        /// The destination forgets which parcels it has applied: I9.
        SkipInboxDedup = "skip-inbox-dedup",
        /// The lane answers before the group is committed: I1.
        AckBeforeCommit = "ack-before-commit",
        /// Ops do not compare incarnations: I8.
        IgnoreIncarnation = "ignore-incarnation",
        /// The target moves without a passed run on its exact tree: I4.
        LandWithoutProof = "land-without-proof",
        /// A change is committed without its outbox row: I6.
        ForgetOutbox = "forget-outbox",
    }
}

#[cfg(feature = "mutants")]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Chooses the defect of this thread; `None` is the honest program.
#[cfg(feature = "mutants")]
pub fn choose(mutant: Option<Mutant>) {
    CHOSEN.with(|cell| cell.set(mutant));
}

/// Whether this defect is planted.
#[cfg(feature = "mutants")]
#[must_use]
pub fn planted(mutant: Mutant) -> bool {
    CHOSEN.with(|cell| cell.get() == Some(mutant))
}

/// Whether this defect is planted.
#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn planted(_: Mutant) -> bool {
    false
}
