//! The merge policy: over every set of bad items, with several runs at once, with flakes, and its
//! parts against what they should be by definition.

use std::collections::BTreeSet;

use gastown::machines::policy::Known;
use gastown::machines::policy::Move;
use gastown::machines::policy::Seen;
use gastown::machines::policy::batch;
use gastown::machines::policy::code;
use gastown::machines::policy::next;
use gastown::sim::queue_bench::bound;

/// What is known of a stack, as a table's line.
#[derive(Clone)]
struct Line {
    risks: Vec<f64>,
    base: f64,
    seen: Vec<Seen>,
    running: Vec<usize>,
    slots: usize,
    flake: f64,
    doubt_max: f64,
    reds_min: usize,
}

impl Line {
    /// Items of equal risk on a green target, one run at a time, no flakes.
    fn new(len: usize) -> Self {
        Self {
            risks: vec![0.1; len],
            base: 0.0,
            seen: Vec::new(),
            running: Vec::new(),
            slots: 1,
            flake: 0.0,
            doubt_max: 0.002,
            reds_min: 1,
        }
    }

    fn saw(mut self, len: usize, green: bool) -> Self {
        self.see(len, green);
        self
    }

    fn see(&mut self, len: usize, green: bool) {
        let at = self.seen.iter().position(|seen| seen.len == len).unwrap_or(self.seen.len());
        if at == self.seen.len() {
            self.seen.push(Seen { len, greens: 0, reds: 0 });
        }
        let seen = &mut self.seen[at];
        *(if green { &mut seen.greens } else { &mut seen.reds }) += 1;
    }

    fn next(&self) -> Move {
        next(&Known {
            risks: &self.risks,
            base: self.base,
            seen: &self.seen,
            running: &self.running,
            slots: self.slots,
            flake: self.flake,
            doubt_max: self.doubt_max,
            reds_min: self.reds_min,
        })
    }
}

fn blamed(item: usize, at: &Move) -> bool {
    matches!(at, Move::Blame { item: found, .. } if *found == item)
}

/// Runs stacks of at most ten until none waits; gates are red exactly when a bad item is in.
fn drain(mut items: Vec<usize>, bad: &BTreeSet<usize>, slots: usize) -> (Vec<usize>, Vec<usize>) {
    let (mut landed, mut returned) = (Vec::new(), Vec::new());
    while !items.is_empty() {
        let mut line = Line { slots, ..Line::new(items.len().min(10)) };
        let mut runs = 0;
        loop {
            match line.next() {
                Move::Test(lens) => {
                    assert!(lens.len() <= slots, "{} runs with {slots} slots", lens.len());
                    runs += lens.len();
                    for len in lens {
                        let green = !items[..len].iter().any(|item| bad.contains(item));
                        line.see(len, green);
                    }
                }
                Move::Land(len) => {
                    landed.extend(items.drain(..len));
                    break;
                }
                Move::Blame { item, doubt_ppm } => {
                    assert_eq!(doubt_ppm, 0);
                    landed.extend(items.drain(..item - 1));
                    returned.push(items.remove(0));
                    break;
                }
                other => panic!("{other:?} on a green target"),
            }
            // One of the whole, then a search that is never longer than by halves and one.
            assert!(runs <= 6 * slots, "{runs} runs for {bad:?}");
        }
    }
    (landed, returned)
}

#[test]
fn every_set_of_bad_items_up_to_eight_with_one_to_three_slots() {
    for n in 1..=8_usize {
        for mask in 0..(1_u32 << n) {
            let bad: BTreeSet<usize> = (0..n).filter(|at| mask & (1 << at) != 0).collect();
            let good: Vec<usize> = (0..n).filter(|at| !bad.contains(at)).collect();
            for slots in 1..=3 {
                let ends = drain((0..n).collect(), &bad, slots);
                let returned: Vec<usize> = bad.iter().copied().collect();
                assert_eq!(ends, (good.clone(), returned), "n {n}, bad {bad:?}, slots {slots}");
            }
        }
    }
}

#[test]
fn the_whole_first_then_where_the_culprit_is_as_likely_before_as_behind() {
    assert_eq!(Line::new(7).next(), Move::Test(vec![7]));
    assert_eq!(Line::new(7).saw(7, false).next(), Move::Test(vec![3]));
    assert_eq!(Line::new(7).saw(7, false).saw(3, false).next(), Move::Test(vec![1]));
    assert_eq!(Line::new(7).saw(7, true).next(), Move::Land(7));
}

