//! What is over: the rules by which something may decay, and what living rows still name.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::decay::Rules;
use crate::model::bead::BeadType;
use crate::model::bead::Hold;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::RunId;
use crate::model::ids::SessionId;
use crate::model::mail::MailState;
use crate::model::merge::Cycle;
use crate::model::merge::MrState;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::rows::Change;
use crate::model::rows::Convoy;
use crate::model::rows::Dep;
use crate::model::rows::DogRun;
use crate::model::rows::Escalation;
use crate::model::rows::GateRun;
use crate::model::rows::Integration;
use crate::model::rows::Landing;
use crate::model::rows::Mail;
use crate::model::rows::MergeRequest;
use crate::model::rows::Queue;
use crate::model::rows::Session;
use crate::model::rows::Shadow;
use crate::model::rows::Watch;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Name;

/// What living rows name.
pub(super) struct Needed {
    /// Beads on the hook of somebody.
    hooked: BTreeSet<BeadId>,
    /// Sessions that are somebody's present one.
    sessions: BTreeSet<SessionId>,
    /// Runs that prove a landing, or are part of a cycle.
    runs: BTreeSet<RunId>,
    /// Who has changes without being a bead that closes.
    pub(super) lasting: Vec<Name>,
    /// The last run of each dog: what it goes by.
    last_runs: BTreeSet<i64>,
}

impl Needed {
    pub(super) fn read(tx: &mut dyn Tx) -> Result<Self, TxError> {
        let agents = tx.with::<Agent>(None, Vec::new())?;
        let queues = tx.with::<Queue>(None, Vec::new())?;
        let mut lasting: Vec<Name> =
            agents.iter().map(|agent| Name::from(agent.id.as_str())).collect();
        lasting.extend(queues.iter().map(|queue| Name::from(queue.rig.as_str())));
        let mut runs: BTreeSet<RunId> =
            tx.with::<Landing>(None, Vec::new())?.into_iter().map(|landing| landing.run).collect();
        for queue in queues {
            match queue.cycle {
                Cycle::Testing { runs: going, .. } => {
                    runs.extend(going.into_iter().map(|going| going.run));
                }
                Cycle::Landing { proof, .. } => drop(runs.insert(proof)),
                Cycle::Idle => {}
            }
        }
        let mut last_runs = BTreeMap::new();
        for run in tx.with::<DogRun>(None, Vec::new())? {
            let kind = run.detail.contains("\"done\":true");
            last_runs.insert((run.dog, kind), run.seq);
        }
        Ok(Self {
            last_runs: last_runs.into_values().collect(),
            hooked: agents
                .iter()
                .flat_map(|agent| {
                    let work = agent.state.work().map(|work| work.bead.clone());
                    [agent.hook_bead.clone(), work]
                })
                .flatten()
                .collect(),
            sessions: agents.iter().filter_map(|agent| agent.state.session().cloned()).collect(),
            runs,
            lasting,
        })
    }
}

/// Closed long enough, held elsewhere, and named by nothing that lives.
pub(super) fn bead_is_over(
    tx: &mut dyn Tx,
    rules: &Rules,
    needed: &Needed,
    bead: &Bead,
) -> Result<bool, TxError> {
    let other_noun = matches!(
        bead.issue_type,
        BeadType::Agent
            | BeadType::Role
            | BeadType::Rig
            | BeadType::Message
            | BeadType::Convoy
            | BeadType::MergeRequest
            | BeadType::Escalation
    );
    let closed = bead.status == Status::Closed
        && bead.closed_at.is_some_and(|at| at < rules.closed_before)
        && matches!(bead.hold, Hold::Free | Hold::Merged { .. });
    if other_noun
        || !closed
        || rules.spare.contains(&bead.id)
        || needed.hooked.contains(&bead.id)
        || !is_held(tx, rules, &bead.id, bead.updated_at)?
        || !tx.with::<Watch>(None, vec![bead.id.to_value()])?.is_empty()
    {
        return Ok(false);
    }
    if tx.row::<Integration>(&bead.id)?.is_some_and(|row| row.state.lives()) {
        return Ok(false);
    }
    for request in tx.with::<MergeRequest>(Some("by_bead"), vec![bead.id.to_value()])? {
        if matches!(request.state, MrState::Queued | MrState::Held) {
            return Ok(false);
        }
    }
    for dep in tx.with::<Dep>(None, vec![bead.id.to_value()])? {
        if lives(tx, &dep.target)? {
            return Ok(false);
        }
    }
    for dep in tx.with::<Dep>(Some("by_target"), vec![bead.id.to_value()])? {
        if lives(tx, &dep.bead)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a bead, here or elsewhere, is not closed.
fn lives(tx: &mut dyn Tx, id: &BeadId) -> Result<bool, TxError> {
    if let Some(bead) = tx.find::<Bead>("by_id", id)? {
        return Ok(bead.status != Status::Closed);
    }
    Ok(tx.row::<Shadow>(id)?.is_some_and(|shadow| !shadow.closed))
}

/// Whether archive and backup have the last change of something.
fn is_held(tx: &mut dyn Tx, rules: &Rules, id: &BeadId, at: i64) -> Result<bool, TxError> {
    let prefix = vec![id.to_value()];
    let scan = Scan { prefix, limit: Some(1), reverse: true, ..Scan::default() };
    let last = tx.rows::<Change>(&scan)?.pop().map_or(at, |change| change.at.max(at));
    Ok(last < rules.held_until)
}

pub(super) fn mail_is_over(tx: &mut dyn Tx, rules: &Rules, row: &Mail) -> Result<bool, TxError> {
    let read = matches!(row.state, MailState::Read | MailState::Archived);
    let at = row.read_at.unwrap_or(row.sent_at);
    Ok(read && at < rules.ended_before && is_held(tx, rules, &row.id, at)?)
}

pub(super) fn convoy_is_over(
    tx: &mut dyn Tx,
    rules: &Rules,
    row: &Convoy,
) -> Result<bool, TxError> {
    match row.landed_at {
        Some(at) if at < rules.ended_before => is_held(tx, rules, &row.id, at),
        _ => Ok(false),
    }
}

pub(super) fn escalation_is_over(
    tx: &mut dyn Tx,
    rules: &Rules,
    row: &Escalation,
) -> Result<bool, TxError> {
    match row.cleared_at {
        Some(at) if at < rules.ended_before => is_held(tx, rules, &row.id, at),
        _ => Ok(false),
    }
}

pub(super) fn session_is_over(rules: &Rules, needed: &Needed, row: &Session) -> bool {
    let old = row.ended_at.is_some_and(|at| at < rules.ended_before && at < rules.held_until);
    old && !needed.sessions.contains(&row.id)
}

pub(super) fn run_is_over(rules: &Rules, needed: &Needed, row: &GateRun) -> bool {
    let old = row.ended_at.is_some_and(|at| at < rules.ended_before && at < rules.held_until);
    old && !needed.runs.contains(&row.id)
}

pub(super) fn run_row_is_over(rules: &Rules, needed: &Needed, row: &DogRun) -> bool {
    row.ran_at < rules.ended_before && !needed.last_runs.contains(&row.seq)
}

pub(super) fn log_is_over(rules: &Rules, row: &Change) -> bool {
    row.at < rules.closed_before && row.at < rules.held_until
}
