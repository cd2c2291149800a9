//! Beads by hand: make, edit, claim, close, reopen, delete, remark.

use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::blocked;
use super::edges;
use super::fields::Edit;
use super::fields::ForeignDep;
use super::fields::NewBead;
use super::integration;
use super::life;
use super::support;
use crate::model::bead::BeadType;
use crate::model::bead::DepType;
use crate::model::bead::Hold;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::parcel::Parcel;
use crate::model::rows::Bead;
use crate::model::rows::Comment;
use crate::model::rows::Dep;
use crate::model::rows::Label;
use crate::model::rows::Watch;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Name;

/// Longest title, in characters.
const TITLE_MAX: usize = 500;
/// Deepest child: `parent.1.2.3`.
const DEPTH_MAX: usize = 3;

fn check_title(title: &str) -> Result<(), Refused> {
    let length = title.chars().count();
    if title.trim().is_empty() || length > TITLE_MAX {
        return Err(Refused::Invalid(format!(
            "a title needs 1 to {TITLE_MAX} characters, this one has {length}"
        )));
    }
    if title.chars().any(char::is_control) {
        return Err(Refused::Invalid("a title is one line without control characters".to_owned()));
    }
    Ok(())
}

fn check_priority(priority: i64) -> Result<(), Refused> {
    if (0..=4).contains(&priority) {
        return Ok(());
    }
    Err(Refused::Invalid(format!("priority {priority} is not 0 (highest) to 4 (lowest)")))
}

fn check_metadata(text: Option<&String>) -> Result<(), Refused> {
    let Some(text) = text else { return Ok(()) };
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) if value.is_object() => Ok(()),
        Ok(_) => Err(Refused::Invalid("metadata must be a JSON object".to_owned())),
        Err(error) => Err(Refused::Invalid(format!("metadata is not JSON: {error}"))),
    }
}

fn check_label(label: &Name) -> Result<(), Refused> {
    let fine = !label.0.is_empty() && label.0.len() <= 255 && !label.0.contains(['\n', ',']);
    if fine { Ok(()) } else { Err(Refused::Invalid(format!("'{label}' is not a label"))) }
}

fn check_id(tx: &mut dyn Tx, id: &BeadId) -> Result<(), Refused> {
    let prefix = support::prefix(tx)?;
    let rest = id.0.strip_prefix(&format!("{prefix}-")).unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    if rest.is_empty() || id.0.len() > 255 || !rest.chars().all(plain) {
        return Err(Refused::Invalid(format!(
            "'{id}' is not an id of this database: it needs '{prefix}-' and then a-z, 0-9, '-', '.', '_'"
        )));
    }
    let reserved = ["-witness", "-refinery", "-polecat-", "-crew-", "hq-dog-"];
    if reserved.iter().any(|word| id.0.contains(word))
        || (prefix == "hq" && id.0.ends_with("-role"))
    {
        return Err(Refused::Invalid(format!("'{id}' is reserved for agents and roles")));
    }
    if tx.find::<Bead>("by_id", id)?.is_some() {
        return Err(Refused::Exists(id.to_string()));
    }
    Ok(())
}

fn child_id(tx: &mut dyn Tx, parent: &mut Bead) -> Result<BeadId, Refused> {
    if parent.id.0.matches('.').count() >= DEPTH_MAX {
        return Err(Refused::Invalid(format!(
            "{} is {DEPTH_MAX} levels deep: no children below it",
            parent.id
        )));
    }
    loop {
        parent.children += 1;
        let id = BeadId(format!("{}.{}", parent.id, parent.children));
        if tx.find::<Bead>("by_id", &id)?.is_none() {
            return Ok(id);
        }
    }
}

pub(super) fn create(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, new: &NewBead) -> Result<Facts, Refused> {
    check_title(&new.title)?;
    check_priority(new.priority.unwrap_or(2))?;
    check_metadata(new.metadata.as_ref())?;
    new.labels.iter().try_for_each(check_label)?;
    if let Some(id) = &new.id {
        check_id(tx, id)?;
    }
    for (_, target) in &new.deps {
        support::bead(tx, target)?;
    }
    let mut parent = new.parent.as_ref().map(|id| support::bead(tx, id)).transpose()?;
    let seq = ctx.key();
    let id = match (&new.id, &mut parent) {
        (Some(id), _) => id.clone(),
        (None, Some(parent)) => child_id(tx, parent)?,
        (None, None) => {
            let prefix = support::prefix(tx)?;
            support::fresh_id(tx, &prefix, "", seq)?
        }
    };
    if let Some(parent) = &parent {
        tx.set(parent)?;
    }
    let bead = fresh(ctx, new, seq, &id);
    tx.add(&bead)?;
    for label in &new.labels {
        if tx.row2::<Label>(&id, label)?.is_none() {
            tx.add(&Label { bead: id.clone(), label: label.clone() })?;
        }
    }
    let detail = json!({"title": bead.title, "type": bead.issue_type, "priority": bead.priority});
    support::log(tx, ctx, id.as_str(), "create", &detail)?;
    let mut facts = vec![Fact::Created { id: id.clone() }];
    if let Some(parent) = &new.parent {
        facts.extend(edges::add(tx, ctx, &id, parent, DepType::ParentChild)?);
    }
    for (dep_type, target) in &new.deps {
        facts.extend(edges::add(tx, ctx, &id, target, *dep_type)?);
    }
    for ForeignDep { dep_type, target, db, closed } in &new.foreign_deps {
        facts.extend(edges::add_foreign(tx, ctx, (&id, target), *dep_type, db, *closed)?);
    }
    Ok(facts)
}

