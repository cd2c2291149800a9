//! Questions about integration branches.

use std::collections::BTreeSet;

use crate::gateway::desk::Desk;
use crate::gateway::desk::town::all;
use crate::gateway::desk::town::in_cycle;
use crate::gateway::routing;
use crate::messages::door::DoorError;
use crate::messages::views::IntegrationView;
use crate::messages::views::MrView;
use crate::messages::views::rfc3339;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::ops;
use crate::model::rows::Bead;
use crate::model::rows::Integration;
use crate::model::rows::MergeRequest;
use crate::model::rows::Queue;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;

impl Desk {
    pub(super) fn integrations(
        &self,
        rig: Option<&RigName>,
        epic: Option<&BeadId>,
    ) -> Result<Vec<IntegrationView>, DoorError> {
        let mut views = Vec::new();
        for db in self.rig_dbs(rig)? {
            let Some(rig) = db.rig() else { continue };
            views.extend(self.read(&db, |tx| of_rig(tx, &rig, epic))?);
        }
        Ok(views)
    }

    pub(super) fn lands_on(&self, bead: &BeadId) -> Result<Option<String>, DoorError> {
        let db: Db = routing::route(&self.books.databases(), bead)?;
        self.read(&db, |tx| Ok(ops::above(tx, bead)?.map(|row| row.branch)))
    }
}

fn of_rig(
    tx: &mut dyn Tx,
    rig: &RigName,
    epic: Option<&BeadId>,
) -> Result<Vec<IntegrationView>, TxError> {
    let mut rows = match epic {
        Some(epic) => tx.row::<Integration>(epic)?.into_iter().collect(),
        None => all::<Integration>(tx)?,
    };
    rows.sort_by_key(|row| row.created_at);
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mrs = all::<MergeRequest>(tx)?;
    let running: BTreeSet<BeadId> =
        all::<Queue>(tx)?.iter().flat_map(|queue| in_cycle(&queue.cycle)).collect();
    let mut views = Vec::new();
    for row in rows {
        let below = ops::below(tx, &row.epic)?;
        let mut own = Vec::new();
        for mr in mrs.iter().filter(|mr| mr.created_at >= row.created_at && is_of(&row, mr)) {
            let title = tx.find::<Bead>("by_id", &mr.bead)?.map(|bead| bead.title);
            let cycling = running.contains(&mr.id);
            own.push(MrView::of(mr, Some(rig.clone()), title.unwrap_or_default(), cycling));
        }
        views.push(IntegrationView {
            title: tx.find::<Bead>("by_id", &row.epic)?.map(|b| b.title).unwrap_or_default(),
            rig: rig.clone(),
            why_not: ops::obstacles(tx, &row, false)?,
            open: below.open,
            closed: below.closed,
            mrs: own,
            epic: row.epic,
            branch: row.branch,
            target: row.target,
            tip: row.tip,
            state: row.state,
            mr: row.mr,
            forced: row.forced,
            created_by: row.created_by.to_string(),
            created_at: rfc3339(row.created_at),
            ended_at: row.ended_at.map(rfc3339),
        });
    }
    Ok(views)
}

/// Whether a merge request lands on the branch, or is the branch.
fn is_of(row: &Integration, mr: &MergeRequest) -> bool {
    mr.target == row.branch || (mr.bead == row.epic && mr.branch == row.branch)
}
