//! The writer lane: groups, acknowledgements, unknown outcomes, bounds.

use gastown::machines::lane::Lane;
use gastown::machines::lane::LaneInput;

use LaneInput::Committed;
use LaneInput::Submit;
use LaneInput::Unknown;

/// One line for each input of a lane with groups of 2 and room for 3.
fn check(script: &[LaneInput]) -> String {
    let mut lane = Lane::new(2, 3);
    let lines: Vec<String> =
        script.iter().map(|input| format!("{input:?} -> {:?}", lane.step(input))).collect();
    lines.join("\n")
}

#[test]
fn what_waits_during_a_commit_is_the_next_group() {
    let script =
        [Submit(1), Submit(2), Submit(3), Submit(4), Committed, Committed, Committed, Submit(5)];
    insta::assert_snapshot!(check(&script), @r"
    Submit(1) -> [Commit([1])]
    Submit(2) -> []
    Submit(3) -> []
    Submit(4) -> []
    Committed -> [Ack([1]), Commit([2, 3])]
    Committed -> [Ack([2, 3]), Commit([4])]
    Committed -> [Ack([4])]
    Submit(5) -> [Commit([5])]
    ");
}

#[test]
fn nobody_is_acknowledged_before_the_commit() {
    insta::assert_snapshot!(check(&[Submit(1), Submit(2), Unknown, Committed]), @r"
    Submit(1) -> [Commit([1])]
    Submit(2) -> []
    Unknown -> [Unknown([1]), Commit([2])]
    Committed -> [Ack([2])]
    ");
}

#[test]
fn a_full_lane_says_so_and_takes_the_next_when_there_is_room() {
    let script =
        [Submit(1), Submit(2), Submit(3), Submit(4), Submit(5), Committed, Submit(6), Committed];
    insta::assert_snapshot!(check(&script), @r"
    Submit(1) -> [Commit([1])]
    Submit(2) -> []
    Submit(3) -> []
    Submit(4) -> []
    Submit(5) -> [Busy(5)]
    Committed -> [Ack([1]), Commit([2, 3])]
    Submit(6) -> []
    Committed -> [Ack([2, 3]), Commit([4, 6])]
    ");
}

#[test]
fn a_crash_empties_it() {
    let mut lane = Lane::new(2, 3);
    assert_eq!(lane.step(&Submit(1)).len(), 1);
    assert!(!lane.is_idle());
    assert!(lane.emptied().is_idle());
}
