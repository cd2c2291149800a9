//! The merge queue's rows: one cycle per rig, runs as proofs, returns with verdicts (I3-I6, I10).

use serde::Deserialize;
use serde::Serialize;
use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::beads;
use super::fields::NewBead;
use super::integration;
use super::life;
use super::returned;
use super::support;
use crate::model::bead::BeadType;
use crate::model::bead::Hold;
use crate::model::bead::Status;
use crate::model::effect::Bounced;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::ids::Sha;
use crate::model::line;
use crate::model::merge::Cycle;
use crate::model::merge::GateResult;
use crate::model::merge::Going;
use crate::model::merge::Judge;
use crate::model::merge::MrState;
use crate::model::merge::Returned;
use crate::model::merge::Stack;
use crate::model::merge::Touches;
use crate::model::merge::Verdict;
use crate::model::merge::overall;
use crate::model::mutant;
use crate::model::mutant::Mutant;
use crate::model::parcel::Parcel;
use crate::model::rows::Bead;
use crate::model::rows::GateRun;
use crate::model::rows::Ids;
use crate::model::rows::Label;
use crate::model::rows::MergeRequest;
use crate::model::rows::Queue;
use crate::model::rows::Results;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Name;

/// On the refinery's bead as long as somebody whom it has to ask does not answer.
pub const AWAY: &str = "gt:away";

/// A branch that is on the remote, to be queued by who made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBranch {
    /// The bead.
    pub bead: BeadId,
    /// The branch.
    pub branch: String,
    /// Its head.
    pub head: Sha,
    /// The branch to land on.
    pub target: String,
    /// What it touches, if that could be told.
    pub touches: Option<Touches>,
}

/// A branch to queue.
pub(super) struct Request<'a> {
    pub(super) author: (&'a BeadId, i64),
    pub(super) branch: &'a str,
    pub(super) head: &'a Sha,
    pub(super) target: &'a str,
    pub(super) touches: Option<&'a Touches>,
}

/// Queues a merge request for a bead and moves the bead's hold to it (I3).
pub(super) fn put(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    mut bead: Bead,
    request: &Request<'_>,
) -> Result<Facts, Refused> {
    let prefix = support::prefix(tx)?;
    let target = integration::target_of(tx, &bead.id, request.target)?;
    let hotfix = life::was_hotfix(tx, &bead.id)?;
    let seq = ctx.key();
    let id = support::fresh_id(tx, &prefix, "mr-", seq)?;
    let new = NewBead {
        title: bead.title.clone(),
        issue_type: Some(BeadType::MergeRequest),
        priority: Some(bead.priority),
        ..NewBead::default()
    };
    beads::add_plain(tx, ctx, &id, seq, &new)?;
    tx.add(&MergeRequest {
        seq,
        id: id.clone(),
        bead: bead.id.clone(),
        author: request.author.0.clone(),
        incarnation: request.author.1,
        branch: request.branch.to_owned(),
        head: request.head.clone(),
        target,
        priority: bead.priority,
        state: MrState::Queued,
        verdict: None,
        merge_commit: None,
        created_at: ctx.now,
        decided_at: None,
        overtaken: 0,
        outranked: 0,
        hotfix,
        touches: request.touches.cloned(),
    })?;
    bead.hold = Hold::InQueue { mr: id.clone() };
    bead.status = Status::InProgress;
    bead.updated_at = ctx.now;
    tx.set(&bead)?;
    let detail = json!({"mr": id, "head": request.head, "branch": request.branch});
    support::log(tx, ctx, bead.id.as_str(), "enqueue", &detail)?;
    Ok(vec![Fact::Queued { mr: id, bead: bead.id }])
}

pub(super) fn submit_branch(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    new: &NewBranch,
) -> Result<Facts, Refused> {
    let NewBranch { bead: id, branch, head, target, touches } = new;
    let bead = support::bead(tx, id)?;
    let mine = bead.assignee.as_ref().is_none_or(|who| *who == ctx.who());
    if bead.hold != Hold::Free || bead.status == Status::Closed || !mine {
        let why = format!("it is {} and not yours to submit", bead.status);
        return Err(Refused::NotNow { id: id.to_string(), why });
    }
    integration::not_as_a_whole(tx, id, branch)?;
    refuse_known(tx, id, head)?;
    let who = BeadId(ctx.actor.to_owned());
    put(
        tx,
        ctx,
        bead,
        &Request { author: (&who, 0), branch, head, target, touches: touches.as_ref() },
    )
}

