//! The writer lane of one database: what waits while a commit runs is the next group.
//!
//! Nobody is answered before the group is committed (I1). When the outcome of a commit is not
//! known, nobody is told that it happened: callers look and ask again.

use std::collections::VecDeque;

use crate::model::mutant;
use crate::model::mutant::Mutant;

/// A submission's ticket, unique within the lane.
pub type Ticket = u64;

/// What the lane is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneInput {
    /// Somebody submits ops.
    Submit(Ticket),
    /// The group is on disk; each member has its own answer.
    Committed,
    /// The group is not on disk, or nobody knows.
    Unknown,
}

/// What the lane wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneOutput {
    /// Commit these together.
    Commit(Vec<Ticket>),
    /// Answer these with what the commit said of each.
    Ack(Vec<Ticket>),
    /// Answer these: the outcome is not known.
    Unknown(Vec<Ticket>),
    /// Answer this one: too many wait.
    Busy(Ticket),
}

/// One lane.
#[derive(Clone, Debug)]
pub struct Lane {
    waiting: VecDeque<Ticket>,
    running: Option<Vec<Ticket>>,
    group_max: usize,
    queue_max: usize,
}

impl Lane {
    /// An idle lane.
    #[must_use]
    pub fn new(group_max: usize, queue_max: usize) -> Self {
        Self { waiting: VecDeque::new(), running: None, group_max: group_max.max(1), queue_max }
    }

    /// A lane with the same bounds and nothing in it, as after a crash.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self::new(self.group_max, self.queue_max)
    }

    /// Whether nothing waits and nothing runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// Takes one input and says what follows, in order.
    #[must_use]
    pub fn step(&mut self, input: &LaneInput) -> Vec<LaneOutput> {
        let mut out = Vec::new();
        match input {
            LaneInput::Submit(ticket) if self.waiting.len() >= self.queue_max => {
                out.push(LaneOutput::Busy(*ticket));
            }
            LaneInput::Submit(ticket) => {
                if mutant::planted(Mutant::AckBeforeCommit) {
                    out.push(LaneOutput::Ack(vec![*ticket]));
                }
                self.waiting.push_back(*ticket);
            }
            LaneInput::Committed => {
                let group = self.running.take().unwrap_or_default();
                if !mutant::planted(Mutant::AckBeforeCommit) {
                    out.push(LaneOutput::Ack(group));
                }
            }
            LaneInput::Unknown => {
                out.push(LaneOutput::Unknown(self.running.take().unwrap_or_default()));
            }
        }
        if self.running.is_none() && !self.waiting.is_empty() {
            let size = self.waiting.len().min(self.group_max);
            let group: Vec<Ticket> = self.waiting.drain(..size).collect();
            self.running = Some(group.clone());
            out.push(LaneOutput::Commit(group));
        }
        out
    }
}
