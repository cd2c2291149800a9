//! `bd comment`, `comments` and `label`.

use clap::Args;
use clap::Subcommand;
use serde_json::json;

use crate::cli::bd::Run;
use crate::cli::bd::issues;
use crate::cli::bd::words;
use crate::cli::call;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::model::ids::BeadId;
use crate::model::ops::Edit;
use crate::model::ops::Op;
use crate::model::value::Name;

/// Remark on a bead.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bd comment gt-a1b 'needs the new parser'\n  \
    make test 2>&1 | tail | bd comment gt-a1b -")]
pub(super) struct Comment {
    /// The bead.
    id: String,
    /// Words; '-' reads standard input.
    #[arg(required = true)]
    text: Vec<String>,
}

impl Comment {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let text = words::text(Some(self.text.join(" ")), None)?.unwrap_or_default();
        let (id, _) = issues::write(run, &self.id, |id| {
            vec![Op::Comment { id: id.clone(), text: text.clone() }]
        })?;
        if !run.json {
            return run.say(&format!("Commented on {id}"));
        }
        let view = issues::find_one(run, id.as_str())?;
        match view.comments.last() {
            Some(comment) => render::json(comment),
            None => Err(DoorError::new("not_found", "the remark is gone again")),
        }
    }
}

/// Show the remarks on a bead, or add one.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Comments {
    /// The bead.
    id: Option<String>,
    #[command(subcommand)]
    command: Option<CommentsCommand>,
}

#[derive(Debug, Subcommand)]
enum CommentsCommand {
    /// Remark on a bead.
    Add(Comment),
}

impl Comments {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let id = match (self.command, self.id) {
            (Some(CommentsCommand::Add(comment)), _) => return comment.run(run),
            (None, Some(id)) => id,
            (None, None) => return Err(DoorError::new("usage", "which bead? bd comments ID")),
        };
        let view = issues::find_one(run, &id)?;
        if run.json {
            return render::json(&view.comments);
        }
        if view.comments.is_empty() {
            return render::line("no comments");
        }
        let lines = view.comments.iter().map(|comment| {
            format!("{} {}\n  {}", comment.created_at, comment.author, comment.text)
        });
        render::lines(&lines.collect::<Vec<_>>())
    }
}

/// Labels of beads.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  bd label add gt-a1b gt-c2d ui\n  bd label list gt-a1b")]
pub(super) enum Label {
    /// Add a label to beads.
    Add(Change),
    /// Remove a label from beads.
    #[command(visible_alias = "rm")]
    Remove(Change),
    /// The labels of a bead.
    List {
        /// The bead.
        id: String,
    },
    /// The labels in use.
    ListAll,
}

#[derive(Debug, Args)]
pub(super) struct Change {
    /// Beads, and the label last.
    #[arg(required = true, num_args = 2.., value_names = ["ID", "LABEL"])]
    words: Vec<String>,
}

impl Label {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        match self {
            Self::Add(change) => change.run(run, true),
            Self::Remove(change) => change.run(run, false),
            Self::List { id } => {
                let id = issues::find_one(run, &id)?.id;
                let db = run.context.db_of(&id)?;
                labels(run, Query::Labels { db, id: Some(id) })
            }
            Self::ListAll => {
                let db = run.context.default_db()?;
                labels(run, Query::Labels { db, id: None })
            }
        }
    }
}

fn labels(run: &Run, query: Query) -> Result<u8, DoorError> {
    let labels: Vec<String> = call::ask(&run.context, query)?;
    match run.json {
        true => render::json(&labels),
        false if labels.is_empty() => render::line("no labels"),
        false => render::lines(&labels),
    }
}

impl Change {
    fn run(self, run: &Run, add: bool) -> Result<u8, DoorError> {
        let Some((label, ids)) = self.words.split_last() else {
            return Err(DoorError::new("usage", "which beads, and which label?"));
        };
        let label: Name = words::label(label).map_err(|text| DoorError::new("usage", text))?;
        let (done, code) = issues::each(run, ids, |name| {
            let mut edit = Edit::default();
            let labels = if add { &mut edit.add_labels } else { &mut edit.remove_labels };
            labels.push(label.clone());
            let (id, _) = issues::write(run, name, |id| {
                vec![Op::Edit { id: id.clone(), edit: edit.clone() }]
            })?;
            Ok(id)
        });
        let status = if add { "added" } else { "removed" };
        if run.json {
            let row = |id: &BeadId| json!({"status": status, "issue_id": id, "label": label});
            render::json(&done.iter().map(row).collect::<Vec<_>>())?;
        } else {
            for id in done {
                run.say(&format!("{label} {status}: {id}"))?;
            }
        }
        Ok(code)
    }
}
