//! `bd dep`: edges between beads.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;

use crate::cli::bd::Run;
use crate::cli::bd::issues;
use crate::cli::bd::words;
use crate::cli::call;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::IssueView;
use crate::messages::views::LinkedIssue;
use crate::model::bead::DepType;
use crate::model::ids::BeadId;
use crate::model::ops::Op;

/// Edges between beads: 'A depends on B' means that B must close first.
///
/// The two may live in different rigs.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  bd dep add gt-a1b gt-c2d\n  bd dep add gt-a1b be-9zz -t related\n  \
    bd dep tree gt-a1b"
)]
pub(super) enum Dep {
    /// Make one bead depend on another.
    Add(Add),
    /// Take an edge away.
    #[command(visible_alias = "rm")]
    Remove(Remove),
    /// List what a bead depends on.
    List(List),
    /// Show everything that a bead waits for.
    Tree(Tree),
}

impl Dep {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        match self {
            Self::Add(args) => args.run(run),
            Self::Remove(args) => args.run(run),
            Self::List(args) => args.run(run),
            Self::Tree(args) => args.run(run),
        }
    }
}

/// Which way edges are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Direction {
    /// What it depends on.
    Down,
    /// What depends on it.
    Up,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The bead that waits.
    bead: String,
    /// What it waits for.
    target: String,
    /// Type: blocks, parent-child, related, discovered-from, tracks ...
    #[arg(short = 't', long = "type", value_parser = words::dep_type, default_value = "blocks")]
    dep_type: DepType,
}

impl Add {
    fn run(self, run: &Run) -> Result<u8, DoorError> {
        let target = run.context.id(&self.target)?;
        let op = |bead: &BeadId, target: &BeadId| Op::AddDep {
            bead: bead.clone(),
            target: target.clone(),
            dep_type: self.dep_type,
        };
        let bead = run.context.id(&self.bead)?;
        let db = run.context.db_of(&bead)?;
        let (bead, target) = match call::write(&run.context, &db, vec![op(&bead, &target)]) {
            Ok(_) => (bead, target),
            Err(missing) if missing.code == "not_found" => {
                let whole = (
                    issues::find_one(run, bead.as_str())?.id,
                    issues::find_one(run, target.as_str())?.id,
                );
                if whole == (bead, target) {
                    return Err(missing);
                }
                call::write(&run.context, &db, vec![op(&whole.0, &whole.1)])?;
                whole
            }
            Err(error) => return Err(error),
        };
        if run.json {
            return render::json(&json!({"status": "added", "issue_id": bead,
                "depends_on_id": target, "type": self.dep_type}));
        }
        run.say(&format!("{bead} depends on {target} ({})", self.dep_type))
    }
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// The bead that waits.
    bead: String,
    /// What it waits for.
    target: String,
}

impl Remove {
    fn run(self, run: &Run) -> Result<u8, DoorError> {
        let (bead, target) = (run.context.id(&self.bead)?, run.context.id(&self.target)?);
        let db = run.context.db_of(&bead)?;
        let op = Op::RemoveDep { bead: bead.clone(), target: target.clone() };
        call::write(&run.context, &db, vec![op])?;
        if run.json {
            return render::json(
                &json!({"status": "removed", "issue_id": bead, "depends_on_id": target}),
            );
        }
        run.say(&format!("{bead} no longer depends on {target}"))
    }
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The bead.
    id: String,
    /// What it depends on, or what depends on it.
    #[arg(long, value_enum, default_value_t = Direction::Down)]
    direction: Direction,
    /// Only edges of this type.
    #[arg(short = 't', long = "type", value_parser = words::dep_type)]
    dep_type: Option<DepType>,
}

impl List {
    fn run(self, run: &Run) -> Result<u8, DoorError> {
        let view = issues::find_one(run, &self.id)?;
        let mut edges = ends(run, std::slice::from_ref(&view), self.direction)?;
        edges.retain(|edge| self.dep_type.is_none_or(|wanted| edge.dep_type == wanted));
        if run.json {
            let rows = edges.iter().map(|edge| LinkedIssue {
                issue: Box::new(issues::plain(&edge.view)),
                dependency_type: edge.dep_type,
            });
            return render::json(&rows.collect::<Vec<_>>());
        }
        if edges.is_empty() {
            return render::line(match self.direction {
                Direction::Down => "it depends on nothing",
                Direction::Up => "nothing depends on it",
            });
        }
        let lines =
            edges.iter().map(|edge| format!("{}: {}", edge.dep_type, issues::line(&edge.view)));
        render::lines(&lines.collect::<Vec<_>>())
    }
}

/// The far end of an edge.
struct End {
    of: BeadId,
    dep_type: DepType,
    view: IssueView,
}

