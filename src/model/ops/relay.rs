//! Parcels between databases: applied once and in order (D7, I9), and what each does.

use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::beads;
use super::blocked;
use super::fields::NewBead;
use super::mail;
use super::support;
use crate::model::bead::BeadType;
use crate::model::bead::Hold;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::mail::MailKind;
use crate::model::mail::Priority;
use crate::model::mutant;
use crate::model::mutant::Mutant;
use crate::model::parcel::Letter;
use crate::model::parcel::Parcel;
use crate::model::rows::Bead;
use crate::model::rows::Convoy;
use crate::model::rows::Cursor;
use crate::model::rows::Escalation;
use crate::model::rows::Member;
use crate::model::rows::Outbox;
use crate::model::rows::Shadow;
use crate::model::rows::Watch;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Name;

pub(super) fn deliver(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    src: &Db,
    seq: i64,
    parcel: &Parcel,
) -> Result<Facts, Refused> {
    let cursor = tx.row::<Cursor>(src)?;
    let last = cursor.as_ref().map_or(i64::MIN, |cursor| cursor.seq);
    let mut facts = vec![Fact::Delivered { src: src.clone(), seq }];
    if seq <= last && !mutant::planted(Mutant::SkipInboxDedup) {
        facts.push(Fact::Unchanged);
        return Ok(facts);
    }
    facts.extend(take(tx, ctx, src, parcel)?);
    let row = Cursor { src: src.clone(), seq: seq.max(last) };
    match cursor {
        Some(_) => tx.set(&row)?,
        None => tx.add(&row)?,
    }
    Ok(facts)
}

/// Applies a parcel; `src` is the database that posted it.
pub(super) fn take(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    src: &Db,
    parcel: &Parcel,
) -> Result<Facts, Refused> {
    match parcel {
        Parcel::Track { convoy, title, owner, beads } => {
            let rig = RigName(src.0.clone());
            let beads: Vec<_> = beads.iter().map(|(id, c)| (id.clone(), rig.clone(), *c)).collect();
            track(tx, ctx, convoy, (title, owner), &beads)
        }
        Parcel::Tracked { convoy, bead, closed } => tracked(tx, ctx, convoy, bead, *closed),
        Parcel::Mail(letter) => mail::send(tx, ctx, letter),
        Parcel::Alarm { subject, condition, raise } => {
            let (subject, condition) =
                (Name::from(subject.as_str()), Name::from(condition.as_str()));
            alarm(tx, ctx, &subject, &condition, raise.as_deref())
        }
        Parcel::Watch { bead, db } => watch(tx, ctx, bead, db),
        Parcel::Unwatch { bead, db } => {
            let gone = tx.remove(&Watch { bead: bead.clone(), db: db.clone() })?;
            Ok(vec![if gone { Fact::Reaped { rows: 1 } } else { Fact::Unchanged }])
        }
        Parcel::Shadow { bead, closed } => shadow(tx, ctx, bead, *closed),
    }
}

pub(super) fn prune(
    tx: &mut dyn Tx,
    _ctx: &mut Ctx<'_>,
    dst: &Db,
    upto: i64,
) -> Result<Facts, Refused> {
    let mut rows = 0;
    for row in tx.with::<Outbox>(None, vec![dst.to_value()])? {
        if row.seq <= upto {
            tx.remove(&row)?;
            rows += 1;
        }
    }
    if rows == 0 { Ok(vec![Fact::Unchanged]) } else { Ok(vec![Fact::Reaped { rows }]) }
}

fn track(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    convoy: &BeadId,
    (title, owner): (&str, &str),
    beads: &[(BeadId, RigName, bool)],
) -> Result<Facts, Refused> {
    match tx.row::<Convoy>(convoy)? {
        None => {
            let seq = ctx.key();
            let new = NewBead {
                title: title.to_owned(),
                issue_type: Some(BeadType::Convoy),
                ..NewBead::default()
            };
            beads::add_plain(tx, ctx, convoy, seq, &new)?;
            tx.add(&Convoy { id: convoy.clone(), owner: Name::from(owner), landed_at: None })?;
        }
        Some(mut landed) if landed.landed_at.is_some() => {
            landed.landed_at = None;
            tx.set(&landed)?;
            let mut bead = support::bead(tx, convoy)?;
            bead.status = Status::Open;
            bead.closed_at = None;
            tx.set(&bead)?;
        }
        Some(_) => {}
    }
    for (bead, rig, closed) in beads {
        if tx.row2::<Member>(convoy, bead)?.is_none() {
            tx.add(&Member {
                convoy: convoy.clone(),
                bead: bead.clone(),
                rig: rig.clone(),
                closed: *closed,
            })?;
        }
    }
    let detail = json!({"beads": beads.len(), "owner": owner});
    support::log(tx, ctx, convoy.as_str(), "track", &detail)?;
    let mut facts = vec![Fact::Convoyed { convoy: convoy.clone() }];
    land_if_done(tx, ctx, convoy, &mut facts)?;
    Ok(facts)
}

pub(super) fn create_convoy(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    title: &str,
    owner: &Name,
    beads: &[(BeadId, RigName, bool)],
) -> Result<Facts, Refused> {
    let convoy = BeadId(format!("hq-cv-{}", support::short_id(ctx.key(), 0, 6)));
    let mut facts = track(tx, ctx, &convoy, (title, owner.as_str()), beads)?;
    // The beads are not marked as this convoy's: their rigs are asked to tell of them.
    for (bead, rig, _) in beads {
        let parcel = Parcel::Watch { bead: bead.clone(), db: ctx.db.clone() };
        support::post(tx, ctx, &Db::from(rig), parcel, &mut facts)?;
    }
    Ok(facts)
}

