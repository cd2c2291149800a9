//! Questions about beads. Each asks a database a fixed number of times, however many beads answer.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::gateway::desk::Desk;
use crate::gateway::desk::IDS_MAX;
use crate::gateway::desk::unread;
use crate::gateway::routing;
use crate::messages::door::DoorError;
use crate::messages::views::AgentFields;
use crate::messages::views::CommentView;
use crate::messages::views::DepView;
use crate::messages::views::IssueView;
use crate::messages::views::LinkedBrief;
use crate::messages::views::LinkedIssue;
use crate::messages::views::StatsView;
use crate::messages::views::Summary;
use crate::model::bead::BeadType;
use crate::model::bead::DepType;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::query::BeadFilter;
use crate::model::query::Linked;
use crate::model::query::Stats;
use crate::model::query::Way;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::rows::Comment;
use crate::model::rows::Dep;
use crate::model::rows::Label;
use crate::model::rows::Shadow;
use crate::model::tx::Scan;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Name;

/// Ids looked at when a part of one is given.
const GUESSES: usize = 20;

/// A filter that names beads.
fn by_ids(ids: Vec<BeadId>) -> BeadFilter {
    BeadFilter { ids, limit: None, ..BeadFilter::list() }
}

fn is_open(status: Status) -> bool {
    !matches!(status, Status::Closed | Status::Pinned)
}

impl Desk {
    pub(super) fn beads(
        &self,
        dbs: &[Db],
        filter: &BeadFilter,
        now: i64,
    ) -> Result<Vec<IssueView>, DoorError> {
        let filter = BeadFilter { now_ms: now, ..filter.clone() };
        let dbs = match dbs {
            [] => self.books.databases().into_iter().map(|(db, _)| db).collect(),
            dbs => dbs.to_vec(),
        };
        let mut found: Vec<(usize, Bead)> = Vec::new();
        for (at, db) in dbs.iter().enumerate() {
            self.check_db(db)?;
            let beads = self.books.list(db, &filter).map_err(unread)?;
            found.extend(beads.into_iter().map(|bead| (at, bead)));
        }
        if dbs.len() > 1 {
            found.sort_by(|(_, a), (_, b)| filter.order(a, b));
            found.truncate(filter.limit.unwrap_or(usize::MAX));
        }
        let mut views: BTreeMap<BeadId, IssueView> = BTreeMap::new();
        for (at, db) in dbs.iter().enumerate() {
            let own = found.iter().filter(|(of, _)| *of == at).map(|(_, bead)| bead);
            let own: Vec<&Bead> = own.collect();
            views.extend(self.listed(db, &own)?.into_iter().map(|view| (view.id.clone(), view)));
        }
        Ok(found.iter().filter_map(|(_, bead)| views.remove(&bead.id)).collect())
    }

    /// Beads of one database with labels, counts, parents and open blockers.
    fn listed(&self, db: &Db, beads: &[&Bead]) -> Result<Vec<IssueView>, DoorError> {
        if beads.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<BeadId> = beads.iter().map(|bead| bead.id.clone()).collect();
        let down = self.books.linked(db, &ids, Way::Down).map_err(unread)?;
        let mut views = self.dressed(db, beads, &ids)?;
        self.follow_down(db, &mut views, &down)?;
        Ok(views)
    }

    /// Beads with labels and counts.
    fn dressed(
        &self,
        db: &Db,
        beads: &[&Bead],
        ids: &[BeadId],
    ) -> Result<Vec<IssueView>, DoorError> {
        let mut labels = self.books.labels(db, ids).map_err(unread)?;
        let counts = self.books.counts(db, ids).map_err(unread)?;
        let mut agents = BTreeMap::new();
        if beads.iter().any(|bead| bead.issue_type == BeadType::Agent) {
            let rows = self.read(db, |tx| tx.rows::<Agent>(&Scan::default()))?;
            agents.extend(rows.into_iter().map(|row| (row.id.clone(), AgentFields::from(&row))));
        }
        Ok(beads
            .iter()
            .map(|bead| {
                let counts = counts.get(&bead.id).copied().unwrap_or_default();
                let mut view = IssueView::of(bead).counted(counts);
                let labels = labels.remove(&bead.id).unwrap_or_default();
                view.labels = labels.into_iter().map(|label| label.0).collect();
                view.agent = agents.remove(&bead.id);
                view
            })
            .collect())
    }

