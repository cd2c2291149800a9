//! Edges between beads: no circles, no unknown ends, foreign ends through shadows (D7).

use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::blocked;
use super::support;
use crate::model::bead::DepType;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::parcel::Parcel;
use crate::model::rows::Bead;
use crate::model::rows::Dep;
use crate::model::rows::Shadow;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Cell;

/// Most beads that one cycle check looks at.
const CYCLE_CHECK_MAX: usize = 100_000;

/// The open blockers of a bead, for messages.
///
/// # Errors
/// As the transaction.
pub fn open_blockers(tx: &mut dyn Tx, id: &BeadId) -> Result<Vec<BeadId>, TxError> {
    let mut open = Vec::new();
    for dep in tx.with::<Dep>(None, vec![id.to_value()])? {
        let waits = dep.dep_type.blocks()
            && match tx.find::<Bead>("by_id", &dep.target)? {
                Some(bead) => blocked::is_open(bead.status),
                None => tx.row::<Shadow>(&dep.target)?.is_some_and(|shadow| !shadow.closed),
            };
        if waits {
            open.push(dep.target);
        }
    }
    Ok(open)
}

pub(super) fn add(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    bead: &BeadId,
    target: &BeadId,
    dep_type: DepType,
) -> Result<Facts, Refused> {
    support::bead(tx, target)?;
    link(tx, ctx, bead, target, dep_type)
}

pub(super) fn add_foreign(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    (bead, target): (&BeadId, &BeadId),
    dep_type: DepType,
    db: &Db,
    closed: bool,
) -> Result<Facts, Refused> {
    support::bead(tx, bead)?;
    if tx.row::<Shadow>(target)?.is_none() {
        tx.add(&Shadow { id: target.clone(), db: db.clone(), closed })?;
    }
    let mut facts = link(tx, ctx, bead, target, dep_type)?;
    let parcel = Parcel::Watch { bead: target.clone(), db: ctx.db.clone() };
    support::post(tx, ctx, db, parcel, &mut facts)?;
    Ok(facts)
}

fn link(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    bead: &BeadId,
    target: &BeadId,
    dep_type: DepType,
) -> Result<Facts, Refused> {
    support::bead(tx, bead)?;
    if bead == target {
        return Err(Refused::Cycle(vec![bead.clone(), target.clone()]));
    }
    if bead.parent().as_ref() == Some(target) && dep_type.blocks() {
        return Err(Refused::Invalid(format!(
            "{bead} is a child of {target} and cannot wait for it"
        )));
    }
    if let Some(old) = tx.row2::<Dep>(bead, target)? {
        if old.dep_type == dep_type {
            return Ok(vec![Fact::Unchanged]);
        }
        return Err(Refused::Exists(format!("{bead} -> {target} as {}", old.dep_type)));
    }
    if dep_type.blocks() || dep_type == DepType::ParentChild {
        refuse_cycle(tx, bead, target)?;
    }
    tx.add(&Dep {
        bead: bead.clone(),
        target: target.clone(),
        dep_type,
        created_at: ctx.now,
        created_by: ctx.who(),
    })?;
    let detail = json!({"depends_on": target, "type": dep_type});
    support::log(tx, ctx, bead.as_str(), "add_dep", &detail)?;
    let mut facts = vec![Fact::Changed { id: bead.clone(), by: "add_dep".to_owned() }];
    blocked::settle(tx, vec![bead.clone()], &mut facts)?;
    Ok(facts)
}

/// Looks for a way from `target` back to `bead` along edges that order work.
fn refuse_cycle(tx: &mut dyn Tx, bead: &BeadId, target: &BeadId) -> Result<(), Refused> {
    let mut seen = std::collections::BTreeMap::from([(target.clone(), bead.clone())]);
    let mut work = vec![target.clone()];
    while let Some(at) = work.pop() {
        if seen.len() > CYCLE_CHECK_MAX {
            return Err(Refused::Invalid(format!(
                "more than {CYCLE_CHECK_MAX} beads behind {target}: too many to check"
            )));
        }
        for dep in tx.with::<Dep>(None, vec![at.to_value()])? {
            let orders = dep.dep_type.blocks() || dep.dep_type == DepType::ParentChild;
            if !orders {
                continue;
            }
            if dep.target == *bead {
                return Err(Refused::Cycle(path_back(&seen, bead, &at)));
            }
            if !seen.contains_key(&dep.target) {
                seen.insert(dep.target.clone(), at.clone());
                work.push(dep.target);
            }
        }
    }
    Ok(())
}

fn path_back(
    came_from: &std::collections::BTreeMap<BeadId, BeadId>,
    bead: &BeadId,
    last: &BeadId,
) -> Vec<BeadId> {
    let mut path = vec![bead.clone(), last.clone()];
    let mut at = last;
    while let Some(previous) = came_from.get(at) {
        path.push(previous.clone());
        if previous == bead {
            break;
        }
        at = previous;
    }
    path.reverse();
    path
}

pub(super) fn remove(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    bead: &BeadId,
    target: &BeadId,
) -> Result<Facts, Refused> {
    let Some(dep) = tx.row2::<Dep>(bead, target)? else {
        return Err(Refused::NotFound { kind: "dependency", id: format!("{bead} -> {target}") });
    };
    tx.remove(&dep)?;
    let detail = json!({"depends_on": target, "type": dep.dep_type});
    support::log(tx, ctx, bead.as_str(), "remove_dep", &detail)?;
    let mut facts = vec![Fact::Changed { id: bead.clone(), by: "remove_dep".to_owned() }];
    blocked::settle(tx, vec![bead.clone()], &mut facts)?;
    Ok(facts)
}
