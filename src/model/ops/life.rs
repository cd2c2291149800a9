//! The life of a merge request beside its cycle: put first, kept back, overtaken, given up.

use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::beads;
use super::queue;
use super::returned;
use super::support;
use crate::model::bead::Hold;
use crate::model::ids::BeadId;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::line;
use crate::model::line::Freeze;
use crate::model::merge::Cycle;
use crate::model::merge::MrState;
use crate::model::merge::Returned;
use crate::model::merge::Stack;
use crate::model::rows::Bead;
use crate::model::rows::MergeRequest;
use crate::model::rows::Queue;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;
use crate::model::value::Cell;

/// Keeps work from landing, or lets it land again. `allow`: the least urgent class that still
/// lands.
pub(super) fn freeze(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    reason: &Option<String>,
    allow: Option<i64>,
) -> Result<Facts, Refused> {
    let mut row = queue::queue(tx, rig)?;
    let freeze = reason.as_deref().map(|reason| (reason, allow));
    if allow.is_some_and(|class| !(line::HOTFIX..=line::LOWEST).contains(&class)) {
        let text = "a freeze lets pass classes 0 (highest) to 4 (lowest), or hotfixes alone (-1)";
        return Err(Refused::Invalid(text.to_owned()));
    }
    let before = row.frozen.as_ref().map(|old| (old.reason.as_str(), old.allow));
    if before == freeze {
        return Ok(vec![Fact::Unchanged]);
    }
    row.frozen = freeze.map(|(reason, allow)| {
        let (by, at, reason) = (ctx.who(), ctx.now, reason.to_owned());
        Freeze { by, at, reason, allow }
    });
    let detail = match &row.frozen {
        Some(freeze) => json!({"reason": freeze.reason, "allow": freeze.allow}),
        None => json!({"thaw": true}),
    };
    support::log(tx, ctx, rig.as_str(), "freeze_queue", &detail)?;
    let cycle = row.cycle.clone();
    Ok(vec![queue::store(tx, row, cycle)?])
}

/// Puts a merge request ahead of everything. `id`: it, or its bead.
pub(super) fn hotfix(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    reason: &str,
) -> Result<Facts, Refused> {
    let of_bead = match tx.find::<Bead>("by_id", id)?.map(|bead| bead.hold) {
        Some(Hold::InQueue { mr }) => Some(mr),
        _ => None,
    };
    let mut mr = queue::request(tx, of_bead.as_ref().unwrap_or(id))?;
    if !matches!(mr.state, MrState::Queued | MrState::Held) {
        let why = format!("it is {}: only what waits can go first", mr.state);
        return Err(Refused::NotNow { id: mr.id.to_string(), why });
    }
    if mr.hotfix {
        return Ok(vec![Fact::Unchanged]);
    }
    mr.hotfix = true;
    tx.set(&mr)?;
    support::log(tx, ctx, mr.id.as_str(), "hotfix", &json!({"reason": reason}))?;
    Ok(vec![Fact::Queued { mr: mr.id, bead: mr.bead }])
}

/// What came back as a hotfix is one again when it is mended.
pub(super) fn was_hotfix(tx: &mut dyn Tx, bead: &BeadId) -> Result<bool, Refused> {
    let earlier = tx.with::<MergeRequest>(Some("by_bead"), vec![bead.to_value()])?;
    Ok(earlier.iter().any(|mr| mr.hotfix && mr.state == MrState::Returned))
}

/// Counts who was overtaken: each that stays, by the newer ones of its class or a lower one that
/// landed; everybody else who waits, by a batch with newer ones of a higher class.
pub(super) fn passed_over(
    tx: &mut dyn Tx,
    row: &Queue,
    stack: &Stack,
    (green, gone): (usize, usize),
) -> Result<(), Refused> {
    let mut decided = Vec::new();
    for item in &stack.items[..gone] {
        decided.push(queue::request(tx, &item.mr)?);
    }
    let landed = &decided[..green];
    for item in &stack.items[gone..] {
        let mut mr = queue::request(tx, &item.mr)?;
        let passed = |l: &&MergeRequest| l.seq > mr.seq && line::class(l) >= line::class(&mr);
        let newer = landed.iter().filter(passed).count();
        if newer > 0 {
            mr.overtaken += newer as i64;
            tx.set(&mr)?;
        }
    }
    let Some(top) = decided.iter().map(line::class).min() else { return Ok(()) };
    for priority in (top + 1).max(0)..=line::LOWEST {
        let prefix = vec![MrState::Queued.to_value(), false.to_value(), priority.to_value()];
        for mut mr in tx.with::<MergeRequest>(Some("by_state"), prefix)? {
            let barred = row.frozen.as_ref().is_some_and(|freeze| freeze.bars(&mr));
            if !barred && line::is_outranked(&mr, &decided) {
                mr.outranked += 1;
                tx.set(&mr)?;
            }
        }
    }
    Ok(())
}