fn fresh(ctx: &Ctx<'_>, new: &NewBead, seq: i64, id: &BeadId) -> Bead {
    let issue_type = new.issue_type.unwrap_or(BeadType::Task);
    Bead {
        seq,
        id: id.clone(),
        title: new.title.clone(),
        description: new.description.clone(),
        design: new.design.clone(),
        acceptance_criteria: new.acceptance_criteria.clone(),
        notes: new.notes.clone(),
        status: Status::Open,
        priority: new.priority.unwrap_or(2),
        issue_type,
        work: issue_type.is_work(),
        assignee: new.assignee.clone(),
        created_by: ctx.who(),
        created_at: ctx.now,
        updated_at: ctx.now,
        started_at: None,
        closed_at: None,
        close_reason: None,
        defer_until: new.defer_until,
        due_at: new.due_at,
        estimated_minutes: new.estimated_minutes,
        external_ref: new.external_ref.clone(),
        metadata: new.metadata.clone(),
        blocked: false,
        hold: Hold::Free,
        convoy: None,
        children: 0,
    }
}

/// Writes a bead that stands for something else: an agent, a convoy, a message.
pub(super) fn add_plain(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    seq: i64,
    new: &NewBead,
) -> Result<(), Refused> {
    let mut bead = fresh(ctx, new, seq, id);
    if matches!(bead.issue_type, BeadType::Agent | BeadType::Role) {
        bead.status = Status::Pinned;
    }
    tx.add(&bead)?;
    Ok(())
}

pub(super) fn edit(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    edit: &Edit,
) -> Result<Facts, Refused> {
    let before = support::bead(tx, id)?;
    let mut after = before.clone();
    edit.title.as_deref().map_or(Ok(()), check_title)?;
    edit.priority.map_or(Ok(()), check_priority)?;
    check_metadata(edit.metadata.as_ref())?;
    edit.add_labels.iter().try_for_each(check_label)?;
    if let Some(status) = edit.status {
        set_status(&mut after, status)?;
    }
    overwrite(&mut after, edit);
    let labels = edit_labels(tx, id, edit)?;
    if after == before && !labels {
        return Ok(vec![Fact::Unchanged]);
    }
    after.updated_at = ctx.now;
    tx.set(&after)?;
    let detail = serde_json::to_value(edit).unwrap_or_default();
    support::log(tx, ctx, id.as_str(), "edit", &prune_nulls(detail))?;
    let mut facts = vec![Fact::Changed { id: id.clone(), by: "edit".to_owned() }];
    if before.status != after.status {
        let mut look = blocked::dependents(tx, id)?;
        look.push(id.clone());
        blocked::settle(tx, look, &mut facts)?;
    }
    Ok(facts)
}

fn set_status(bead: &mut Bead, status: Status) -> Result<(), Refused> {
    if status == bead.status {
        return Ok(());
    }
    let why = match (&bead.hold, status, bead.status) {
        (_, Status::Closed, _) => "close it with 'bd close', so that a reason is recorded",
        (_, _, Status::Closed) => "it is closed: 'bd reopen' it first",
        (Hold::Held { .. }, Status::InProgress | Status::Hooked, _) => return Ok(()),
        (Hold::Held { .. } | Hold::InQueue { .. }, _, _) => {
            "the town holds it: take it back with 'gt release' first"
        }
        (Hold::Free | Hold::Merged { .. }, _, _) => {
            bead.status = status;
            return Ok(());
        }
    };
    Err(Refused::NotNow { id: bead.id.to_string(), why: why.to_owned() })
}

