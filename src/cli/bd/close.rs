//! `bd close`, `reopen` and `delete`.

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::cli::bd::Run;
use crate::cli::bd::issues;
use crate::cli::error;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::messages::views::IssueView;
use crate::model::bead::BeadType;
use crate::model::bead::DepType;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ops::Fact;
use crate::model::ops::Op;

/// Close beads.
///
/// What a worker has is finished with 'gt done', not closed. A bead with open blockers, an epic
/// with open children and a pinned bead want --force.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bd close gt-a1b -r 'parser mended'\n  \
    bd close gt-a1b --suggest-next --json")]
pub(super) struct Close {
    /// Ids; the beginning of one is enough.
    #[arg(required = true)]
    ids: Vec<String>,
    /// Why; once for all, or once for each.
    #[arg(short, long)]
    reason: Vec<String>,
    /// Even if something is open that it waits for.
    #[arg(short, long)]
    force: bool,
    /// Tell what could start now.
    #[arg(long)]
    suggest_next: bool,
}

impl Close {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        if self.reason.len() > 1 && self.reason.len() != self.ids.len() {
            let text = format!("{} ids and {} reasons", self.ids.len(), self.reason.len());
            return Err(DoorError::new("usage", text).hint("give one reason, or one for each id"));
        }
        let mut code = error::OK;
        let mut closed: Vec<BeadId> = Vec::new();
        let mut unblocked: Vec<BeadId> = Vec::new();
        for (at, found) in issues::find(run, &self.ids)?.into_iter().enumerate() {
            let reason = self.reason.get(at).or(self.reason.first());
            let reason = reason.map_or("Closed", String::as_str);
            match found.and_then(|view| self.one(run, &view, reason)) {
                Ok((id, freed)) => {
                    closed.push(id);
                    unblocked.extend(freed);
                }
                Err(failure) => code = issues::tell(run, &failure, code),
            }
        }
        unblocked.retain(|id| !closed.contains(id));
        self.print(run, &closed, &unblocked)?;
        Ok(code)
    }

    fn one(
        &self,
        run: &Run,
        view: &IssueView,
        reason: &str,
    ) -> Result<(BeadId, Vec<BeadId>), DoorError> {
        if !self.force {
            guard(view)?;
        }
        let (id, facts) = issues::write(run, view.id.as_str(), |id| {
            vec![Op::Close { id: id.clone(), reason: reason.to_owned() }]
        })?;
        let freed = facts.into_iter().filter_map(|fact| match fact {
            Fact::Unblocked { id } => Some(id),
            _ => None,
        });
        Ok((id, freed.collect()))
    }

    fn print(&self, run: &Run, closed: &[BeadId], unblocked: &[BeadId]) -> Result<u8, DoorError> {
        if run.json {
            if closed.is_empty() {
                return Ok(error::OK);
            }
            let closed = issues::after(run, closed)?;
            return match self.suggest_next {
                false => render::json(&closed),
                true => {
                    let unblocked = issues::after(run, unblocked)?;
                    render::json(&Suggested { closed, unblocked })
                }
            };
        }
        for id in closed {
            run.say(&format!("Closed {id}"))?;
        }
        if self.suggest_next {
            for id in unblocked {
                render::line(&format!("Now ready: {id}"))?;
            }
        }
        Ok(error::OK)
    }
}

/// What was closed, and what could start now.
#[derive(Serialize)]
struct Suggested {
    closed: Vec<IssueView>,
    unblocked: Vec<IssueView>,
}

/// Refuses what is probably a mistake.
fn guard(view: &IssueView) -> Result<(), DoorError> {
    let id = &view.id;
    let refused = |why: String| {
        Err(DoorError::new("not_now", format!("{id}: {why}"))
            .hint("close that first, or use --force if it does not matter"))
    };
    if view.status == Status::Closed {
        return Ok(());
    }
    if view.status == Status::Pinned {
        return refused("it is pinned".to_owned());
    }
    if !view.blocked_by.is_empty() {
        let by: Vec<&str> = view.blocked_by.iter().map(BeadId::as_str).collect();
        return refused(format!("it waits for {}", by.join(", ")));
    }
    let open = view.dependents.iter().filter(|edge| {
        edge.dependency_type == DepType::ParentChild && edge.status != Some(Status::Closed)
    });
    match (view.issue_type, open.count()) {
        (BeadType::Epic, children @ 1..) => refused(format!("{children} of its children are open")),
        _ => Ok(()),
    }
}

/// Open closed beads again.
#[derive(Debug, Args)]
pub(super) struct Reopen {
    /// Ids; the beginning of one is enough.
    #[arg(required = true)]
    ids: Vec<String>,
    /// Why: becomes a remark.
    #[arg(short, long)]
    reason: Option<String>,
}

impl Reopen {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let (done, code) = issues::each(run, &self.ids, |name| {
            let (id, _) = issues::write(run, name, |id| {
                let text = self.reason.clone();
                let remark = text.map(|text| Op::Comment { id: id.clone(), text });
                std::iter::once(Op::Reopen { id: id.clone() }).chain(remark).collect()
            })?;
            Ok(id)
        });
        if run.json && !done.is_empty() {
            render::json(&issues::after(run, &done)?)?;
        } else if !done.is_empty() {
            for id in done {
                run.say(&format!("Reopened {id}"))?;
            }
        }
        Ok(code)
    }
}

/// Remove beads and their edges.
///
/// Closing is almost always better: a removed bead is only in the history.
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Ids; the beginning of one is enough.
    #[arg(required = true)]
    ids: Vec<String>,
    /// Really.
    #[arg(short, long)]
    force: bool,
    /// Print what would go, and remove nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Delete {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        if self.dry_run || !self.force {
            let mut code = error::OK;
            let mut views = Vec::new();
            for found in issues::find(run, &self.ids)? {
                match found {
                    Ok(view) => views.push(view),
                    Err(failure) => code = issues::tell(run, &failure, code),
                }
            }
            if !self.dry_run && code == error::OK {
                let ids: Vec<&str> = views.iter().map(|view| view.id.as_str()).collect();
                let text = format!("this would remove {}", ids.join(", "));
                return Err(DoorError::new("usage", text).hint("say --force if you mean it"));
            }
            match run.json {
                true => render::json(&views.iter().map(issues::plain).collect::<Vec<_>>())?,
                false => issues::print(&views, "nothing would be removed")?,
            };
            return Ok(code);
        }
        let (done, code) = issues::each(run, &self.ids, |name| {
            let (id, _) = issues::write(run, name, |id| vec![Op::Delete { id: id.clone() }])?;
            Ok(id)
        });
        if run.json && !done.is_empty() {
            render::json(&json!({"deleted": done, "deleted_count": done.len()}))?;
        } else if !done.is_empty() {
            for id in done {
                run.say(&format!("Deleted {id}"))?;
            }
        }
        Ok(code)
    }
}
