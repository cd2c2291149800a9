//! Role and agent beads, exactly by the seed's table; small texts of the database.

use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::beads;
use super::fields::NewBead;
use super::support;
use crate::model::agent::AgentState;
use crate::model::bead::BeadType;
use crate::model::ids::BeadId;
use crate::model::ids::Identity;
use crate::model::ids::Role;
use crate::model::merge::Cycle;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::rows::Counter;
use crate::model::rows::Meta;
use crate::model::rows::Queue;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;
use crate::model::value::Name;

/// Texts whose names begin so are the engine's own: its schema and its shape.
const STORE_OWN: &str = "store.";

pub(super) fn set_meta(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    name: &Name,
    value: &str,
) -> Result<Facts, Refused> {
    if name.as_str().starts_with(STORE_OWN) {
        let why = format!("'{name}' is the store's own: choose a name without '{STORE_OWN}'");
        return Err(Refused::Invalid(why));
    }
    let row = Meta { name: name.clone(), value: value.to_owned() };
    match tx.row::<Meta>(name)? {
        Some(old) if old == row => return Ok(vec![Fact::Unchanged]),
        Some(_) => tx.set(&row)?,
        None => tx.add(&row)?,
    }
    support::log(tx, ctx, name.as_str(), "set_meta", &json!({"value": value}))?;
    Ok(Vec::new())
}

pub(super) fn register_role(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    role: Role,
) -> Result<Facts, Refused> {
    let id = role.role_bead();
    if tx.find::<Bead>("by_id", &id)?.is_some() {
        return Ok(vec![Fact::Unchanged]);
    }
    let new = NewBead {
        title: format!("Role definition: {role}"),
        description: format!("templates/roles/{role}.md"),
        issue_type: Some(BeadType::Role),
        ..NewBead::default()
    };
    let seq = ctx.key();
    beads::add_plain(tx, ctx, &id, seq, &new)?;
    support::log(tx, ctx, id.as_str(), "register_role", &json!({"role": role}))?;
    Ok(vec![Fact::Created { id }])
}

pub(super) fn register_agent(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    who: &Identity,
) -> Result<Facts, Refused> {
    let prefix = support::prefix(tx)?;
    let (Some(id), Some(role)) = (who.bead_id(&prefix), who.role()) else {
        return Err(Refused::Invalid("the overseer has no agent bead".to_owned()));
    };
    if tx.row::<Agent>(&id)?.is_some() {
        return Ok(vec![Fact::Unchanged]);
    }
    let actor = who.actor();
    let short = actor.rsplit('/').next().unwrap_or(&actor).to_owned();
    let seq = ctx.key();
    let new =
        NewBead { title: actor.clone(), issue_type: Some(BeadType::Agent), ..NewBead::default() };
    beads::add_plain(tx, ctx, &id, seq, &new)?;
    let agent = Agent {
        id: id.clone(),
        actor: Name(actor.clone()),
        role,
        role_bead: role.role_bead(),
        persistence: role.persistence(),
        rig: who.rig().cloned(),
        name: Name(short),
        incarnation: earlier_incarnations(tx, &id)?,
        state: AgentState::Idle,
        hook_bead: None,
        updated_at: ctx.now,
    };
    tx.add(&agent)?;
    if let (Role::Refinery, Some(rig)) = (role, who.rig())
        && tx.row::<Queue>(rig)?.is_none()
    {
        tx.add(&Queue {
            rig: rig.clone(),
            cycle: Cycle::Idle,
            cycles: 0,
            parked: None,
            retry_after: 0,
            learner: None,
            frozen: None,
        })?;
    }
    support::log(tx, ctx, id.as_str(), "register_agent", &json!({"actor": actor}))?;
    Ok(vec![Fact::Created { id }, support::agent_fact(&agent)])
}

/// Counts go on where an earlier agent of this name stopped: no incarnation is ever used twice.
fn earlier_incarnations(tx: &mut dyn Tx, id: &BeadId) -> Result<i64, Refused> {
    let counter = tx.row::<Counter>(&incarnations_of(id))?;
    Ok(counter.map_or(0, |counter| counter.value))
}

fn incarnations_of(id: &BeadId) -> Name {
    Name(format!("incarnations:{id}"))
}

pub(super) fn remove_agent(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
) -> Result<Facts, Refused> {
    let agent = support::agent(tx, id)?;
    if agent.state != AgentState::Idle {
        let why = format!("it is {}: 'gt release' its bead first", agent.state.word());
        return Err(Refused::NotNow { id: id.to_string(), why });
    }
    let counter = Counter { name: incarnations_of(id), value: agent.incarnation };
    match tx.row::<Counter>(&counter.name)? {
        Some(_) => tx.set(&counter)?,
        None => tx.add(&counter)?,
    }
    tx.remove(&agent)?;
    let bead = support::bead(tx, id)?;
    tx.remove(&bead)?;
    support::log(tx, ctx, id.as_str(), "remove_agent", &json!({}))?;
    Ok(vec![Fact::Agent {
        id: id.clone(),
        actor: agent.actor.to_string(),
        phase: "removed".to_owned(),
    }])
}
