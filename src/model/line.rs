//! The line before the queue: whose turn it is, what has to be there first, who is kept back.
//!
//! The most urgent go first, then the oldest. Who is overtaken ages: after each [`AGE_BATCHES`]
//! batches with newer ones of a higher class it rises a class, so that no wait is without bound. A
//! hotfix is a person's word and goes before all classes.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Serialize;

use super::bead::DepType;
use super::bead::Hold;
use super::bead::Status;
use super::ids::BeadId;
use super::merge::IntegrationState;
use super::merge::MrState;
use super::merge::Stack;
use super::rows::Bead;
use super::rows::Dep;
use super::rows::Integration;
use super::rows::MergeRequest;
use super::rows::Queue;
use super::rows::Shadow;
use super::tx::Tx;
use super::tx::TxError;
use super::tx::TxExt;
use super::value::Cell;
use super::value::Name;
use super::value::json_cell;

/// Batches with newer ones of a higher class before one rises a class.
pub const AGE_BATCHES: i64 = 2;
/// The class of a hotfix; the others are 0 to 4.
pub const HOTFIX: i64 = -1;
/// The least urgent class.
pub const LOWEST: i64 = 4;

/// A person keeps work from landing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Who.
    pub by: Name,
    /// Since when, in milliseconds since the epoch.
    pub at: i64,
    /// Why.
    pub reason: String,
    /// The least urgent class that still lands, -1 is hotfixes alone; `None` is nothing.
    pub allow: Option<i64>,
}

json_cell!(Freeze);

impl Freeze {
    /// Whether it keeps this one back. Age opens nothing.
    #[must_use]
    pub fn bars(&self, mr: &MergeRequest) -> bool {
        let class = if mr.hotfix { HOTFIX } else { mr.priority };
        self.allow.is_none_or(|allow| class > allow)
    }

    /// What still lands, in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self.allow {
            None => "nothing lands".to_owned(),
            Some(HOTFIX) => "only hotfixes land".to_owned(),
            Some(class) => format!("only P{class} and above and hotfixes land"),
        }
    }
}

/// The class that a merge request has by now: -1 is a hotfix, 0 the most urgent.
#[must_use]
pub fn class(mr: &MergeRequest) -> i64 {
    if mr.hotfix {
        return HOTFIX;
    }
    (mr.priority - mr.outranked / AGE_BATCHES).max(mr.priority.min(0))
}

/// What the line is sorted by, first to last.
#[must_use]
pub fn turn(mr: &MergeRequest) -> (i64, i64) {
    (class(mr), mr.seq)
}

/// Whether a merge request, which stays, was overtaken in this batch: by a newer one of a higher
/// class that was decided.
#[must_use]
pub fn is_outranked(mr: &MergeRequest, decided: &[MergeRequest]) -> bool {
    decided.iter().any(|other| other.seq > mr.seq && class(other) < class(mr))
}

/// What has to land before a merge request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Merge requests in the queue.
    pub first: Vec<BeadId>,
    /// Open beads that have none.
    pub missing: Vec<BeadId>,
}

/// What the work of a bead needs on the target: its open blockers, and those of its parents.
///
/// # Errors
/// As the transaction.
pub fn needs(tx: &mut dyn Tx, bead: &Bead) -> Result<Needs, TxError> {
    let mut needs = Needs::default();
    if !bead.blocked {
        return Ok(needs);
    }
    let mut seen = BTreeSet::from([bead.id.clone()]);
    let mut todo = vec![bead.id.clone()];
    while let Some(at) = todo.pop() {
        for dep in tx.with::<Dep>(None, vec![at.to_value()])? {
            if dep.dep_type == DepType::ParentChild {
                if seen.insert(dep.target.clone()) {
                    todo.push(dep.target);
                }
                continue;
            }
            if !dep.dep_type.blocks() {
                continue;
            }
            match tx.find::<Bead>("by_id", &dep.target)? {
                Some(other) if matches!(other.status, Status::Closed | Status::Pinned) => {}
                Some(Bead { hold: Hold::InQueue { mr }, .. }) => needs.first.push(mr),
                Some(_) => needs.missing.push(dep.target),
                None => {
                    if tx.row::<Shadow>(&dep.target)?.is_some_and(|shadow| !shadow.closed) {
                        needs.missing.push(dep.target);
                    }
                }
            }
        }
    }
    Ok(needs)
}

