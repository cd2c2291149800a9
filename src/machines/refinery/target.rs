//! Which branch the next cycle is for: one cycle moves one branch.
//!
//! The queue has one order, whatever the branches: whoever stands first in it says where the next
//! stack goes, and those behind who land there too are stacked with it. So no branch waits longer
//! than its first merge request would wait without the others.

use std::collections::BTreeSet;

use crate::model::ids::BeadId;
use crate::model::merge::IntegrationState;
use crate::model::rows::Integration;
use crate::model::rows::MergeRequest;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;

/// The integration branches of a rig that have not ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Branches {
    /// Those on which nothing lands, because they wait to land themselves.
    landing: BTreeSet<String>,
    open: BTreeSet<String>,
    /// The merge requests of whole branches.
    whole: BTreeSet<BeadId>,
}

impl Branches {
    pub(super) fn read(tx: &mut dyn Tx) -> Result<Self, TxError> {
        let mut found = Self::default();
        for row in tx.with::<Integration>(None, Vec::new())? {
            match row.state {
                IntegrationState::Open => drop(found.open.insert(row.branch)),
                IntegrationState::Landing => {
                    found.landing.insert(row.branch);
                    found.whole.extend(row.mr);
                }
                IntegrationState::Landed | IntegrationState::Dropped => {}
            }
        }
        Ok(found)
    }

    /// The integration branch that a merge request is for; `None` is the rig's own target.
    pub(super) fn onto(&self, mr: &MergeRequest) -> Option<&String> {
        self.open.get(&mr.target)
    }

    /// Whether it is an integration branch as a whole.
    pub(super) fn is_whole(&self, mr: &BeadId) -> bool {
        self.whole.contains(mr)
    }

    /// Whether it has to wait until the branch that it is for has landed itself.
    pub(super) fn is_paused(&self, mr: &MergeRequest) -> bool {
        self.landing.contains(&mr.target)
    }
}
