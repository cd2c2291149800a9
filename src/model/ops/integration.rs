//! Integration branches: the beads below an epic land on a branch of its own, which lands as one.
//!
//! The branch is a target like the rig's: moved only by the queue, from a tested base to a proven
//! tip. What it is for is a row of the epic; which merge request lands where is decided when it is
//! queued, by the nearest such row above its bead.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Serialize;
use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::by_hand;
use super::queue;
use super::support;
use crate::model::bead::DepType;
use crate::model::bead::Hold;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Sha;
use crate::model::merge::IntegrationState;
use crate::model::merge::MrState;
use crate::model::rows::Bead;
use crate::model::rows::Dep;
use crate::model::rows::Integration;
use crate::model::rows::MergeRequest;
use crate::model::rows::Queue;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Cell;

/// The branch on which the beads below an epic are to land.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewIntegration {
    /// The epic.
    pub epic: BeadId,
    /// The branch.
    pub branch: String,
    /// The branch that it was made from, and lands on.
    pub target: String,
    /// Where it was made.
    pub base: Sha,
}

/// An integration branch to land as one merge request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholeLanding {
    /// The epic.
    pub epic: BeadId,
    /// The head of its branch.
    pub head: Sha,
    /// Where the town had it when the head was looked at.
    pub tip: Sha,
    /// Why, if beads below the epic are open.
    pub force: Option<String>,
}

/// What is below an epic, at any depth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Below {
    /// Beads that are not closed.
    pub open: Vec<BeadId>,
    /// Beads that are.
    pub closed: Vec<BeadId>,
}

/// The integration branch on which a bead lands: the nearest above it that has not ended.
///
/// # Errors
/// As the transaction.
pub fn above(tx: &mut dyn Tx, bead: &BeadId) -> Result<Option<Integration>, TxError> {
    let mut seen = BTreeSet::from([bead.clone()]);
    let mut level = vec![bead.clone()];
    while !level.is_empty() {
        let mut next = Vec::new();
        for id in level {
            for dep in tx.with::<Dep>(None, vec![id.to_value()])? {
                if dep.dep_type != DepType::ParentChild || !seen.insert(dep.target.clone()) {
                    continue;
                }
                let row = tx.row::<Integration>(&dep.target)?;
                if let Some(row) = row.filter(|row| row.state.lives()) {
                    return Ok(Some(row));
                }
                next.push(dep.target);
            }
        }
        level = next;
    }
    Ok(None)
}

/// The beads below an epic.
///
/// # Errors
/// As the transaction.
pub fn below(tx: &mut dyn Tx, epic: &BeadId) -> Result<Below, TxError> {
    let mut found = Below::default();
    let mut seen = BTreeSet::from([epic.clone()]);
    let mut next = vec![epic.clone()];
    while let Some(id) = next.pop() {
        for dep in tx.with::<Dep>(Some("by_target"), vec![id.to_value()])? {
            if dep.dep_type != DepType::ParentChild || !seen.insert(dep.bead.clone()) {
                continue;
            }
            if let Some(bead) = tx.find::<Bead>("by_id", &dep.bead)? {
                let closed = bead.status == Status::Closed;
                if closed { &mut found.closed } else { &mut found.open }.push(bead.id);
            }
            next.push(dep.bead);
        }
    }
    found.open.sort();
    found.closed.sort();
    Ok(found)
}

/// Why an integration branch cannot land now; empty when it can. Open beads below it count unless
/// there is a reason to land without them.
///
/// # Errors
/// As the transaction.
pub fn obstacles(tx: &mut dyn Tx, row: &Integration, forced: bool) -> Result<Vec<String>, TxError> {
    let mut why = Vec::new();
    match row.state {
        IntegrationState::Open => {}
        IntegrationState::Landing => {
            let mr = row.mr.as_ref().map_or("?", BeadId::as_str);
            why.push(format!("it waits to land already, as {mr}"));
        }
        IntegrationState::Landed | IntegrationState::Dropped => {
            why.push(format!("it is {}", row.state));
        }
    }
    match tx.find::<Bead>("by_id", &row.epic)? {
        None => why.push(format!("there is no bead {}", row.epic)),
        Some(bead) if bead.status == Status::Closed && row.state.lives() => {
            why.push(format!("{0} is closed: 'bd reopen {0}' first", row.epic));
        }
        Some(bead) => {
            if let Hold::Held { agent, .. } = bead.hold {
                why.push(format!("{agent} works on {}", row.epic));
            }
        }
    }
    let open = below(tx, &row.epic)?.open;
    if !open.is_empty() && row.state.lives() && !forced {
        let open: Vec<&str> = open.iter().map(BeadId::as_str).collect();
        why.push(format!(
            "not closed below it: {} ('--force REASON' lands without them)",
            open.join(", ")
        ));
    }
    if is_busy(tx, &row.branch)? {
        why.push("a cycle of it runs: wait until it is over".to_owned());
    }
    Ok(why)
}

