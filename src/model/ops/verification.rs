//! Runs of the gates ahead of the queue, recorded when they are over: what was cut off leaves none.

use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::queue;
use super::support;
use crate::model::ids::RigName;
use crate::model::merge::Verification;
use crate::model::merge::overall;
use crate::model::rows::GateRun;
use crate::model::rows::Ids;
use crate::model::rows::Results;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;

/// Records one. It teaches the queue nothing of how often merge requests are red: an author runs
/// the gates on what is not finished too.
pub(super) fn record(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    told: &Verification,
) -> Result<Facts, Refused> {
    queue::queue(tx, rig)?;
    if tx.row::<GateRun>(&told.run)?.is_some() {
        return Ok(vec![Fact::Unchanged]);
    }
    let verdict = overall(&told.results);
    tx.add(&GateRun {
        id: told.run.clone(),
        commit_id: told.commit.clone(),
        tree: told.tree.clone(),
        gates: told.judge.gates.clone(),
        environment: Some(told.judge.environment.clone()),
        asked_by: Some(told.asked_by.clone()),
        verdict: Some(verdict),
        results: Results(told.results.clone()),
        mrs: Ids::default(),
        started_at: told.started_at,
        ended_at: Some(ctx.now),
    })?;
    let detail = json!({"run": told.run, "tree": told.tree, "verdict": verdict});
    support::log(tx, ctx, rig.as_str(), "record_verification", &detail)?;
    Ok(vec![Fact::Queue { rig: rig.clone() }])
}
