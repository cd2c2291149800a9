//! Questions about the town: hooks, agents, queues, landings, mail, convoys, and all at a glance.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::gateway::desk::Desk;
use crate::gateway::desk::beads::summary;
use crate::gateway::desk::caller::Caller;
use crate::gateway::desk::line;
use crate::gateway::desk::unread;
use crate::messages::door::DoorError;
use crate::messages::views::AgentView;
use crate::messages::views::ConvoyView;
use crate::messages::views::EscalationView;
use crate::messages::views::FreezeView;
use crate::messages::views::HookView;
use crate::messages::views::LandingView;
use crate::messages::views::MailView;
use crate::messages::views::MemberView;
use crate::messages::views::MrView;
use crate::messages::views::QueueStatus;
use crate::messages::views::RigStatus;
use crate::messages::views::StatusView;
use crate::messages::views::rfc3339;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::mail::MailState;
use crate::model::merge::Cycle;
use crate::model::merge::MrState;
use crate::model::ops;
use crate::model::query::BeadFilter;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::rows::Convoy;
use crate::model::rows::Escalation;
use crate::model::rows::GateRun;
use crate::model::rows::Landing;
use crate::model::rows::Mail;
use crate::model::rows::Member;
use crate::model::rows::MergeRequest;
use crate::model::rows::Nudge;
use crate::model::rows::Order;
use crate::model::rows::Queue;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Name;
use crate::model::value::Value;

/// What one snapshot knows of an agent's hook.
#[derive(Default)]
struct Hooked {
    agent: Option<Agent>,
    returned: Option<MergeRequest>,
    lands_on: Option<String>,
    nudges: Vec<Nudge>,
}

/// What one snapshot knows of a rig.
#[derive(Default)]
struct Glance {
    agents: Vec<Agent>,
    orders: usize,
    queue: Option<Queue>,
    queued: usize,
    held: usize,
}

pub(super) fn all<R: crate::model::table::Row>(tx: &mut dyn Tx) -> Result<Vec<R>, TxError> {
    tx.rows::<R>(&Scan::default())
}

fn inbox_of(tx: &mut dyn Tx, who: &str, states: &[MailState]) -> Result<Vec<Mail>, TxError> {
    let mut rows = Vec::new();
    for state in states {
        let prefix = vec![Value::Text(who.to_owned()), state.to_value()];
        rows.extend(tx.with::<Mail>(Some("by_recipient"), prefix)?);
    }
    rows.sort_by_key(|row| row.seq);
    Ok(rows)
}

pub(super) fn requests(tx: &mut dyn Tx, states: &[MrState]) -> Result<Vec<MergeRequest>, TxError> {
    let mut rows = Vec::new();
    for state in states {
        rows.extend(tx.with::<MergeRequest>(Some("by_state"), vec![state.to_value()])?);
    }
    rows.sort_by_key(|row| row.seq);
    Ok(rows)
}

/// The merge requests of a cycle, in order.
pub(super) fn in_cycle(cycle: &Cycle) -> Vec<BeadId> {
    cycle
        .stack()
        .map_or_else(Vec::new, |stack| stack.items.iter().map(|item| item.mr.clone()).collect())
}