/// Whether what is behind a landed prefix is searched on: unless a hotfix waits, or it is kept
/// from landing.
pub(super) fn goes_on(
    tx: &mut dyn Tx,
    row: &Queue,
    stack: &Stack,
    green: usize,
) -> Result<bool, Refused> {
    if green >= stack.items.len() || line::hotfix_waits(tx, row, stack)? {
        return Ok(false);
    }
    Ok(line::may_land(tx, row, stack)? > green)
}

/// The bead of a waiting merge request is closed by a person: both are over.
pub(super) fn cancel(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    bead: Bead,
    id: &BeadId,
    reason: &str,
) -> Result<Facts, Refused> {
    let agent = Identity::parse(ctx.actor)
        .is_some_and(|who| !matches!(who, Identity::Overseer | Identity::Crew(..)));
    if agent {
        let why = format!(
            "it waits in the merge queue as {id} and is closed when it has landed; only a person gives it up"
        );
        return Err(Refused::NotNow { id: bead.id.to_string(), why });
    }
    let mut facts = leave_cycle(tx, ctx, id)?;
    let mut mr = queue::request(tx, id)?;
    let verdict = Returned::Rejected { reason: format!("its bead was closed: {reason}") };
    mr.state = MrState::Rejected;
    mr.verdict = Some(verdict.clone());
    mr.decided_at = Some(ctx.now);
    tx.set(&mr)?;
    queue::close_request_bead(tx, ctx, id, mr.state.as_str())?;
    facts.push(Fact::Returned { mr: mr.id.clone(), bead: bead.id.clone() });
    returned::tell_author(tx, ctx, &mr, &verdict, &mut facts)?;
    support::log(tx, ctx, bead.id.as_str(), "cancel", &json!({"mr": id, "reason": reason}))?;
    facts.extend(beads::shut(tx, ctx, bead, reason, Hold::Free)?);
    Ok(facts)
}

/// Takes a merge request, and what is stacked on it, out of the running cycle. What is before it
/// keeps its runs; what is behind it stays queued.
fn leave_cycle(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, id: &BeadId) -> Result<Facts, Refused> {
    let mut facts = Vec::new();
    for row in tx.with::<Queue>(None, Vec::new())? {
        let place = |stack: &Stack| stack.items.iter().position(|item| item.mr == *id);
        let (at, cycle) = match row.cycle.clone() {
            Cycle::Testing { mut stack, mut risks, mut runs, stuck } => {
                let Some(at) = place(&stack) else { continue };
                stack.items.truncate(at);
                risks.truncate(at);
                runs.retain(|going| going.len <= at);
                let rest = Cycle::Testing { stack, risks, runs, stuck };
                (at, if at == 0 { Cycle::Idle } else { rest })
            }
            Cycle::Landing { mut stack, mut risks, green, proof, culprit } => {
                let Some(at) = place(&stack) else { continue };
                if at < green {
                    let why = "it is landing, and what is pushed cannot be taken back: look again in a moment";
                    return Err(Refused::NotNow { id: id.to_string(), why: why.to_owned() });
                }
                stack.items.truncate(at);
                risks.truncate(at);
                let culprit = culprit.filter(|_| at > green);
                (at, Cycle::Landing { stack, risks, green, proof, culprit })
            }
            Cycle::Idle => continue,
        };
        let rig = row.rig.clone();
        let detail = json!({"mr": id, "stays": at});
        support::log(tx, ctx, rig.as_str(), "leave_cycle", &detail)?;
        facts.push(queue::store(tx, row, cycle)?);
    }
    Ok(facts)
}
