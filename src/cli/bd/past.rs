//! `bd history`, `diff` and `log`.

use clap::Args;
use serde_json::Value;

use crate::cli::bd::Run;
use crate::cli::call;
use crate::cli::render;
use crate::cli::when;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::BeadLine;
use crate::messages::views::ChangeView;
use crate::messages::views::ChangedBead;
use crate::messages::views::CommitView;
use crate::messages::views::DepView;
use crate::messages::views::DiffView;

/// What was changed, when and by whom.
///
/// Of a bead, a merge request or an agent by id, an agent by address, or a rig by name.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bd history gt-a1b\n  bd history web/polecats/alpha -n 5\n  \
    bd history web")]
pub(super) struct History {
    /// Of what.
    id: String,
    /// Most lines, the newest; 0 is all.
    #[arg(short = 'n', long, default_value_t = 0)]
    limit: usize,
}

impl History {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let id = run.context.subject(&self.id)?;
        let mut changes: Vec<ChangeView> = call::ask(&run.context, Query::History { id })?;
        if self.limit > 0 {
            changes.drain(..changes.len().saturating_sub(self.limit));
        }
        if run.json {
            return render::json(&changes);
        }
        let rows = changes
            .into_iter()
            .map(|change| vec![change.at, change.actor, change.op, change.detail.to_string()]);
        render::table(&["WHEN", "WHO", "WHAT", ""], rows.collect())
    }
}

/// What became of beads between two points in time.
///
/// A point is a commit or the beginning of one, a time, '2h ago', HEAD or HEAD~1. Without the
/// second one it is now.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bd diff HEAD~1..HEAD\n  bd diff yesterday..\n  \
    bd diff '2h ago' --json\n  bd diff 2026-01-30..2026-01-31 --rig web")]
pub(super) struct Diff {
    /// The points, as A..B.
    #[arg(value_name = "A..B")]
    from: String,
    /// The second point, where the first argument has none.
    #[arg(value_name = "B")]
    to: Option<String>,
}

impl Diff {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let usage = |why: String| DoorError::new("usage", why);
        let (from, to) = match &self.to {
            Some(_) if self.from.contains("..") => {
                return Err(usage("the second point is given twice".to_owned()));
            }
            Some(to) => (when::point(&self.from).map_err(usage)?, when::point(to).map_err(usage)?),
            None => when::range(&self.from).map_err(usage)?,
        };
        let db = run.context.default_db()?;
        let diff: DiffView = call::ask(&run.context, Query::Diff { db, from, to })?;
        for note in [&diff.from.note, &diff.to.note].into_iter().flatten() {
            render::complain(&format!("note: {note}"));
        }
        if run.json {
            return render::json(&diff);
        }
        let lines = told(&diff);
        if !lines.is_empty() {
            return render::lines(&lines);
        }
        run.say(&format!("no bead differs between {} and {}", diff.from.date, diff.to.date))
    }
}

/// A diff for a reader: `+` new, `-` gone, `~` changed.
fn told(diff: &DiffView) -> Vec<String> {
    let line = |sign: char, bead: &BeadLine| {
        format!(
            "{sign} {}  P{}  {}  {}  {}",
            bead.id, bead.priority, bead.issue_type, bead.status, bead.title
        )
    };
    let mut lines: Vec<String> = diff.added.iter().map(|bead| line('+', bead)).collect();
    lines.extend(diff.removed.iter().map(|bead| line('-', bead)));
    for bead in &diff.changed {
        lines.push(format!("~ {}", bead.id));
        parts(bead, &mut lines);
    }
    lines
}

fn parts(bead: &ChangedBead, lines: &mut Vec<String>) {
    for change in &bead.fields {
        lines.push(format!("    {}: {} -> {}", change.field, cell(&change.from), cell(&change.to)));
    }
    let edge = |dep: &DepView| format!("{} {}", dep.dep_type, dep.depends_on_id);
    let labels = |all: &[String]| all.to_vec();
    let edges = |all: &[DepView]| all.iter().map(edge).collect::<Vec<_>>();
    for (sign, label) in [('+', labels(&bead.labels_added)), ('-', labels(&bead.labels_removed))] {
        lines.extend(label.iter().map(|label| format!("    {sign} label {label}")));
    }
    let all = [('+', edges(&bead.dependencies_added)), ('-', edges(&bead.dependencies_removed))];
    for (sign, edges) in all {
        lines.extend(edges.iter().map(|edge| format!("    {sign} depends: {edge}")));
    }
    for (sign, comments) in [('+', &bead.comments_added), ('-', &bead.comments_removed)] {
        lines.extend(comments.iter().map(|comment| {
            let first = comment.text.lines().next().unwrap_or_default();
            format!("    {sign} comment of {}: {first}", comment.author)
        }));
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "(none)".to_owned(),
        Value::String(text) if text.is_empty() => "(none)".to_owned(),
        Value::String(text) => text.lines().collect::<Vec<_>>().join(" / "),
        other => other.to_string(),
    }
}

/// The commits of a database, newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bd log\n  bd log -n 0 --rig web --json")]
pub(super) struct Log {
    /// Most commits; 0 is all.
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: usize,
}

impl Log {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let db = run.context.default_db()?;
        let limit = (self.limit > 0).then_some(self.limit);
        let commits: Vec<CommitView> = call::ask(&run.context, Query::Log { db, limit })?;
        print(&commits, run.json)
    }
}

/// Commits as JSON or as a table.
pub(crate) fn print(commits: &[CommitView], as_json: bool) -> Result<u8, DoorError> {
    if as_json {
        return render::json(&commits);
    }
    let rows = commits.iter().map(|commit| {
        let hash = commit.commit.get(..12).unwrap_or(&commit.commit).to_owned();
        vec![hash, commit.date.clone(), commit.author.clone(), commit.message.clone()]
    });
    render::table(&["COMMIT", "WHEN", "WHO", "WHAT"], rows.collect())
}
