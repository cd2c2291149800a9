//! The bench: entries against their formulas, and ours against its bounds, in small.

use gastown::sim::queue_bench::Arrivals;
use gastown::sim::queue_bench::Entry;
use gastown::sim::queue_bench::Mix;
use gastown::sim::queue_bench::Nature;
use gastown::sim::queue_bench::Outcome;
use gastown::sim::queue_bench::Trial;
use gastown::sim::queue_bench::bound;
use gastown::sim::queue_bench::entries::Dorfman;
use gastown::sim::queue_bench::entries::Halving;
use gastown::sim::queue_bench::entries::Original;
use gastown::sim::queue_bench::entries::Serial;
use gastown::sim::queue_bench::entries::Train;
use gastown::sim::queue_bench::ours::Ours;
use gastown::sim::queue_bench::ours::Wits;
use gastown::sim::queue_bench::run;

fn world(mix: Mix, flake_ppm: u64) -> Nature {
    Nature { mix, flake_ppm }
}

fn trial(changes: u64, slots: usize) -> Trial {
    Trial { seed: 7, changes, slots, arrivals: Arrivals::Full(120) }
}

fn near(name: &str, outcome: &Outcome, formula: f64) {
    let (cost, error) = (outcome.cost(), outcome.error());
    assert!((cost - formula).abs() <= 4.0 * error + 0.002 * formula, "{name}: {cost} {formula}");
    assert_eq!(outcome.bad_landed, 0, "{name}");
}

#[test]
fn entries_cost_what_their_formulas_say() {
    let (p, nature) = (0.1, world(Mix::Even(100_000), 0));
    let mut all: Vec<(&str, Box<dyn Entry>, usize, f64)> = vec![
        ("serial", Box::new(Serial), 1, 1.0),
        ("batch 4", Box::new(Dorfman::new(4)), 1, bound::dorfman(p, 4)),
        ("halving", Box::new(Halving::new(8)), 1, bound::halving(p, 3)),
        ("original", Box::new(Original::new(5)), 1, bound::original(p, 5)),
        ("train", Box::<Train>::default(), 20, bound::train(p, 20)),
    ];
    for (name, entry, slots, formula) in &mut all {
        near(name, &run(entry.as_mut(), &nature, &trial(10_000, *slots)), *formula);
    }
}

#[test]
fn formulas_agree_with_the_published_tables() {
    let close = |found: f64, wanted: f64| (found / wanted - 1.0).abs() < 0.005;
    for (p, limit, original, halving, dorfman) in [
        (0.005, 0.0454, 0.227, 3.41, 5.94),
        (0.05, 0.2864, 0.453, 1.39, 1.52),
        (0.2, 0.7219, 1.037, 1.37, 1.16),
    ] {
        let bits = bound::entropy(p);
        assert!(close(bits, limit) && close(bound::original(p, 5), original), "{p}");
        assert!(close(bound::halving(p, 3) / bits, halving), "{p}");
        assert!(close(bound::dorfman(p, 4) / bits, dorfman), "{p}");
    }
    for (p, slots, pace) in [(0.05, 4, 7.94), (0.1, 8, 6.34), (0.01, 16, 48.3)] {
        assert!(close(bound::pace(p, slots), pace), "{p} {slots}");
    }
    assert!(close(bound::capacity(0.05), 0.857) && close(bound::capacity(0.1), 0.763));
}

#[test]
fn ours_is_at_the_limit() {
    let (p, nature) = (0.05, world(Mix::Even(50_000), 0));
    let wits = Wits::Told { calm: p, wild: p, flake: 0.0 };
    let outcome = run(&mut Ours::new(wits.clone(), 1e-4), &nature, &trial(40_000, 1));
    near("ours", &outcome, bound::find_first(p).1);
    assert_eq!((outcome.unproven, outcome.innocent, outcome.overtaken), (0, 0, 0));
    let wide = run(&mut Ours::new(wits, 1e-4), &nature, &trial(20_000, 4));
    let share = wide.pace() / bound::pace(p, 4);
    assert!(share > 0.98 - 3.0 / 1_000_f64.sqrt(), "{share}");
}

#[test]
fn ours_learns_flakes_and_spares_the_innocent() {
    let nature = world(Mix::Even(50_000), 50_000);
    let limit = bound::entropy(0.05) / bound::capacity(0.05) / 0.95;
    let mut ours = Ours::new(Wits::Learns(Box::default()), 1e-4);
    let outcome = run(&mut ours, &nature, &trial(20_000, 1));
    assert!(outcome.cost_merged() / limit < 1.25, "{}", outcome.cost_merged() / limit);
    assert!(outcome.innocent <= 8, "{} innocents of 20,000", outcome.innocent);
    assert_eq!((outcome.bad_landed, outcome.unproven), (0, 0));
}

#[test]
fn ours_uses_what_traits_say() {
    let mix = Mix::Two { share: 100_000, low: 10_000, high: 400_000, silent: true };
    let mut ours = Ours::new(Wits::Learns(Box::default()), 1e-4);
    let outcome = run(&mut ours, &world(mix, 0), &trial(20_000, 1));
    assert!(outcome.ratio() < 1.12, "{}", outcome.ratio());
    assert!(outcome.cost() < 0.75 * bound::entropy(0.049), "{}", outcome.cost());
    assert!(outcome.overtaken <= 138, "{}", outcome.overtaken);
}