    /// Fills in parents and open blockers from the edges downwards.
    fn follow_down(
        &self,
        db: &Db,
        views: &mut [IssueView],
        down: &[Linked],
    ) -> Result<(), DoorError> {
        let mut open_elsewhere = BTreeSet::new();
        if down.iter().any(|edge| edge.brief.is_none() && edge.dep_type.blocks()) {
            let rows = self.read(db, |tx| tx.rows::<Shadow>(&Scan::default()))?;
            open_elsewhere.extend(rows.into_iter().filter(|row| !row.closed).map(|row| row.id));
        }
        let mut edges: BTreeMap<&BeadId, Vec<&Linked>> = BTreeMap::new();
        for edge in down {
            edges.entry(&edge.of).or_default().push(edge);
        }
        for view in views {
            let Some(edges) = edges.get(&view.id) else { continue };
            for edge in edges {
                let open = match &edge.brief {
                    Some(brief) => is_open(brief.status),
                    None => open_elsewhere.contains(&edge.id),
                };
                if edge.dep_type == DepType::ParentChild {
                    view.parent = Some(edge.id.clone());
                } else if edge.dep_type.blocks() && open && is_open(view.status) {
                    view.blocked_by.push(edge.id.clone());
                }
            }
        }
        Ok(())
    }

    pub(super) fn show(&self, ids: &[BeadId]) -> Result<Vec<IssueView>, DoorError> {
        if ids.len() > IDS_MAX {
            return Err(DoorError::new("usage", format!("at most {IDS_MAX} ids at once")));
        }
        let databases = self.books.databases();
        let mut by_db: BTreeMap<Db, Vec<BeadId>> = BTreeMap::new();
        for id in ids {
            by_db.entry(routing::route(&databases, id)?).or_default().push(id.clone());
        }
        let mut views = BTreeMap::new();
        for (db, asked) in by_db {
            let filter = by_ids(asked.clone());
            let mut beads = self.books.list(&db, &filter).map_err(unread)?;
            let mut named: BTreeMap<BeadId, BeadId> = BTreeMap::new();
            for id in &asked {
                if !beads.iter().any(|bead| bead.id == *id) {
                    let bead = self.guess(&db, id)?;
                    named.insert(id.clone(), bead.id.clone());
                    if !beads.iter().any(|other| other.id == bead.id) {
                        beads.push(bead);
                    }
                }
            }
            let shown = self.shown(&db, &beads)?;
            for id in asked {
                let full = named.get(&id).unwrap_or(&id);
                let view = shown.iter().find(|view| view.id == *full);
                views.insert(id.clone(), view.cloned());
            }
        }
        Ok(ids.iter().filter_map(|id| views.get(id).cloned().flatten()).collect())
    }

    /// The one bead whose id begins like this.
    fn guess(&self, db: &Db, part: &BeadId) -> Result<Bead, DoorError> {
        let scan = Scan {
            index: Some("by_id"),
            after: Some(part.to_value()),
            limit: Some(GUESSES),
            ..Scan::default()
        };
        let mut found = self.read(db, |tx| tx.rows::<Bead>(&scan))?;
        found.retain(|bead| bead.id.as_str().starts_with(part.as_str()));
        let ids: BTreeSet<BeadId> = found.iter().map(|bead| bead.id.clone()).collect();
        found.retain(|bead| bead.id.parent().is_none_or(|parent| !ids.contains(&parent)));
        let missing = || DoorError::new("not_found", format!("bead '{part}' not found in {db}"));
        match found.len() {
            0 => Err(missing().hint("'bd list --all' shows the ids there are")),
            1 => found.pop().ok_or_else(missing),
            _ => {
                let ids: Vec<&str> = found.iter().map(|bead| bead.id.as_str()).collect();
                Err(DoorError::new("not_found", format!("'{part}' could be several beads"))
                    .hint(format!("name one of {}", ids.join(", "))))
            }
        }
    }

    /// Beads of one database with everything there is to them.
    fn shown(&self, db: &Db, beads: &[Bead]) -> Result<Vec<IssueView>, DoorError> {
        if beads.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<BeadId> = beads.iter().map(|bead| bead.id.clone()).collect();
        let down = self.books.linked(db, &ids, Way::Down).map_err(unread)?;
        let up = self.books.linked(db, &ids, Way::Up).map_err(unread)?;
        let targets = self.targets(db, &down)?;
        let mut views = self.dressed(db, &beads.iter().collect::<Vec<_>>(), &ids)?;
        self.follow_down(db, &mut views, &down)?;
        for view in &mut views {
            let edges = down.iter().filter(|edge| edge.of == view.id);
            view.dependencies = edges
                .filter_map(|edge| {
                    let issue = targets.get(&edge.id)?.clone();
                    let dependency_type = edge.dep_type;
                    Some(LinkedIssue { issue: Box::new(issue), dependency_type })
                })
                .collect();
            let edges = up.iter().filter(|edge| edge.of == view.id);
            view.dependents = edges.map(LinkedBrief::from).collect();
        }
        let remarked: Vec<BeadId> = views
            .iter()
            .filter(|view| view.comment_count.is_some_and(|count| count > 0))
            .map(|view| view.id.clone())
            .collect();
        if !remarked.is_empty() {
            let rows = self.read(db, |tx| {
                let mut rows = Vec::new();
                for id in &remarked {
                    rows.extend(tx.with::<Comment>(None, vec![id.to_value()])?);
                }
                Ok(rows)
            })?;
            for view in &mut views {
                let own = rows.iter().filter(|row| row.bead == view.id);
                view.comments = own.map(CommentView::from).collect();
            }
        }
        Ok(views)
    }

