//! Questions about the past: recorded changes, commits, beads as they were, what became of them.
//!
//! What stood at a commit has no indexes: each table is scanned once, however many beads are asked.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::gateway::books::BooksError;
use crate::gateway::desk::Desk;
use crate::gateway::desk::IDS_MAX;
use crate::gateway::desk::unread;
use crate::gateway::routing;
use crate::messages::door::DoorError;
use crate::messages::views::AgentFields;
use crate::messages::views::BeadLine;
use crate::messages::views::ChangeView;
use crate::messages::views::ChangedBead;
use crate::messages::views::CommentView;
use crate::messages::views::CommitView;
use crate::messages::views::DepView;
use crate::messages::views::DiffView;
use crate::messages::views::FieldChange;
use crate::messages::views::IssueView;
use crate::messages::views::LinkedBrief;
use crate::messages::views::LinkedIssue;
use crate::messages::views::PointView;
use crate::messages::views::ShownAt;
use crate::messages::views::rfc3339;
use crate::model::bead::DepType;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::line::request;
use crate::model::past::Moment;
use crate::model::past::NoMoment;
use crate::model::past::Point;
use crate::model::query::Brief;
use crate::model::query::Counts;
use crate::model::query::Linked;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::rows::Change;
use crate::model::rows::Comment;
use crate::model::rows::Dep;
use crate::model::rows::Label;
use crate::model::rows::Shadow;
use crate::model::table::Row;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Value;

/// Columns of a bead that say nothing to a person: keys, what is derived, when it was touched.
const KEPT_QUIET: &[&str] = &["seq", "updated_at", "work", "children"];

/// All that is known of a database's beads at one commit.
struct Snapshot {
    beads: Vec<Bead>,
    labels: Vec<Label>,
    deps: Vec<Dep>,
    comments: Vec<Comment>,
}

fn snapshot(tx: &mut dyn Tx) -> Result<Snapshot, TxError> {
    let all = Scan::default();
    Ok(Snapshot {
        beads: tx.rows(&all)?,
        labels: tx.rows(&all)?,
        deps: tx.rows(&all)?,
        comments: tx.rows(&all)?,
    })
}

/// Why there is no such moment, and what to ask instead.
pub fn no_moment(why: NoMoment) -> DoorError {
    let short = |hash: &str| hash.get(..12).unwrap_or(hash).to_owned();
    match why {
        NoMoment::Empty => DoorError::new("no_such_commit", "this database has no history yet"),
        NoMoment::Ambiguous { text, hashes } => {
            DoorError::new("ambiguous_commit", format!("'{text}' begins several commits"))
                .hint(format!("use more of one: {}", hashes.join(", ")))
        }
        NoMoment::TooEarly { oldest, flattened } => {
            let at = rfc3339(oldest.at);
            let (code, text) = match flattened {
                true => ("history_flattened", format!("the history before {at} was flattened")),
                false => ("history_too_short", format!("the history begins at {at}")),
            };
            DoorError::new(code, text).hint(format!(
                "the oldest that can be read is {at}, commit {}",
                short(&oldest.hash)
            ))
        }
        NoMoment::Unknown { text, oldest } => {
            let error = DoorError::new("no_such_commit", format!("no commit begins with '{text}'"));
            match oldest {
                Some((oldest, true)) => error.hint(format!(
                    "the history before {} was flattened; the oldest commit is {}; 'bd log' lists them",
                    rfc3339(oldest.at),
                    short(&oldest.hash)
                )),
                _ => error.hint("'bd log' lists the commits; a time is also understood"),
            }
        }
    }
}

impl Desk {
    fn moment(&self, db: &Db, point: &Point) -> Result<Moment, DoorError> {
        self.check_db(db)?;
        self.books.moment(db, point).map_err(unread)
    }

