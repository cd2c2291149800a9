//! The merge policy over every set of bad items.

use std::collections::BTreeSet;

use gastown::machines::policy::Bisect;
use gastown::machines::policy::Known;
use gastown::machines::policy::Step;
use gastown::model::merge::Verdict;

/// What repeated cycles came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Result {
    landed: Vec<usize>,
    returned: Vec<usize>,
}

/// Runs at most for one culprit among `n`: one of the whole stack, a bisection, one of the target.
fn runs_max(n: usize) -> usize {
    usize::try_from(n.next_power_of_two().ilog2()).unwrap() + 2
}

/// Runs cycles over `items` until none waits; gates are red exactly when a bad item is in.
fn drain(mut items: Vec<usize>, bad: &BTreeSet<usize>) -> Result {
    let policy = Bisect { batch_max: 10 };
    let mut result = Result::default();
    let mut base = None;
    while !items.is_empty() {
        let len = policy.batch(items.len());
        let (mut green, mut red, mut runs) = (0, len + 1, 0);
        loop {
            match policy.next(Known { len, green, red, base }) {
                Step::Test(0) => {
                    base = Some(Verdict::Passed);
                    runs += 1;
                }
                Step::Test(at) => {
                    runs += 1;
                    if items[..at].iter().any(|item| bad.contains(item)) {
                        red = at;
                    } else {
                        green = at;
                    }
                }
                Step::Land => {
                    result.landed.extend(items.drain(..green));
                    base = Some(Verdict::Passed);
                    break;
                }
                Step::Return => break,
                Step::TargetRed => panic!("the target is green"),
            }
            assert!(runs <= runs_max(len), "{runs} runs for one culprit among {len}");
        }
        if red == green + 1 && red <= len {
            result.returned.push(items.remove(0));
        }
    }
    result
}

#[test]
fn every_set_of_bad_items_up_to_ten() {
    for n in 1..=10_usize {
        for mask in 0..(1_u32 << n) {
            let bad: BTreeSet<usize> = (0..n).filter(|at| mask & (1 << at) != 0).collect();
            let good: Vec<usize> = (0..n).filter(|at| !bad.contains(at)).collect();
            let result = drain((0..n).collect(), &bad);
            let returned: Vec<usize> = bad.iter().copied().collect();
            assert_eq!(result, Result { landed: good, returned }, "n {n}, bad {bad:?}");
        }
    }
}

fn check(len: usize, green: usize, red: usize, base: Option<Verdict>) -> Step {
    Bisect { batch_max: 8 }.next(Known { len, green, red, base })
}

#[test]
fn a_red_first_item_is_blamed_only_on_a_green_target() {
    assert_eq!(check(4, 0, 1, Some(Verdict::Passed)), Step::Return);
    assert_eq!(check(4, 0, 1, Some(Verdict::Failed)), Step::TargetRed);
    assert_eq!(check(4, 0, 1, Some(Verdict::CouldNotRun)), Step::Test(0));
    assert_eq!(check(4, 0, 1, None), Step::Test(0));
}

#[test]
fn the_whole_first_then_halves() {
    assert_eq!(check(8, 0, 9, None), Step::Test(8));
    assert_eq!(check(8, 0, 8, None), Step::Test(4));
    assert_eq!(check(8, 4, 8, None), Step::Test(6));
    assert_eq!(check(8, 7, 8, None), Step::Land);
    assert_eq!(check(8, 8, 9, None), Step::Land);
    assert_eq!(check(1, 0, 1, Some(Verdict::Passed)), Step::Return);
}

#[test]
fn a_batch_is_bounded() {
    assert_eq!(Bisect { batch_max: 8 }.batch(30), 8);
    assert_eq!(Bisect { batch_max: 8 }.batch(0), 0);
}
