//! `bd update`: fields, labels, a claim, and handing in the work on the hook.

use std::path::PathBuf;

use clap::Args;

use crate::cli::bd::Run;
use crate::cli::bd::issues;
use crate::cli::bd::words;
use crate::cli::call;
use crate::cli::error;
use crate::cli::finish;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::HookView;
use crate::model::bead::BeadType;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ops::Edit;
use crate::model::ops::Op;
use crate::model::value::Name;

/// Change beads, claim one, or hand in the work on your hook.
///
/// --claim takes an open bead that nobody has; of two who try at once one gets it. --mr-ready is
/// what 'gt done' is: the tip of the worktree you are in goes to the merge queue.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bd update gt-a1b --claim\n  \
    bd update gt-a1b gt-c2d -p 1 --add-label urgent\n  bd update gt-a1b --mr-ready")]
pub(super) struct Update {
    /// Ids; the beginning of one is enough.
    #[arg(required = true)]
    ids: Vec<String>,
    /// Take it, if it is open and nobody has it.
    #[arg(long)]
    claim: bool,
    /// Hand in the work on your hook.
    #[arg(long)]
    mr_ready: bool,
    /// With --mr-ready: there is nothing to merge, and why.
    #[arg(long, value_name = "REASON", requires = "mr_ready")]
    no_change: Option<String>,
    /// New status.
    #[arg(short, long, value_parser = words::status)]
    status: Option<Status>,
    /// New title.
    #[arg(long)]
    title: Option<String>,
    /// New description; '-' reads standard input.
    #[arg(short, long)]
    description: Option<String>,
    /// A file with the new description; '-' reads standard input.
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// New design.
    #[arg(long)]
    design: Option<String>,
    /// New acceptance criteria.
    #[arg(long, visible_alias = "acceptance-criteria")]
    acceptance: Option<String>,
    /// New notes.
    #[arg(long)]
    notes: Option<String>,
    /// A line more in the notes.
    #[arg(long)]
    append_notes: Option<String>,
    /// New priority.
    #[arg(short, long, value_parser = words::priority)]
    priority: Option<i64>,
    /// New type.
    #[arg(short = 't', long = "type", value_parser = words::bead_type)]
    issue_type: Option<BeadType>,
    /// New assignee; '' is nobody.
    #[arg(short, long)]
    assignee: Option<String>,
    /// Labels to add, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = words::label)]
    add_label: Vec<Name>,
    /// Labels to remove, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = words::label)]
    remove_label: Vec<Name>,
    /// Exactly these labels, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = words::label,
        conflicts_with_all = ["add_label", "remove_label"])]
    set_labels: Option<Vec<Name>>,
    /// Not ready before; '' removes it.
    #[arg(long, value_parser = words::time_or_none)]
    defer: Option<i64>,
    /// Wanted by; '' removes it.
    #[arg(long, value_parser = words::time_or_none)]
    due: Option<i64>,
    /// Minutes it may take; 0 removes it.
    #[arg(short, long, value_name = "MINUTES")]
    estimate: Option<i64>,
    /// Its id in another system.
    #[arg(long, value_name = "REF")]
    external_ref: Option<String>,
    /// A JSON object, or @FILE.
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
}

impl Update {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let edit = self.edit()?;
        let changes = edit != Edit::default() || self.set_labels.is_some();
        if self.mr_ready {
            return self.hand_in(run, changes);
        }
        if !changes && !self.claim {
            return Err(DoorError::new("usage", "nothing to change was given")
                .hint("'bd update --help' lists what can be changed"));
        }
        let (done, code) = issues::each(run, &self.ids, |name| self.one(run, name, &edit));
        if run.json && !done.is_empty() {
            render::json(&issues::after(run, &done)?)?;
        } else if !done.is_empty() {
            for id in done {
                run.say(&format!("Updated {id}"))?;
            }
        }
        Ok(code)
    }

    fn one(&self, run: &Run, name: &str, edit: &Edit) -> Result<BeadId, DoorError> {
        let mut edit = edit.clone();
        if let Some(wanted) = &self.set_labels {
            let view = issues::find_one(run, name)?;
            let has = view.labels.into_iter().map(Name);
            edit.remove_labels = has.filter(|label| !wanted.contains(label)).collect();
            edit.add_labels = wanted.clone();
        }
        let changes = edit != Edit::default();
        let (id, _) = issues::write(run, name, |id| {
            let claim = self.claim.then(|| Op::Claim { id: id.clone() });
            let edit = changes.then(|| Op::Edit { id: id.clone(), edit: edit.clone() });
            claim.into_iter().chain(edit).collect()
        })?;
        Ok(id)
    }

    fn edit(&self) -> Result<Edit, DoorError> {
        let description = words::text(self.description.clone(), self.body_file.as_deref())?;
        let metadata = match self.metadata.as_deref().and_then(|text| text.strip_prefix('@')) {
            Some(path) => words::text(None, Some(path.as_ref()))?,
            None => self.metadata.clone(),
        };
        Ok(Edit {
            title: self.title.clone(),
            description,
            design: self.design.clone(),
            acceptance_criteria: self.acceptance.clone(),
            notes: self.notes.clone(),
            append_notes: self.append_notes.clone(),
            status: self.status,
            priority: self.priority,
            issue_type: self.issue_type,
            assignee: self.assignee.clone().map(Name),
            add_labels: self.add_label.clone(),
            remove_labels: self.remove_label.clone(),
            defer_until: self.defer,
            due_at: self.due,
            estimated_minutes: self.estimate,
            external_ref: self.external_ref.clone(),
            metadata,
        })
    }

    /// `--mr-ready`: the bead must be the one on the hook, so that nobody hands in another's.
    fn hand_in(self, run: &Run, changes: bool) -> Result<u8, DoorError> {
        if changes || self.claim || self.ids.len() != 1 {
            let text = "--mr-ready takes one bead, and nothing else but --no-change";
            return Err(DoorError::new("usage", text));
        }
        let hook: HookView = call::ask(&run.context, Query::Hook { actor: None })?;
        let wanted = run.context.id(&self.ids[0])?;
        match &hook.bead {
            Some(bead) if bead.id == wanted => {}
            Some(bead) => {
                let text = format!("{wanted} is not on your hook, {} is", bead.id);
                return Err(DoorError::new("not_now", text).hint("'gt hook' shows it"));
            }
            None => {
                let text = format!("{wanted} is not on your hook: {} has none", hook.actor);
                return Err(DoorError::new("not_now", text)
                    .hint("a person queues a pushed branch with 'gt mq submit'"));
            }
        }
        let head = finish::done(&run.context, &hook, self.no_change.as_deref())?;
        if run.json {
            return render::json(&issues::after(run, &[wanted])?);
        }
        run.say(&format!("{wanted} is handed in at {head}: this session is over"))?;
        Ok(error::OK)
    }
}
