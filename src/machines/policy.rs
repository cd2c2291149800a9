//! The merge policy: one pure value that says what to do next with a stack.
//!
//! Find the first culprit on prefixes (seed: batch-then-bisect): test the tip; when it is red,
//! halve the gap between the longest green and the shortest red prefix. A red first item is
//! blamed only when the target itself is known green.

use crate::model::merge::Verdict;

/// What is known of a stack.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Items in the stack, at least 1.
    pub len: usize,
    /// Longest prefix known green.
    pub green: usize,
    /// Shortest prefix known red; `len + 1` when none is.
    pub red: usize,
    /// What is known of the target itself.
    pub base: Option<Verdict>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Run the gates on the prefix of this length; 0 is the target itself.
    Test(usize),
    /// Land the longest green prefix; a culprit behind it goes back.
    Land,
    /// Nothing lands; the first item goes back.
    Return,
    /// The target itself is red: nobody is blamed, a person is told.
    TargetRed,
}

/// Batch-then-bisect with a fixed largest batch.
#[derive(Clone, Copy, Debug)]
pub struct Bisect {
    /// Most merge requests in one stack.
    pub batch_max: usize,
}

impl Bisect {
    /// How many of the waiting merge requests to stack.
    #[must_use]
    pub fn batch(&self, waiting: usize) -> usize {
        waiting.min(self.batch_max)
    }

    /// The next step.
    #[must_use]
    pub fn next(&self, known: Known) -> Step {
        let Known { len, green, red, base } = known;
        if green == len {
            return Step::Land;
        }
        if red > len {
            return Step::Test(len);
        }
        if red > green + 1 {
            return Step::Test(usize::midpoint(green, red));
        }
        match (green, base) {
            (0, Some(Verdict::Passed)) => Step::Return,
            (0, Some(Verdict::Failed)) => Step::TargetRed,
            (0, Some(Verdict::CouldNotRun) | None) => Step::Test(0),
            _ => Step::Land,
        }
    }
}
