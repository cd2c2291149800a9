//! `gt crew add|list|remove`.

use clap::Subcommand;
use serde_json::Value;
use serde_json::json;

use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::cli::town::crew;
use crate::cli::town::lock::TownLock;
use crate::messages::door::Control;
use crate::messages::door::DoorError;
use crate::model::ids::RigName;

/// People's own clones.
///
/// A full clone at <rig>/crew/<name>, made once and never touched by the town.
#[derive(Debug, Subcommand)]
pub enum Crew {
    /// Make a clone.
    Add {
        /// Its name.
        name: String,
        /// Of which rig; else the one of this directory, or the only one.
        #[arg(long)]
        rig: Option<String>,
    },
    /// Show the clones.
    List {
        /// Of this rig only.
        rig: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a clone all of which is on the remote.
    Remove {
        /// Its name.
        name: String,
        /// Of which rig.
        #[arg(long)]
        rig: Option<String>,
    },
}

impl Crew {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        match self {
            Self::Add { name, rig } => {
                let rig = here.rig(rig)?;
                add(&here, &rig, &name)?;
                let path = here.town.crew(&rig, &name);
                render::line(&format!("{name}'s clone is at {}", path.display()))
            }
            Self::List { rig, json } => list(&here, rig.map(RigName), json),
            Self::Remove { name, rig } => {
                let rig = here.rig(rig)?;
                remove(&here, &rig, &name)?;
                render::line(&format!("{name}'s clone of {rig} is gone"))
            }
        }
    }
}

fn add(here: &Here, rig: &RigName, name: &str) -> Result<(), DoorError> {
    if here.is_up() {
        let control = Control::AddCrew { rig: rig.clone(), name: name.to_owned() };
        return here.control::<Value>(control).map(|_| ());
    }
    let ledger = here.ledger()?;
    let lock = TownLock::take(&here.town, "gt crew add")?;
    crew::add(&here.town, &ledger, rig, name)?;
    drop(lock);
    Ok(())
}

fn remove(here: &Here, rig: &RigName, name: &str) -> Result<(), DoorError> {
    if here.is_up() {
        let control = Control::RemoveCrew { rig: rig.clone(), name: name.to_owned() };
        return here.control::<Value>(control).map(|_| ());
    }
    let ledger = here.ledger()?;
    let lock = TownLock::take(&here.town, "gt crew remove")?;
    crew::remove(&here.town, &ledger, rig, name)?;
    drop(lock);
    Ok(())
}

fn list(here: &Here, only: Option<RigName>, json: bool) -> Result<u8, DoorError> {
    if let Some(rig) = &only {
        here.registry.rig(rig)?;
    }
    let rigs = here.registry.rigs.iter();
    let rigs = rigs.filter(|(name, _)| only.as_ref().is_none_or(|only| only == *name));
    let all: Vec<(&RigName, &String)> =
        rigs.flat_map(|(rig, entry)| entry.crew.iter().map(move |name| (rig, name))).collect();
    if json {
        let line = |(rig, name): &(&RigName, &String)| json!({"rig": rig, "name": name, "path": here.town.crew(rig, name)});
        return render::json(&all.iter().map(line).collect::<Vec<_>>());
    }
    if all.is_empty() {
        return render::line("no clones of people yet: gt crew add NAME --rig RIG");
    }
    let rows = all.iter().map(|(rig, name)| {
        let path = here.town.crew(rig, name).display().to_string();
        vec![rig.to_string(), (*name).clone(), path]
    });
    render::table(&["RIG", "NAME", "PATH"], rows.collect())
}
