//! What a person decides about a merge request: hold, queue again, reject.

use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::integration;
use super::queue;
use super::returned;
use super::support;
use crate::model::bead::Hold;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::merge::MrState;
use crate::model::merge::Returned;
use crate::model::rows::MergeRequest;
use crate::model::rows::Order;
use crate::model::rows::Queue;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;

pub(super) fn set_mr(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    state: MrState,
    reason: &str,
) -> Result<Facts, Refused> {
    let mut mr = queue::request(tx, id)?;
    let busy = in_cycle(tx, id)?;
    match (mr.state, state) {
        (old, new) if old == new => Ok(vec![Fact::Unchanged]),
        (MrState::Queued | MrState::Held, MrState::Rejected) if !busy => {
            let verdict = Returned::Rejected { reason: reason.to_owned() };
            returned::give_back(tx, ctx, mr, verdict, 0)
        }
        (MrState::Queued, MrState::Held) | (MrState::Held, MrState::Queued) if !busy => {
            mr.state = state;
            tx.set(&mr)?;
            support::log(tx, ctx, id.as_str(), "set_mr", &json!({"state": state}))?;
            Ok(vec![Fact::Queued { mr: id.clone(), bead: mr.bead }])
        }
        (MrState::Returned | MrState::Rejected, MrState::Queued) => requeue(tx, ctx, mr),
        (old, new) => {
            let why = match busy {
                true => "it is in the running cycle: wait for its verdict".to_owned(),
                false => format!("it is {old} and cannot become {new}"),
            };
            Err(Refused::NotNow { id: id.to_string(), why })
        }
    }
}

pub(super) fn in_cycle(tx: &mut dyn Tx, id: &BeadId) -> Result<bool, Refused> {
    let queues = tx.with::<Queue>(None, Vec::new())?;
    let mut items = queues.iter().filter_map(|queue| queue.cycle.stack()).flat_map(|s| &s.items);
    Ok(items.any(|item| item.mr == *id))
}

/// Puts the same head into the queue again, unless somebody works on the bead meanwhile.
pub(super) fn requeue(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    mut mr: MergeRequest,
) -> Result<Facts, Refused> {
    let mut bead = support::bead(tx, &mr.bead)?;
    if bead.hold != Hold::Free || bead.status == Status::Closed {
        let why = format!("its bead {} is {} and taken", bead.id, bead.status);
        return Err(Refused::NotNow { id: mr.id.to_string(), why });
    }
    integration::again(tx, &mut mr)?;
    if let Some(order) = tx.row::<Order>(&mr.bead)? {
        tx.remove(&order)?;
    }
    let mut request_bead = support::bead(tx, &mr.id)?;
    request_bead.status = Status::Open;
    request_bead.closed_at = None;
    request_bead.close_reason = None;
    tx.set(&request_bead)?;
    bead.hold = Hold::InQueue { mr: mr.id.clone() };
    bead.status = Status::InProgress;
    bead.updated_at = ctx.now;
    tx.set(&bead)?;
    mr.state = MrState::Queued;
    mr.verdict = None;
    mr.decided_at = None;
    tx.set(&mr)?;
    support::log(tx, ctx, mr.id.as_str(), "set_mr", &json!({"state": mr.state}))?;
    Ok(vec![Fact::Queued { mr: mr.id, bead: bead.id }])
}
