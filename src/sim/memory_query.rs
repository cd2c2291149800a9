//! Lists and statistics over any transaction by looking at every row.
//!
//! The meaning that the SQL of the real engines is compared with; fast enough for small towns.

use std::collections::BTreeMap;

use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::query::BeadFilter;
use crate::model::query::Brief;
use crate::model::query::Counts;
use crate::model::query::Linked;
use crate::model::query::Stats;
use crate::model::query::Way;
use crate::model::query::mean_lead;
use crate::model::rows::Bead;
use crate::model::rows::Comment;
use crate::model::rows::Dep;
use crate::model::rows::Label;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Name;

/// The beads that a filter admits, in its order, up to its limit.
///
/// # Errors
/// As [`Tx::scan`].
pub fn list(tx: &mut dyn Tx, filter: &BeadFilter) -> Result<Vec<Bead>, TxError> {
    let mut found = Vec::new();
    for bead in tx.rows::<Bead>(&Scan::default())? {
        let labels = labels(tx, &bead.id)?;
        if filter.admits(&bead, &labels) {
            found.push(bead);
        }
    }
    found.sort_by(|a, b| filter.order(a, b));
    found.truncate(filter.limit.unwrap_or(usize::MAX));
    Ok(found)
}

fn labels(tx: &mut dyn Tx, bead: &BeadId) -> Result<Vec<Name>, TxError> {
    let rows: Vec<Label> = tx.with(None, vec![bead.to_value()])?;
    Ok(rows.into_iter().map(|row| row.label).collect())
}

/// The labels of each bead that has any.
///
/// # Errors
/// As [`Tx::scan`].
pub fn labels_of(
    tx: &mut dyn Tx,
    beads: &[BeadId],
) -> Result<BTreeMap<BeadId, Vec<Name>>, TxError> {
    let mut found = BTreeMap::new();
    for bead in beads {
        let labels = labels(tx, bead)?;
        if !labels.is_empty() {
            found.insert(bead.clone(), labels);
        }
    }
    Ok(found)
}

/// Edges and remarks of each bead that has any.
///
/// # Errors
/// As [`Tx::scan`].
pub fn counts_of(tx: &mut dyn Tx, beads: &[BeadId]) -> Result<BTreeMap<BeadId, Counts>, TxError> {
    let mut found = BTreeMap::new();
    for bead in beads {
        let id = vec![bead.to_value()];
        let counts = Counts {
            dependencies: count(tx.with::<Dep>(None, id.clone())?.len()),
            dependents: count(tx.with::<Dep>(Some("by_target"), id.clone())?.len()),
            comments: count(tx.with::<Comment>(None, id)?.len()),
        };
        if counts != Counts::default() {
            found.insert(bead.clone(), counts);
        }
    }
    Ok(found)
}

fn count(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

/// The far ends of the beads' edges, ordered by (bead, other bead).
///
/// # Errors
/// As [`Tx::scan`].
pub fn linked(tx: &mut dyn Tx, beads: &[BeadId], way: Way) -> Result<Vec<Linked>, TxError> {
    let mut beads = beads.to_vec();
    beads.sort();
    beads.dedup();
    let mut found = Vec::new();
    for of in beads {
        let index = (way == Way::Up).then_some("by_target");
        for dep in tx.with::<Dep>(index, vec![of.to_value()])? {
            let id = if way == Way::Up { dep.bead } else { dep.target };
            let brief = tx.find::<Bead>("by_id", &id)?.map(|bead| Brief {
                title: bead.title,
                status: bead.status,
                priority: bead.priority,
                issue_type: bead.issue_type,
            });
            found.push(Linked { of: of.clone(), id, dep_type: dep.dep_type, brief });
        }
    }
    Ok(found)
}

/// The numbers of the whole database.
///
/// # Errors
/// As [`Tx::scan`].
pub fn stats(tx: &mut dyn Tx, now_ms: i64) -> Result<Stats, TxError> {
    let mut stats = Stats::default();
    for bead in tx.rows::<Bead>(&Scan::default())?.iter().filter(|bead| bead.work) {
        let deferred = bead.defer_until.is_some_and(|until| until > now_ms);
        stats.count(bead.status, bead.blocked, 1, i64::from(deferred));
    }
    Ok(stats)
}

/// The mean lead time of closed work, in milliseconds.
///
/// # Errors
/// As [`Tx::scan`].
pub fn lead_ms(tx: &mut dyn Tx) -> Result<Option<i64>, TxError> {
    let (mut sum, mut count) = (0_i64, 0);
    for bead in tx.rows::<Bead>(&Scan::default())? {
        if let (true, Status::Closed, Some(closed)) = (bead.work, bead.status, bead.closed_at) {
            sum = sum.saturating_add(closed.saturating_sub(bead.created_at));
            count += 1;
        }
    }
    Ok(mean_lead(sum, count))
}