fn overwrite(bead: &mut Bead, edit: &Edit) {
    let text = |slot: &mut String, new: &Option<String>| {
        if let Some(new) = new {
            slot.clone_from(new);
        }
    };
    text(&mut bead.title, &edit.title);
    text(&mut bead.description, &edit.description);
    text(&mut bead.design, &edit.design);
    text(&mut bead.acceptance_criteria, &edit.acceptance_criteria);
    text(&mut bead.notes, &edit.notes);
    if let Some(more) = &edit.append_notes {
        if !bead.notes.is_empty() {
            bead.notes.push('\n');
        }
        bead.notes.push_str(more);
    }
    bead.priority = edit.priority.unwrap_or(bead.priority);
    bead.issue_type = edit.issue_type.unwrap_or(bead.issue_type);
    bead.work = bead.issue_type.is_work();
    if let Some(assignee) = &edit.assignee {
        bead.assignee = (!assignee.0.is_empty()).then(|| assignee.clone());
    }
    let time = |slot: &mut Option<i64>, new: Option<i64>| {
        if let Some(at) = new {
            *slot = (at != 0).then_some(at);
        }
    };
    time(&mut bead.defer_until, edit.defer_until);
    time(&mut bead.due_at, edit.due_at);
    time(&mut bead.estimated_minutes, edit.estimated_minutes);
    bead.external_ref = edit.external_ref.clone().or_else(|| bead.external_ref.take());
    bead.metadata = edit.metadata.clone().or_else(|| bead.metadata.take());
}

fn edit_labels(tx: &mut dyn Tx, id: &BeadId, edit: &Edit) -> Result<bool, Refused> {
    let mut changed = false;
    for label in &edit.add_labels {
        if tx.row2::<Label>(id, label)?.is_none() {
            tx.add(&Label { bead: id.clone(), label: label.clone() })?;
            changed = true;
        }
    }
    for label in &edit.remove_labels {
        changed |= tx.remove(&Label { bead: id.clone(), label: label.clone() })?;
    }
    Ok(changed)
}

/// Leaves out what an edit did not touch.
fn prune_nulls(detail: serde_json::Value) -> serde_json::Value {
    match detail {
        serde_json::Value::Object(map) => map
            .into_iter()
            .filter(|(_, v)| !v.is_null() && v.as_array().is_none_or(|list| !list.is_empty()))
            .collect(),
        other => other,
    }
}

pub(super) fn claim(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, id: &BeadId) -> Result<Facts, Refused> {
    let mut bead = support::bead(tx, id)?;
    let mine = bead.assignee.as_ref() == Some(&ctx.who());
    if bead.status == Status::InProgress && mine {
        return Ok(vec![Fact::Unchanged]);
    }
    if let Some(other) = bead.assignee.as_ref().filter(|_| !mine) {
        return Err(Refused::Held { id: id.clone(), by: other.to_string() });
    }
    if bead.status != Status::Open || bead.hold != Hold::Free {
        let why = format!("its status is {}: only an open bead can be claimed", bead.status);
        return Err(Refused::NotNow { id: id.to_string(), why });
    }
    bead.status = Status::InProgress;
    bead.assignee = Some(ctx.who());
    bead.started_at = bead.started_at.or(Some(ctx.now));
    bead.updated_at = ctx.now;
    tx.set(&bead)?;
    support::log(tx, ctx, id.as_str(), "claim", &json!({}))?;
    Ok(vec![Fact::Changed { id: id.clone(), by: "claim".to_owned() }])
}

pub(super) fn close(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    reason: &str,
) -> Result<Facts, Refused> {
    let bead = support::bead(tx, id)?;
    let why = match &bead.hold {
        _ if bead.status == Status::Closed => return Ok(vec![Fact::Unchanged]),
        Hold::Held { .. } => {
            "a worker has it. Finish it with 'gt done' (or 'gt done --no-change REASON'), or take it back with 'gt release'"
        }
        Hold::InQueue { mr } => {
            integration::must_not_live(tx, id)?;
            let mr = mr.clone();
            return life::cancel(tx, ctx, bead, &mr, reason);
        }
        Hold::Free | Hold::Merged { .. } if bead.issue_type == BeadType::Agent => {
            "an agent's bead lives as long as the agent"
        }
        Hold::Free | Hold::Merged { .. } if bead.issue_type == BeadType::MergeRequest => {
            "a merge request is decided by the queue: close the bead that it is for, or 'gt mq reject' it"
        }
        Hold::Free | Hold::Merged { .. } => {
            integration::must_not_live(tx, id)?;
            if let Some(order) = tx.row::<crate::model::rows::Order>(id)? {
                tx.remove(&order)?;
            }
            return shut(tx, ctx, bead, reason, Hold::Free);
        }
    };
    Err(Refused::NotNow { id: id.to_string(), why: why.to_owned() })
}