fn tracked(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    convoy: &BeadId,
    bead: &BeadId,
    closed: bool,
) -> Result<Facts, Refused> {
    let Some(mut member) = tx.row2::<Member>(convoy, bead)? else {
        return Ok(vec![Fact::Unchanged]);
    };
    if member.closed == closed {
        return Ok(vec![Fact::Unchanged]);
    }
    member.closed = closed;
    tx.set(&member)?;
    let mut facts = Vec::new();
    land_if_done(tx, ctx, convoy, &mut facts)?;
    support::log(tx, ctx, convoy.as_str(), "tracked", &json!({"bead": bead, "closed": closed}))?;
    Ok(facts)
}

/// A convoy lands when its last bead closes, and tells its owner then and only then.
fn land_if_done(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    facts: &mut Facts,
) -> Result<(), Refused> {
    let members = tx.with::<Member>(None, vec![id.to_value()])?;
    let done = !members.is_empty() && members.iter().all(|member| member.closed);
    let Some(mut convoy) = tx.row::<Convoy>(id)? else { return Ok(()) };
    if !done || convoy.landed_at.is_some() {
        return Ok(());
    }
    convoy.landed_at = Some(ctx.now);
    tx.set(&convoy)?;
    let bead = support::bead(tx, id)?;
    let title = bead.title.clone();
    facts.extend(beads::shut(tx, ctx, bead, "all beads closed", Hold::Free)?);
    facts.push(Fact::ConvoyLanded { id: id.clone() });
    let list: Vec<&str> = members.iter().map(|member| member.bead.as_str()).collect();
    let letter = Letter {
        sender: "mayor".to_owned(),
        recipient: convoy.owner.to_string(),
        kind: MailKind::ConvoyLanded,
        subject: format!("CONVOY_LANDED {id}: {title}"),
        body: format!("Convoy: {id}\nBeads: {}", list.join(", ")),
        priority: Priority::Normal,
        thread: None,
    };
    facts.extend(mail::send(tx, ctx, &letter)?);
    Ok(())
}

pub(super) fn alarm(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    subject: &Name,
    condition: &Name,
    raise: Option<&str>,
) -> Result<Facts, Refused> {
    let old = tx.row2::<Escalation>(subject, condition)?;
    let standing = old.as_ref().is_some_and(|row| row.cleared_at.is_none());
    let fact = Fact::Alarm {
        subject: subject.to_string(),
        condition: condition.to_string(),
        raised: raise.is_some(),
    };
    match (raise, standing) {
        (Some(_), true) | (None, false) => Ok(vec![Fact::Unchanged]),
        (None, true) => {
            let Some(row) = old else { return Ok(vec![Fact::Unchanged]) };
            let bead = support::bead(tx, &row.id)?;
            tx.set(&Escalation { cleared_at: Some(ctx.now), ..row })?;
            let mut facts = beads::shut(tx, ctx, bead, "the condition is gone", Hold::Free)?;
            facts.push(fact);
            Ok(facts)
        }
        (Some(words), false) => {
            let seq = ctx.key();
            let id = support::fresh_id(tx, "hq", "esc-", seq)?;
            let new = NewBead {
                title: format!("{subject}: {condition}"),
                description: words.to_owned(),
                issue_type: Some(BeadType::Escalation),
                priority: Some(1),
                ..NewBead::default()
            };
            beads::add_plain(tx, ctx, &id, seq, &new)?;
            let row = Escalation {
                subject: subject.clone(),
                condition: condition.clone(),
                id: id.clone(),
                raised_at: ctx.now,
                cleared_at: None,
            };
            if old.is_some() {
                tx.set(&row)?
            } else {
                tx.add(&row)?
            }
            support::log(tx, ctx, id.as_str(), "alarm", &json!({"words": words}))?;
            let letter = Letter {
                sender: "mayor".to_owned(),
                recipient: "overseer".to_owned(),
                kind: MailKind::Escalation,
                subject: format!("ESCALATION {subject}: {condition}"),
                body: format!("Bead: {id}\n{words}"),
                priority: Priority::Urgent,
                thread: None,
            };
            let mut facts = vec![fact];
            facts.extend(mail::send(tx, ctx, &letter)?);
            Ok(facts)
        }
    }
}

fn watch(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, bead: &BeadId, db: &Db) -> Result<Facts, Refused> {
    if tx.row2::<Watch>(bead, db)?.is_none() {
        tx.add(&Watch { bead: bead.clone(), db: db.clone() })?;
    }
    // The bead may have closed, or gone, between the look that made the edge and now.
    let closed = tx.find::<Bead>("by_id", bead)?.is_none_or(|bead| !blocked::is_open(bead.status));
    let mut facts = Vec::new();
    support::post(tx, ctx, db, Parcel::Shadow { bead: bead.clone(), closed }, &mut facts)?;
    Ok(facts)
}

/// What is known here of a foreign bead: its dependents follow, and so do the convoys with it.
fn shadow(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    bead: &BeadId,
    closed: bool,
) -> Result<Facts, Refused> {
    let mut facts = Vec::new();
    for member in tx.with::<Member>(Some("by_bead"), vec![bead.to_value()])? {
        facts.extend(tracked(tx, ctx, &member.convoy, bead, closed)?);
    }
    if let Some(mut row) = tx.row::<Shadow>(bead)?
        && row.closed != closed
    {
        row.closed = closed;
        tx.set(&row)?;
        let look = blocked::dependents(tx, bead)?;
        blocked::settle(tx, look, &mut facts)?;
    }
    if facts.is_empty() { Ok(vec![Fact::Unchanged]) } else { Ok(facts) }
}
