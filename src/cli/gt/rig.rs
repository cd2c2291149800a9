//! `gt rig add|list|remove`.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde::Serialize;

use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::cli::town::lock::TownLock;
use crate::cli::town::rig;
use crate::cli::town::rig::AddedRig;
use crate::cli::town::rig::NewRig;
use crate::cli::town::rig::RemovedRig;
use crate::cli::town::wiring;
use crate::config::Gates;
use crate::config::Settings;
use crate::config::edit;
use crate::messages::door::Control;
use crate::messages::door::DoorError;
use crate::model::ids::RigName;

/// Projects of the town.
#[derive(Debug, Subcommand)]
pub enum Rig {
    /// Clone a repository and make it a rig.
    ///
    /// Work lands on the repository's branch by push. Where that branch is checked out in the
    /// repository, as in a clone you work in, it lands on the town's own clone instead, and the
    /// command says how to pull it. A try that failed leaves nothing on the list: repeat it.
    #[command(after_help = "Examples:\n  gt rig add web https://example.org/web.git\n  \
        gt rig add web ~/src/web --prefix we\n\nThen say how its work is tested:\n  \
        gt config set rigs.web.gates.test.cmd 'make test'")]
    Add {
        /// Its name; also the name of its directory and database.
        name: String,
        /// The repository: a URL or a path.
        repository: String,
        /// Prefix of its beads' ids, without dash; else made from the name.
        #[arg(long, short)]
        prefix: Option<String>,
        /// The branch that work lands on; else the repository's default.
        #[arg(long, short)]
        branch: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the rigs.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a rig off the list.
    ///
    /// Refused while work is held, queued or slung, or people have clones. Files with work that is
    /// nowhere else are moved aside; the database stays.
    Remove {
        /// Which.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct RigLine {
    name: RigName,
    prefix: String,
    git_url: String,
    target: String,
    landing: String,
    gates: Vec<String>,
    gates_none: bool,
    crew: Vec<String>,
    added_at: String,
}

impl Rig {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        match self {
            Self::Add { name, repository, prefix, branch, json } => {
                let name = RigName(name);
                let url = std::fs::canonicalize(&repository)
                    .map_or(repository, |path| path.display().to_string());
                let new = NewRig { name, url, prefix, target: None };
                let added = with_branch(&here, &new.name, branch, || add(&here, &new))?;
                if json { render::json(&added) } else { say_added(&added) }
            }
            Self::List { json } => list(&here, json),
            Self::Remove { name, json } => {
                let removed = remove(&here, &RigName(name))?;
                if json { render::json(&removed) } else { say_removed(&removed) }
            }
        }
    }
}

/// The branch is a setting; it goes again when the rig could not be added.
fn with_branch<T>(
    here: &Here,
    rig: &RigName,
    branch: Option<String>,
    add: impl FnOnce() -> Result<T, DoorError>,
) -> Result<T, DoorError> {
    let Some(branch) = branch else { return add() };
    let key = format!("rigs.{rig}.target");
    edit::set(&here.town, &here.vars, &key, &branch)?;
    add().inspect_err(|_| {
        if let Err(error) = edit::unset(&here.town, &here.vars, &key) {
            tracing::warn!(%error, key, "the setting stays");
        }
    })
}

pub(super) fn add(here: &Here, new: &NewRig) -> Result<AddedRig, DoorError> {
    if here.is_up() {
        let control = Control::AddRig {
            name: new.name.clone(),
            url: new.url.clone(),
            prefix: new.prefix.clone(),
        };
        return here.control(control);
    }
    let ledger = here.ledger()?;
    let lock = TownLock::take(&here.town, "gt rig add")?;
    let added = rig::add(&here.town, &ledger, new)?;
    drop(lock);
    Ok(added)
}

fn remove(here: &Here, name: &RigName) -> Result<RemovedRig, DoorError> {
    if here.is_up() {
        return here.control(Control::RemoveRig { name: name.clone() });
    }
    let ledger = here.ledger()?;
    let lock = TownLock::take(&here.town, "gt rig remove")?;
    let removed = rig::remove(&here.town, &ledger, name)?;
    drop(lock);
    Ok(removed)
}

pub(super) fn say_added(added: &AddedRig) -> Result<u8, DoorError> {
    let AddedRig { name, prefix, target, git_url, .. } = added;
    let verb = if added.existed { "is there already" } else { "is added" };
    render::line(&format!("rig {name} {verb}: {git_url}, branch {target}, beads {prefix}-..."))?;
    if added.landing == "remote" {
        render::line(&format!("green work is pushed to '{target}' of {git_url}"))?;
    }
    for notice in &added.notices {
        render::line(&format!("note: {notice}"))?;
    }
    if !added.has_gates {
        render::line(&format!(
            "nothing lands until its gates are known: gt config set rigs.{name}.gates.test.cmd \
             'COMMAND', or gt config set rigs.{name}.gates none"
        ))?;
    }
    Ok(0)
}

fn say_removed(removed: &RemovedRig) -> Result<u8, DoorError> {
    render::line(&format!("rig {} is off the list", removed.name))?;
    match &removed.files {
        None => render::line("its files are gone: all of their work is on the remote")?,
        Some(to) => render::line(&format!(
            "its files have work that is nowhere else: they are at {}",
            to.display()
        ))?,
    };
    render::line(&format!("its database stays at {}", removed.database.display()))?;
    Ok(0)
}

fn gates(settings: &Settings, rig: &RigName) -> (Vec<String>, bool) {
    match settings.rigs.get(rig.as_str()).map(|own| &own.gates) {
        None => (Vec::new(), false),
        Some(Gates::None) => (Vec::new(), true),
        Some(Gates::Named(gates)) => (gates.keys().cloned().collect(), false),
    }
}

fn list(here: &Here, json: bool) -> Result<u8, DoorError> {
    let lines: BTreeMap<RigName, RigLine> = here
        .registry
        .rigs
        .iter()
        .map(|(name, entry)| {
            let (gates, gates_none) = gates(&here.settings, name);
            let line = RigLine {
                name: name.clone(),
                prefix: entry.beads.prefix.clone(),
                git_url: entry.git_url.clone(),
                target: wiring::target(&here.settings, name, entry),
                landing: entry.landing.clone(),
                gates,
                gates_none,
                crew: entry.crew.clone(),
                added_at: entry.added_at.clone(),
            };
            (name.clone(), line)
        })
        .collect();
    let lines: Vec<RigLine> = lines.into_values().collect();
    if json {
        return render::json(&lines);
    }
    if lines.is_empty() {
        render::line("no rigs yet: gt rig add NAME REPOSITORY")?;
        return Ok(0);
    }
    let rows = lines.iter().map(|line| {
        let gates = match (line.gates_none, line.gates.is_empty()) {
            (true, _) => "none".to_owned(),
            (false, true) => "not set: nothing lands".to_owned(),
            (false, false) => line.gates.join(", "),
        };
        let target = format!("{} ({})", line.target, line.landing);
        vec![line.name.to_string(), line.prefix.clone(), target, gates, line.git_url.clone()]
    });
    render::table(&["RIG", "PREFIX", "TARGET", "GATES", "REPOSITORY"], rows.collect())
}