/// What the work of a merge request needs on the target.
///
/// # Errors
/// As the transaction.
pub fn needs_of(tx: &mut dyn Tx, mr: &MergeRequest) -> Result<Needs, TxError> {
    let bead = tx.find::<Bead>("by_id", &mr.bead)?;
    bead.map_or_else(|| Ok(Needs::default()), |bead| needs(tx, &bead))
}

/// Whether a hotfix waits beside a stack that could be stacked at once.
///
/// # Errors
/// As the transaction.
pub fn hotfix_waits(tx: &mut dyn Tx, queue: &Queue, stack: &Stack) -> Result<bool, TxError> {
    let prefix = vec![MrState::Queued.to_value(), true.to_value()];
    for mr in tx.with::<MergeRequest>(Some("by_state"), prefix)? {
        let inside = stack.items.iter().any(|item| item.mr == mr.id);
        let barred = queue.frozen.as_ref().is_some_and(|freeze| freeze.bars(&mr));
        if !inside && !barred && can_be_stacked(tx, &mr)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A merge request by its id; `None` when there is none.
///
/// # Errors
/// As the transaction.
pub fn request(tx: &mut dyn Tx, id: &BeadId) -> Result<Option<MergeRequest>, TxError> {
    match tx.find::<Bead>("by_id", id)? {
        Some(bead) => tx.row::<MergeRequest>(&bead.seq),
        None => Ok(None),
    }
}

fn can_be_stacked(tx: &mut dyn Tx, mr: &MergeRequest) -> Result<bool, TxError> {
    let mut landing = tx.with::<Integration>(None, Vec::new())?;
    landing.retain(|row| row.state == IntegrationState::Landing);
    let paused = |mr: &MergeRequest| landing.iter().any(|row| row.branch == mr.target);
    if paused(mr) {
        return Ok(false);
    }
    let needs = needs_of(tx, mr)?;
    for id in &needs.first {
        if request(tx, id)?.is_none_or(|mr| mr.state != MrState::Queued || paused(&mr)) {
            return Ok(false);
        }
    }
    Ok(needs.missing.is_empty())
}

/// How many of the first items of a stack a freeze lets land; all of them without one.
///
/// # Errors
/// As the transaction.
pub fn may_land(tx: &mut dyn Tx, queue: &Queue, stack: &Stack) -> Result<usize, TxError> {
    let Some(freeze) = &queue.frozen else { return Ok(stack.items.len()) };
    for (at, item) in stack.items.iter().enumerate() {
        if request(tx, &item.mr)?.is_none_or(|mr| freeze.bars(&mr)) {
            return Ok(at);
        }
    }
    Ok(stack.items.len())
}

/// The same order, but nothing before what it needs. `needs` are positions, by position.
#[must_use]
pub fn needed_first(order: &[usize], needs: &[Vec<usize>]) -> Vec<usize> {
    let mut placed = vec![false; needs.len()];
    let mut line = Vec::with_capacity(order.len());
    for start in order {
        let mut todo = vec![*start];
        while let Some(at) = todo.last().copied() {
            let next = needs[at].iter().find(|need| !placed[**need] && !todo.contains(need));
            match next {
                Some(need) => todo.push(*need),
                None => {
                    todo.pop();
                    if !std::mem::replace(&mut placed[at], true) {
                        line.push(at);
                    }
                }
            }
        }
    }
    line
}
