//! The one materialised fact about ready work: is an open blocker in the way?
//!
//! A bead is blocked while it is not closed and a `blocks`-like target is open, or its parent is
//! blocked. Each op that may change that calls [`settle`] with the beads to look at.

use super::Fact;
use super::Facts;
use super::Refused;
use crate::model::bead::DepType;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::rows::Bead;
use crate::model::rows::Dep;
use crate::model::rows::Shadow;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;
use crate::model::value::Cell;

/// Whether a bead with this status keeps its dependents waiting.
pub(super) fn is_open(status: Status) -> bool {
    !matches!(status, Status::Closed | Status::Pinned)
}

/// Whether an edge's target is still open; a foreign target is known by its shadow.
pub(super) fn target_open(tx: &mut dyn Tx, target: &BeadId) -> Result<bool, Refused> {
    if let Some(bead) = tx.find::<Bead>("by_id", target)? {
        return Ok(is_open(bead.status));
    }
    Ok(tx.row::<Shadow>(target)?.is_some_and(|shadow| !shadow.closed))
}

fn is_blocked(tx: &mut dyn Tx, bead: &Bead) -> Result<bool, Refused> {
    if !is_open(bead.status) {
        return Ok(false);
    }
    for dep in tx.with::<Dep>(None, vec![bead.id.to_value()])? {
        if dep.dep_type.blocks() && target_open(tx, &dep.target)? {
            return Ok(true);
        }
        if dep.dep_type == DepType::ParentChild
            && let Some(parent) = tx.find::<Bead>("by_id", &dep.target)?
            && parent.blocked
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Everything whose blocked state may follow from a change of this bead's status.
pub(super) fn dependents(tx: &mut dyn Tx, id: &BeadId) -> Result<Vec<BeadId>, Refused> {
    let deps = tx.with::<Dep>(Some("by_target"), vec![id.to_value()])?;
    Ok(deps.into_iter().map(|dep| dep.bead).collect())
}

/// Recomputes these beads and, where one changes, its children: a fixpoint, since edges have no
/// circles.
pub(super) fn settle(
    tx: &mut dyn Tx,
    start: Vec<BeadId>,
    facts: &mut Facts,
) -> Result<(), Refused> {
    let mut work = start;
    while let Some(id) = work.pop() {
        let Some(mut bead) = tx.find::<Bead>("by_id", &id)? else { continue };
        let blocked = is_blocked(tx, &bead)?;
        if blocked == bead.blocked {
            continue;
        }
        bead.blocked = blocked;
        tx.set(&bead)?;
        if !blocked {
            facts.push(Fact::Unblocked { id: id.clone() });
        }
        for dep in tx.with::<Dep>(Some("by_target"), vec![id.to_value()])? {
            if dep.dep_type == DepType::ParentChild {
                work.push(dep.bead);
            }
        }
    }
    Ok(())
}
