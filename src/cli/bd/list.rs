//! `bd list`, `ready`, `blocked`, `search` and `count`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use crate::cli::bd::Run;
use crate::cli::bd::issues;
use crate::cli::bd::words;
use crate::cli::call;
use crate::cli::render;
use crate::gateway::routing;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::IssueView;
use crate::model::bead::BeadType;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ops::Op;
use crate::model::query::BeadFilter;
use crate::model::query::LIST_LIMIT;
use crate::model::query::READY_LIMIT;
use crate::model::query::Sort;
use crate::model::value::Name;

/// Types that a list leaves out unless they are asked for: the town's own bookkeeping.
const INFRA: [BeadType; 6] = [
    BeadType::Agent,
    BeadType::Role,
    BeadType::Rig,
    BeadType::Message,
    BeadType::Event,
    BeadType::Gate,
];

/// Conditions that several commands take. All must hold.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Types, separated by commas.
    #[arg(short = 't', long = "type", value_delimiter = ',', value_parser = words::bead_type)]
    types: Vec<BeadType>,
    /// Exactly this priority.
    #[arg(short, long, value_parser = words::priority)]
    priority: Option<i64>,
    /// At least this number.
    #[arg(long, value_parser = words::priority)]
    priority_min: Option<i64>,
    /// At most this number.
    #[arg(long, value_parser = words::priority)]
    priority_max: Option<i64>,
    /// Whose.
    #[arg(short, long)]
    assignee: Option<String>,
    /// Nobody's.
    #[arg(short, long, visible_alias = "no-assignee", conflicts_with = "assignee")]
    unassigned: bool,
    /// All of these labels, separated by commas.
    #[arg(short, long, visible_alias = "labels", value_delimiter = ',', value_parser = words::label)]
    label: Vec<Name>,
    /// Any of these labels, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = words::label)]
    label_any: Vec<Name>,
    /// Descendants of this bead.
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// Of every rig and the town.
    #[arg(long, conflicts_with = "rig")]
    all_rigs: bool,
}

impl Which {
    fn narrow(&self, run: &Run, filter: BeadFilter) -> Result<BeadFilter, DoorError> {
        let parent = self.parent.as_deref().map(|id| run.context.id(id)).transpose()?;
        Ok(BeadFilter {
            types: if self.types.is_empty() { filter.types } else { self.types.clone() },
            priority: self.priority,
            priority_min: self.priority_min,
            priority_max: self.priority_max,
            assignee: self.assignee.clone().map(Name),
            unassigned: self.unassigned,
            labels: self.label.clone(),
            label_any: self.label_any.clone(),
            parent,
            ..filter
        })
    }

    /// Where to look: where the parent lives, everywhere, or in the default database.
    fn databases(&self, run: &Run) -> Result<Vec<Db>, DoorError> {
        match &self.parent {
            Some(parent) if run.context.rig.is_none() => {
                Ok(vec![run.context.db_of(&run.context.id(parent)?)?])
            }
            _ => issues::databases(run, self.all_rigs),
        }
    }
}

fn visible() -> Vec<BeadType> {
    BeadType::ALL.iter().copied().filter(|kind| !INFRA.contains(kind)).collect()
}

fn limit(number: usize) -> Option<usize> {
    (number > 0).then_some(number)
}

fn ask(run: &Run, dbs: Vec<Db>, filter: BeadFilter) -> Result<Vec<IssueView>, DoorError> {
    call::ask(&run.context, Query::Beads { dbs, filter })
}

fn show(run: &Run, views: &[IssueView], none: &str) -> Result<u8, DoorError> {
    match run.json {
        true => render::json(&views.iter().map(issues::listed).collect::<Vec<_>>()),
        false => issues::print(views, none),
    }
}