/// Whether the running cycle moves this branch.
fn is_busy(tx: &mut dyn Tx, branch: &str) -> Result<bool, TxError> {
    let queues = tx.with::<Queue>(None, Vec::new())?;
    let mut stacks = queues.iter().filter_map(|queue| queue.cycle.stack());
    Ok(stacks.any(|stack| stack.onto.as_deref() == Some(branch)))
}

/// The branch on which the work on a bead lands, where `otherwise` is what was meant without
/// integration branches, or before.
pub(super) fn target_of(
    tx: &mut dyn Tx,
    bead: &BeadId,
    otherwise: &str,
) -> Result<String, Refused> {
    if let Some(row) = above(tx, bead)? {
        return Ok(row.branch);
    }
    // It was below an epic and is not any more.
    let left = all(tx)?.into_iter().find(|row| row.branch == otherwise);
    Ok(left.map_or_else(|| otherwise.to_owned(), |row| row.target))
}

/// The integration branch that a merge request is for; `None` is the rig's own target.
pub(super) fn onto(tx: &mut dyn Tx, mr: &MergeRequest) -> Result<Option<String>, Refused> {
    let found = all(tx)?.into_iter().find(|row| row.state.lives() && row.branch == mr.target);
    Ok(found.map(|row| row.branch))
}

fn all(tx: &mut dyn Tx) -> Result<Vec<Integration>, TxError> {
    tx.with::<Integration>(None, Vec::new())
}

fn not_now<T>(id: &BeadId, why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::NotNow { id: id.to_string(), why: why.into() })
}

fn find(tx: &mut dyn Tx, epic: &BeadId) -> Result<Integration, Refused> {
    let missing = || Refused::NotFound { kind: "integration branch of", id: epic.to_string() };
    tx.row::<Integration>(epic)?.ok_or_else(missing)
}

pub(super) fn create(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    new: &NewIntegration,
) -> Result<Facts, Refused> {
    let NewIntegration { epic, branch, target, base } = new;
    let bead = support::bead(tx, epic)?;
    if !bead.issue_type.is_work() {
        return Err(Refused::Invalid(format!(
            "a bead of type {} has no work below it",
            bead.issue_type
        )));
    }
    if branch.trim().is_empty() || branch == target {
        return Err(Refused::Invalid(format!(
            "'{branch}' cannot be the integration branch: it needs a name of its own"
        )));
    }
    for row in all(tx)?.into_iter().filter(|row| row.state.lives()) {
        if row.epic == *epic && row.branch == *branch {
            return Ok(vec![Fact::Unchanged]);
        }
        if row.epic == *epic {
            return not_now(epic, format!("it has one already: {}", row.branch));
        }
        if row.branch == *branch {
            return not_now(epic, format!("{branch} is the integration branch of {}", row.epic));
        }
    }
    match &bead.hold {
        _ if bead.status == Status::Closed => {
            return not_now(epic, format!("it is closed: 'bd reopen {epic}' first"));
        }
        Hold::InQueue { mr } => {
            return not_now(epic, format!("it waits in the merge queue as {mr}"));
        }
        Hold::Free | Hold::Held { .. } | Hold::Merged { .. } => {}
    }
    if target_of(tx, epic, target)? != *target {
        return Err(Refused::Moved { what: format!("the branch that {epic} lands on") });
    }
    let row = Integration {
        epic: epic.clone(),
        branch: branch.clone(),
        target: target.clone(),
        tip: base.clone(),
        state: IntegrationState::Open,
        mr: None,
        forced: None,
        created_by: ctx.who(),
        created_at: ctx.now,
        ended_at: None,
    };
    match tx.row::<Integration>(epic)? {
        Some(_) => tx.set(&row)?,
        None => tx.add(&row)?,
    }
    take_over(tx, &row)?;
    let detail = json!({"branch": branch, "target": target, "base": base});
    support::log(tx, ctx, epic.as_str(), "create_integration", &detail)?;
    Ok(vec![Fact::Changed { id: epic.clone(), by: "create_integration".to_owned() }])
}

