//! Merge requests that come back: the verdict, the letter, the bead to be taken up again (I5).

use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::queue;
use super::support;
use crate::model::bead::Hold;
use crate::model::bead::Status;
use crate::model::ids::Db;
use crate::model::mail::MailKind;
use crate::model::mail::Priority;
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

pub(super) fn red_verdict(tx: &mut dyn Tx, stack: &Stack, red: usize) -> Result<Returned, Refused> {
    let tree = stack.tree(red).clone();
    let runs = tx.with::<GateRun>(Some("by_tree"), vec![tree.to_value()])?;
    let run = runs.into_iter().rev().find(|run| run.verdict == Some(Verdict::Failed));
    let Some(run) = run else {
        return Err(Refused::NotFound { kind: "red run for tree", id: tree.to_string() });
    };
    let gates = run.results.0.into_iter().filter(|g| g.verdict == Verdict::Failed).collect();
    Ok(Returned::Red { tree, before: stack.tree(red - 1).clone(), run: run.id, gates })
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
    let mut facts = vec![Fact::Returned { mr: mr.id.clone(), bead: bead.id.clone() }];
    let earlier = tx.with::<MergeRequest>(Some("by_bead"), vec![bead.id.to_value()])?;
    let returns = earlier.iter().filter(|mr| mr.state == MrState::Returned).count();
    let author = tx.row::<Agent>(&mr.author)?;
    if !rejected && (returns as i64) <= rework_max {
        let seq = ctx.key();
        tx.add(&Order {
            bead: bead.id.clone(),
            seq,
            worker: author.as_ref().map(|agent| agent.name.clone()),
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
    let actor = author.map_or_else(|| mr.author.to_string(), |agent| agent.actor.to_string());
    let letter = verdict_letter(&mr, &verdict, actor);
    support::post(tx, ctx, &Db::hq(), Parcel::Mail(letter), &mut facts)?;
    let detail = json!({"mr": mr.id, "verdict": verdict});
    support::log(tx, ctx, bead.id.as_str(), "give_back", &detail)?;
    Ok(facts)
}

fn verdict_letter(mr: &MergeRequest, verdict: &Returned, recipient: String) -> Letter {
    let (kind, failure) = match verdict {
        Returned::Conflict { files, onto } => (
            MailKind::ReworkRequest,
            format!("Failure-Type: conflict\nOnto: {onto}\nConflict-Files: {}", files.join(", ")),
        ),
        Returned::Red { tree, before, run, gates } => {
            let tails: Vec<String> = gates
                .iter()
                .map(|gate| format!("Gate: {} ({})\n{}", gate.name, gate.reason, gate.tail))
                .collect();
            let head =
                format!("Failure-Type: red\nTree: {tree}\nGreen-Before: {before}\nRun: {run}");
            (MailKind::MergeFailed, format!("{head}\n{}", tails.join("\n")))
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
        body: format!("Branch: {}\nIssue: {}\nMR: {}\n{failure}", mr.branch, mr.bead, mr.id),
        priority: Priority::High,
        thread: None,
    }
}
