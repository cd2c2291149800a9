//! Session starts and ends. Each names the incarnation it is for (I2, I8).

use serde::Deserialize;
use serde::Serialize;
use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::support;
use super::work;
use crate::model::agent::AgentState;
use crate::model::agent::Exit;
use crate::model::agent::Work;
use crate::model::bead::Hold;
use crate::model::effect::HostIdentity;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::SessionId;
use crate::model::mail::MailKind;
use crate::model::mail::Priority;
use crate::model::parcel::Letter;
use crate::model::parcel::Parcel;
use crate::model::rows::Agent;
use crate::model::rows::Order;
use crate::model::rows::Session;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;
use crate::model::value::Name;

/// What follows a session's end while its bead is still held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "then")]
pub enum AfterExit {
    /// The same worker goes on in the same worktree.
    Retry {
        /// Milliseconds since the epoch.
        at: i64,
        /// Whether this exit counts against it.
        counted: bool,
    },
    /// The bead goes back to be given to anybody.
    Reassign {
        /// Why.
        reason: String,
    },
    /// The bead goes back and waits for a person.
    GiveUp {
        /// Why.
        reason: String,
    },
}

pub(super) fn start(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    incarnation: i64,
    session: &SessionId,
) -> Result<Facts, Refused> {
    let mut agent = support::current(tx, id, incarnation)?;
    let (AgentState::Preparing { work } | AgentState::Backoff { work, .. }) = agent.state.clone()
    else {
        return Err(Refused::Moved { what: id.to_string() });
    };
    agent.incarnation += 1;
    agent.updated_at = ctx.now;
    move_hold(tx, &agent, &work)?;
    tx.add(&Session {
        id: session.clone(),
        agent: id.clone(),
        incarnation: agent.incarnation,
        bead: Some(work.bead.clone()),
        token_hash: None,
        host: None,
        started_at: ctx.now,
        ended_at: None,
        exit: None,
    })?;
    let bead = work.bead.clone();
    agent.state = AgentState::Spawning { work, session: session.clone() };
    tx.set(&agent)?;
    let detail = json!({"session": session, "bead": bead});
    support::log(tx, ctx, id.as_str(), "start_session", &detail)?;
    Ok(vec![support::agent_fact(&agent)])
}

/// The bead's hold follows the worker to its next incarnation (D8).
fn move_hold(tx: &mut dyn Tx, agent: &Agent, work: &Work) -> Result<(), Refused> {
    let mut bead = support::bead(tx, &work.bead)?;
    match &bead.hold {
        Hold::Held { agent: holder, .. } if *holder == agent.id => {}
        Hold::Held { .. } | Hold::Free | Hold::InQueue { .. } | Hold::Merged { .. } => {
            return Err(Refused::Moved { what: work.bead.to_string() });
        }
    }
    bead.hold = Hold::Held { agent: agent.id.clone(), incarnation: agent.incarnation };
    tx.set(&bead)?;
    Ok(())
}

pub(super) fn started(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    (id, incarnation): (&BeadId, i64),
    session: &SessionId,
    host: &HostIdentity,
) -> Result<Facts, Refused> {
    let mut agent = support::current(tx, id, incarnation)?;
    let Some(mut row) = tx.row::<Session>(session)? else {
        return Err(Refused::NotFound { kind: "session", id: session.to_string() });
    };
    if row.token_hash.is_some() {
        return Ok(vec![Fact::Unchanged]);
    }
    row.token_hash = Some(Name(host.token_hash.clone()));
    row.host = Some(serde_json::to_string(host).unwrap_or_default());
    tx.set(&row)?;
    if let AgentState::Spawning { work, session: wanted } = agent.state.clone()
        && wanted == *session
    {
        agent.state = AgentState::Working { work, session: wanted };
        agent.updated_at = ctx.now;
        tx.set(&agent)?;
    }
    support::log(tx, ctx, id.as_str(), "session_started", &json!({"pid": host.pid}))?;
    Ok(vec![support::agent_fact(&agent)])
}

