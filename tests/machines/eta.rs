//! When a merge request will be decided: bounds that hold whatever is drawn, and honesty.

use gastown::model::eta::Observed;
use gastown::model::eta::eta;
use gastown::model::eta::stack_length;

fn seen(clean: &[i64], red: &[i64]) -> Observed {
    Observed { clean: clean.to_vec(), red: red.to_vec() }
}

#[test]
fn nothing_observed_is_no_answer() {
    assert_eq!(eta(1, 0.1, 64, &Observed::default()), None);
    assert!(eta(1, 0.1, 64, &seen(&[], &[5])).is_some());
}

#[test]
fn without_culprits_the_cycles_are_whole_stacks() {
    let said = eta(100, 0.0, 10, &seen(&[60_000], &[])).unwrap();
    assert_eq!((said.cycles_p50, said.cycles_p90), (10, 10));
    assert_eq!((said.ms_p50, said.ms_p90), (600_000, 600_000));
}

#[test]
fn one_by_one_each_place_is_a_cycle() {
    let said = eta(7, 0.5, 64, &seen(&[1_000], &[3_000])).unwrap();
    assert_eq!(stack_length(0.5, 64), 1);
    assert_eq!((said.cycles_p50, said.cycles_p90), (7, 7));
    assert!(said.ms_p50 > 7_000 && said.ms_p90 < 21_000, "{said:?}");
    assert!(said.ms_p50 < said.ms_p90, "{said:?}");
}

#[test]
fn a_stack_is_as_long_as_golombs_code_asks() {
    let lengths: Vec<usize> =
        [0.005, 0.01, 0.05, 0.1, 0.2].map(|rate| stack_length(rate, 1_000)).to_vec();
    assert_eq!(lengths, [138, 69, 14, 7, 3]);
    assert_eq!(stack_length(0.01, 16), 16);
}

#[test]
fn the_further_back_the_later_and_the_same_rows_give_the_same_answer() {
    let rows = seen(&[50_000, 70_000], &[150_000, 400_000]);
    let places: Vec<_> = [1, 5, 20, 80].map(|at| eta(at, 0.1, 64, &rows).unwrap()).to_vec();
    assert!(places.windows(2).all(|pair| pair[0].ms_p90 < pair[1].ms_p90), "{places:?}");
    assert_eq!(eta(20, 0.1, 64, &rows), eta(20, 0.1, 64, &rows));
    // Seven are stacked, about five are decided by a cycle: by its culprit or its end.
    assert!((14..=20).contains(&places[3].cycles_p50), "{places:?}");
}
