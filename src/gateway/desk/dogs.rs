//! Runs of dogs, over all databases: hq has those of its dogs, each rig those of its reaper.

use crate::gateway::desk::Desk;
use crate::messages::door::DoorError;
use crate::messages::views::DogRunView;
use crate::model::rows::DogRun;
use crate::model::tx::Scan;
use crate::model::tx::TxExt;

/// Most rows of one answer.
const RUNS_MAX: usize = 1_000;

impl Desk {
    pub(super) fn dog_runs(&self, limit: usize) -> Result<Vec<DogRunView>, DoorError> {
        let limit = limit.min(RUNS_MAX);
        let mut rows: Vec<DogRun> = Vec::new();
        for (db, _) in self.books.databases() {
            let scan = Scan { reverse: true, limit: Some(limit), ..Scan::default() };
            rows.extend(self.read(&db, |tx| tx.rows::<DogRun>(&scan))?);
        }
        rows.sort_by_key(|row| std::cmp::Reverse((row.ran_at, row.seq)));
        Ok(rows.iter().take(limit).filter_map(DogRunView::of).collect())
    }
}
