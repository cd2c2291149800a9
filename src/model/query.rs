//! Questions about many beads: what may be asked, and what it means on one bead.
//!
//! Engines answer with SQL of their own; [`BeadFilter::admits`] and [`BeadFilter::order`] are the
//! meaning that conformance holds them to (D5). This file knows nothing about SQL.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use super::bead::BeadType;
use super::bead::DepType;
use super::bead::Hold;
use super::bead::Status;
use super::ids::BeadId;
use super::rows::Bead;
use super::value::Cell;
use super::value::Name;
use super::value::text_enum;

/// Rows of a plain list unless the caller says otherwise.
pub const LIST_LIMIT: usize = 50;
/// Rows of ready work unless the caller says otherwise.
pub const READY_LIMIT: usize = 100;

text_enum! {
    /// What a list is ordered by; equals are ordered by age, oldest first.
    Sort {
        /// Most urgent first.
        Priority = "priority",
        /// Oldest first.
        Created = "created",
        /// Longest untouched first.
        Updated = "updated",
        /// Longest closed first; what is open comes before.
        Closed = "closed",
        /// By public id.
        Id = "id",
        /// By title.
        Title = "title",
        /// By status word.
        Status = "status",
        /// By type word.
        Type = "type",
        /// By assignee; what has none comes before.
        Assignee = "assignee",
    }
}

/// Which beads, in what order, and how many. All conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeadFilter {
    /// Any of these statuses; empty is any (but see `include_closed`).
    pub statuses: Vec<Status>,
    /// Any of these types; empty is any (but see `only_work`).
    pub types: Vec<BeadType>,
    /// Exactly this priority.
    pub priority: Option<i64>,
    /// At least this number (0 is the most urgent).
    pub priority_min: Option<i64>,
    /// At most this number.
    pub priority_max: Option<i64>,
    /// Exactly this assignee.
    pub assignee: Option<Name>,
    /// Only beads without an assignee.
    pub unassigned: bool,
    /// All of these labels.
    pub labels: Vec<Name>,
    /// At least one of these labels; empty is any.
    pub label_any: Vec<Name>,
    /// Only descendants by id: `gt-a` has `gt-a.1` and `gt-a.1.2`.
    pub parent: Option<BeadId>,
    /// Part of the title; ASCII letters match in either case.
    pub title_contains: Option<String>,
    /// Any of these ids; empty is any.
    pub ids: Vec<BeadId>,
    /// Closed beads too. They are also shown when `statuses` or `ids` names them.
    pub include_closed: bool,
    /// Only work that could start now: open, free, unblocked, not deferred.
    pub ready: bool,
    /// Only what another bead keeps from being started; of any type that is work unless types are
    /// given.
    #[serde(default)]
    pub blocked: bool,
    /// The time that deferral is compared with, in milliseconds since the epoch.
    pub now_ms: i64,
    /// Most rows; `None` is all.
    pub limit: Option<usize>,
    /// The order.
    pub sort: Sort,
    /// The order backwards.
    pub reverse: bool,
}

impl BeadFilter {
    /// What `list` asks by default: not closed, at most [`LIST_LIMIT`].
    #[must_use]
    pub fn list() -> Self {
        Self {
            statuses: Vec::new(),
            types: Vec::new(),
            priority: None,
            priority_min: None,
            priority_max: None,
            assignee: None,
            unassigned: false,
            labels: Vec::new(),
            label_any: Vec::new(),
            parent: None,
            title_contains: None,
            ids: Vec::new(),
            include_closed: false,
            ready: false,
            blocked: false,
            now_ms: 0,
            limit: Some(LIST_LIMIT),
            sort: Sort::Priority,
            reverse: false,
        }
    }

    /// What `ready` asks by default: at most [`READY_LIMIT`], most urgent first.
    #[must_use]
    pub fn ready(now_ms: i64) -> Self {
        Self { ready: true, now_ms, limit: Some(READY_LIMIT), ..Self::list() }
    }

    /// Whether closed beads are left out.
    #[must_use]
    pub fn hides_closed(&self) -> bool {
        !self.include_closed && self.statuses.is_empty() && self.ids.is_empty()
    }

    /// Whether only types that a worker can be given count: where work is asked for, and no type.
    #[must_use]
    pub fn only_work(&self) -> bool {
        (self.ready || self.blocked) && self.types.is_empty()
    }

