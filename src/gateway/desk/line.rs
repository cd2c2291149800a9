//! Questions about the line before a queue: its events, who waits for what, and how long.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::gateway::desk::Desk;
use crate::gateway::desk::town::all;
use crate::gateway::desk::town::in_cycle;
use crate::gateway::desk::town::requests;
use crate::messages::door::DoorError;
use crate::messages::views::EtaView;
use crate::messages::views::ExpectedView;
use crate::messages::views::QueueEventView;
use crate::model::eta;
use crate::model::eta::Observed;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::line;
use crate::model::merge::MrState;
use crate::model::rows::Change;
use crate::model::rows::MergeRequest;
use crate::model::rows::Queue;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Cell;

/// Changes of a queue that are looked at for what its cycles took.
const CYCLES_LOOK: usize = 400;
/// What happens to a merge request or its bead and belongs to the queue's events.
const EVENTS: [&str; 5] = ["enqueue", "set_mr", "hotfix", "give_back", "cancel"];

/// Why a waiting merge request cannot be stacked now, in words.
pub(super) fn keeps(
    tx: &mut dyn Tx,
    queue: Option<&Queue>,
    mr: &MergeRequest,
) -> Result<Option<String>, TxError> {
    if mr.state != MrState::Queued {
        return Ok(None);
    }
    if let Some(freeze) = queue.and_then(|queue| queue.frozen.as_ref())
        && freeze.bars(mr)
    {
        return Ok(Some(format!("frozen by {}: {}", freeze.by, freeze.reason)));
    }
    let needs = line::needs_of(tx, mr)?;
    let list = |ids: &[BeadId]| ids.iter().map(BeadId::as_str).collect::<Vec<_>>().join(", ");
    Ok(match (needs.missing.as_slice(), needs.first.as_slice()) {
        ([], []) => None,
        ([], first) => Some(format!("behind {}", list(first))),
        (missing, _) => Some(format!("until {} is closed", list(missing))),
    })
}

/// What a queue's last cycles took, from its changes, newest first.
fn observed(changes: &[Change]) -> Observed {
    let mut seen = Observed::default();
    let mut since = None;
    for change in changes.iter().rev() {
        match change.op.as_str() {
            "begin_cycle" => since = Some(change.at),
            "abandon_cycle" => since = None,
            "finish_cycle" => {
                let detail: Value = serde_json::from_str(&change.detail).unwrap_or_default();
                let took = since.map(|from| change.at - from);
                let of =
                    if detail["innocence_ppm"].is_null() { &mut seen.clean } else { &mut seen.red };
                of.extend(took);
                // What is behind a landed prefix is searched on at once.
                since = Some(change.at);
            }
            _ => {}
        }
    }
    seen
}

impl Desk {
    /// The newest events of a queue after `after`, oldest first.
    pub(super) fn queue_log(
        &self,
        rig: &RigName,
        limit: usize,
        after: i64,
    ) -> Result<Vec<QueueEventView>, DoorError> {
        let db = Db::from(rig);
        self.check_db(&db)?;
        let mut rows = self.read(&db, |tx| {
            let mut rows = newest(tx, rig.as_str(), limit)?;
            let mut mrs = all::<MergeRequest>(tx)?;
            let waits = |mr: &MergeRequest| matches!(mr.state, MrState::Queued | MrState::Held);
            let last = |mr: &MergeRequest| mr.decided_at.unwrap_or(mr.created_at);
            mrs.sort_by_key(|mr| (waits(mr), last(mr), mr.seq));
            let waiting = mrs.iter().filter(|mr| waits(mr)).count();
            let old = mrs.len().saturating_sub(waiting + limit);
            let near = mrs.into_iter().skip(old);
            let subjects: BTreeSet<BeadId> = near.flat_map(|mr| [mr.id, mr.bead]).collect();
            for subject in subjects {
                rows.extend(
                    newest(tx, subject.as_str(), limit)?
                        .into_iter()
                        .filter(|change| EVENTS.contains(&change.op.as_str())),
                );
            }
            Ok(rows)
        })?;
        rows.retain(|row| row.seq > after);
        rows.sort_by_key(|row| row.seq);
        let old = rows.len().saturating_sub(limit);
        Ok(rows[old..].iter().map(QueueEventView::from).collect())
    }

    /// When those who wait will be decided, in the order of the line; of one, or of all.
    pub(super) fn eta(
        &self,
        rig: &RigName,
        mr: Option<&BeadId>,
        most: usize,
    ) -> Result<Vec<EtaView>, DoorError> {
        let db = Db::from(rig);
        self.check_db(&db)?;
        let mut views = self.read(&db, |tx| {
            let queue = tx.row::<Queue>(rig)?;
            let mut waiting = requests(tx, &[MrState::Queued, MrState::Held])?;
            let cycle = queue.as_ref().map(|queue| in_cycle(&queue.cycle)).unwrap_or_default();
            let inside: BTreeMap<&BeadId, usize> =
                cycle.iter().enumerate().map(|(at, id)| (id, at)).collect();
            let turn = |mr: &MergeRequest| {
                (inside.get(&mr.id).map_or(usize::MAX, |at| *at), line::turn(mr))
            };
            waiting.sort_by_key(turn);
            let changes = newest(tx, rig.as_str(), CYCLES_LOOK)?;
            let seen = observed(&changes);
            let learner = queue.as_ref().and_then(|queue| queue.learner.clone());
            let rate = learner.unwrap_or_default().rate();
            let parked = queue.as_ref().and_then(|queue| queue.parked.clone());
            let (mut place, mut views) = (0, Vec::new());
            for mr in &waiting {
                let kept = match keeps(tx, queue.as_ref(), mr)? {
                    _ if mr.state == MrState::Held => Some("it is held".to_owned()),
                    Some(words) if !words.starts_with("behind") => Some(words),
                    _ => None,
                };
                place += usize::from(kept.is_none());
                let place = kept.is_none().then_some(place);
                let expected = place.and_then(|at| eta::eta(at, rate, most, &seen));
                let unknown = match (&kept, &parked, expected) {
                    (Some(words), ..) => Some(words.clone()),
                    (None, Some(why), _) => Some(format!("the queue waits for a person: {why}")),
                    (None, None, None) => Some("no cycle has ended yet".to_owned()),
                    (None, None, Some(_)) => None,
                };
                let expected = expected.filter(|_| unknown.is_none()).map(|eta| ExpectedView {
                    cycles_p50: eta.cycles_p50,
                    cycles_p90: eta.cycles_p90,
                    ms_p50: eta.ms_p50,
                    ms_p90: eta.ms_p90,
                });
                let (mr, bead) = (mr.id.clone(), mr.bead.clone());
                views.push(EtaView { mr, bead, place, expected, unknown });
            }
            Ok(views)
        })?;
        if let Some(id) = mr {
            views.retain(|view| view.mr == *id);
        }
        Ok(views)
    }
}

/// The newest changes of a subject, newest first.
fn newest(tx: &mut dyn Tx, subject: &str, limit: usize) -> Result<Vec<Change>, TxError> {
    let prefix = vec![subject.to_owned().to_value()];
    tx.rows::<Change>(&Scan { prefix, limit: Some(limit), reverse: true, ..Scan::default() })
}