    /// The beads at the far end of edges, wherever they live.
    fn targets(&self, db: &Db, down: &[Linked]) -> Result<BTreeMap<BeadId, IssueView>, DoorError> {
        let databases = self.books.databases();
        let mut by_db: BTreeMap<&Db, Vec<BeadId>> = BTreeMap::new();
        for edge in down {
            let home = match edge.brief {
                Some(_) => Some(db),
                None => routing::database(&databases, &edge.id),
            };
            // A rig that was removed leaves edges whose far end nobody knows.
            let Some(home) = home else { continue };
            by_db.entry(home).or_default().push(edge.id.clone());
        }
        let mut found = BTreeMap::new();
        for (db, ids) in by_db {
            let beads = self.books.list(db, &by_ids(ids)).map_err(unread)?;
            found.extend(beads.iter().map(|bead| (bead.id.clone(), IssueView::of(bead))));
        }
        Ok(found)
    }

    pub(super) fn stats(&self, db: &Db, now: i64) -> Result<StatsView, DoorError> {
        self.check_db(db)?;
        let stats = self.books.stats(db, now).map_err(unread)?;
        let epics = BeadFilter { types: vec![BeadType::Epic], limit: None, ..BeadFilter::list() };
        let epics = self.books.list(db, &epics).map_err(unread)?;
        let ids: Vec<BeadId> = epics.into_iter().map(|bead| bead.id).collect();
        let mut closable = 0;
        if !ids.is_empty() {
            let up = self.books.linked(db, &ids, Way::Up).map_err(unread)?;
            let mut children: BTreeMap<&BeadId, bool> = BTreeMap::new();
            for edge in up.iter().filter(|edge| edge.dep_type == DepType::ParentChild) {
                let closed = edge.brief.as_ref().is_some_and(|b| b.status == Status::Closed);
                *children.entry(&edge.of).or_insert(true) &= closed;
            }
            closable = children.values().filter(|closed| **closed).count();
        }
        let epics = i64::try_from(closable).unwrap_or(i64::MAX);
        let lead = self.books.lead_ms(db).map_err(unread)?.unwrap_or(0);
        // Hours with two digits: more would only be noise.
        let lead = (lead / 36_000) as f64 / 100.0;
        let summary = Summary { average_lead_time_hours: Some(lead), ..summary(&stats, epics) };
        Ok(StatsView { summary, by_status: stats.by_status })
    }

    pub(super) fn deps(&self, id: &BeadId) -> Result<Vec<DepView>, DoorError> {
        let db = routing::route(&self.books.databases(), id)?;
        let found = self.read(&db, |tx| {
            if tx.find::<Bead>("by_id", id)?.is_none() {
                return Ok(None);
            }
            let mut rows = tx.with::<Dep>(None, vec![id.to_value()])?;
            rows.extend(tx.with::<Dep>(Some("by_target"), vec![id.to_value()])?);
            Ok(Some(rows))
        })?;
        let Some(rows) = found else {
            return Err(DoorError::new("not_found", format!("bead '{id}' not found in {db}")));
        };
        Ok(rows.iter().map(DepView::from).collect())
    }

    pub(super) fn labels(&self, db: &Db, id: Option<&BeadId>) -> Result<Vec<Name>, DoorError> {
        let db = match id {
            Some(id) => routing::route(&self.books.databases(), id)?,
            None => db.clone(),
        };
        self.check_db(&db)?;
        let prefix: Vec<_> = id.map(Cell::to_value).into_iter().collect();
        let rows = self.read(&db, |tx| tx.with::<Label>(None, prefix.clone()))?;
        let labels: BTreeSet<Name> = rows.into_iter().map(|row| row.label).collect();
        Ok(labels.into_iter().collect())
    }
}

/// A database's numbers in upstream's words; the lead time is for who wants to pay for it.
pub(super) fn summary(stats: &Stats, epics_eligible_for_closure: i64) -> Summary {
    let of = |status: Status| stats.by_status.get(status.as_str()).copied().unwrap_or(0);
    Summary {
        total_issues: stats.total,
        open_issues: of(Status::Open),
        in_progress_issues: of(Status::InProgress),
        closed_issues: of(Status::Closed),
        blocked_issues: stats.blocked,
        deferred_issues: of(Status::Deferred),
        ready_issues: stats.ready,
        pinned_issues: of(Status::Pinned),
        epics_eligible_for_closure,
        average_lead_time_hours: None,
    }
}