/// Closes a bead, tells its convoy and whoever watches it, and lets its dependents go.
pub(super) fn shut(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    mut bead: Bead,
    reason: &str,
    hold: Hold,
) -> Result<Facts, Refused> {
    bead.status = Status::Closed;
    bead.closed_at = Some(ctx.now);
    bead.updated_at = ctx.now;
    bead.close_reason = Some(reason.to_owned());
    bead.blocked = false;
    bead.hold = hold;
    tx.set(&bead)?;
    support::log(tx, ctx, bead.id.as_str(), "close", &json!({"reason": reason}))?;
    let mut facts = vec![Fact::Closed { id: bead.id.clone() }];
    tell_others(tx, ctx, &bead, true, &mut facts)?;
    support::clear_alarm(tx, ctx, &bead.id, &mut facts)?;
    let look = blocked::dependents(tx, &bead.id)?;
    blocked::settle(tx, look, &mut facts)?;
    Ok(facts)
}

fn tell_others(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    bead: &Bead,
    closed: bool,
    facts: &mut Facts,
) -> Result<(), Refused> {
    if let Some(convoy) = &bead.convoy {
        let parcel = Parcel::Tracked { convoy: convoy.clone(), bead: bead.id.clone(), closed };
        support::post(tx, ctx, &crate::model::ids::Db::hq(), parcel, facts)?;
    }
    for watch in tx.with::<Watch>(None, vec![bead.id.to_value()])? {
        let parcel = Parcel::Shadow { bead: bead.id.clone(), closed };
        support::post(tx, ctx, &watch.db, parcel, facts)?;
    }
    Ok(())
}

pub(super) fn reopen(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, id: &BeadId) -> Result<Facts, Refused> {
    let mut bead = support::bead(tx, id)?;
    if bead.status != Status::Closed {
        return Ok(vec![Fact::Unchanged]);
    }
    bead.status = Status::Open;
    bead.closed_at = None;
    bead.close_reason = None;
    bead.assignee = None;
    bead.hold = Hold::Free;
    bead.updated_at = ctx.now;
    tx.set(&bead)?;
    support::log(tx, ctx, id.as_str(), "reopen", &json!({}))?;
    let mut facts = vec![Fact::Changed { id: id.clone(), by: "reopen".to_owned() }];
    tell_others(tx, ctx, &bead, false, &mut facts)?;
    let mut look = blocked::dependents(tx, id)?;
    look.push(id.clone());
    blocked::settle(tx, look, &mut facts)?;
    Ok(facts)
}

pub(super) fn delete(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, id: &BeadId) -> Result<Facts, Refused> {
    let bead = support::bead(tx, id)?;
    if bead.hold != Hold::Free && bead.status != Status::Closed {
        let why = "the town holds it: take it back with 'gt release' first".to_owned();
        return Err(Refused::NotNow { id: id.to_string(), why });
    }
    if !bead.issue_type.is_work() {
        let why = format!("a bead of type {} is part of the town's records", bead.issue_type);
        return Err(Refused::NotNow { id: id.to_string(), why });
    }
    integration::must_not_live(tx, id)?;
    let look = blocked::dependents(tx, id)?;
    for dep in tx.with::<Dep>(None, vec![id.to_value()])? {
        tx.remove(&dep)?;
    }
    for dep in tx.with::<Dep>(Some("by_target"), vec![id.to_value()])? {
        tx.remove(&dep)?;
    }
    for label in tx.with::<Label>(None, vec![id.to_value()])? {
        tx.remove(&label)?;
    }
    for comment in tx.with::<Comment>(None, vec![id.to_value()])? {
        tx.remove(&comment)?;
    }
    if let Some(order) = tx.row::<crate::model::rows::Order>(id)? {
        tx.remove(&order)?;
    }
    tx.remove(&bead)?;
    support::log(tx, ctx, id.as_str(), "delete", &json!({"title": bead.title}))?;
    let mut facts = vec![Fact::Changed { id: id.clone(), by: "delete".to_owned() }];
    tell_others(tx, ctx, &bead, true, &mut facts)?;
    blocked::settle(tx, look, &mut facts)?;
    Ok(facts)
}

pub(super) fn comment(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    text: &str,
) -> Result<Facts, Refused> {
    support::bead(tx, id)?;
    if text.trim().is_empty() {
        return Err(Refused::Invalid("a comment needs text".to_owned()));
    }
    let seq = ctx.key();
    let row = Comment {
        bead: id.clone(),
        seq,
        author: ctx.who(),
        text: text.to_owned(),
        created_at: ctx.now,
    };
    tx.add(&row)?;
    support::log(tx, ctx, id.as_str(), "comment", &json!({"text": text}))?;
    Ok(vec![Fact::Changed { id: id.clone(), by: "comment".to_owned() }])
}