    /// Runs `body` over what stood at a moment.
    fn read_at<T>(
        &self,
        db: &Db,
        moment: &Moment,
        mut body: impl FnMut(&mut dyn Tx) -> Result<T, TxError>,
    ) -> Result<T, DoorError> {
        let mut made = None;
        self.books
            .read_at(db, &moment.commit.hash, &mut |tx| {
                made = Some(body(tx)?);
                Ok(())
            })
            .map_err(unread)?;
        made.ok_or_else(|| DoorError::new("internal", "a snapshot ended without an answer"))
    }

    pub(super) fn log(&self, db: &Db, limit: Option<usize>) -> Result<Vec<CommitView>, DoorError> {
        self.check_db(db)?;
        let commits = self.books.log(db, limit).map_err(unread)?;
        Ok(commits.iter().map(CommitView::from).collect())
    }

    /// What is recorded of a bead, merge request, agent or rig.
    pub(super) fn history(&self, subject: &BeadId) -> Result<Vec<ChangeView>, DoorError> {
        let databases = self.books.databases();
        let named = databases.iter().find(|(db, _)| db.as_str() == subject.as_str());
        let mut subject = subject.clone();
        let db = if let Some((db, _)) = named {
            db.clone()
        } else if subject.as_str().contains('/') {
            let hook = self.agent_at(subject.as_str())?;
            subject = hook.0;
            hook.1
        } else {
            routing::route(&databases, &subject)?
        };
        let rows = self.read(&db, |tx| {
            let mut rows = tx.with::<Change>(None, vec![subject.to_value()])?;
            if let Some(mr) = request(tx, &subject)? {
                // What became of it stands under its work, and names it.
                let of_work = tx.with::<Change>(None, vec![mr.bead.to_value()])?;
                let named = format!("\"{}\"", mr.id);
                rows.extend(of_work.into_iter().filter(|change| change.detail.contains(&named)));
                rows.sort_by_key(|change| change.seq);
            }
            Ok(rows)
        })?;
        if rows.is_empty() {
            let text = format!("nothing is recorded of '{subject}' in {db}");
            return Err(DoorError::new("not_found", text));
        }
        Ok(rows.iter().map(ChangeView::from).collect())
    }

    /// The bead and database of the agent at an address.
    fn agent_at(&self, address: &str) -> Result<(BeadId, Db), DoorError> {
        let (actor, db) = self.recipient(address)?;
        let agents = self.read(&db, |tx| tx.rows::<Agent>(&Scan::default()))?;
        let found = agents.into_iter().find(|agent| agent.actor.as_str() == actor);
        let Some(agent) = found else {
            return Err(DoorError::new("not_found", format!("{actor} has no bead")));
        };
        Ok((agent.id, db))
    }

    pub(super) fn show_at(&self, ids: &[BeadId], at: &Point) -> Result<ShownAt, DoorError> {
        if ids.len() > IDS_MAX {
            return Err(DoorError::new("usage", format!("at most {IDS_MAX} ids at once")));
        }
        let databases = self.books.databases();
        let mut by_db: BTreeMap<Db, Vec<BeadId>> = BTreeMap::new();
        for id in ids {
            by_db.entry(routing::route(&databases, id)?).or_default().push(id.clone());
        }
        let mut points = Vec::new();
        let mut shown: BTreeMap<BeadId, IssueView> = BTreeMap::new();
        for (db, asked) in by_db {
            let moment = self.moment(&db, at)?;
            let known = self.read_at(&db, &moment, snapshot)?;
            for id in asked {
                let bead = find(&known.beads, &id).map_err(|why| {
                    why.hint(format!("at {} it was not there", rfc3339(moment.commit.at)))
                })?;
                let view = self.as_it_was(&db, &moment, &known, bead)?;
                shown.insert(id, view);
            }
            points.push(PointView::of(&db, &moment));
        }
        let issues = ids.iter().filter_map(|id| shown.get(id).cloned()).collect();
        Ok(ShownAt { points, issues })
    }