#[test]
fn what_is_green_lands_before_the_search_goes_on() {
    assert_eq!(Line::new(7).saw(7, false).saw(3, true).next(), Move::Land(3));
    let mut busy = Line::new(7).saw(7, false).saw(3, true);
    busy.slots = 2;
    busy.running = vec![5];
    // A run in progress is about these very trees: it is not thrown away.
    assert_eq!(busy.next(), Move::Test(vec![4]));
}

#[test]
fn a_likely_culprit_is_looked_at_first() {
    let mut line = Line::new(7).saw(7, false);
    line.risks = vec![0.01, 0.01, 0.01, 0.01, 0.5, 0.01, 0.01];
    let Move::Test(lens) = line.next() else { panic!("a test") };
    assert!(lens == [4] || lens == [5], "{lens:?}");
    let blame = line.saw(4, true).saw(5, false).next();
    assert!(blamed(5, &blame), "{blame:?}");
}

#[test]
fn the_first_item_is_blamed_only_on_a_green_target() {
    let unknown = Line { base: 0.02, ..Line::new(4) }.saw(1, false);
    assert_eq!(unknown.next(), Move::Test(vec![0]));
    assert!(blamed(1, &unknown.clone().saw(0, true).next()));
    let once = unknown.saw(0, false);
    assert_eq!(once.next(), Move::Test(vec![0]), "one red run does not stop a queue");
    assert_eq!(once.saw(0, false).next(), Move::TargetRed);
}

#[test]
fn a_target_is_not_tested_while_its_stack_is_green() {
    let line = Line { base: 0.02, ..Line::new(3) };
    assert_eq!(line.next(), Move::Test(vec![3]));
    assert_eq!(line.saw(3, true).next(), Move::Land(3));
}

#[test]
fn several_slots_cut_into_as_many_pieces() {
    let mut line = Line::new(20);
    line.slots = 4;
    let Move::Test(lens) = line.next() else { panic!("tests") };
    assert_eq!((lens.len(), lens.last()), (4, Some(&20)));
    assert!(lens.windows(2).all(|pair| pair[0] < pair[1]), "{lens:?}");
    line.running = vec![lens[0], lens[2]];
    let Move::Test(more) = line.next() else { panic!("tests") };
    assert_eq!(more.len(), 2, "two slots are free");
    assert!(more.iter().all(|len| !line.running.contains(len)), "{more:?}");
}

#[test]
fn all_slots_taken_is_waiting() {
    let mut line = Line::new(5);
    line.running = vec![5];
    assert_eq!(line.next(), Move::Wait);
    let mut pair = Line { slots: 4, ..Line::new(2) }.saw(2, false);
    pair.running = vec![1];
    assert_eq!(pair.next(), Move::Wait, "nothing else would tell more");
}

#[test]
fn a_suspect_is_confirmed_when_gates_flake() {
    let mut line = Line { flake: 0.05, ..Line::new(7) };
    line.risks = vec![0.05; 7];
    // The whole was red, everything before the last is green: the last, or a flake.
    let suspect = line.saw(7, false).saw(6, true);
    assert_eq!(suspect.next(), Move::Land(6));
    let mut rest = Line { flake: 0.05, doubt_max: 0.003, ..Line::new(1) };
    rest.risks = vec![0.05];
    let rest = rest.saw(1, false);
    assert_eq!(rest.next(), Move::Test(vec![1]));
    let twice = rest.saw(1, false);
    assert_eq!(twice.next(), Move::Test(vec![1]));
    let Move::Blame { item: 1, doubt_ppm } = twice.clone().saw(1, false).next() else {
        panic!("three red runs are enough")
    };
    assert!((1_000..=2_500).contains(&doubt_ppm), "{doubt_ppm}");
    assert_eq!(twice.saw(1, true).next(), Move::Land(1), "a green run clears it");
}

#[test]
fn a_longer_green_prefix_clears_a_suspect() {
    let line = Line { flake: 0.05, ..Line::new(5) };
    assert_eq!(line.saw(2, false).saw(4, true).next(), Move::Land(4));
}

