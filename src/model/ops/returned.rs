//! Merge requests that come back: the verdict, the letter, the bead to be taken up again (I5).

use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::integration;
use super::queue;
use super::support;
use crate::model::bead::Hold;
use crate::model::bead::Status;
use crate::model::ids::Db;
use crate::model::ids::Sha;
use crate::model::mail::MailKind;
use crate::model::mail::Priority;
use crate::model::merge::GateResult;
use crate::model::merge::Judge;
use crate::model::merge::MrState;
use crate::model::merge::Returned;
use crate::model::merge::Stack;
use crate::model::merge::Verdict;
use crate::model::parcel::Letter;
use crate::model::parcel::Parcel;
use crate::model::rows::Agent;
use crate::model::rows::GateRun;
use crate::model::rows::MergeRequest;
use crate::model::rows::Order;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;
use crate::model::value::Cell;

/// A verdict in one line.
pub(super) fn words(verdict: &Returned) -> String {
    match verdict {
        Returned::Conflict { files, onto } => {
            format!("conflict with {onto} in {}", files.join(", "))
        }
        Returned::Red { tree, gates, run, .. } => {
            let gates: Vec<String> =
                gates.iter().map(|gate| format!("{} ({})", gate.name, gate.reason)).collect();
            format!("red with tree {tree} in run {run}: {}", gates.join(", "))
        }
        Returned::Unable { tree, run, .. } => {
            format!("with it the gates cannot run (run {run} of tree {tree})")
        }
        Returned::Missing { what } => format!("{what} was not there"),
        Returned::Rejected { reason } => format!("rejected: {reason}"),
    }
}

/// Runs of a tree that could not run before that is held against what is in it, although the gates
/// can run on what is before it.
pub const UNABLE_MIN: usize = 2;

/// What speaks against a tree with these gates: its newest red run, or the newest of several that
/// could not run.
pub(super) fn evidence(
    tx: &mut dyn Tx,
    tree: &Sha,
    judge: &Judge,
) -> Result<Option<GateRun>, Refused> {
    let mut runs = tx.with::<GateRun>(Some("by_tree"), vec![tree.to_value()])?;
    runs.retain(|run| judge.ran(run));
    runs.sort_by_key(|run| run.started_at);
    let said = |verdict| move |run: &GateRun| run.verdict == Some(verdict);
    if let Some(at) = runs.iter().rposition(said(Verdict::Failed)) {
        return Ok(Some(runs.swap_remove(at)));
    }
    runs.retain(said(Verdict::CouldNotRun));
    Ok(if runs.len() >= UNABLE_MIN { runs.pop() } else { None })
}

/// The verdict on the item with which a stack of this length is red; `None` when nothing that
/// these gates said speaks against it.
pub(super) fn red_verdict(
    tx: &mut dyn Tx,
    stack: &Stack,
    red: usize,
    judge: &Judge,
) -> Result<Option<Returned>, Refused> {
    let (tree, before) = (stack.tree(red).clone(), stack.tree(red - 1).clone());
    let Some(run) = evidence(tx, &tree, judge)? else { return Ok(None) };
    let verdict = run.verdict;
    let gates = run.results.0.into_iter().filter(|gate| Some(gate.verdict) == verdict).collect();
    let run = run.id;
    Ok(Some(if verdict == Some(Verdict::Failed) {
        Returned::Red { tree, before, run, gates }
    } else {
        Returned::Unable { tree, before, run, gates }
    }))
}

