//! `bd create` and `bd q`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::bd::Run;
use crate::cli::bd::issues;
use crate::cli::bd::words;
use crate::cli::call;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::model::bead::BeadType;
use crate::model::bead::DepType;
use crate::model::ids::BeadId;
use crate::model::ops::Fact;
use crate::model::ops::NewBead;
use crate::model::ops::Op;
use crate::model::value::Name;

/// Make a bead.
///
/// It lands in the beads of this directory, or of --rig. With --parent it becomes a child with an
/// id like gt-a1b.1. Dependencies may live in other rigs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bd create 'Mend the parser' -t bug -p 1\n  \
    bd create 'Test the parser' --deps blocks:gt-a1b,related:gt-9zz\n  \
    bd create 'Write the chapter' --parent gt-a1b --silent")]
pub(super) struct Create {
    /// What is to be done, in one line.
    #[arg(required_unless_present = "title_flag")]
    title: Option<String>,
    /// The same as a flag.
    #[arg(long = "title", value_name = "TITLE", conflicts_with = "title")]
    title_flag: Option<String>,
    /// Type: task, bug, feature, epic, chore, decision, spike, story, milestone ...
    #[arg(short = 't', long = "type", value_parser = words::bead_type, default_value = "task")]
    issue_type: BeadType,
    /// 0 (highest) to 4, or P0 to P4.
    #[arg(short, long, value_parser = words::priority, default_value = "2")]
    priority: i64,
    /// What is wanted; '-' reads standard input.
    #[arg(short, long)]
    description: Option<String>,
    /// A file with the description; '-' reads standard input.
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// Read the description from standard input.
    #[arg(long, conflicts_with_all = ["description", "body_file"])]
    stdin: bool,
    /// How it is to be done.
    #[arg(long)]
    design: Option<String>,
    /// When it is done.
    #[arg(long)]
    acceptance: Option<String>,
    /// Remarks.
    #[arg(long)]
    notes: Option<String>,
    /// Who has it.
    #[arg(short, long)]
    assignee: Option<String>,
    /// Labels, separated by commas.
    #[arg(short, long, visible_alias = "label", value_delimiter = ',', value_parser = words::label)]
    labels: Vec<Name>,
    /// What it depends on: TYPE:ID or ID, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = words::dep)]
    deps: Vec<(DepType, BeadId)>,
    /// The parent: makes a child of it.
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// A chosen id.
    #[arg(long)]
    id: Option<String>,
    /// Wanted by: +1d, 2026-01-31, RFC 3339.
    #[arg(long, value_parser = words::time)]
    due: Option<i64>,
    /// Not ready before.
    #[arg(long, value_parser = words::time)]
    defer: Option<i64>,
    /// Minutes it may take.
    #[arg(short, long, value_name = "MINUTES")]
    estimate: Option<i64>,
    /// Its id in another system.
    #[arg(long, value_name = "REF")]
    external_ref: Option<String>,
    /// A JSON object, or @FILE.
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Print only the id.
    #[arg(long)]
    silent: bool,
    /// Print what would be made, and make nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Create {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let (silent, dry_run) = (self.silent, self.dry_run);
        let new = self.bead(run)?;
        if dry_run {
            return match run.json {
                true => render::json(&json!({"dry_run": true, "issue": new})),
                false => render::line(&format!("would make: {}", new.title)),
            };
        }
        let title = new.title.clone();
        let id = make(run, new)?;
        if silent {
            return render::line(id.as_str());
        }
        if run.json {
            let view = issues::find_one(run, id.as_str())?;
            return render::json(&issues::plain(&view));
        }
        if run.quiet {
            return render::line(id.as_str());
        }
        render::line(&format!("Created {id}: {title}"))
    }

    fn bead(self, run: &Run) -> Result<NewBead, DoorError> {
        let file = if self.stdin { Some(PathBuf::from("-")) } else { self.body_file };
        let description = words::text(self.description, file.as_deref())?;
        let metadata = match self.metadata.as_deref().and_then(|text| text.strip_prefix('@')) {
            Some(path) => words::text(None, Some(path.as_ref()))?,
            None => self.metadata,
        };
        let context = &run.context;
        let id = |text: Option<String>| text.map(|text| context.id(&text)).transpose();
        let deps = self
            .deps
            .into_iter()
            .map(|(dep_type, target)| Ok((dep_type, context.id(target.as_str())?)));
        Ok(NewBead {
            foreign_deps: Vec::new(),
            title: self.title.or(self.title_flag).unwrap_or_default(),
            description: description.unwrap_or_default(),
            design: self.design.unwrap_or_default(),
            acceptance_criteria: self.acceptance.unwrap_or_default(),
            notes: self.notes.unwrap_or_default(),
            issue_type: Some(self.issue_type),
            priority: Some(self.priority),
            assignee: self.assignee.map(Name),
            labels: self.labels,
            deps: deps.collect::<Result<_, DoorError>>()?,
            parent: id(self.parent)?,
            id: id(self.id)?,
            defer_until: self.defer,
            due_at: self.due,
            estimated_minutes: self.estimate,
            external_ref: self.external_ref,
            metadata,
        })
    }
}

/// Makes the bead where its id or parent belongs, else in the default database.
fn make(run: &Run, new: NewBead) -> Result<BeadId, DoorError> {
    let db = match new.id.as_ref().or(new.parent.as_ref()) {
        Some(id) => run.context.db_of(id)?,
        None => run.context.default_db()?,
    };
    let facts = call::write(&run.context, &db, vec![Op::Create(new)])?;
    let made = facts.into_iter().find_map(|fact| match fact {
        Fact::Created { id } => Some(id),
        _ => None,
    });
    made.ok_or_else(|| DoorError::new("internal", "a bead was made, but its id was not told"))
}

/// Make a bead and print only its id.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ID=$(bd q 'Mend the parser') && bd show $ID")]
pub(super) struct Quick {
    /// What is to be done, in one line; several words are one title.
    #[arg(required = true)]
    title: Vec<String>,
    /// Type.
    #[arg(short = 't', long = "type", value_parser = words::bead_type, default_value = "task")]
    issue_type: BeadType,
    /// 0 (highest) to 4, or P0 to P4.
    #[arg(short, long, value_parser = words::priority, default_value = "2")]
    priority: i64,
    /// Labels, separated by commas.
    #[arg(short, long, value_delimiter = ',', value_parser = words::label)]
    labels: Vec<Name>,
}

impl Quick {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let new = NewBead {
            title: self.title.join(" "),
            issue_type: Some(self.issue_type),
            priority: Some(self.priority),
            labels: self.labels,
            ..NewBead::default()
        };
        let id = make(run, new)?;
        if run.json { render::json(&json!({"id": id})) } else { render::line(id.as_str()) }
    }
}