#[test]
fn an_audit_asks_for_a_second_red_run() {
    let audit = Line { reds_min: 2, ..Line::new(2) }.saw(1, false);
    assert_eq!(audit.next(), Move::Test(vec![1]));
    assert!(blamed(1, &audit.saw(1, false).next()));
}

/// Every way to cut `weights` into at most `ways` pieces, again and again: the least cost.
fn least(weights: &[f64], ways: usize) -> f64 {
    fn pieces(weights: &[f64], ways: usize, left: usize) -> f64 {
        let whole = least(weights, ways);
        if left == 1 || weights.len() == 1 {
            return whole;
        }
        let split =
            |cut: usize| least(&weights[..cut], ways) + pieces(&weights[cut..], ways, left - 1);
        (1..weights.len()).map(split).fold(whole, f64::min)
    }
    if weights.len() == 1 {
        return 0.0;
    }
    let split = |cut: usize| least(&weights[..cut], ways) + pieces(&weights[cut..], ways, ways - 1);
    let best = (1..weights.len()).map(split).fold(f64::INFINITY, f64::min);
    best + weights.iter().sum::<f64>()
}

#[test]
fn cuts_are_the_root_of_a_best_tree() {
    let rows: [&[f64]; 4] = [
        &[0.3, 0.1, 0.1, 0.2, 0.05, 0.25],
        &[0.05, 0.05, 0.6, 0.1, 0.1, 0.05, 0.05],
        &[0.4, 0.24, 0.144, 0.0864, 0.1296],
        &[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4],
    ];
    for row in rows {
        for slots in 1..=3 {
            let mut bounds = code::cuts(row, slots);
            assert!(bounds.len() <= slots);
            bounds.insert(0, 0);
            bounds.push(row.len());
            let below: f64 =
                bounds.windows(2).map(|pair| least(&row[pair[0]..pair[1]], slots + 1)).sum();
            let cost = below + row.iter().sum::<f64>();
            let best = least(row, slots + 1);
            assert!((cost - best).abs() < 1e-9, "{row:?} with {slots}: {cost} and not {best}");
        }
    }
}

#[test]
fn even_rows_are_cut_alike_by_both_ways_of_working_it_out() {
    // Longer rows of equal risks have a quicker way of their own.
    let row = |len: usize| {
        let mut row: Vec<f64> = (0..len).map(|at| 0.02 * 0.98_f64.powi(at as i32)).collect();
        row.push(0.98_f64.powi(len as i32));
        row
    };
    let (short, long) = (code::cuts(&row(60), 8), code::cuts(&row(80), 8));
    assert_eq!((short.len(), long.len()), (8, 8));
    assert!(long.iter().zip(&short).all(|(long, short)| long >= short), "{long:?} {short:?}");
}

#[test]
fn a_stack_is_as_long_as_golomb_says() {
    for p in [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3] {
        let wanted = bound::find_first(p).0 as usize;
        assert_eq!(batch::batch(&vec![p; 400], 1, 400), wanted, "p {p}");
        assert_eq!(batch::length(p, 1, 400), wanted, "p {p}");
    }
    assert_eq!(batch::batch(&[0.4; 20], 1, 20), 1, "above the break-even: one by one");
    assert_eq!(batch::batch(&[0.01; 30], 1, 8), 8, "never more than asked for");
    assert_eq!(batch::batch(&[], 1, 8), 0);
    assert!(batch::batch(&[0.05; 400], 4, 400) > batch::batch(&[0.05; 400], 1, 400));
}

#[test]
fn likely_culprits_are_stacked_last_within_their_class_and_only_once() {
    let risks = [0.4, 0.01, 0.02, 0.3];
    assert_eq!(batch::order(&risks, &[2; 4], &[false; 4]), [1, 2, 3, 0]);
    assert_eq!(batch::order(&risks, &[2; 4], &[true, false, false, false]), [0, 1, 2, 3]);
    assert_eq!(batch::order(&risks, &[0, 2, 2, 2], &[false; 4]), [0, 1, 2, 3]);
}

#[test]
fn who_minds_no_doubt_still_books_it() {
    let mut line = Line { flake: 0.05, doubt_max: 0.95, ..Line::new(1) };
    line.risks = vec![0.001];
    let Move::Blame { item: 1, doubt_ppm } = line.saw(1, false).next() else { panic!("a blame") };
    assert!(doubt_ppm > 900_000, "a flake is what it most likely was: {doubt_ppm}");
}
