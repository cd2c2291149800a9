//! The merge queue's rows: one cycle per rig, runs as proofs, returns with verdicts (I3-I6, I10).

use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::beads;
use super::fields::NewBead;
use super::returned;
use super::support;
use crate::model::bead::BeadType;
use crate::model::bead::Hold;
use crate::model::bead::Status;
use crate::model::effect::Bounced;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::ids::Sha;
use crate::model::mail::MailKind;
use crate::model::mail::Priority;
use crate::model::merge::Cycle;
use crate::model::merge::GateResult;
use crate::model::merge::MrState;
use crate::model::merge::Returned;
use crate::model::merge::Stack;
use crate::model::merge::Verdict;
use crate::model::merge::overall;
use crate::model::mutant;
use crate::model::mutant::Mutant;
use crate::model::parcel::Letter;
use crate::model::parcel::Parcel;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::rows::GateRun;
use crate::model::rows::Ids;
use crate::model::rows::Landing;
use crate::model::rows::MergeRequest;
use crate::model::rows::Queue;
use crate::model::rows::Results;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;
use crate::model::value::Name;

/// A branch to queue.
pub(super) struct Request<'a> {
    pub(super) author: (&'a BeadId, i64),
    pub(super) branch: &'a str,
    pub(super) head: &'a Sha,
    pub(super) target: &'a str,
}

/// Queues a merge request for a bead and moves the bead's hold to it (I3).
pub(super) fn put(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    mut bead: Bead,
    request: &Request<'_>,
) -> Result<Facts, Refused> {
    let prefix = support::prefix(tx)?;
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
        target: request.target.to_owned(),
        priority: bead.priority,
        state: MrState::Queued,
        verdict: None,
        merge_commit: None,
        created_at: ctx.now,
        decided_at: None,
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
    id: &BeadId,
    branch: &str,
    head: &Sha,
    target: &str,
) -> Result<Facts, Refused> {
    let bead = support::bead(tx, id)?;
    let mine = bead.assignee.as_ref().is_none_or(|who| *who == ctx.who());
    if bead.hold != Hold::Free || bead.status == Status::Closed || !mine {
        let why = format!("it is {} and not yours to submit", bead.status);
        return Err(Refused::NotNow { id: id.to_string(), why });
    }
    let who = BeadId(ctx.actor.to_owned());
    put(tx, ctx, bead, &Request { author: (&who, 0), branch, head, target })
}

fn queue(tx: &mut dyn Tx, rig: &RigName) -> Result<Queue, Refused> {
    tx.row::<Queue>(rig)?.ok_or_else(|| Refused::NotFound { kind: "queue", id: rig.to_string() })
}

pub(super) fn request(tx: &mut dyn Tx, id: &BeadId) -> Result<MergeRequest, Refused> {
    let missing = || Refused::NotFound { kind: "merge request", id: id.to_string() };
    let bead = tx.find::<Bead>("by_id", id)?.ok_or_else(missing)?;
    tx.row::<MergeRequest>(&bead.seq)?.ok_or_else(missing)
}

fn store(tx: &mut dyn Tx, queue: Queue, cycle: Cycle) -> Result<Fact, Refused> {
    let rig = queue.rig.clone();
    tx.set(&Queue { cycle, ..queue })?;
    Ok(Fact::Queue { rig })
}

fn moved(rig: &RigName) -> Refused {
    Refused::Moved { what: format!("the queue of {rig}") }
}

