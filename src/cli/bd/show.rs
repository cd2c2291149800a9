//! `bd show`.

use clap::Args;
use serde::Serialize;

use crate::cli::bd::Run;
use crate::cli::bd::issues;
use crate::cli::call;
use crate::cli::error;
use crate::cli::render;
use crate::cli::when;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::IssueView;
use crate::messages::views::ShownAt;
use crate::model::bead::BeadType;
use crate::model::bead::DepType;
use crate::model::bead::Status;
use crate::model::past::Point;
use crate::model::query::BeadFilter;

/// Show beads with their edges.
///
/// Works on everything that has an id: work, agents, roles, merge requests, convoys, messages.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bd show gt-a1b\n  bd show gt-a1b hq-mayor --json\n  \
    bd show gt-a1b --children\n  bd show gt-a1b --as-of '2h ago'")]
pub(super) struct Show {
    /// Ids; the beginning of one is enough.
    #[arg(required = true)]
    ids: Vec<String>,
    /// One line each.
    #[arg(long)]
    short: bool,
    /// The children instead of the bead.
    #[arg(long)]
    children: bool,
    /// Remarks too (JSON; plain text always has them).
    #[arg(long)]
    include_comments: bool,
    /// What depends on it too (JSON; plain text always has it).
    #[arg(long)]
    include_dependents: bool,
    /// As they were: a time, '2h ago', a commit or the beginning of one, HEAD~1.
    #[arg(long, value_name = "WHEN", value_parser = when::point, conflicts_with = "children")]
    as_of: Option<Point>,
}

impl Show {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        if let Some(at) = self.as_of.clone() {
            return self.past(run, at);
        }
        let found = issues::find(run, &self.ids)?;
        let mut code = error::OK;
        let mut views = Vec::new();
        for one in found {
            match one {
                Ok(view) => views.push(view),
                Err(failure) => code = issues::tell(run, &failure, code),
            }
        }
        if views.is_empty() {
            return Ok(code);
        }
        if self.children {
            views = children(run, &views)?;
            match run.json {
                true => render::json(&views.iter().map(issues::listed).collect::<Vec<_>>())?,
                false => issues::print(&views, "no children")?,
            };
        } else if run.json {
            render::json(&views.iter().map(|view| self.detail(view)).collect::<Vec<_>>())?;
        } else if self.short {
            issues::print(&views, "")?;
        } else {
            let texts: Vec<String> = views.iter().map(whole).collect();
            render::raw(&texts.join("\n"))?;
        }
        Ok(code)
    }

    /// The beads as they were, after a line that says when that was.
    fn past(&self, run: &Run, at: Point) -> Result<u8, DoorError> {
        let ids = self.ids.iter().map(|id| run.context.id(id)).collect::<Result<_, _>>()?;
        let shown: ShownAt = call::ask(&run.context, Query::ShowAt { ids, at })?;
        for note in shown.points.iter().filter_map(|point| point.note.as_ref()) {
            render::complain(&format!("note: {note}"));
        }
        if run.json {
            return render::json(
                &shown.issues.iter().map(|view| self.detail(view)).collect::<Vec<_>>(),
            );
        }
        for point in shown.points.iter().filter(|_| !run.quiet) {
            let commit = point.commit.get(..12).unwrap_or(&point.commit);
            render::line(&format!("{} at {} (commit {commit})", point.database, point.date))?;
        }
        if self.short {
            return issues::print(&shown.issues, "");
        }
        let texts: Vec<String> = shown.issues.iter().map(whole).collect();
        render::raw(&texts.join("\n"))
    }

    /// A bead as upstream prints details.
    fn detail(&self, view: &IssueView) -> Detail {
        let mut issue = IssueView { blocked_by: Vec::new(), ..view.clone() };
        if !self.include_comments {
            issue.comments.clear();
        }
        if !self.include_dependents {
            issue.dependents.clear();
        }
        let epic = (view.issue_type == BeadType::Epic).then(|| {
            let (total, closed) = epic_children(view);
            Epic {
                epic_total_children: total,
                epic_closed_children: closed,
                epic_closeable: total > 0 && total == closed,
            }
        });
        Detail { issue, epic }
    }
}