/// List beads that are not closed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bd list\n  bd list -s open,in_progress -l ui --sort updated -r\n  \
    bd list --all -n 0 --json"
)]
pub(super) struct List {
    #[command(flatten)]
    which: Which,
    /// Statuses, separated by commas; 'all' is --all.
    #[arg(short, long, value_delimiter = ',')]
    status: Vec<String>,
    /// These ids, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    id: Vec<String>,
    /// Words in the title.
    #[arg(long, visible_alias = "title", value_name = "TEXT")]
    title_contains: Option<String>,
    /// Closed ones too.
    #[arg(long)]
    all: bool,
    /// Only what could start now.
    #[arg(long)]
    ready: bool,
    /// Agents, roles, messages and other bookkeeping too.
    #[arg(long)]
    include_infra: bool,
    /// Most lines; 0 is all.
    #[arg(short = 'n', long, default_value_t = LIST_LIMIT)]
    limit: usize,
    /// Order: priority, created, updated, closed, id, title, status, type, assignee.
    #[arg(long, value_parser = words::sort, default_value = "priority")]
    sort: Sort,
    /// The order backwards.
    #[arg(short, long)]
    reverse: bool,
}

impl List {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let all = self.all || self.status.iter().any(|word| word == "all");
        let statuses = self.status.iter().filter(|word| *word != "all");
        let statuses = statuses
            .map(|word| words::status(word).map_err(|text| DoorError::new("usage", text)))
            .collect::<Result<Vec<Status>, _>>()?;
        let ids = self.id.iter().map(|id| run.context.id(id)).collect::<Result<Vec<_>, _>>()?;
        let everything = self.include_infra || !ids.is_empty() || self.ready;
        let filter = BeadFilter {
            statuses,
            ids,
            types: if everything { Vec::new() } else { visible() },
            title_contains: self.title_contains,
            include_closed: all,
            ready: self.ready,
            limit: limit(self.limit),
            sort: self.sort,
            reverse: self.reverse,
            ..BeadFilter::list()
        };
        let filter = self.which.narrow(run, filter)?;
        let views = ask(run, self.which.databases(run)?, filter)?;
        show(run, &views, "no beads")
    }
}

/// List work that could start now.
///
/// That is: open, nobody's in the town, waiting for nothing, and not put off.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bd ready\n  bd ready -u -n 5 --json\n  bd ready --claim")]
pub(super) struct Ready {
    #[command(flatten)]
    which: Which,
    /// Most lines; 0 is all.
    #[arg(short = 'n', long, default_value_t = READY_LIMIT)]
    limit: usize,
    /// Order: priority, created, updated, id, title.
    #[arg(long, value_parser = words::sort, default_value = "priority")]
    sort: Sort,
    /// The order backwards.
    #[arg(short, long)]
    reverse: bool,
    /// Claim the first one.
    #[arg(long)]
    claim: bool,
}

impl Ready {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let filter = BeadFilter {
            limit: limit(self.limit),
            sort: self.sort,
            reverse: self.reverse,
            ..BeadFilter::ready(0)
        };
        let filter = self.which.narrow(run, filter)?;
        let views = ask(run, self.which.databases(run)?, filter)?;
        if !self.claim {
            return show(run, &views, "nothing is ready");
        }
        for view in &views {
            let claimed =
                issues::write(run, view.id.as_str(), |id| vec![Op::Claim { id: id.clone() }]);
            match claimed {
                Ok((id, _)) if run.json => return render::json(&issues::after(run, &[id])?),
                Ok((id, _)) => return render::line(&format!("Claimed {id}: {}", view.title)),
                // Somebody was faster, or has had it all along: the next one may be free.
                Err(taken) if matches!(taken.code.as_str(), "held" | "not_now") => {}
                Err(error) => return Err(error),
            }
        }
        Err(DoorError::new("not_found", "nothing is ready to be claimed")
            .hint("'bd blocked' tells what the rest waits for"))
    }
}

/// A bead and how many beads it waits for.
#[derive(Serialize)]
struct Waiting<'a> {
    #[serde(flatten)]
    issue: &'a IssueView,
    blocked_by_count: usize,
}

/// List work that waits for other work.
#[derive(Debug, Args)]
pub(super) struct Blocked {
    #[command(flatten)]
    which: Which,
}

impl Blocked {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let filter = BeadFilter { blocked: true, limit: None, ..BeadFilter::list() };
        let filter = self.which.narrow(run, filter)?;
        let mut views = ask(run, self.which.databases(run)?, filter)?;
        views.retain(|view| !view.blocked_by.is_empty());
        if run.json {
            let rows = views
                .iter()
                .map(|issue| Waiting { issue, blocked_by_count: issue.blocked_by.len() });
            return render::json(&rows.collect::<Vec<_>>());
        }
        if views.is_empty() {
            return render::line("nothing is blocked");
        }
        let lines = views.iter().map(|view| {
            let by: Vec<&str> = view.blocked_by.iter().map(BeadId::as_str).collect();
            format!("{}  waits for {}", issues::line(view), by.join(", "))
        });
        render::lines(&lines.collect::<Vec<_>>())
    }
}

