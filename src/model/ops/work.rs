//! Work on its way: ordered, assigned, released, submitted, queued.

use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::beads;
use super::integration;
use super::queue;
use super::support;
use crate::model::agent::AgentState;
use crate::model::agent::Submission;
use crate::model::agent::Work;
use crate::model::bead::Hold;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::merge::Touches;
use crate::model::parcel::Parcel;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::rows::Order;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;
use crate::model::value::Name;

pub(super) fn place_orders(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    beads: &[BeadId],
    (worker, preset): (Option<&Name>, Option<&Name>),
    convoy: Option<&BeadId>,
) -> Result<Facts, Refused> {
    let mut fresh = Vec::new();
    for id in beads {
        let bead = support::bead(tx, id)?;
        orderable(&bead)?;
        if tx.row::<Order>(id)?.is_none() && !fresh.iter().any(|b: &Bead| b.id == *id) {
            fresh.push(bead);
        }
    }
    let Some(first) = fresh.first() else { return Ok(vec![Fact::Unchanged]) };
    let title = match fresh.len() {
        1 => first.title.clone(),
        n => format!("{} and {} more", first.title, n - 1),
    };
    let convoy = convoy
        .cloned()
        .unwrap_or_else(|| BeadId(format!("hq-cv-{}", support::short_id(ctx.key(), 0, 6))));
    let mut facts = vec![Fact::Convoyed { convoy: convoy.clone() }];
    let mut tracked = Vec::new();
    for mut bead in fresh {
        let seq = ctx.key();
        tx.add(&Order {
            bead: bead.id.clone(),
            seq,
            worker: worker.cloned(),
            strict: worker.is_some(),
            preset: preset.cloned(),
            branch: None,
            start: None,
            tries: 0,
            placed_by: ctx.who(),
            placed_at: ctx.now,
        })?;
        if bead.convoy.is_none() {
            bead.convoy = Some(convoy.clone());
            tracked.push((bead.id.clone(), false));
        }
        bead.updated_at = ctx.now;
        tx.set(&bead)?;
        let detail = json!({"worker": worker, "preset": preset, "convoy": convoy});
        support::log(tx, ctx, bead.id.as_str(), "place_orders", &detail)?;
        facts.push(Fact::Ordered { id: bead.id });
    }
    if !tracked.is_empty() {
        let owner = ctx.actor.to_owned();
        let parcel = Parcel::Track { convoy, title, owner, beads: tracked };
        support::post(tx, ctx, &Db::hq(), parcel, &mut facts)?;
    }
    Ok(facts)
}

fn orderable(bead: &Bead) -> Result<(), Refused> {
    let why = match &bead.hold {
        _ if !bead.issue_type.is_work() => {
            format!("a bead of type {} is not work for a polecat", bead.issue_type)
        }
        _ if bead.status == Status::Closed => "it is closed: 'bd reopen' it first".to_owned(),
        Hold::Held { agent, .. } => format!("{agent} has it already"),
        Hold::InQueue { mr } => format!("it waits in the merge queue as {mr}"),
        Hold::Free | Hold::Merged { .. } if bead.status == Status::Open => return Ok(()),
        Hold::Free | Hold::Merged { .. } => format!(
            "its status is {}: 'bd update {} --status open' makes it free",
            bead.status, bead.id
        ),
    };
    Err(Refused::NotNow { id: bead.id.to_string(), why })
}

pub(super) fn assign(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    worker: &BeadId,
    branch: &str,
) -> Result<Facts, Refused> {
    let mut bead = support::bead(tx, id)?;
    let mut agent = support::agent(tx, worker)?;
    let Some(order) = tx.row::<Order>(id)? else {
        return Err(Refused::Moved { what: format!("the order for {id}") });
    };
    let free = bead.hold == Hold::Free && bead.status == Status::Open && !bead.blocked;
    if !free {
        return Err(Refused::Moved { what: id.to_string() });
    }
    if agent.state != AgentState::Idle {
        return Err(Refused::Moved { what: worker.to_string() });
    }
    let start = match (&order.start, integration::above(tx, id)?) {
        (None, Some(row)) => Some(row.tip),
        (start, _) => start.clone(),
    };
    let work = Work {
        bead: id.clone(),
        branch: order.branch.clone().unwrap_or_else(|| branch.to_owned()),
        start,
        preset: order.preset.as_ref().map(Name::to_string),
        exits: 0,
        tries: order.tries,
    };
    agent.state = AgentState::Preparing { work };
    agent.hook_bead = Some(id.clone());
    agent.updated_at = ctx.now;
    bead.hold = Hold::Held { agent: worker.clone(), incarnation: agent.incarnation };
    bead.status = Status::InProgress;
    bead.assignee = Some(agent.actor.clone());
    bead.started_at = bead.started_at.or(Some(ctx.now));
    bead.updated_at = ctx.now;
    tx.set(&bead)?;
    tx.set(&agent)?;
    tx.remove(&order)?;
    support::log(tx, ctx, id.as_str(), "assign", &json!({"agent": worker}))?;
    let changed = Fact::Changed { id: id.clone(), by: "assign".to_owned() };
    let mut facts = vec![changed, support::agent_fact(&agent)];
    support::clear_alarm(tx, ctx, id, &mut facts)?;
    Ok(facts)
}

