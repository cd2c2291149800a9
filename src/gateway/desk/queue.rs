//! Questions about a merge queue's record: what it cost, and why a merge request is where it is.

use crate::gateway::desk::Desk;
use crate::gateway::desk::line;
use crate::gateway::desk::town::all;
use crate::messages::door::DoorError;
use crate::messages::views::PartView;
use crate::messages::views::QueueStatsView;
use crate::messages::views::WhyView;
use crate::messages::views::rfc3339;
use crate::model::ids::BeadId;
use crate::model::ids::RigName;
use crate::model::learner;
use crate::model::learner::Learner;
use crate::model::line::class;
use crate::model::line::request;
use crate::model::merge::MrState;
use crate::model::merge::Returned;
use crate::model::merge::Verdict;
use crate::model::rows::GateRun;
use crate::model::rows::Landing;
use crate::model::rows::MergeRequest;
use crate::model::rows::Queue;
use crate::model::tx::TxExt;
use crate::model::value::Cell;

impl Desk {
    pub(super) fn queue_stats(
        &self,
        rig: Option<&RigName>,
    ) -> Result<Vec<QueueStatsView>, DoorError> {
        let mut views = Vec::new();
        for db in self.rig_dbs(rig)? {
            let (mrs, runs, landings, queue) = self.read(&db, |tx| {
                let (mrs, runs) = (all::<MergeRequest>(tx)?, all::<GateRun>(tx)?);
                Ok((mrs, runs, all::<Landing>(tx)?.len(), all::<Queue>(tx)?.pop()))
            })?;
            let Some(queue) = queue else { continue };
            let learner = queue.learner.unwrap_or_default();
            let merged = mrs.iter().filter(|mr| mr.state == MrState::Merged).count();
            let red = |mr: &&MergeRequest| {
                matches!(mr.verdict, Some(Returned::Red { .. } | Returned::Unable { .. }))
            };
            let culprits = mrs.iter().filter(red).count();
            let bounced = mrs.iter().filter(|mr| mr.verdict.is_some()).count() - culprits;
            let said =
                |run: &&GateRun| matches!(run.verdict, Some(Verdict::Passed | Verdict::Failed));
            let (asked, runs): (Vec<GateRun>, Vec<GateRun>) =
                runs.into_iter().partition(|run| run.asked_by.is_some());
            let answered = runs.iter().filter(said).count();
            let silent =
                runs.iter().filter(|run| run.verdict == Some(Verdict::CouldNotRun)).count();
            let mut waits: Vec<i64> =
                mrs.iter().filter_map(|mr| Some(mr.decided_at? - mr.created_at)).collect();
            waits.sort_unstable();
            views.push(QueueStatsView {
                rig: queue.rig,
                merged,
                culprits,
                bounced,
                landings,
                runs: answered,
                runs_without_answer: silent,
                verifications: asked.len(),
                runs_per_merged: (merged > 0).then(|| answered as f64 / merged as f64),
                bound_per_merged: learner.bound(),
                serial_per_merged: 1.0 / (1.0 - learner.rate()),
                failure_rate: learner.rate(),
                flake_rate: learner.flake(),
                wait_ms_p50: share_of(&waits, 50),
                wait_ms_p95: share_of(&waits, 95),
                overtaken_max: mrs.iter().map(|mr| mr.overtaken).max().unwrap_or(0),
            });
        }
        Ok(views)
    }

    pub(super) fn why(&self, id: &BeadId) -> Result<WhyView, DoorError> {
        let missing = || {
            DoorError::new("not_found", format!("there is no merge request '{id}'"))
                .hint("'gt mq list --all' shows them")
        };
        for db in self.rig_dbs(None)? {
            let found = self.read(&db, |tx| {
                let Some(mr) = request(tx, id)? else { return Ok(None) };
                let same = tx.with::<MergeRequest>(Some("by_bead"), vec![mr.bead.to_value()])?;
                let landings = all::<Landing>(tx)?;
                let landed = landings.into_iter().find(|landing| landing.mrs.0.contains(id));
                let queue = all::<Queue>(tx)?.pop();
                let waits = line::keeps(tx, queue.as_ref(), &mr)?;
                Ok(Some((mr, same, all::<GateRun>(tx)?, (queue, landed, waits))))
            })?;
            let Some((mr, same, mut runs, (queue, landed, waits))) = found else { continue };
            runs.sort_by_key(|run| run.started_at);
            let learner: Learner = queue.and_then(|queue| queue.learner).unwrap_or_default();
            let part = |run: &GateRun| {
                // A run ahead of the queue knows of no merge request; what landed by it does.
                let proof = landed.as_ref().filter(|landing| landing.run == run.id);
                let tested = if run.asked_by.is_some() { &proof?.mrs.0 } else { &run.mrs.0 };
                let before = tested.iter().position(|one| one == id)?;
                Some(PartView {
                    run: run.id.clone(),
                    at: rfc3339(run.started_at),
                    verified_by: run.asked_by.as_ref().map(ToString::to_string),
                    before,
                    behind: tested.len() - before - 1,
                    verdict: run.verdict,
                })
            };
            return Ok(WhyView {
                mr: id.clone(),
                state: mr.state,
                risk: learner.risk(&learner::traits(&mr, &same)),
                overtaken: mr.overtaken,
                outranked: mr.outranked,
                priority: mr.priority,
                class: class(&mr),
                waits,
                runs: runs.iter().filter_map(part).collect(),
            });
        }
        Err(missing())
    }
}

/// The value that this share of sorted values does not exceed, in hundredths; 0 of none.
fn share_of(sorted: &[i64], hundredths: usize) -> i64 {
    let at = (sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0)
}