/// Find beads by id or words of the title.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bd search parser\n  bd search gt-a1b --all-rigs")]
pub(super) struct Search {
    /// An id, or part of a title.
    #[arg(required = true)]
    text: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Closed ones too.
    #[arg(long)]
    all: bool,
    /// Most lines; 0 is all.
    #[arg(short = 'n', long, default_value_t = LIST_LIMIT)]
    limit: usize,
}

impl Search {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let text = self.text.join(" ");
        let mut views = Vec::new();
        let id = BeadId::from(text.as_str());
        if routing::database(&run.context.databases(), &id).is_some() {
            match issues::find_one(run, &text) {
                Ok(view) => views.push(view),
                Err(missing) if missing.code == "not_found" => {}
                Err(error) => return Err(error),
            }
        }
        let filter = BeadFilter {
            types: visible(),
            title_contains: Some(text),
            include_closed: self.all,
            limit: limit(self.limit),
            ..BeadFilter::list()
        };
        let filter = self.which.narrow(run, filter)?;
        let more = ask(run, self.which.databases(run)?, filter)?;
        let known: Vec<BeadId> = views.iter().map(|view| view.id.clone()).collect();
        views.extend(more.into_iter().filter(|view| !known.contains(&view.id)));
        show(run, &views, "nothing found")
    }
}

/// Count beads.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bd count\n  bd count --all --by-status")]
pub(super) struct Count {
    #[command(flatten)]
    which: Which,
    /// Statuses, separated by commas.
    #[arg(short, long, value_delimiter = ',', value_parser = words::status)]
    status: Vec<Status>,
    /// Closed ones too.
    #[arg(long)]
    all: bool,
    /// Per status.
    #[arg(long, group = "by")]
    by_status: bool,
    /// Per priority.
    #[arg(long, group = "by")]
    by_priority: bool,
    /// Per type.
    #[arg(long, group = "by")]
    by_type: bool,
    /// Per assignee.
    #[arg(long, group = "by")]
    by_assignee: bool,
    /// Per label.
    #[arg(long, group = "by")]
    by_label: bool,
}

impl Count {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let filter = BeadFilter {
            statuses: self.status.clone(),
            types: visible(),
            include_closed: self.all || self.by_status,
            limit: None,
            ..BeadFilter::list()
        };
        let filter = self.which.narrow(run, filter)?;
        let views = ask(run, self.which.databases(run)?, filter)?;
        let Some(groups) = self.groups(&views) else {
            return match run.json {
                true => render::json(&json!({"count": views.len()})),
                false => render::line(&views.len().to_string()),
            };
        };
        if run.json {
            let groups: Vec<Value> = groups
                .iter()
                .map(|(group, count)| json!({"group": group, "count": count}))
                .collect();
            return render::json(&json!({"total": views.len(), "groups": groups}));
        }
        let rows = groups.iter().map(|(group, count)| vec![group.clone(), count.to_string()]);
        render::table(&["GROUP", "COUNT"], rows.collect())
    }

    fn groups(&self, views: &[IssueView]) -> Option<BTreeMap<String, usize>> {
        let of = |view: &IssueView| -> Option<Vec<String>> {
            if self.by_status {
                Some(vec![view.status.to_string()])
            } else if self.by_priority {
                Some(vec![format!("P{}", view.priority)])
            } else if self.by_type {
                Some(vec![view.issue_type.to_string()])
            } else if self.by_assignee {
                Some(vec![view.assignee.clone().unwrap_or_else(|| "(unassigned)".to_owned())])
            } else if self.by_label {
                let none = view.labels.is_empty().then(|| "(no labels)".to_owned());
                Some(view.labels.iter().cloned().chain(none).collect())
            } else {
                None
            }
        };
        let by = self.by_status || self.by_priority || self.by_type || self.by_assignee;
        (by || self.by_label).then(|| {
            let mut groups = BTreeMap::new();
            for group in views.iter().filter_map(of).flatten() {
                *groups.entry(group).or_default() += 1;
            }
            groups
        })
    }
}