/// The far ends of the edges of these beads. Upwards they are looked up, all at once.
fn ends(run: &Run, views: &[IssueView], way: Direction) -> Result<Vec<End>, DoorError> {
    if way == Direction::Down {
        let all = views.iter().flat_map(|view| {
            view.dependencies.iter().map(|edge| End {
                of: view.id.clone(),
                dep_type: edge.dependency_type,
                view: (*edge.issue).clone(),
            })
        });
        return Ok(all.collect());
    }
    let ids: BTreeSet<BeadId> = views
        .iter()
        .flat_map(|view| view.dependents.iter().filter(|edge| edge.status.is_some()))
        .map(|edge| edge.id.clone())
        .collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids = ids.into_iter().collect();
    let whole: Vec<IssueView> = call::ask(&run.context, Query::Show { ids })?;
    let whole: BTreeMap<BeadId, IssueView> =
        whole.into_iter().map(|view| (view.id.clone(), view)).collect();
    let all = views.iter().flat_map(|view| view.dependents.iter().map(move |edge| (view, edge)));
    Ok(all
        .filter_map(|(view, edge)| {
            let (of, dep_type) = (view.id.clone(), edge.dependency_type);
            Some(End { of, dep_type, view: whole.get(&edge.id)?.clone() })
        })
        .collect())
}

#[derive(Debug, Args)]
pub(super) struct Tree {
    /// The bead.
    id: String,
    /// What it depends on, or what depends on it.
    #[arg(long, value_enum, default_value_t = Direction::Down)]
    direction: Direction,
    /// Levels below the bead.
    #[arg(long, default_value_t = 50)]
    max_depth: usize,
}

/// A bead of a tree. A bead that was shown before is not shown with its own edges again.
struct Node {
    view: IssueView,
    depth: usize,
    parent: Option<(BeadId, DepType)>,
    truncated: bool,
}

/// A node as upstream prints it.
#[derive(Serialize)]
struct TreeRow<'a> {
    #[serde(flatten)]
    issue: IssueView,
    depth: usize,
    parent_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    edge_from_parent: Option<DepType>,
    truncated: bool,
}

impl Tree {
    fn run(self, run: &Run) -> Result<u8, DoorError> {
        let root = issues::find_one(run, &self.id)?;
        let nodes = self.walk(run, root)?;
        if run.json {
            let rows = nodes.iter().map(|node| TreeRow {
                issue: issues::plain(&node.view),
                depth: node.depth,
                parent_id: node.parent.as_ref().map_or("", |(id, _)| id.as_str()),
                edge_from_parent: node.parent.as_ref().map(|(_, edge)| *edge),
                truncated: node.truncated,
            });
            return render::json(&rows.collect::<Vec<_>>());
        }
        let lines = nodes.iter().map(|node| {
            let edge = node.parent.as_ref().map(|(_, edge)| format!("{edge}: "));
            let more = if node.truncated { "  ..." } else { "" };
            let indent = "  ".repeat(node.depth);
            format!("{indent}{}{}{more}", edge.unwrap_or_default(), issues::line(&node.view))
        });
        render::lines(&lines.collect::<Vec<_>>())
    }

    /// Level by level, each level asked at once; then put in the order of a tree.
    fn walk(&self, run: &Run, root: IssueView) -> Result<Vec<Node>, DoorError> {
        let mut edges: BTreeMap<BeadId, Vec<End>> = BTreeMap::new();
        let mut seen = BTreeSet::from([root.id.clone()]);
        let mut level = vec![root.clone()];
        for _ in 0..self.max_depth {
            let found = ends(run, &level, self.direction)?;
            let fresh: BTreeSet<BeadId> = found.iter().map(|end| end.view.id.clone()).collect();
            let fresh: Vec<BeadId> =
                fresh.into_iter().filter(|id| seen.insert(id.clone())).collect();
            for end in found {
                edges.entry(end.of.clone()).or_default().push(end);
            }
            if fresh.is_empty() {
                break;
            }
            level = call::ask(&run.context, Query::Show { ids: fresh })?;
        }
        let mut nodes = Vec::new();
        let mut todo = vec![(root, 0, None)];
        let mut shown = BTreeSet::new();
        while let Some((view, depth, parent)) = todo.pop() {
            let first = shown.insert(view.id.clone());
            let below = edges.get(&view.id).map(Vec::as_slice).unwrap_or_default();
            let beyond = depth >= self.max_depth && view.dependency_count.is_some_and(|n| n > 0);
            let truncated = (!first && !below.is_empty()) || beyond;
            if first {
                for end in below.iter().rev() {
                    let parent = Some((view.id.clone(), end.dep_type));
                    todo.push((end.view.clone(), depth + 1, parent));
                }
            }
            nodes.push(Node { view, depth, parent, truncated });
        }
        Ok(nodes)
    }
}