/// A head that came back is not queued again as it is (I3): for its own bead whatever the verdict,
/// for another one when it was the culprit.
pub(super) fn refuse_known(tx: &mut dyn Tx, bead: &BeadId, head: &Sha) -> Result<(), Refused> {
    let mut earlier = tx.with::<MergeRequest>(Some("by_bead"), vec![bead.to_value()])?;
    earlier.retain(|mr| mr.verdict.is_some());
    let red = vec![MrState::Returned.to_value()];
    let others = tx.with::<MergeRequest>(Some("by_state"), red)?.into_iter();
    earlier.extend(others.filter(|mr| matches!(mr.verdict, Some(Returned::Red { .. }))));
    let Some(mr) = earlier.into_iter().rev().find(|mr| mr.head == *head) else { return Ok(()) };
    let verdict = mr.verdict.as_ref().map_or_else(String::new, returned::words);
    let why = format!(
        "this head came back as {}: {verdict}. Change it ('gt mq status {}' has all of it), or ask a person for 'gt mq retry {}'",
        mr.id, mr.id, mr.id
    );
    Err(Refused::NotNow { id: bead.to_string(), why })
}

pub(super) fn queue(tx: &mut dyn Tx, rig: &RigName) -> Result<Queue, Refused> {
    tx.row::<Queue>(rig)?.ok_or_else(|| Refused::NotFound { kind: "queue", id: rig.to_string() })
}

pub(super) fn request(tx: &mut dyn Tx, id: &BeadId) -> Result<MergeRequest, Refused> {
    let missing = || Refused::NotFound { kind: "merge request", id: id.to_string() };
    line::request(tx, id)?.ok_or_else(missing)
}

pub(super) fn store(tx: &mut dyn Tx, queue: Queue, cycle: Cycle) -> Result<Fact, Refused> {
    let rig = queue.rig.clone();
    tx.set(&Queue { cycle, ..queue })?;
    Ok(Fact::Queue { rig })
}

pub(super) fn moved(rig: &RigName) -> Refused {
    Refused::Moved { what: format!("the queue of {rig}") }
}

pub(super) fn begin(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    (stack, risks): (&Stack, &[i64]),
    bounced: &[Bounced],
    rework_max: i64,
) -> Result<Facts, Refused> {
    let mut row = queue(tx, rig)?;
    let fits = risks.len() == stack.items.len();
    if row.cycle != Cycle::Idle || row.cycles + 1 != stack.number || !fits {
        return Err(moved(rig));
    }
    for item in &stack.items {
        let mr = request(tx, &item.mr)?;
        if mr.state != MrState::Queued || integration::onto(tx, &mr)? != stack.onto {
            return Err(moved(rig));
        }
    }
    let mut facts = Vec::new();
    for lost in bounced {
        let mr = request(tx, &lost.mr)?;
        if mr.state != MrState::Queued {
            return Err(moved(rig));
        }
        let verdict = if lost.files.is_empty() {
            Returned::Missing { what: mr.head.to_string() }
        } else {
            Returned::Conflict { files: lost.files.clone(), onto: lost.onto.clone() }
        };
        facts.extend(returned::give_back(tx, ctx, mr, verdict, rework_max)?);
    }
    row.cycles = stack.number;
    let cycle = if stack.items.is_empty() {
        Cycle::Idle
    } else {
        Cycle::Testing { stack: stack.clone(), risks: risks.to_vec(), runs: Vec::new(), stuck: 0 }
    };
    let detail = json!({"number": stack.number, "base": stack.base, "items": stack.items.len()});
    support::log(tx, ctx, rig.as_str(), "begin_cycle", &detail)?;
    facts.push(store(tx, row, cycle)?);
    Ok(facts)
}