    /// Whether a bead with these labels is asked for.
    #[must_use]
    pub fn admits(&self, bead: &Bead, labels: &[Name]) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(&bead.status))
            && !(self.hides_closed() && bead.status == Status::Closed)
            && (self.types.is_empty() || self.types.contains(&bead.issue_type))
            && (!self.only_work() || bead.work)
            && self.priority.is_none_or(|wanted| bead.priority == wanted)
            && self.priority_min.is_none_or(|least| bead.priority >= least)
            && self.priority_max.is_none_or(|most| bead.priority <= most)
            && self.assignee.as_ref().is_none_or(|who| bead.assignee.as_ref() == Some(who))
            && !(self.unassigned && bead.assignee.is_some())
            && self.labels.iter().all(|label| labels.contains(label))
            && (self.label_any.is_empty() || self.label_any.iter().any(|l| labels.contains(l)))
            && self.parent.as_ref().is_none_or(|parent| is_under(&bead.id, parent))
            && self.title_fits(&bead.title)
            && (self.ids.is_empty() || self.ids.contains(&bead.id))
            && (!self.ready || could_start(bead, self.now_ms))
            && (!self.blocked || bead.blocked)
    }

    /// Whether a title has the wanted part.
    #[must_use]
    pub fn title_fits(&self, title: &str) -> bool {
        self.title_contains
            .as_ref()
            .is_none_or(|part| title.to_ascii_lowercase().contains(&part.to_ascii_lowercase()))
    }

    /// The order of two beads.
    #[must_use]
    pub fn order(&self, a: &Bead, b: &Bead) -> Ordering {
        let by = match self.sort {
            Sort::Priority => a.priority.cmp(&b.priority),
            Sort::Created => Ordering::Equal,
            Sort::Updated => a.updated_at.cmp(&b.updated_at),
            Sort::Closed => a.closed_at.cmp(&b.closed_at),
            Sort::Id => a.id.cmp(&b.id),
            Sort::Title => a.title.cmp(&b.title),
            Sort::Status => a.status.as_str().cmp(b.status.as_str()),
            Sort::Type => a.issue_type.as_str().cmp(b.issue_type.as_str()),
            Sort::Assignee => a.assignee.cmp(&b.assignee),
        };
        let order = by.then(a.seq.cmp(&b.seq));
        if self.reverse { order.reverse() } else { order }
    }
}

/// Whether an id is below another: `gt-a.1.2` is under `gt-a`, `gt-ab` is not.
#[must_use]
pub fn is_under(id: &BeadId, parent: &BeadId) -> bool {
    id.0.strip_prefix(parent.0.as_str()).is_some_and(|rest| rest.starts_with('.'))
}

/// Whether nothing in the row itself keeps the bead from being started; its type is not asked.
#[must_use]
pub fn could_start(bead: &Bead, now_ms: i64) -> bool {
    bead.status == Status::Open
        && !bead.blocked
        && bead.hold == Hold::Free
        && bead.defer_until.is_none_or(|until| until <= now_ms)
}

/// How many edges and remarks a bead has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Beads that it depends on.
    pub dependencies: i64,
    /// Beads that depend on it.
    pub dependents: i64,
    /// Remarks.
    pub comments: i64,
}

/// The far end of an edge, shallow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linked {
    /// The bead that was asked about.
    pub of: BeadId,
    /// The other bead.
    pub id: BeadId,
    /// What the edge means.
    pub dep_type: DepType,
    /// What is known of the other bead; `None` when it does not live in this database.
    pub brief: Option<Brief>,
}

/// A bead in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief {
    /// Title.
    pub title: String,
    /// Status.
    pub status: Status,
    /// 0 to 4.
    pub priority: i64,
    /// Type.
    pub issue_type: BeadType,
}

/// Which way edges are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// To what the bead depends on.
    Down,
    /// To what depends on the bead.
    Up,
}

/// The town's work in numbers. Only types that a worker can be given are counted. An open bead is
/// free (every op that gives it to somebody moves its status), so its hold is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Beads of any status.
    pub total: i64,
    /// Per status word; a status without beads is absent.
    pub by_status: BTreeMap<String, i64>,
    /// Not closed, and blocked by another bead.
    pub blocked: i64,
    /// Open, not blocked and not deferred.
    pub ready: i64,
}

impl Stats {
    /// Counts `count` beads of this status in; `deferred` of them are put off.
    pub fn count(&mut self, status: Status, blocked: bool, count: i64, deferred: i64) {
        self.total += count;
        *self.by_status.entry(status.as_str().to_owned()).or_default() += count;
        if blocked && status != Status::Closed {
            self.blocked += count;
        }
        if status == Status::Open && !blocked {
            self.ready += count - deferred;
        }
    }
}

/// Mean milliseconds from creation to closing, rounded down; `None` when nothing was closed.
#[must_use]
pub fn mean_lead(sum: i64, count: i64) -> Option<i64> {
    (count > 0).then(|| sum.div_euclid(count))
}

/// The stored text of a free hold, for engines that compare it.
#[must_use]
pub fn free_hold() -> super::value::Value {
    Hold::Free.to_value()
}