    /// A bead with everything there was to it.
    fn as_it_was(
        &self,
        db: &Db,
        moment: &Moment,
        known: &Snapshot,
        bead: &Bead,
    ) -> Result<IssueView, DoorError> {
        let down: Vec<&Dep> = known.deps.iter().filter(|dep| dep.bead == bead.id).collect();
        let up: Vec<&Dep> = known.deps.iter().filter(|dep| dep.target == bead.id).collect();
        let comments = known.comments.iter().filter(|row| row.bead == bead.id);
        let comments: Vec<CommentView> = comments.map(CommentView::from).collect();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let mut view = IssueView::of(bead).counted(Counts {
            dependencies: number(down.len()),
            dependents: number(up.len()),
            comments: number(comments.len()),
        });
        view.comments = comments;
        let labels = known.labels.iter().filter(|row| row.bead == bead.id);
        view.labels = labels.map(|row| row.label.0.clone()).collect();
        let (agent, open_elsewhere) = self.read_at(db, moment, |tx| {
            let shadows = tx.rows::<Shadow>(&Scan::default())?;
            let open: BTreeSet<BeadId> =
                shadows.into_iter().filter(|row| !row.closed).map(|row| row.id).collect();
            Ok((tx.row::<Agent>(&bead.id)?, open))
        })?;
        view.agent = agent.as_ref().map(AgentFields::from);
        let by_id = |id: &BeadId| known.beads.iter().find(|bead| bead.id == *id);
        let is_open = |bead: &Bead| !matches!(bead.status, Status::Closed | Status::Pinned);
        for dep in down {
            let near = by_id(&dep.target);
            let open = near.map_or_else(|| open_elsewhere.contains(&dep.target), is_open);
            if dep.dep_type == DepType::ParentChild {
                view.parent = Some(dep.target.clone());
            } else if dep.dep_type.blocks() && open && is_open(bead) {
                view.blocked_by.push(dep.target.clone());
            }
            let issue = match near {
                Some(bead) => Some(IssueView::of(bead)),
                None => self.elsewhere(moment, &dep.target)?,
            };
            let dependency_type = dep.dep_type;
            let linked = issue.map(|issue| LinkedIssue { issue: Box::new(issue), dependency_type });
            view.dependencies.extend(linked);
        }
        for dep in up {
            let brief = by_id(&dep.bead).map(|bead| Brief {
                title: bead.title.clone(),
                status: bead.status,
                priority: bead.priority,
                issue_type: bead.issue_type,
            });
            let (of, id) = (bead.id.clone(), dep.bead.clone());
            let linked = Linked { of, id, dep_type: dep.dep_type, brief };
            view.dependents.push(LinkedBrief::from(&linked));
        }
        Ok(view)
    }

    /// A bead of another database, as it was when this one's commit was made; `None` where that is
    /// not known any more.
    fn elsewhere(&self, moment: &Moment, id: &BeadId) -> Result<Option<IssueView>, DoorError> {
        let databases = self.books.databases();
        let Some(db) = routing::database(&databases, id) else { return Ok(None) };
        let there = match self.books.moment(db, &Point::Time(moment.commit.at)) {
            Ok(there) => there,
            Err(BooksError::NoMoment(_)) => return Ok(None),
            Err(error) => return Err(unread(error)),
        };
        let beads = self.read_at(db, &there, |tx| tx.rows::<Bead>(&Scan::default()))?;
        Ok(beads.iter().find(|bead| bead.id == *id).map(IssueView::of))
    }

