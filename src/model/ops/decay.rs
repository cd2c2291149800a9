//! The end of a row's life: what is over, asked for by nothing, and held elsewhere, goes.
//!
//! [`doomed`] looks, [`decay`] looks again at each and removes it with all that is its own. Landings
//! and the runs that prove them stay for ever. What the archive and the backup do not hold stays.

use serde::Deserialize;
use serde::Serialize;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::over::Needed;
use super::over::bead_is_over;
use super::over::convoy_is_over;
use super::over::escalation_is_over;
use super::over::log_is_over;
use super::over::mail_is_over;
use super::over::run_is_over;
use super::over::run_row_is_over;
use super::over::session_is_over;
use super::support;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RunId;
use crate::model::ids::SessionId;
use crate::model::parcel::Parcel;
use crate::model::rows::Bead;
use crate::model::rows::Change;
use crate::model::rows::Comment;
use crate::model::rows::Convoy;
use crate::model::rows::Dep;
use crate::model::rows::DogRun;
use crate::model::rows::Escalation;
use crate::model::rows::GateRun;
use crate::model::rows::Integration;
use crate::model::rows::Label;
use crate::model::rows::Mail;
use crate::model::rows::Member;
use crate::model::rows::MergeRequest;
use crate::model::rows::Session;
use crate::model::rows::Shadow;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::upkeep::ChoreDone;
use crate::model::upkeep::RunDetail;
use crate::model::value::Cell;
use crate::model::value::Name;
use crate::model::value::Value;

/// Rows read at once.
const PAGE: usize = 256;

/// What is over. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Beads closed before this go, and what was logged of agents and queues before it.
    pub closed_before: i64,
    /// Other things that ended before this go.
    pub ended_before: i64,
    /// What changed after this is not in the archive and the backup yet, and stays.
    pub held_until: i64,
    /// Beads that are needed elsewhere.
    pub spare: Vec<BeadId>,
}

/// Something that may go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Doomed {
    /// A closed bead with labels, remarks, edges, merge requests and changes.
    Bead {
        /// Which.
        id: BeadId,
    },
    /// A message that was read.
    Mail {
        /// Which.
        seq: i64,
    },
    /// A convoy that landed.
    Convoy {
        /// Which.
        id: BeadId,
    },
    /// A condition that is gone.
    Escalation {
        /// What it was about.
        subject: Name,
        /// What was wrong.
        condition: Name,
    },
    /// A session that ended.
    Session {
        /// Which.
        id: SessionId,
    },
    /// A gate run that proves no landing.
    Run {
        /// Which.
        id: RunId,
    },
    /// The row of a dog's run.
    DogRun {
        /// Which.
        seq: i64,
    },
    /// Old changes of somebody who stays.
    Log {
        /// Whose.
        subject: Name,
        /// The newest of them.
        upto: i64,
    },
}

/// Looks for at most `limit` things that may go now, the cheapest to find first.
///
/// # Errors
/// As the transaction.
pub fn doomed(tx: &mut dyn Tx, rules: &Rules, limit: usize) -> Result<Vec<Doomed>, TxError> {
    let needed = Needed::read(tx)?;
    let mut found = Vec::new();
    ended(tx, rules, &needed, &mut found)?;
    beads(tx, rules, &needed, limit, &mut found)?;
    found.truncate(limit);
    Ok(found)
}

/// All but beads.
fn ended(
    tx: &mut dyn Tx,
    rules: &Rules,
    needed: &Needed,
    found: &mut Vec<Doomed>,
) -> Result<(), TxError> {
    let all = || Scan { limit: None, ..Scan::default() };
    for row in tx.rows::<DogRun>(&all())? {
        if row.ran_at >= rules.ended_before {
            break;
        }
        if run_row_is_over(rules, needed, &row) {
            found.push(Doomed::DogRun { seq: row.seq });
        }
    }
    for row in tx.rows::<Mail>(&all())? {
        if mail_is_over(tx, rules, &row)? {
            found.push(Doomed::Mail { seq: row.seq });
        }
    }
    for row in tx.rows::<Convoy>(&all())? {
        if convoy_is_over(tx, rules, &row)? {
            found.push(Doomed::Convoy { id: row.id });
        }
    }
    for row in tx.rows::<Escalation>(&all())? {
        if escalation_is_over(tx, rules, &row)? {
            found.push(Doomed::Escalation { subject: row.subject, condition: row.condition });
        }
    }
    for row in tx.rows::<Session>(&all())? {
        if session_is_over(rules, needed, &row) {
            found.push(Doomed::Session { id: row.id });
        }
    }
    for row in tx.rows::<GateRun>(&all())? {
        if run_is_over(rules, needed, &row) {
            found.push(Doomed::Run { id: row.id });
        }
    }
    for subject in &needed.lasting {
        let prefix = vec![subject.to_value()];
        let old = tx.rows::<Change>(&Scan { prefix, limit: Some(PAGE), ..Scan::default() })?;
        let old = old.into_iter().take_while(|row| log_is_over(rules, row));
        if let Some(last) = old.last() {
            found.push(Doomed::Log { subject: subject.clone(), upto: last.seq });
        }
    }
    Ok(())
}