/// A bead with what only epics have.
#[derive(Serialize)]
struct Detail {
    #[serde(flatten)]
    issue: IssueView,
    #[serde(flatten)]
    epic: Option<Epic>,
}

/// How far an epic is.
#[derive(Serialize)]
struct Epic {
    epic_total_children: usize,
    epic_closed_children: usize,
    epic_closeable: bool,
}

/// Children of an epic, and how many are closed.
fn epic_children(view: &IssueView) -> (usize, usize) {
    let children =
        || view.dependents.iter().filter(|edge| edge.dependency_type == DepType::ParentChild);
    (children().count(), children().filter(|edge| edge.status == Some(Status::Closed)).count())
}

fn children(run: &Run, parents: &[IssueView]) -> Result<Vec<IssueView>, DoorError> {
    let mut all = Vec::new();
    for parent in parents {
        let filter = BeadFilter {
            parent: Some(parent.id.clone()),
            include_closed: true,
            limit: None,
            ..BeadFilter::list()
        };
        let dbs = vec![run.context.db_of(&parent.id)?];
        all.extend(call::ask::<Vec<IssueView>>(&run.context, Query::Beads { dbs, filter })?);
    }
    Ok(all)
}

/// A bead for a reader.
fn whole(view: &IssueView) -> String {
    let mut text = format!("{}\n", issues::line(view));
    let mut field = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("  {name}: {value}\n"));
        }
    };
    field("parent", &view.parent.as_ref().map(ToString::to_string));
    field(
        "created",
        &Some(match &view.created_by {
            Some(who) => format!("{} by {who}", view.created_at),
            None => view.created_at.clone(),
        }),
    );
    field("updated", &Some(view.updated_at.clone()));
    field(
        "closed",
        &view.closed_at.as_ref().map(|at| {
            let reason = view.close_reason.as_deref().unwrap_or_default();
            format!("{at} {reason}").trim_end().to_owned()
        }),
    );
    field("due", &view.due_at);
    field("deferred until", &view.defer_until);
    field("estimate", &view.estimated_minutes.map(|minutes| format!("{minutes} minutes")));
    field("external", &view.external_ref);
    if let Some(agent) = &view.agent {
        field("role", &Some(format!("{} ({})", agent.role_type, agent.role_bead)));
        field("state", &Some(agent.agent_state.clone()));
        field("hook", &agent.hook_bead.as_ref().map(ToString::to_string));
        field("incarnation", &Some(agent.incarnation.to_string()));
    }
    let parts = [
        ("Description", &view.description),
        ("Design", &view.design),
        ("Acceptance", &view.acceptance_criteria),
        ("Notes", &view.notes),
    ];
    for (name, part) in parts {
        if let Some(part) = part {
            text.push_str(&format!("\n{name}:\n{}\n", indented(part)));
        }
    }
    edges(view, &mut text);
    if !view.comments.is_empty() {
        text.push_str("\nComments:\n");
    }
    for comment in &view.comments {
        let head = format!("{} {}:", comment.created_at, comment.author);
        text.push_str(&format!("  {head}\n{}\n", indented(&indented(&comment.text))));
    }
    text
}

fn edges(view: &IssueView, text: &mut String) {
    if !view.dependencies.is_empty() {
        text.push_str("\nDepends on:\n");
    }
    for edge in &view.dependencies {
        let issue = &edge.issue;
        let what = format!("{}: {} ({})", edge.dependency_type, issue.id, issue.status);
        text.push_str(&format!("  {what} {}\n", issue.title));
    }
    if !view.dependents.is_empty() {
        text.push_str("\nWanted by:\n");
    }
    for edge in &view.dependents {
        let status = edge.status.map_or("elsewhere", |status| status.as_str());
        text.push_str(&format!(
            "  {}: {} ({status}) {}\n",
            edge.dependency_type, edge.id, edge.title
        ));
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