    pub(super) fn diff(&self, db: &Db, from: &Point, to: &Point) -> Result<DiffView, DoorError> {
        let (old, new) = (self.moment(db, from)?, self.moment(db, to)?);
        let before = self.read_at(db, &old, snapshot)?;
        let after = self.read_at(db, &new, snapshot)?;
        let (from, to) = (PointView::of(db, &old), PointView::of(db, &new));
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        let mut changed: BTreeMap<BeadId, ChangedBead> = BTreeMap::new();
        for pair in pairs(before.beads, after.beads) {
            match pair {
                (None, Some(new)) => added.push(BeadLine::from(&new)),
                (Some(old), None) => removed.push(BeadLine::from(&old)),
                (Some(old), Some(new)) => {
                    let fields = fields(&old, &new);
                    if !fields.is_empty() {
                        entry(&mut changed, &new.id).fields = fields;
                    }
                }
                (None, None) => {}
            }
        }
        for (old, new) in pairs(before.labels, after.labels) {
            if let Some(row) = new {
                entry(&mut changed, &row.bead).labels_added.push(row.label.0);
            } else if let Some(row) = old {
                entry(&mut changed, &row.bead).labels_removed.push(row.label.0);
            }
        }
        for (old, new) in pairs(before.deps, after.deps) {
            // An edge whose meaning changed is a new one.
            for row in old.iter() {
                entry(&mut changed, &row.bead).dependencies_removed.push(DepView::from(row));
            }
            for row in new.iter() {
                entry(&mut changed, &row.bead).dependencies_added.push(DepView::from(row));
            }
        }
        for (old, new) in pairs(before.comments, after.comments) {
            for row in old.iter() {
                entry(&mut changed, &row.bead).comments_removed.push(CommentView::from(row));
            }
            for row in new.iter() {
                entry(&mut changed, &row.bead).comments_added.push(CommentView::from(row));
            }
        }
        Ok(DiffView { from, to, added, removed, changed: changed.into_values().collect() })
    }
}

fn entry<'a>(changed: &'a mut BTreeMap<BeadId, ChangedBead>, id: &BeadId) -> &'a mut ChangedBead {
    changed.entry(id.clone()).or_insert_with(|| ChangedBead::new(id.clone()))
}

/// The bead of an id, or the one whose id begins so.
fn find<'a>(beads: &'a [Bead], id: &BeadId) -> Result<&'a Bead, DoorError> {
    if let Some(bead) = beads.iter().find(|bead| bead.id == *id) {
        return Ok(bead);
    }
    let begins = |bead: &&Bead| bead.id.as_str().starts_with(id.as_str());
    let found: Vec<&Bead> = beads.iter().filter(begins).collect();
    let parents: BTreeSet<&BeadId> = found.iter().map(|bead| &bead.id).collect();
    let roots =
        found.iter().filter(|bead| bead.id.parent().is_none_or(|id| !parents.contains(&id)));
    match roots.collect::<Vec<_>>()[..] {
        [one] => Ok(one),
        [] => Err(DoorError::new("not_found", format!("bead '{id}' not found"))),
        _ => Err(DoorError::new("not_found", format!("'{id}' could be several beads"))),
    }
}

/// Rows by key, before and after, without those that are the same; in the order of keys.
fn pairs<R: Row>(before: Vec<R>, after: Vec<R>) -> Vec<(Option<R>, Option<R>)> {
    let key = |row: &R| R::TABLE.key_of(&row.to_values());
    let mut found: BTreeMap<Vec<Value>, (Option<R>, Option<R>)> = BTreeMap::new();
    for row in before {
        found.insert(key(&row), (Some(row), None));
    }
    for row in after {
        let pair = found.entry(key(&row)).or_insert((None, None));
        pair.1 = Some(row);
    }
    let cells = |row: &Option<R>| row.as_ref().map(Row::to_values);
    found.into_values().filter(|(old, new)| cells(old) != cells(new)).collect()
}

fn fields(old: &Bead, new: &Bead) -> Vec<FieldChange> {
    let json = |value: &Value| match value {
        Value::Null => serde_json::Value::Null,
        Value::Int(number) => serde_json::json!(number),
        Value::Text(text) => serde_json::json!(text),
    };
    let (old, new) = (old.to_values(), new.to_values());
    let columns = Bead::TABLE.columns.iter().zip(old.iter().zip(&new));
    columns
        .filter(|(column, (old, new))| old != new && !KEPT_QUIET.contains(&column.name))
        .map(|(column, (old, new))| FieldChange {
            field: column.name.to_owned(),
            from: json(old),
            to: json(new),
        })
        .collect()
}