pub(super) fn begin(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    stack: &Stack,
    bounced: &[Bounced],
    rework_max: i64,
) -> Result<Facts, Refused> {
    let mut row = queue(tx, rig)?;
    if row.cycle != Cycle::Idle || row.cycles + 1 != stack.number {
        return Err(moved(rig));
    }
    for item in &stack.items {
        if request(tx, &item.mr)?.state != MrState::Queued {
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
        let red = stack.items.len() + 1;
        Cycle::Testing { stack: stack.clone(), green: 0, red, run: None, stuck: 0 }
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
    gates: &Name,
) -> Result<Facts, Refused> {
    let row = queue(tx, rig)?;
    let Cycle::Testing { stack, green, red, run: None, stuck } = row.cycle.clone() else {
        return Err(moved(rig));
    };
    if len > stack.items.len() || len < green || len > red {
        return Err(moved(rig));
    }
    tx.add(&GateRun {
        id: run.clone(),
        commit_id: stack.commit(len).clone(),
        tree: stack.tree(len).clone(),
        gates: gates.clone(),
        verdict: None,
        results: Results::default(),
        mrs: Ids(stack.items[..len].iter().map(|item| item.mr.clone()).collect()),
        started_at: ctx.now,
        ended_at: None,
    })?;
    let detail = json!({"run": run, "len": len, "tree": stack.tree(len)});
    support::log(tx, ctx, rig.as_str(), "start_run", &detail)?;
    let cycle = Cycle::Testing { stack, green, red, run: Some((run.clone(), len)), stuck };
    Ok(vec![store(tx, row, cycle)?])
}

pub(super) fn finish_run(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    run: &RunId,
    results: &[GateResult],
) -> Result<Facts, Refused> {
    let row = queue(tx, rig)?;
    let Cycle::Testing { stack, green, red, run: Some((wanted, len)), stuck } = row.cycle.clone()
    else {
        return Err(moved(rig));
    };
    let found = tx.row::<GateRun>(run)?;
    let (true, Some(mut record)) = (wanted == *run, found) else { return Err(moved(rig)) };
    let verdict = overall(results);
    record.verdict = Some(verdict);
    record.results = Results(results.to_vec());
    record.ended_at = Some(ctx.now);
    tx.set(&record)?;
    let detail = json!({"run": run, "len": len, "verdict": verdict});
    support::log(tx, ctx, rig.as_str(), "finish_run", &detail)?;
    let cycle = narrowed(stack, (green, red), len, verdict, stuck);
    Ok(vec![store(tx, row, cycle)?])
}

/// What a verdict on the prefix of length `len` says about the cycle.
fn narrowed(
    stack: Stack,
    (green, red): (usize, usize),
    len: usize,
    verdict: Verdict,
    stuck: i64,
) -> Cycle {
    let (green, red, stuck) = match verdict {
        // The target's own verdict is in its runs; it says nothing of a prefix.
        Verdict::Passed | Verdict::Failed if len == 0 => (green, red, 0),
        Verdict::Passed => (green.max(len), red, 0),
        Verdict::Failed => (green, red.min(len), 0),
        Verdict::CouldNotRun if mutant::planted(Mutant::LandWithoutProof) => {
            (green.max(len), red, 0)
        }
        Verdict::CouldNotRun => (green, red, stuck + 1),
    };
    Cycle::Testing { stack, green, red, run: None, stuck }
}

pub(super) fn reuse_run(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    run: &RunId,
    len: usize,
) -> Result<Facts, Refused> {
    let row = queue(tx, rig)?;
    let Cycle::Testing { stack, green, red, run: None, stuck } = row.cycle.clone() else {
        return Err(moved(rig));
    };
    let Some(record) = tx.row::<GateRun>(run)? else { return Err(moved(rig)) };
    let (Some(verdict), true) = (record.verdict, len <= stack.items.len()) else {
        return Err(moved(rig));
    };
    if record.tree != *stack.tree(len) || verdict == Verdict::CouldNotRun {
        return Err(moved(rig));
    }
    let detail = json!({"run": run, "len": len, "verdict": verdict});
    support::log(tx, ctx, rig.as_str(), "reuse_run", &detail)?;
    let cycle = narrowed(stack, (green, red), len, verdict, stuck);
    Ok(vec![store(tx, row, cycle)?])
}

pub(super) fn begin_landing(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    proof: &RunId,
) -> Result<Facts, Refused> {
    let row = queue(tx, rig)?;
    let Cycle::Testing { stack, green, red, run: None, .. } = row.cycle.clone() else {
        return Err(moved(rig));
    };
    let record = tx.row::<GateRun>(proof)?;
    let proven = record
        .as_ref()
        .is_some_and(|run| run.verdict == Some(Verdict::Passed) && run.tree == *stack.tree(green));
    let honest = proven || mutant::planted(Mutant::LandWithoutProof);
    if green == 0 || !honest {
        let why = format!("I4: run {proof} is no proof for tree {}", stack.tree(green));
        return Err(Refused::NotNow { id: rig.to_string(), why });
    }
    let detail = json!({"base": stack.base, "tip": stack.commit(green), "proof": proof});
    support::log(tx, ctx, rig.as_str(), "begin_landing", &detail)?;
    let cycle = Cycle::Landing { stack, green, red, proof: proof.clone() };
    Ok(vec![store(tx, row, cycle)?])
}

pub(super) fn finish(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    landed: bool,
    rework_max: i64,
    target: &str,
) -> Result<Facts, Refused> {
    let row = queue(tx, rig)?;
    let (stack, green, red, proof) = match (row.cycle.clone(), landed) {
        (Cycle::Landing { stack, green, red, proof }, true) => (stack, green, red, Some(proof)),
        (Cycle::Testing { stack, green: 0, red, run: None, .. }, false) if red == 1 => {
            (stack, 0, red, None)
        }
        (Cycle::Idle | Cycle::Testing { .. } | Cycle::Landing { .. }, _) => return Err(moved(rig)),
    };
    let mut facts = Vec::new();
    if let Some(run) = proof {
        let seq = ctx.key();
        tx.add(&Landing {
            seq,
            target: target.to_owned(),
            base: stack.base.clone(),
            tip: stack.commit(green).clone(),
            tree: stack.tree(green).clone(),
            run,
            mrs: Ids(stack.items[..green].iter().map(|item| item.mr.clone()).collect()),
            landed_at: ctx.now,
        })?;
    }
    for item in &stack.items[..green] {
        facts.extend(merged(tx, ctx, &item.mr, &item.commit)?);
    }
    if red == green + 1 && red <= stack.items.len() {
        let verdict = returned::red_verdict(tx, &stack, red)?;
        let mr = request(tx, &stack.items[red - 1].mr)?;
        facts.extend(returned::give_back(tx, ctx, mr, verdict, rework_max)?);
    }
    let detail = json!({"number": stack.number, "landed": green, "red": red});
    support::log(tx, ctx, rig.as_str(), "finish_cycle", &detail)?;
    facts.push(store(tx, row, Cycle::Idle)?);
    Ok(facts)
}

fn merged(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, id: &BeadId, commit: &Sha) -> Result<Facts, Refused> {
    let mut mr = request(tx, id)?;
    if mr.state == MrState::Merged {
        return Err(Refused::NotNow { id: id.to_string(), why: "I5: it is merged already".into() });
    }
    mr.state = MrState::Merged;
    mr.merge_commit = Some(commit.clone());
    mr.decided_at = Some(ctx.now);
    tx.set(&mr)?;
    close_request_bead(tx, ctx, id, "merged")?;
    let bead = support::bead(tx, &mr.bead)?;
    let reason = format!("Merged in {id}");
    let hold = Hold::Merged { commit: commit.clone() };
    let mut facts = beads::shut(tx, ctx, bead, &reason, hold)?;
    let letter = Letter {
        sender: "refinery".to_owned(),
        recipient: author_actor(tx, &mr)?,
        kind: MailKind::Merged,
        subject: format!("MERGED {}", mr.bead),
        body: format!(
            "Branch: {}\nIssue: {}\nTarget: {}\nMerge-Commit: {commit}",
            mr.branch, mr.bead, mr.target
        ),
        priority: Priority::Low,
        thread: None,
    };
    support::post(tx, ctx, &Db::hq(), Parcel::Mail(letter), &mut facts)?;
    facts.push(Fact::Merged { mr: id.clone(), bead: mr.bead });
    Ok(facts)
}

fn author_actor(tx: &mut dyn Tx, mr: &MergeRequest) -> Result<String, Refused> {
    let agent = tx.row::<Agent>(&mr.author)?;
    Ok(agent.map_or_else(|| mr.author.to_string(), |agent| agent.actor.to_string()))
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