pub(super) fn start_run(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    run: &RunId,
    len: usize,
    judge: &Judge,
) -> Result<Facts, Refused> {
    let row = queue(tx, rig)?;
    let Cycle::Testing { stack, risks, mut runs, stuck } = row.cycle.clone() else {
        return Err(moved(rig));
    };
    let known = tx.row::<GateRun>(run)?.is_some();
    if known || len > stack.items.len() || runs.iter().any(|going| going.len == len) {
        return Err(moved(rig));
    }
    tx.add(&GateRun {
        id: run.clone(),
        commit_id: stack.commit(len).clone(),
        tree: stack.tree(len).clone(),
        gates: judge.gates.clone(),
        environment: Some(judge.environment.clone()),
        asked_by: None,
        verdict: None,
        results: Results::default(),
        mrs: Ids(stack.items[..len].iter().map(|item| item.mr.clone()).collect()),
        started_at: ctx.now,
        ended_at: None,
    })?;
    let detail = json!({"run": run, "len": len, "of": stack.items.len(), "tree": stack.tree(len)});
    support::log(tx, ctx, rig.as_str(), "start_run", &detail)?;
    runs.push(Going { run: run.clone(), len });
    let cycle = Cycle::Testing { stack, risks, runs, stuck };
    Ok(vec![store(tx, row, cycle)?])
}

/// Records a verdict. One that comes when its cycle is over is kept too: it is known of the tree.
pub(super) fn finish_run(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    run: &RunId,
    results: &[GateResult],
) -> Result<Facts, Refused> {
    let mut row = queue(tx, rig)?;
    let Some(mut record) = tx.row::<GateRun>(run)? else { return Err(moved(rig)) };
    if record.verdict.is_some() {
        return Ok(vec![Fact::Unchanged]);
    }
    let verdict = overall(results);
    if verdict == Verdict::Passed {
        let flaked = flaked(tx, &record, row.retry_after)?;
        let learner = row.learner.get_or_insert_default();
        learner.green_run(flaked);
        learner.saw_green(record.started_at);
    }
    record.verdict = Some(verdict);
    record.results = Results(results.to_vec());
    record.ended_at = Some(ctx.now);
    tx.set(&record)?;
    let detail = json!({"run": run, "mrs": record.mrs.0.len(), "verdict": verdict});
    support::log(tx, ctx, rig.as_str(), "finish_run", &detail)?;
    let cycle = match row.cycle.clone() {
        Cycle::Testing { stack, risks, mut runs, stuck } => {
            let own = runs.iter().any(|going| going.run == *run);
            runs.retain(|going| going.run != *run);
            let stuck = match verdict {
                _ if !own => stuck,
                Verdict::CouldNotRun => stuck + 1,
                Verdict::Passed | Verdict::Failed => 0,
            };
            Cycle::Testing { stack, risks, runs, stuck }
        }
        cycle @ (Cycle::Idle | Cycle::Landing { .. }) => cycle,
    };
    Ok(vec![store(tx, row, cycle)?])
}

/// Earlier runs of the same tree with the same gates that were red: flakes, now that it is green.
/// Each is told once, by the first green run.
fn flaked(tx: &mut dyn Tx, green: &GateRun, after: i64) -> Result<usize, Refused> {
    let runs = tx.with::<GateRun>(Some("by_tree"), vec![green.tree.to_value()])?;
    let judged = |run: &&GateRun| run.gates == green.gates && run.environment == green.environment;
    let same = runs.iter().filter(judged).filter(|run| run.started_at >= after);
    let said: Vec<Verdict> = same.filter_map(|run| run.verdict).collect();
    if said.contains(&Verdict::Passed) {
        return Ok(0);
    }
    Ok(said.iter().filter(|verdict| **verdict == Verdict::Failed).count())
}

/// A green run of a tree by these gates: such a tree is not tested again.
///
/// # Errors
/// As the transaction.
pub fn passed(tx: &mut dyn Tx, tree: &Sha, judge: &Judge) -> Result<Option<GateRun>, TxError> {
    let runs = tx.with::<GateRun>(Some("by_tree"), vec![tree.to_value()])?;
    Ok(runs.into_iter().find(|run| run.verdict == Some(Verdict::Passed) && judge.ran(run)))
}