/// Sends a merge request back: its bead is free, and ordered again with the branch to go on from.
pub(super) fn give_back(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    mut mr: MergeRequest,
    verdict: Returned,
    rework_max: i64,
) -> Result<Facts, Refused> {
    let rejected = matches!(verdict, Returned::Rejected { .. });
    mr.state = if rejected { MrState::Rejected } else { MrState::Returned };
    mr.verdict = Some(verdict.clone());
    mr.decided_at = Some(ctx.now);
    tx.set(&mr)?;
    queue::close_request_bead(tx, ctx, &mr.id, mr.state.as_str())?;
    let mut bead = support::bead(tx, &mr.bead)?;
    bead.hold = Hold::Free;
    bead.status = Status::Open;
    bead.assignee = None;
    bead.updated_at = ctx.now;
    tx.set(&bead)?;
    let whole = integration::came_back(tx, &mr)?;
    let mut facts = vec![Fact::Returned { mr: mr.id.clone(), bead: bead.id.clone() }];
    let earlier = tx.with::<MergeRequest>(Some("by_bead"), vec![bead.id.to_value()])?;
    let returns = earlier.iter().filter(|mr| mr.state == MrState::Returned).count();
    let author = tx.row::<Agent>(&mr.author)?;
    if whole {
        // What waited for it goes on.
        facts.extend(ctx.db.rig().map(|rig| Fact::Queue { rig }));
    } else if !rejected && (returns as i64) <= rework_max {
        let seq = ctx.key();
        tx.add(&Order {
            bead: bead.id.clone(),
            seq,
            worker: author.map(|agent| agent.name),
            strict: false,
            preset: None,
            branch: Some(mr.branch.clone()),
            start: Some(mr.head.clone()),
            tries: 0,
            placed_by: ctx.who(),
            placed_at: ctx.now,
        })?;
        facts.push(Fact::Ordered { id: bead.id.clone() });
    } else if !rejected {
        let words = format!("{} was returned {returns} times; last: {}", bead.id, mr.id);
        support::raise_alarm(tx, ctx, &bead.id, &words, &mut facts)?;
    }
    tell_author(tx, ctx, &mr, &verdict, &mut facts)?;
    let detail = json!({"mr": mr.id, "verdict": verdict});
    support::log(tx, ctx, bead.id.as_str(), "give_back", &detail)?;
    Ok(facts)
}

/// Tells the author what became of it.
pub(super) fn tell_author(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    mr: &MergeRequest,
    verdict: &Returned,
    facts: &mut Facts,
) -> Result<(), Refused> {
    let author = tx.row::<Agent>(&mr.author)?;
    let actor = author.map_or_else(|| mr.author.to_string(), |agent| agent.actor.to_string());
    let letter = verdict_letter(mr, verdict, actor);
    support::post(tx, ctx, &Db::hq(), Parcel::Mail(letter), facts)
}

fn told(gates: &[GateResult]) -> String {
    let told = |gate: &GateResult| format!("Gate: {} ({})\n{}", gate.name, gate.reason, gate.tail);
    gates.iter().map(told).collect::<Vec<_>>().join("\n")
}

fn verdict_letter(mr: &MergeRequest, verdict: &Returned, recipient: String) -> Letter {
    let (kind, failure) = match verdict {
        Returned::Conflict { files, onto } => (
            MailKind::ReworkRequest,
            format!("Failure-Type: conflict\nOnto: {onto}\nConflict-Files: {}", files.join(", ")),
        ),
        Returned::Red { tree, before, run, gates } => {
            let head =
                format!("Failure-Type: red\nTree: {tree}\nGreen-Before: {before}\nRun: {run}");
            (MailKind::MergeFailed, format!("{head}\n{}", told(gates)))
        }
        Returned::Unable { tree, before, run, gates } => {
            let what = "With it the gates cannot run; without it they can.";
            let head = format!(
                "Failure-Type: unable\n{what}\nTree: {tree}\nRan-Before: {before}\nRun: {run}"
            );
            (MailKind::MergeFailed, format!("{head}\n{}", told(gates)))
        }
        Returned::Missing { what } => {
            (MailKind::MergeFailed, format!("Failure-Type: missing\nCommit: {what}"))
        }
        Returned::Rejected { reason } => {
            (MailKind::MergeFailed, format!("Failure-Type: rejected\nReason: {reason}"))
        }
    };
    Letter {
        sender: "refinery".to_owned(),
        recipient,
        kind,
        subject: format!("{kind} {}", mr.bead),
        body: format!(
            "Branch: {}\nTarget: {}\nIssue: {}\nMR: {}\n{failure}",
            mr.branch, mr.target, mr.bead, mr.id
        ),
        priority: Priority::High,
        thread: None,
    }
}