/// Closed beads, oldest first, until so many things are found. Keys are in the order of time, so
/// that what was made after the time asked for need not be read.
fn beads(
    tx: &mut dyn Tx,
    rules: &Rules,
    needed: &Needed,
    limit: usize,
    found: &mut Vec<Doomed>,
) -> Result<(), TxError> {
    for (work, priority) in [1, 0].into_iter().flat_map(|work| (0..=4).map(move |p| (work, p))) {
        let mut after = None;
        loop {
            let closed = Value::Text(Status::Closed.as_str().to_owned());
            let scan = Scan {
                index: Some("by_ready"),
                prefix: vec![Value::Int(work), closed, Value::Int(0), Value::Int(priority)],
                after: after.map(Value::Int),
                limit: Some(PAGE),
                ..Scan::default()
            };
            let page = tx.rows::<Bead>(&scan)?;
            for bead in &page {
                if found.len() >= limit {
                    return Ok(());
                }
                if bead_is_over(tx, rules, needed, bead)? {
                    found.push(Doomed::Bead { id: bead.id.clone() });
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE && last.created_at < rules.closed_before => {
                    after = Some(last.seq);
                }
                _ => break,
            }
        }
    }
    Ok(())
}

/// Removes what is still over, and leaves the row of this run.
pub(super) fn decay(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    all: &[Doomed],
    rules: &Rules,
) -> Result<Facts, Refused> {
    let needed = Needed::read(tx)?;
    let (mut rows, mut runs, mut gone, mut facts) = (0, 0, Vec::new(), Facts::new());
    for one in all {
        let removed = remove(tx, ctx, one, rules, &needed, (&mut gone, &mut facts))?;
        match one {
            Doomed::DogRun { .. } => runs += removed,
            _ => rows += removed,
        }
    }
    if rows == 0 {
        // To forget a run is no run: it would be forgotten in its turn, for ever.
        let forgotten = Fact::Ran { dog: ctx.actor.to_owned() };
        return Ok(vec![if runs == 0 { Fact::Unchanged } else { forgotten }]);
    }
    let done = ChoreDone {
        began_at: ctx.now,
        done: true,
        words: format!("{} beads, {rows} rows", gone.len()),
        ..ChoreDone::default()
    };
    let detail = RunDetail { db: ctx.db.clone(), chore: "decay".to_owned(), done };
    facts.extend(record(tx, ctx, &ctx.who(), &detail)?);
    facts.push(Fact::Decayed { beads: gone, rows });
    Ok(facts)
}

/// Leaves the row of a dog's run.
pub(super) fn record(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    dog: &Name,
    detail: &RunDetail,
) -> Result<Facts, Refused> {
    let row = DogRun { seq: ctx.key(), dog: dog.clone(), detail: detail.text(), ran_at: ctx.now };
    tx.add(&row)?;
    Ok(vec![Fact::Ran { dog: dog.to_string() }])
}

fn remove(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    one: &Doomed,
    rules: &Rules,
    needed: &Needed,
    (gone, facts): (&mut Vec<BeadId>, &mut Facts),
) -> Result<usize, Refused> {
    match one {
        Doomed::Bead { id } => match tx.find::<Bead>("by_id", id)? {
            Some(bead) if bead_is_over(tx, rules, needed, &bead)? => {
                gone.push(id.clone());
                Ok(remove_bead(tx, ctx, &bead, facts)?)
            }
            _ => Ok(0),
        },
        Doomed::Mail { seq } => match tx.row::<Mail>(seq)? {
            Some(row) if mail_is_over(tx, rules, &row)? => {
                Ok(remove_row(tx, &row)? + remove_noun(tx, &row.id)?)
            }
            _ => Ok(0),
        },
        Doomed::Convoy { id } => match tx.row::<Convoy>(id)? {
            Some(row) if convoy_is_over(tx, rules, &row)? => {
                let members = remove_members(tx, ctx, id, facts)?;
                Ok(members + remove_row(tx, &row)? + remove_noun(tx, id)?)
            }
            _ => Ok(0),
        },
        Doomed::Escalation { subject, condition } => {
            match tx.row2::<Escalation>(subject, condition)? {
                Some(row) if escalation_is_over(tx, rules, &row)? => {
                    Ok(remove_row(tx, &row)? + remove_noun(tx, &row.id)?)
                }
                _ => Ok(0),
            }
        }
        Doomed::Session { id } => match tx.row::<Session>(id)? {
            Some(row) if session_is_over(rules, needed, &row) => Ok(remove_row(tx, &row)?),
            _ => Ok(0),
        },
        Doomed::Run { id } => match tx.row::<GateRun>(id)? {
            Some(row) if run_is_over(rules, needed, &row) => Ok(remove_row(tx, &row)?),
            _ => Ok(0),
        },
        Doomed::DogRun { seq } => match tx.row::<DogRun>(seq)? {
            Some(row) if run_row_is_over(rules, needed, &row) => Ok(remove_row(tx, &row)?),
            _ => Ok(0),
        },
        Doomed::Log { subject, upto } => Ok(remove_log(tx, rules, needed, subject, *upto)?),
    }
}

/// A convoy's members. Rigs may have been asked to tell of them; nobody wants to hear any more.
fn remove_members(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    convoy: &BeadId,
    facts: &mut Facts,
) -> Result<usize, Refused> {
    let members = tx.with::<Member>(None, vec![convoy.to_value()])?;
    let rows = remove_all::<Member>(tx, None, convoy)?;
    for Member { bead, rig, .. } in members {
        if tx.with::<Member>(Some("by_bead"), vec![bead.to_value()])?.is_empty() {
            let parcel = Parcel::Unwatch { bead, db: ctx.db.clone() };
            support::post(tx, ctx, &Db::from(&rig), parcel, facts)?;
        }
    }
    Ok(rows)
}

/// A bead of work with everything that is its own.
fn remove_bead(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    bead: &Bead,
    facts: &mut Facts,
) -> Result<usize, Refused> {
    let mut rows = 0;
    for request in tx.with::<MergeRequest>(Some("by_bead"), vec![bead.id.to_value()])? {
        rows += remove_row(tx, &request)? + remove_noun(tx, &request.id)?;
    }
    rows += remove_all::<Integration>(tx, None, &bead.id)?;
    let targets: Vec<BeadId> =
        tx.with::<Dep>(None, vec![bead.id.to_value()])?.into_iter().map(|dep| dep.target).collect();
    rows += remove_noun(tx, &bead.id)?;
    for target in targets {
        // The last edge to a bead elsewhere is gone: nobody here wants to hear of it.
        let named = tx.with::<Dep>(Some("by_target"), vec![target.to_value()])?;
        if let Some(shadow) = tx.row::<Shadow>(&target)?.filter(|_| named.is_empty()) {
            rows += remove_row(tx, &shadow)?;
            let own = ctx.db.clone();
            support::post(tx, ctx, &shadow.db, Parcel::Unwatch { bead: target, db: own }, facts)?;
        }
    }
    Ok(rows)
}

/// A noun's bead with labels, remarks, edges and changes.
fn remove_noun(tx: &mut dyn Tx, id: &BeadId) -> Result<usize, TxError> {
    let mut rows = remove_all::<Dep>(tx, None, id)?;
    rows += remove_all::<Dep>(tx, Some("by_target"), id)?;
    rows += remove_all::<Label>(tx, None, id)?;
    rows += remove_all::<Comment>(tx, None, id)?;
    rows += remove_all::<Change>(tx, None, id)?;
    match tx.find::<Bead>("by_id", id)? {
        Some(bead) => Ok(rows + remove_row(tx, &bead)?),
        None => Ok(rows),
    }
}

fn remove_all<R: crate::model::table::Row>(
    tx: &mut dyn Tx,
    index: Option<&'static str>,
    id: &BeadId,
) -> Result<usize, TxError> {
    let mut rows = 0;
    for row in tx.with::<R>(index, vec![id.to_value()])? {
        rows += remove_row(tx, &row)?;
    }
    Ok(rows)
}

fn remove_row<R: crate::model::table::Row>(tx: &mut dyn Tx, row: &R) -> Result<usize, TxError> {
    Ok(usize::from(tx.remove(row)?))
}

fn remove_log(
    tx: &mut dyn Tx,
    rules: &Rules,
    needed: &Needed,
    subject: &Name,
    upto: i64,
) -> Result<usize, TxError> {
    if !needed.lasting.contains(subject) {
        return Ok(0);
    }
    let prefix = vec![subject.to_value()];
    let old = tx.rows::<Change>(&Scan { prefix, limit: Some(PAGE), ..Scan::default() })?;
    let mut rows = 0;
    for row in old.iter().take_while(|row| row.seq <= upto && log_is_over(rules, row)) {
        rows += remove_row(tx, row)?;
    }
    Ok(rows)
}

/// Where beads of convoys that have not landed live: what no rig may lose yet.
///
/// # Errors
/// As the transaction.
pub fn travelling(tx: &mut dyn Tx) -> Result<Vec<(Db, BeadId)>, TxError> {
    let mut all = Vec::new();
    for convoy in tx.with::<Convoy>(None, Vec::new())? {
        if convoy.landed_at.is_none() {
            let members = tx.with::<Member>(None, vec![convoy.id.to_value()])?;
            all.extend(members.into_iter().map(|member| (Db::from(&member.rig), member.bead)));
        }
    }
    Ok(all)
}