pub(super) fn begin_landing(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    (len, culprit): (usize, Option<i64>),
    proof: &RunId,
) -> Result<Facts, Refused> {
    let row = queue(tx, rig)?;
    let Cycle::Testing { stack, risks, .. } = row.cycle.clone() else { return Err(moved(rig)) };
    if len == 0 || len + usize::from(culprit.is_some()) > stack.items.len() {
        return Err(moved(rig));
    }
    // A freeze was set since this was decided.
    if line::may_land(tx, &row, &stack)? < len {
        return Err(moved(rig));
    }
    let record = tx.row::<GateRun>(proof)?;
    let proven = record
        .as_ref()
        .is_some_and(|run| run.verdict == Some(Verdict::Passed) && run.tree == *stack.tree(len));
    if !proven && !mutant::planted(Mutant::LandWithoutProof) {
        let why = format!("I4: run {proof} is no proof for tree {}", stack.tree(len));
        return Err(Refused::NotNow { id: rig.to_string(), why });
    }
    let judge =
        record.and_then(|run| Some(Judge { gates: run.gates, environment: run.environment? }));
    let speaks = match judge.filter(|_| culprit.is_some()) {
        Some(judge) => returned::evidence(tx, stack.tree(len + 1), &judge)?.is_some(),
        None => false,
    };
    if culprit.is_some() && !speaks {
        let why = format!("I5: no run of tree {} is red", stack.tree(len + 1));
        return Err(Refused::NotNow { id: rig.to_string(), why });
    }
    let (base, tip) = (&stack.base, stack.commit(len));
    let detail =
        json!({"base": base, "tip": tip, "len": len, "proof": proof, "innocence_ppm": culprit});
    support::log(tx, ctx, rig.as_str(), "begin_landing", &detail)?;
    let cycle = Cycle::Landing { stack, risks, green: len, proof: proof.clone(), culprit };
    Ok(vec![store(tx, row, cycle)?])
}

pub(super) fn close_request_bead(
    tx: &mut dyn Tx,
    ctx: &Ctx<'_>,
    id: &BeadId,
    reason: &str,
) -> Result<(), Refused> {
    let mut bead = support::bead(tx, id)?;
    bead.status = Status::Closed;
    bead.closed_at = Some(ctx.now);
    bead.updated_at = ctx.now;
    bead.close_reason = Some(reason.to_owned());
    tx.set(&bead)?;
    Ok(())
}

pub(super) fn abandon(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    reason: &str,
) -> Result<Facts, Refused> {
    let row = queue(tx, rig)?;
    if row.cycle == Cycle::Idle {
        return Ok(vec![Fact::Unchanged]);
    }
    support::log(tx, ctx, rig.as_str(), "abandon_cycle", &json!({"reason": reason}))?;
    Ok(vec![store(tx, row, Cycle::Idle)?])
}

pub(super) fn park(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    reason: Option<&str>,
) -> Result<Facts, Refused> {
    let mut row = queue(tx, rig)?;
    if row.parked.as_deref() == reason {
        return Ok(vec![Fact::Unchanged]);
    }
    row.parked = reason.map(str::to_owned);
    if reason.is_none() {
        row.retry_after = ctx.now;
    }
    let cycle = row.cycle.clone();
    support::log(tx, ctx, rig.as_str(), "park_queue", &json!({"reason": reason}))?;
    let mut facts = vec![store(tx, row, cycle)?];
    let parcel = Parcel::Alarm {
        subject: format!("{rig}/refinery"),
        condition: "the queue waits for a person".to_owned(),
        raise: reason.map(str::to_owned),
    };
    support::post(tx, ctx, &Db::hq(), parcel, &mut facts)?;
    Ok(facts)
}

/// Raises or clears the alarm that somebody whom the queue has to ask does not answer. A label of
/// the refinery's bead keeps that it was raised.
pub(super) fn away(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    reason: Option<&str>,
) -> Result<Facts, Refused> {
    let prefix = support::prefix(tx)?;
    let Some(bead) = Identity::Refinery(rig.clone()).bead_id(&prefix) else {
        return Err(moved(rig));
    };
    let label = Label { bead, label: Name::from(AWAY) };
    let stands = tx.row2::<Label>(&label.bead, &label.label)?.is_some();
    if stands == reason.is_some() {
        return Ok(vec![Fact::Unchanged]);
    }
    if stands {
        tx.remove(&label)?;
    } else {
        tx.add(&label)?;
    }
    support::log(tx, ctx, rig.as_str(), "queue_away", &json!({"reason": reason}))?;
    let mut facts = vec![Fact::Queue { rig: rig.clone() }];
    let parcel = Parcel::Alarm {
        subject: format!("{rig}/refinery"),
        condition: "the remote does not answer".to_owned(),
        raise: reason.map(str::to_owned),
    };
    support::post(tx, ctx, &Db::hq(), parcel, &mut facts)?;
    Ok(facts)
}
