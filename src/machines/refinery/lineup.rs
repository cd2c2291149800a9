//! Who can be stacked, in which order: nothing before what it needs, nothing that a freeze bars.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::target::Branches;
use super::view::Waiting;
use crate::machines::policy::batch;
use crate::model::effect::Bounced;
use crate::model::ids::BeadId;
use crate::model::learner;
use crate::model::line;
use crate::model::line::Freeze;
use crate::model::merge::MrState;
use crate::model::merge::Stacked;
use crate::model::rows::MergeRequest;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Cell;

/// What is being lined up.
struct Lineup<'a> {
    queued: BTreeMap<BeadId, MergeRequest>,
    freeze: Option<&'a Freeze>,
    branches: Branches,
    /// What the first in the line is for: a cycle has one target.
    onto: Option<Option<String>>,
    most: usize,
    line: Vec<Waiting>,
    placed: BTreeSet<BeadId>,
    /// Those that wait for something that cannot be stacked.
    kept: BTreeSet<BeadId>,
}

/// Who waits and can be stacked, at most so many: each when it is its turn, right behind what it
/// needs. And the integration branch that they are for; `None` is the rig's own target.
pub(super) fn waiting(
    tx: &mut dyn Tx,
    most: usize,
    freeze: Option<&Freeze>,
) -> Result<(Vec<Waiting>, Option<String>), TxError> {
    let scan = Scan {
        index: Some("by_state"),
        prefix: vec![MrState::Queued.to_value()],
        ..Scan::default()
    };
    let mut all = tx.rows::<MergeRequest>(&scan)?;
    all.sort_by_key(line::turn);
    let order: Vec<BeadId> = all.iter().map(|mr| mr.id.clone()).collect();
    let queued = all.into_iter().map(|mr| (mr.id.clone(), mr)).collect();
    let (line, placed, kept) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let branches = Branches::read(tx)?;
    let mut lineup = Lineup { queued, freeze, branches, onto: None, most, line, placed, kept };
    for id in order {
        if lineup.line.len() >= most {
            break;
        }
        lineup.admit(tx, &id, &mut Vec::new())?;
    }
    Ok((lineup.line, lineup.onto.flatten()))
}

impl Lineup<'_> {
    /// Places one behind what it needs; says whether it has a place. `above` are those that need
    /// it: a chain that is longer than a stack waits until its beginning has landed.
    fn admit(
        &mut self,
        tx: &mut dyn Tx,
        id: &BeadId,
        above: &mut Vec<BeadId>,
    ) -> Result<bool, TxError> {
        if self.placed.contains(id) {
            return Ok(true);
        }
        if self.kept.contains(id) || above.contains(id) || above.len() > self.most {
            return Ok(false);
        }
        let Some(mr) = self.queued.get(id).cloned() else { return Ok(false) };
        let needs = line::needs_of(tx, &mr)?;
        let barred = self.freeze.is_some_and(|freeze| freeze.bars(&mr));
        if barred || self.branches.is_paused(&mr) || !needs.missing.is_empty() {
            self.kept.insert(id.clone());
            return Ok(false);
        }
        above.push(id.clone());
        let mut ready = true;
        for need in &needs.first {
            ready &= self.admit(tx, need, above)?;
        }
        above.pop();
        if !ready || self.line.len() >= self.most {
            return Ok(false);
        }
        let onto = self.branches.onto(&mr).cloned();
        if *self.onto.get_or_insert_with(|| onto.clone()) != onto {
            return Ok(false);
        }
        let same = tx.with::<MergeRequest>(Some("by_bead"), vec![mr.bead.to_value()])?;
        let traits = learner::traits(&mr, &same);
        let whole = self.branches.is_whole(&mr.id);
        self.placed.insert(id.clone());
        self.line.push(Waiting { mr, traits, needs: needs.first, whole });
        Ok(true)
    }
}

/// The order of a stack: within a class the likeliest culprits last, but nothing before what it
/// needs.
pub(super) fn order(waiting: &[Waiting], risks: &[f64]) -> Vec<usize> {
    let held: Vec<bool> = waiting.iter().map(|one| one.mr.overtaken > 0).collect();
    let class: Vec<i64> = waiting.iter().map(|one| line::class(&one.mr)).collect();
    let at = |mr: &BeadId| waiting.iter().position(|one| one.mr.id == *mr);
    let needs: Vec<Vec<usize>> =
        waiting.iter().map(|one| one.needs.iter().filter_map(at).collect()).collect();
    line::needed_first(&batch::order(risks, &class, &held), &needs)
}

/// How many of the first items stand behind all that they need: what needs one that bounced waits
/// for it, with all that is stacked on it.
pub(super) fn whole(waiting: &[Waiting], items: &[Stacked], bounced: &[Bounced]) -> usize {
    let lacks = |at: &usize| {
        let mine = waiting.iter().find(|one| one.mr.id == items[*at].mr);
        mine.is_some_and(|one| {
            one.needs.iter().any(|need| {
                let before = items[..*at].iter().any(|item| item.mr == *need);
                !before || bounced.iter().any(|lost| lost.mr == *need)
            })
        })
    };
    (0..items.len()).find(lacks).unwrap_or(items.len())
}
