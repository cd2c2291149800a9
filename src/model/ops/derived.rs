//! What follows from other rows, derived again: for a database that somebody changed without ops.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Fact;
use super::Facts;
use super::Refused;
use super::blocked;
use crate::model::bead::DepType;
use crate::model::ids::BeadId;
use crate::model::rows::Bead;
use crate::model::rows::Dep;
use crate::model::rows::Shadow;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;

/// Brings every bead's `blocked` and `work` to what edges, statuses and types say, in three scans.
/// Gives what became free, and nothing when all was right.
///
/// # Errors
/// As the transaction.
pub fn derive_again(tx: &mut dyn Tx) -> Result<Facts, Refused> {
    let beads = tx.rows::<Bead>(&Scan::default())?;
    let deps = tx.rows::<Dep>(&Scan::default())?;
    let shadows = tx.rows::<Shadow>(&Scan::default())?;
    let mut open: BTreeMap<&BeadId, bool> =
        shadows.iter().map(|shadow| (&shadow.id, !shadow.closed)).collect();
    open.extend(beads.iter().map(|bead| (&bead.id, blocked::is_open(bead.status))));
    let is_open = |id: &BeadId| open.get(id).copied().unwrap_or(false);
    let mut children: BTreeMap<&BeadId, Vec<&BeadId>> = BTreeMap::new();
    let mut work = Vec::new();
    for dep in &deps {
        if dep.dep_type == DepType::ParentChild {
            children.entry(&dep.target).or_default().push(&dep.bead);
        } else if dep.dep_type.blocks() && is_open(&dep.target) {
            work.push(&dep.bead);
        }
    }
    let mut waits: BTreeSet<&BeadId> = BTreeSet::new();
    while let Some(id) = work.pop() {
        if is_open(id) && waits.insert(id) {
            work.extend(children.get(id).into_iter().flatten());
        }
    }
    let mut facts = Facts::new();
    for bead in &beads {
        let now = Bead {
            blocked: waits.contains(&bead.id),
            work: bead.issue_type.is_work(),
            ..bead.clone()
        };
        if now != *bead {
            tx.set(&now)?;
            if bead.blocked && !now.blocked {
                facts.push(Fact::Unblocked { id: bead.id.clone() });
            } else {
                facts.push(Fact::Changed { id: bead.id.clone(), by: "derive_again".to_owned() });
            }
        }
    }
    Ok(facts)
}
