//! Short lives of simulated towns.

use std::collections::BTreeMap;

use gastown::sim::Config;
use gastown::sim::Faults;
use gastown::sim::Report;
use gastown::sim::run;

/// Runs a town and checks that nothing was broken.
fn check(config: &Config) -> Report {
    let report = run(config);
    let (seed, faults) = (config.seed, config.faults);
    assert_eq!(report.violations, [""; 0], "seed {seed} {faults}: {:#?}", report.last_steps);
    report
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let town = |seed| check(&Config::days(seed, 0.05, 2, 6, Faults::Heavy));
    let (first, second, other) = (town(7), town(7), town(8));
    assert_eq!(first.trace_hash, second.trace_hash);
    let bytes = |report: &Report| serde_json::to_string(report).unwrap();
    assert_eq!(bytes(&first), bytes(&second), "I14");
    assert_ne!(first.trace_hash, other.trace_hash);
}

#[test]
fn nothing_breaks_without_faults() {
    for seed in 1..=3 {
        let report = check(&Config::days(seed, 0.2, 2, 8, Faults::None));
        assert!(report.beads_merged > 0, "seed {seed} merged nothing");
        assert_eq!(report.faults.values().sum::<u64>(), 0);
    }
}

#[test]
fn nothing_breaks_under_light_faults() {
    for seed in 1..=4 {
        let report = check(&Config::days(seed, 0.1, 2, 8, Faults::Light));
        assert!(report.beads_merged > 0, "seed {seed} merged nothing");
    }
}

fn add(sum: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (name, count) in more {
        *sum.entry(name.clone()).or_default() += count;
    }
}

#[test]
fn heavy_faults_of_every_kind_break_nothing_and_every_invariant_is_looked_at() {
    let (mut faults, mut looks) = (BTreeMap::new(), BTreeMap::new());
    for seed in 1..=6 {
        let report = check(&Config::days(seed, 0.2, 3, 12, Faults::Heavy));
        add(&mut faults, &report.faults);
        add(&mut looks, &report.evaluations);
    }
    let never = |sum: &BTreeMap<String, u64>| -> Vec<String> {
        sum.iter().filter(|(_, n)| **n == 0).map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(faults.len(), 16);
    assert_eq!(never(&faults), [""; 0], "{faults:?}");
    assert_eq!(looks.len(), 16);
    assert_eq!(never(&looks), [""; 0], "{looks:?}");
}

#[test]
fn every_filed_bead_is_decided_when_nothing_breaks() {
    let report = check(&Config::days(11, 0.1, 1, 4, Faults::None));
    assert!(report.beads_merged <= report.beads_filed);
    assert!(report.beads_merged * 10 >= report.beads_filed * 8, "{report:?}");
}