pub(super) fn release(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    reason: &str,
) -> Result<Facts, Refused> {
    let bead = support::bead(tx, id)?;
    let mut facts = Vec::new();
    if let Some(order) = tx.row::<Order>(id)? {
        tx.remove(&order)?;
        facts.push(Fact::Changed { id: id.clone(), by: "release".to_owned() });
    }
    match &bead.hold {
        Hold::Held { agent, .. } => {
            let agent = support::agent(tx, agent)?;
            facts.extend(free(tx, ctx, agent, reason)?);
        }
        Hold::InQueue { mr } => {
            let why = format!("it waits in the merge queue as {mr}: 'gt mq reject {mr}' first");
            return Err(Refused::NotNow { id: id.to_string(), why });
        }
        Hold::Free | Hold::Merged { .. } if facts.is_empty() => {
            let why = "nobody has it and it waits for nobody".to_owned();
            return Err(Refused::NotNow { id: id.to_string(), why });
        }
        Hold::Free | Hold::Merged { .. } => {}
    }
    support::log(tx, ctx, id.as_str(), "release", &json!({"reason": reason}))?;
    Ok(facts)
}

/// Takes the bead off an agent's hook; what it was doing is ended and rescued by its machine.
pub(super) fn free(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    mut agent: Agent,
    reason: &str,
) -> Result<Facts, Refused> {
    let Some(work) = agent.state.work().cloned() else {
        return Err(Refused::Moved { what: agent.id.to_string() });
    };
    let mut bead = support::bead(tx, &work.bead)?;
    agent.state = match agent.state.session().cloned() {
        Some(session) => AgentState::Ending { work, session },
        None => AgentState::Clearing { work },
    };
    agent.hook_bead = None;
    agent.updated_at = ctx.now;
    tx.set(&agent)?;
    bead.hold = Hold::Free;
    bead.status = Status::Open;
    bead.assignee = None;
    bead.updated_at = ctx.now;
    tx.set(&bead)?;
    let detail = json!({"agent": agent.id, "reason": reason});
    support::log(tx, ctx, bead.id.as_str(), "free", &detail)?;
    Ok(vec![Fact::Changed { id: bead.id, by: "free".to_owned() }, support::agent_fact(&agent)])
}

pub(super) fn submit(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    incarnation: i64,
    submission: &Submission,
) -> Result<Facts, Refused> {
    let mut agent = support::current(tx, id, incarnation)?;
    let (work, session) = match agent.state.clone() {
        AgentState::Spawning { work, session } | AgentState::Working { work, session } => {
            (work, session)
        }
        AgentState::Submitted { submission: earlier, .. } if earlier == *submission => {
            return Ok(vec![Fact::Unchanged]);
        }
        AgentState::Idle
        | AgentState::Preparing { .. }
        | AgentState::Backoff { .. }
        | AgentState::Submitted { .. }
        | AgentState::Ending { .. }
        | AgentState::Clearing { .. } => {
            let why =
                format!("it is {}: there is nothing on its hook to submit", agent.state.word());
            return Err(Refused::NotNow { id: id.to_string(), why });
        }
    };
    if submission.no_change.is_none() {
        queue::refuse_known(tx, &work.bead, &submission.head)?;
    }
    let detail =
        json!({"head": submission.head, "branch": work.branch, "incarnation": incarnation});
    let bead = work.bead.clone();
    agent.state = AgentState::Submitted { work, session, submission: submission.clone() };
    agent.updated_at = ctx.now;
    tx.set(&agent)?;
    support::log(tx, ctx, bead.as_str(), "submit", &detail)?;
    Ok(vec![support::agent_fact(&agent)])
}

pub(super) fn enqueue(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    (id, incarnation): (&BeadId, i64),
    target: &str,
    touches: Option<&Touches>,
) -> Result<Facts, Refused> {
    let mut agent = support::current(tx, id, incarnation)?;
    let AgentState::Submitted { work, session, submission } = agent.state.clone() else {
        return Err(Refused::Moved { what: id.to_string() });
    };
    let bead = support::bead(tx, &work.bead)?;
    agent.hook_bead = None;
    agent.updated_at = ctx.now;
    agent.state = AgentState::Ending { work: work.clone(), session };
    tx.set(&agent)?;
    let mut facts = match &submission.no_change {
        Some(reason) => beads::shut(tx, ctx, bead, reason, Hold::Free)?,
        None => {
            let request = queue::Request {
                author: (id, incarnation),
                branch: &work.branch,
                head: &submission.head,
                target,
                touches,
            };
            queue::put(tx, ctx, bead, &request)?
        }
    };
    facts.push(support::agent_fact(&agent));
    Ok(facts)
}
