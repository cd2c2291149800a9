//! The end of a cycle: what landed is merged, the culprit goes back, the rest is searched on.

use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Op;
use super::Refused;
use super::beads;
use super::integration;
use super::life;
use super::queue;
use super::returned;
use super::support;
use crate::model::bead::Hold;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::ids::Sha;
use crate::model::learner;
use crate::model::learner::Traits;
use crate::model::mail::MailKind;
use crate::model::mail::Priority;
use crate::model::merge::Cycle;
use crate::model::merge::CycleEnd;
use crate::model::merge::MrState;
use crate::model::merge::Stack;
use crate::model::parcel::Letter;
use crate::model::parcel::Parcel;
use crate::model::rows::Agent;
use crate::model::rows::Ids;
use crate::model::rows::Landing;
use crate::model::rows::MergeRequest;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;
use crate::model::value::Cell;

pub(super) fn finish(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    rig: &RigName,
    op: &Op,
) -> Result<Facts, Refused> {
    let Op::FinishCycle { end, rework_max, target, judge, .. } = op else {
        return Err(queue::moved(rig));
    };
    let mut row = queue::queue(tx, rig)?;
    let (stack, risks, green, culprit) = match (row.cycle.clone(), *end) {
        (Cycle::Landing { stack, risks, green, proof, culprit }, CycleEnd::Landed) => {
            landed(tx, ctx, (&stack, green), target, proof)?;
            (stack, risks, green, culprit)
        }
        (Cycle::Testing { stack, risks, .. }, CycleEnd::Returned(doubt)) => {
            let red = returned::evidence(tx, stack.tree(1), judge)?.is_some();
            if !red || queue::passed(tx, &stack.base_tree, judge)?.is_none() {
                let why = "I5: it is not red on a green target".to_owned();
                return Err(Refused::NotNow { id: stack.items[0].mr.to_string(), why });
            }
            row.learner.get_or_insert_default().first_returned(ctx.now);
            (stack, risks, 0, Some(doubt))
        }
        _ => return Err(queue::moved(rig)),
    };
    let mut facts = Vec::new();
    for item in &stack.items[..green] {
        let traits = traits(tx, &item.mr)?;
        row.learner.get_or_insert_default().decided(&traits, None);
        facts.extend(merged(tx, ctx, &item.mr, &item.commit)?);
    }
    // Gates that have changed since the landing began hold nothing against anybody.
    let verdict = match culprit {
        Some(_) => returned::red_verdict(tx, &stack, green + 1, judge)?,
        None => None,
    };
    let culprit = culprit.filter(|_| verdict.is_some());
    let gone = green + usize::from(culprit.is_some());
    if let Some(verdict) = verdict {
        let id = &stack.items[green].mr;
        let traits = traits(tx, id)?;
        row.learner.get_or_insert_default().decided(&traits, culprit);
        let mr = queue::request(tx, id)?;
        facts.extend(returned::give_back(tx, ctx, mr, verdict, *rework_max)?);
    }
    life::passed_over(tx, &row, &stack, (green, gone))?;
    let detail = json!({"number": stack.number, "landed": green, "innocence_ppm": culprit});
    support::log(tx, ctx, rig.as_str(), "finish_cycle", &detail)?;
    let cycle = if culprit.is_none() && life::goes_on(tx, &row, &stack, green)? {
        // The trees behind the landed prefix stay what they are, and so does what is known of them.
        row.cycles += 1;
        let (stack, risks) = (stack.behind(green, row.cycles), risks[green..].to_vec());
        Cycle::Testing { stack, risks, runs: Vec::new(), stuck: 0 }
    } else {
        Cycle::Idle
    };
    facts.push(queue::store(tx, row, cycle)?);
    Ok(facts)
}

/// The record of a landing: which prefix, where to, on the strength of which run.
fn landed(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    (stack, green): (&Stack, usize),
    target: &str,
    proof: RunId,
) -> Result<(), Refused> {
    let seq = ctx.key();
    if let Some(branch) = &stack.onto {
        integration::moved(tx, branch, stack.commit(green))?;
    }
    tx.add(&Landing {
        seq,
        target: stack.onto.as_deref().unwrap_or(target).to_owned(),
        base: stack.base.clone(),
        tip: stack.commit(green).clone(),
        tree: stack.tree(green).clone(),
        run: proof,
        mrs: Ids(stack.items[..green].iter().map(|item| item.mr.clone()).collect()),
        landed_at: ctx.now,
    })?;
    Ok(())
}

fn traits(tx: &mut dyn Tx, id: &BeadId) -> Result<Traits, Refused> {
    let mr = queue::request(tx, id)?;
    let same = tx.with::<MergeRequest>(Some("by_bead"), vec![mr.bead.to_value()])?;
    Ok(learner::traits(&mr, &same))
}

fn merged(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, id: &BeadId, commit: &Sha) -> Result<Facts, Refused> {
    let mut mr = queue::request(tx, id)?;
    if mr.state == MrState::Merged {
        return Err(Refused::NotNow { id: id.to_string(), why: "I5: it is merged already".into() });
    }
    mr.state = MrState::Merged;
    mr.merge_commit = Some(commit.clone());
    mr.decided_at = Some(ctx.now);
    tx.set(&mr)?;
    integration::merged(tx, ctx.now, &mr)?;
    queue::close_request_bead(tx, ctx, id, "merged")?;
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