/// Merge requests below a new one that wait already, and are in no cycle, land on it too.
fn take_over(tx: &mut dyn Tx, row: &Integration) -> Result<(), Refused> {
    for state in [MrState::Queued, MrState::Held] {
        for mut mr in tx.with::<MergeRequest>(Some("by_state"), vec![state.to_value()])? {
            let own = above(tx, &mr.bead)?.is_some_and(|found| found.epic == row.epic);
            if own && !by_hand::in_cycle(tx, &mr.id)? {
                mr.target.clone_from(&row.branch);
                tx.set(&mr)?;
            }
        }
    }
    Ok(())
}

pub(super) fn land(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    wanted: &WholeLanding,
) -> Result<Facts, Refused> {
    let WholeLanding { epic, head, tip, force } = wanted;
    let mut row = find(tx, epic)?;
    if force.as_ref().is_some_and(|why| why.trim().is_empty()) {
        return Err(Refused::Invalid("a reason is needed to land without them".to_owned()));
    }
    let why = obstacles(tx, &row, force.is_some())?;
    if !why.is_empty() {
        return not_now(epic, why.join("; "));
    }
    if row.tip != *tip {
        return Err(Refused::Moved { what: row.branch });
    }
    row.tip = head.clone();
    row.forced.clone_from(force);
    tx.set(&row)?;
    let detail = json!({"branch": row.branch, "target": row.target, "head": head, "force": force});
    support::log(tx, ctx, epic.as_str(), "land_integration", &detail)?;
    let earlier = tx.with::<MergeRequest>(Some("by_bead"), vec![epic.to_value()])?;
    let same = earlier.into_iter().find(|mr| mr.head == *head && mr.branch == row.branch);
    if let Some(mr) = same {
        // The same head once more is the same merge request.
        return by_hand::requeue(tx, ctx, mr);
    }
    let bead = support::bead(tx, epic)?;
    let who = BeadId(ctx.actor.to_owned());
    let request = queue::Request {
        author: (&who, 0),
        branch: &row.branch,
        head,
        target: &row.target,
        touches: None,
    };
    let facts = queue::put(tx, ctx, bead, &request)?;
    let mr = facts.iter().find_map(|fact| match fact {
        Fact::Queued { mr, .. } => Some(mr.clone()),
        _ => None,
    });
    tx.set(&Integration { state: IntegrationState::Landing, mr, ..row })?;
    Ok(facts)
}

/// The row whose branch a merge request is, as a whole.
fn whole(tx: &mut dyn Tx, mr: &MergeRequest) -> Result<Option<Integration>, Refused> {
    let row = tx.row::<Integration>(&mr.bead)?;
    Ok(row.filter(|row| row.branch == mr.branch && row.state.lives()))
}

/// A merge request that came back is queued again: it lands where its bead lands now. That of a
/// branch as a whole must still be all of it.
pub(super) fn again(tx: &mut dyn Tx, mr: &mut MergeRequest) -> Result<(), Refused> {
    mr.target = target_of(tx, &mr.bead, &mr.target)?;
    let Some(row) = whole(tx, mr)? else { return Ok(()) };
    let why = obstacles(tx, &row, row.forced.is_some())?;
    if !why.is_empty() || row.tip != mr.head {
        let moved = format!("{} is not what it was", row.branch);
        let why = if why.is_empty() { moved } else { why.join("; ") };
        let words = format!("{why}. 'gt mq integration land {}' queues it as it is", row.epic);
        return not_now(&mr.id, words);
    }
    let mr = Some(mr.id.clone());
    tx.set(&Integration { state: IntegrationState::Landing, mr, ..row })?;
    Ok(())
}