impl Desk {
    /// The beads of these ids that there are, by id.
    fn named(&self, db: &Db, ids: Vec<BeadId>) -> Result<BTreeMap<BeadId, Bead>, DoorError> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let filter = BeadFilter { ids, limit: None, ..BeadFilter::list() };
        let beads = self.books.list(db, &filter).map_err(unread)?;
        Ok(beads.into_iter().map(|bead| (bead.id.clone(), bead)).collect())
    }

    /// The rigs that are meant: one by name, or all.
    pub(super) fn rig_dbs(&self, rig: Option<&RigName>) -> Result<Vec<Db>, DoorError> {
        if let Some(rig) = rig {
            let db = Db::from(rig);
            self.check_db(&db)?;
            return Ok(vec![db]);
        }
        Ok(self.books.databases().into_iter().map(|(db, _)| db).filter(|db| !db.is_hq()).collect())
    }

    pub(super) fn hook(&self, caller: &Caller, actor: Option<&str>) -> Result<HookView, DoorError> {
        let who = match actor {
            Some(text) => {
                let (actor, _) = self.recipient(text)?;
                Identity::parse(&actor).unwrap_or(Identity::Overseer)
            }
            None => caller.subject(),
        };
        let actor = who.actor();
        let db = who.rig().map_or_else(Db::hq, Db::from);
        let databases = self.books.databases();
        let prefix = databases.iter().find(|(name, _)| *name == db).map(|(_, prefix)| prefix);
        let Some(prefix) = prefix else {
            if who == Identity::Overseer {
                let found = Hooked::default();
                return self.hook_view(actor, &db, found, 0);
            }
            return Err(DoorError::new("not_found", format!("there is no database '{db}'")));
        };
        let id = who.bead_id(prefix);
        let found = self.read(&db, |tx| {
            let agent = id.as_ref().map(|id| tx.row::<Agent>(id)).transpose()?.flatten();
            let (mut returned, mut lands_on) = (None, None);
            if let Some(bead) = agent.as_ref().and_then(|agent| agent.hook_bead.as_ref()) {
                let rows = tx.with::<MergeRequest>(Some("by_bead"), vec![bead.to_value()])?;
                returned = rows.into_iter().rfind(|row| row.state == MrState::Returned);
                lands_on = ops::above(tx, bead)?.map(|row| row.branch);
            }
            let nudges = tx
                .with::<Nudge>(Some("by_recipient"), vec![Name::from(actor.as_str()).to_value()])?;
            Ok(Hooked { agent, returned, lands_on, nudges })
        })?;
        let has_hq = databases.iter().any(|(name, _)| name.is_hq());
        let unread_mail = match has_hq {
            true => self.read(&Db::hq(), |tx| inbox_of(tx, &actor, &[MailState::Unread]))?.len(),
            false => 0,
        };
        self.hook_view(actor, &db, found, unread_mail)
    }

    fn hook_view(
        &self,
        actor: String,
        db: &Db,
        found: Hooked,
        unread_mail: usize,
    ) -> Result<HookView, DoorError> {
        let agent = found.agent.as_ref();
        let hooked = agent.and_then(|agent| agent.hook_bead.clone());
        let bead = match &hooked {
            Some(id) => self.show(std::slice::from_ref(id))?.pop(),
            None => None,
        };
        let title = bead.as_ref().map(|bead| bead.title.clone()).unwrap_or_default();
        let returned = found.returned.as_ref();
        let waiting = found.nudges.into_iter().filter(|row| row.taken_at.is_none());
        Ok(HookView {
            agent: agent.map(|agent| agent.id.clone()),
            actor,
            phase: agent.map_or("none", |agent| agent.state.word()).to_owned(),
            incarnation: agent.map_or(0, |agent| agent.incarnation),
            branch: agent.and_then(|agent| agent.state.work()).map(|work| work.branch.clone()),
            lands_on: found.lands_on,
            worktree: None,
            returned: returned.map(|row| MrView::of(row, db.rig(), title, false)),
            bead,
            nudges: waiting.map(|row| format!("{}: {}", row.sender, row.text)).collect(),
            unread_mail,
        })
    }

    pub(super) fn agents(&self, rig: Option<&RigName>) -> Result<Vec<AgentView>, DoorError> {
        let mut dbs = self.rig_dbs(rig)?;
        if rig.is_none() {
            dbs.insert(0, Db::hq());
        }
        let mut views = Vec::new();
        for db in dbs {
            let rows = self.read(&db, all::<Agent>)?;
            views.extend(rows.iter().map(AgentView::from));
        }
        Ok(views)
    }

    pub(super) fn queue(
        &self,
        rig: Option<&RigName>,
        with_decided: bool,
    ) -> Result<Vec<MrView>, DoorError> {
        let mut views = Vec::new();
        for db in self.rig_dbs(rig)? {
            let (rows, queues, kept) = self.read(&db, |tx| {
                let rows = match with_decided {
                    true => all::<MergeRequest>(tx)?,
                    false => requests(tx, &[MrState::Queued, MrState::Held])?,
                };
                let queues = all::<Queue>(tx)?;
                let mut kept = BTreeMap::new();
                for row in &rows {
                    if let Some(words) = line::keeps(tx, queues.first(), row)? {
                        kept.insert(row.id.clone(), words);
                    }
                }
                Ok((rows, queues, kept))
            })?;
            let running: BTreeSet<BeadId> =
                queues.iter().flat_map(|queue| in_cycle(&queue.cycle)).collect();
            let beads = self.named(&db, rows.iter().map(|row| row.bead.clone()).collect())?;
            views.extend(rows.iter().map(|row| {
                let title = beads.get(&row.bead).map(|bead| bead.title.clone());
                let inside = running.contains(&row.id);
                let waits = kept.get(&row.id).filter(|_| !inside).cloned();
                let title = title.unwrap_or_default();
                MrView { waits, ..MrView::of(row, db.rig(), title, inside) }
            }));
        }
        Ok(views)
    }

    pub(super) fn landings(&self, rig: &RigName) -> Result<Vec<LandingView>, DoorError> {
        let db = Db::from(rig);
        self.check_db(&db)?;
        let (rows, runs) = self.read(&db, |tx| Ok((all::<Landing>(tx)?, all::<GateRun>(tx)?)))?;
        let runs: BTreeMap<RunId, GateRun> =
            runs.into_iter().map(|run| (run.id.clone(), run)).collect();
        Ok(rows
            .into_iter()
            .map(|row| {
                let run = runs.get(&row.run);
                LandingView {
                    target: row.target,
                    base: row.base,
                    tip: row.tip,
                    tree: row.tree,
                    mrs: row.mrs.0,
                    landed_at: rfc3339(row.landed_at),
                    tested_commit: run.map(|run| run.commit_id.clone()),
                    tested_tree: run.map(|run| run.tree.clone()),
                    verdict: run.and_then(|run| run.verdict),
                    gates_digest: run.map(|run| run.gates.to_string()),
                    verified_by: run.and_then(|run| run.asked_by.as_ref()).map(Name::to_string),
                    gates: run.map(|run| run.results.0.clone()).unwrap_or_default(),
                    run: row.run,
                }
            })
            .collect())
    }

    pub(super) fn inbox(
        &self,
        caller: &Caller,
        recipient: Option<&str>,
        with_archived: bool,
        only_unread: bool,
    ) -> Result<Vec<MailView>, DoorError> {
        let who = match recipient {
            Some(text) => self.recipient(text)?.0,
            None => caller.subject().actor(),
        };
        let states = match (only_unread, with_archived) {
            (true, _) => vec![MailState::Unread],
            (false, false) => vec![MailState::Unread, MailState::Read],
            (false, true) => MailState::ALL.to_vec(),
        };
        let rows = self.read(&Db::hq(), |tx| inbox_of(tx, &who, &states))?;
        let beads = self.named(&Db::hq(), rows.iter().map(|row| row.id.clone()).collect())?;
        Ok(rows.iter().map(|row| MailView::of(row, beads.get(&row.id))).collect())
    }

    pub(super) fn message(&self, id: &BeadId) -> Result<MailView, DoorError> {
        let found = self.read(&Db::hq(), |tx| {
            let Some(bead) = tx.find::<Bead>("by_id", id)? else { return Ok(None) };
            Ok(tx.row::<Mail>(&bead.seq)?.map(|mail| MailView::of(&mail, Some(&bead))))
        })?;
        found.ok_or_else(|| {
            DoorError::new("not_found", format!("message '{id}' not found"))
                .hint("'gt mail inbox --all' shows the ids")
        })
    }

    pub(super) fn convoys(&self, with_landed: bool) -> Result<Vec<ConvoyView>, DoorError> {
        let (mut rows, members) =
            self.read(&Db::hq(), |tx| Ok((all::<Convoy>(tx)?, all::<Member>(tx)?)))?;
        rows.retain(|row| with_landed || row.landed_at.is_none());
        let beads = self.named(&Db::hq(), rows.iter().map(|row| row.id.clone()).collect())?;
        let mut by_convoy: BTreeMap<BeadId, Vec<MemberView>> = BTreeMap::new();
        for row in members {
            let view = MemberView { bead: row.bead, rig: row.rig, closed: row.closed };
            by_convoy.entry(row.convoy).or_default().push(view);
        }
        let mut views: Vec<(i64, ConvoyView)> = Vec::new();
        for row in rows {
            let bead = beads.get(&row.id);
            let members = by_convoy.remove(&row.id).unwrap_or_default();
            let view = ConvoyView {
                title: bead.map(|bead| bead.title.clone()).unwrap_or_default(),
                status: bead.map_or(Status::Open, |bead| bead.status),
                owner: row.owner.to_string(),
                landed_at: row.landed_at.map(rfc3339),
                closed: members.iter().filter(|member| member.closed).count(),
                total: members.len(),
                members,
                id: row.id,
            };
            views.push((bead.map_or(0, |bead| bead.seq), view));
        }
        views.sort_by_key(|(seq, _)| *seq);
        Ok(views.into_iter().map(|(_, view)| view).collect())
    }

    pub(super) fn status(&self, now: i64) -> Result<StatusView, DoorError> {
        let databases = self.books.databases();
        let mut status = StatusView {
            town: self.town.clone(),
            agents: Vec::new(),
            rigs: Vec::new(),
            escalations: Vec::new(),
            convoys: 0,
            unread_mail: 0,
            daemon: self.live.as_ref().map(|live| live.stats()),
        };
        for (db, prefix) in databases {
            match db.rig() {
                Some(name) => status.rigs.push(self.rig_status(&db, name, prefix, now)?),
                None => self.own_status(&mut status)?,
            }
        }
        status.rigs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(status)
    }

    fn own_status(&self, status: &mut StatusView) -> Result<(), DoorError> {
        let (agents, escalations, convoys, unread) = self.read(&Db::hq(), |tx| {
            let unread = inbox_of(tx, super::caller::OVERSEER, &[MailState::Unread])?.len();
            Ok((all::<Agent>(tx)?, all::<Escalation>(tx)?, all::<Convoy>(tx)?, unread))
        })?;
        status.agents = agents.iter().map(AgentView::from).collect();
        status.escalations = escalations
            .into_iter()
            .filter(|row| row.cleared_at.is_none())
            .map(|row| EscalationView {
                id: row.id,
                subject: row.subject.0,
                condition: row.condition.0,
                raised_at: rfc3339(row.raised_at),
            })
            .collect();
        status.convoys = convoys.iter().filter(|row| row.landed_at.is_none()).count();
        status.unread_mail = unread;
        Ok(())
    }

    fn rig_status(
        &self,
        db: &Db,
        name: RigName,
        prefix: String,
        now: i64,
    ) -> Result<RigStatus, DoorError> {
        let glance = self.read(db, |tx| {
            Ok(Glance {
                agents: all::<Agent>(tx)?,
                orders: all::<Order>(tx)?.len(),
                queue: all::<Queue>(tx)?.pop(),
                queued: requests(tx, &[MrState::Queued])?.len(),
                held: requests(tx, &[MrState::Held])?.len(),
            })
        })?;
        let stats = self.books.stats(db, now).map_err(unread)?;
        let cycle = glance.queue.as_ref().map(|queue| &queue.cycle);
        let (step, runs) = match cycle {
            None | Some(Cycle::Idle) => ("idle", Vec::new()),
            Some(Cycle::Testing { runs, .. }) => {
                ("testing", runs.iter().map(|going| going.run.clone()).collect())
            }
            Some(Cycle::Landing { .. }) => ("landing", Vec::new()),
        };
        Ok(RigStatus {
            name,
            db: db.clone(),
            prefix,
            agents: glance.agents.iter().map(AgentView::from).collect(),
            orders: glance.orders,
            queue: QueueStatus {
                step: step.to_owned(),
                queued: glance.queued,
                held: glance.held,
                cycles: glance.queue.as_ref().map_or(0, |queue| queue.cycles),
                runs,
                frozen: glance
                    .queue
                    .as_ref()
                    .and_then(|queue| queue.frozen.as_ref())
                    .map(FreezeView::from),
                parked: glance.queue.and_then(|queue| queue.parked),
            },
            beads: summary(&stats, 0),
        })
    }
}