pub(super) fn ended(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    (id, incarnation): (&BeadId, i64),
    session: &SessionId,
    exit: &Exit,
    then: &AfterExit,
) -> Result<Facts, Refused> {
    let mut agent = support::current(tx, id, incarnation)?;
    if let Some(mut row) = tx.row::<Session>(session)?
        && row.ended_at.is_none()
    {
        row.ended_at = Some(ctx.now);
        row.exit = Some(exit.clone());
        tx.set(&row)?;
    }
    support::log(tx, ctx, id.as_str(), "session_ended", &json!({"exit": exit, "then": then}))?;
    match agent.state.clone() {
        AgentState::Spawning { work, session: now }
        | AgentState::Working { work, session: now }
            if now == *session =>
        {
            // The session is over: nothing to end, only the worktree to rescue.
            agent.state = AgentState::Backoff { work: work.clone(), until: 0 };
            after_exit(tx, ctx, agent, work, then)
        }
        AgentState::Ending { work, session: now } if now == *session => {
            agent.state = AgentState::Clearing { work };
            agent.updated_at = ctx.now;
            tx.set(&agent)?;
            Ok(vec![support::agent_fact(&agent)])
        }
        AgentState::Idle
        | AgentState::Preparing { .. }
        | AgentState::Spawning { .. }
        | AgentState::Working { .. }
        | AgentState::Backoff { .. }
        | AgentState::Submitted { .. }
        | AgentState::Ending { .. }
        | AgentState::Clearing { .. } => Ok(vec![support::agent_fact(&agent)]),
    }
}

fn after_exit(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    mut agent: Agent,
    mut work: Work,
    then: &AfterExit,
) -> Result<Facts, Refused> {
    let (reason, again) = match then {
        AfterExit::Retry { at, counted } => {
            work.exits += i64::from(*counted);
            agent.state = AgentState::Backoff { work, until: *at };
            agent.updated_at = ctx.now;
            tx.set(&agent)?;
            return Ok(vec![support::agent_fact(&agent)]);
        }
        AfterExit::Reassign { reason } => (reason, true),
        AfterExit::GiveUp { reason } => (reason, false),
    };
    let actor = agent.actor.clone();
    let mut facts = work::free(tx, ctx, agent, reason)?;
    if again {
        let seq = ctx.key();
        tx.add(&Order {
            bead: work.bead.clone(),
            seq,
            worker: None,
            strict: false,
            preset: work.preset.clone().map(Name),
            branch: None,
            start: None,
            tries: work.tries + 1,
            placed_by: ctx.who(),
            placed_at: ctx.now,
        })?;
        facts.push(Fact::Ordered { id: work.bead.clone() });
    } else {
        support::raise_alarm(tx, ctx, &work.bead, reason, &mut facts)?;
    }
    let letter = Letter {
        sender: actor.to_string(),
        recipient: "mayor".to_owned(),
        kind: MailKind::RecoveredBead,
        subject: format!("RECOVERED_BEAD {}", work.bead),
        body: format!("Bead: {}\nPolecat: {actor}\nReason: {reason}", work.bead),
        priority: Priority::Normal,
        thread: None,
    };
    support::post(tx, ctx, &Db::hq(), Parcel::Mail(letter), &mut facts)?;
    Ok(facts)
}

pub(super) fn withdraw(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    incarnation: i64,
    then: &AfterExit,
) -> Result<Facts, Refused> {
    let agent = support::current(tx, id, incarnation)?;
    let work = agent.state.work().filter(|_| agent.state.holds()).cloned();
    match (work, then) {
        (Some(work), AfterExit::Reassign { .. } | AfterExit::GiveUp { .. }) => {
            after_exit(tx, ctx, agent, work, then)
        }
        (Some(_) | None, _) => Err(Refused::Moved { what: id.to_string() }),
    }
}

pub(super) fn cleared(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    incarnation: i64,
    rescued: &Option<String>,
) -> Result<Facts, Refused> {
    let mut agent = support::current(tx, id, incarnation)?;
    let AgentState::Clearing { work } = agent.state.clone() else {
        return Err(Refused::Moved { what: id.to_string() });
    };
    agent.state = AgentState::Idle;
    agent.updated_at = ctx.now;
    tx.set(&agent)?;
    let detail = json!({"rescued": rescued, "bead": work.bead});
    support::log(tx, ctx, id.as_str(), "cleared", &detail)?;
    let mut facts = vec![support::agent_fact(&agent)];
    if let Some(at) = rescued {
        let letter = Letter {
            sender: agent.actor.to_string(),
            recipient: "mayor".to_owned(),
            kind: MailKind::RecoveryNeeded,
            subject: format!("RECOVERY_NEEDED {}", agent.actor),
            body: format!("Polecat: {}\nIssue: {}\nRescued: {at}", agent.actor, work.bead),
            priority: Priority::Normal,
            thread: None,
        };
        support::post(tx, ctx, &Db::hq(), Parcel::Mail(letter), &mut facts)?;
    }
    Ok(facts)
}
