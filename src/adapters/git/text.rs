//! Merging two changes of one text that are apart from each other.
//!
//! Git compares texts by its histogram: the longest common run of lines that holds the rarest line
//! splits the text, then each part is split again. So a line that is there exactly once in both
//! versions and belongs to what they have in common at the start (or at the end) cannot be paired
//! wrongly, and no change that git sees reaches over it. Two such lines around all that a side
//! changed make a window. Where the windows of both sides have a line between them, git's answer
//! is the text with both windows replaced, whatever it sees inside of them. Everything else is
//! left to git.

use std::collections::HashMap;
use std::ops::Range;

/// Lines of `base` that a side replaces, and by what.
struct Window<'t> {
    lines: Range<usize>,
    by: Vec<&'t [u8]>,
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

fn counts<'t>(lines: &[&'t [u8]]) -> HashMap<&'t [u8], usize> {
    let mut counts = HashMap::new();
    for line in lines {
        *counts.entry(*line).or_default() += 1;
    }
    counts
}

fn window<'t>(base: &[&'t [u8]], side: &[&'t [u8]]) -> Window<'t> {
    let most = base.len().min(side.len());
    let mut start = base.iter().zip(side).take_while(|(a, b)| a == b).count();
    let from_end = base.iter().rev().zip(side.iter().rev());
    let mut after = from_end.take(most - start).take_while(|(a, b)| a == b).count();
    let (in_base, in_side) = (counts(base), counts(side));
    let once = |line: &[u8]| in_base.get(line) == Some(&1) && in_side.get(line) == Some(&1);
    while start > 0 && !once(base[start - 1]) {
        start -= 1;
    }
    while after > 0 && !once(base[base.len() - after]) {
        after -= 1;
    }
    Window { lines: start..base.len() - after, by: side[start..side.len() - after].to_vec() }
}

/// The text with both changes; `None` where only git itself knows.
#[must_use]
pub fn splice(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    let (base, ours, theirs) = (lines(base), lines(ours), lines(theirs));
    let (ours, theirs) = (window(&base, &ours), window(&base, &theirs));
    let (first, second) =
        if ours.lines.start <= theirs.lines.start { (ours, theirs) } else { (theirs, ours) };
    if first.lines.end >= second.lines.start {
        return None;
    }
    let before = &base[..first.lines.start];
    let between = &base[first.lines.end..second.lines.start];
    let after = &base[second.lines.end..];
    Some([before, &first.by, between, &second.by, after].concat().concat())
}

#[cfg(test)]
mod tests {
    use super::splice;

    #[test]
    fn changes_with_a_line_between_them_are_joined() {
        let base = b"a\nb\nc\nd\ne\n";
        let joined = splice(base, b"A\nb\nc\nd\ne\n", b"a\nb\nc\nd\nE");
        assert_eq!(joined.as_deref(), Some(&b"A\nb\nc\nd\nE"[..]));
        assert_eq!(splice(base, b"a\nB\nc\nd\ne\n", b"a\nb\nC\nd\ne\n"), None, "they touch");
        assert_eq!(splice(base, b"a\nx\nb\nc\nd\ne\n", b"a\ny\nb\nc\nd\ne\n"), None);
    }

    #[test]
    fn a_line_that_is_there_twice_holds_nothing_apart() {
        let base = b"a\n}\n}\n}\nb\n";
        assert_eq!(splice(base, b"A\n}\n}\n}\nb\n", b"a\n}\n}\n}\nB\n"), None);
    }
}
