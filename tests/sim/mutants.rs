//! Five planted defects: each is caught by the invariant that was named for it in advance.

use gastown::model::mutant;
use gastown::model::mutant::Mutant;
use gastown::sim::Config;
use gastown::sim::Faults;
use gastown::sim::run;

/// Seeds that are tried before a defect counts as missed.
const SEEDS: u64 = 200;

/// Plants the defect on this thread and runs seed after seed until an invariant breaks.
fn check(mutant: Mutant, invariant: &str) {
    mutant::choose(Some(mutant));
    let caught = (1..=SEEDS).find_map(|seed| {
        let mut config = Config::days(seed, 0.1, 2, 8, Faults::Heavy);
        config.stop_early = true;
        run(&config).violations.into_iter().next().map(|first| (seed, first))
    });
    mutant::choose(None);
    let (seed, first) = caught.unwrap_or_else(|| panic!("{mutant} lived through {SEEDS} seeds"));
    println!("{mutant}: seed {seed}: {first}");
    assert!(first.starts_with(&format!("{invariant}:")), "seed {seed} broke {first}");
}

#[test]
fn a_forgotten_inbox_cursor_breaks_i9() {
    check(Mutant::SkipInboxDedup, "I9");
}

#[test]
fn an_early_acknowledgement_breaks_i1() {
    check(Mutant::AckBeforeCommit, "I1");
}

#[test]
fn an_ignored_incarnation_breaks_i8() {
    check(Mutant::IgnoreIncarnation, "I8");
}

#[test]
fn a_landing_without_proof_breaks_i4() {
    check(Mutant::LandWithoutProof, "I4");
}

#[test]
fn a_forgotten_outbox_row_breaks_i6() {
    check(Mutant::ForgetOutbox, "I6");
}