/// Whether it was an integration branch that came back; more may land on it now. Who asked for it
/// is told; no worker is sent to mend a branch that is many workers'.
pub(super) fn came_back(tx: &mut dyn Tx, mr: &MergeRequest) -> Result<bool, Refused> {
    let Some(row) = whole(tx, mr)? else { return Ok(false) };
    tx.set(&Integration { state: IntegrationState::Open, ..row })?;
    Ok(true)
}

/// A merge request is merged: an integration branch that it was has ended.
pub(super) fn merged(tx: &mut dyn Tx, now: i64, mr: &MergeRequest) -> Result<(), Refused> {
    let Some(row) = whole(tx, mr)? else { return Ok(()) };
    end(tx, now, row, IntegrationState::Landed)
}

/// The queue has moved an integration branch.
pub(super) fn moved(tx: &mut dyn Tx, branch: &str, tip: &Sha) -> Result<(), Refused> {
    let row = all(tx)?.into_iter().find(|row| row.state.lives() && row.branch == branch);
    if let Some(row) = row {
        tx.set(&Integration { tip: tip.clone(), ..row })?;
    }
    Ok(())
}

/// Ends it: what was meant for it lands where it has landed.
fn end(
    tx: &mut dyn Tx,
    now: i64,
    row: Integration,
    state: IntegrationState,
) -> Result<(), Refused> {
    for state in [MrState::Queued, MrState::Held, MrState::Returned, MrState::Rejected] {
        for mut mr in tx.with::<MergeRequest>(Some("by_state"), vec![state.to_value()])? {
            if mr.target == row.branch {
                mr.target.clone_from(&row.target);
                tx.set(&mr)?;
            }
        }
    }
    for inner in all(tx)? {
        if inner.target == row.branch {
            tx.set(&Integration { target: row.target.clone(), ..inner })?;
        }
    }
    tx.set(&Integration { state, ended_at: Some(now), ..row })?;
    Ok(())
}

pub(super) fn give_up(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, epic: &BeadId) -> Result<Facts, Refused> {
    let row = find(tx, epic)?;
    if row.state == IntegrationState::Dropped {
        return Ok(vec![Fact::Unchanged]);
    }
    if row.state != IntegrationState::Open {
        return not_now(epic, format!("its integration branch is {}", row.state));
    }
    for (state, word) in
        [(MrState::Queued, "waiting"), (MrState::Held, "held"), (MrState::Merged, "in it")]
    {
        let mrs = tx.with::<MergeRequest>(Some("by_state"), vec![state.to_value()])?;
        let own =
            mrs.iter().filter(|mr| mr.target == row.branch && mr.created_at >= row.created_at);
        let own: Vec<&str> = own.map(|mr| mr.id.as_str()).collect();
        if !own.is_empty() {
            let why = format!("{} is not empty: {word}: {}", row.branch, own.join(", "));
            return not_now(epic, why);
        }
    }
    let detail = json!({"branch": row.branch, "tip": row.tip});
    support::log(tx, ctx, epic.as_str(), "drop_integration", &detail)?;
    end(tx, ctx.now, row, IntegrationState::Dropped)?;
    Ok(vec![Fact::Changed { id: epic.clone(), by: "drop_integration".to_owned() }])
}

/// Refuses to queue an integration branch like any other.
pub(super) fn not_as_a_whole(tx: &mut dyn Tx, epic: &BeadId, branch: &str) -> Result<(), Refused> {
    match tx.row::<Integration>(epic)? {
        Some(row) if row.state.lives() && row.branch == branch => {
            not_now(epic, format!("{branch} lands by 'gt mq integration land {epic}'"))
        }
        _ => Ok(()),
    }
}

/// Refuses to end an epic by hand while its integration branch lives.
pub(super) fn must_not_live(tx: &mut dyn Tx, epic: &BeadId) -> Result<(), Refused> {
    match tx.row::<Integration>(epic)? {
        Some(row) if row.state.lives() => not_now(
            epic,
            format!(
                "its work is on {}: 'gt mq integration land {epic}' closes it, 'gt mq integration drop {epic}' gives the branch up",
                row.branch
            ),
        ),
        _ => Ok(()),
    }
}
