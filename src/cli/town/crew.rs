//! People's clones: full clones that the town makes once and never touches.

use crate::adapters::layout::Town;
use crate::adapters::layout::component;
use crate::cli::town::error::TownError;
use crate::cli::town::vault::Vault;
use crate::cli::town::wiring;
use crate::config;
use crate::config::registry::Registry;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ops::Op;
use crate::model::ops::Refused;

/// Makes a clone at `<rig>/crew/<name>` and its agent bead, then lists it.
///
/// # Errors
/// [`TownError`]; a try that was cut short is continued by the next one.
pub fn add(town: &Town, vault: &impl Vault, rig: &RigName, name: &str) -> Result<(), TownError> {
    let settings = config::load(town)?;
    let mut registry = Registry::read(town)?;
    let entry = registry.rig(rig)?;
    component(name).map_err(|_| TownError::BadName(name.to_owned()))?;
    let (landing, target) = (wiring::landing(rig, entry)?, wiring::target(&settings, rig, entry));
    wiring::rig_setup(town, &settings, rig, &entry.git_url, None).crew(name, landing, &target)?;
    let who = Identity::Crew(rig.clone(), name.to_owned());
    vault.write(&Db::from(rig), &Identity::Overseer.actor(), vec![Op::RegisterAgent { who }])?;
    let Some(entry) = registry.rigs.get_mut(rig) else { return Ok(()) };
    if !entry.crew.iter().any(|known| known == name) {
        entry.crew.push(name.to_owned());
        entry.crew.sort();
        registry.write(town)?;
    }
    Ok(())
}

/// Removes a clone all of which is on the remote, its agent bead, and its line in the list.
///
/// # Errors
/// The clone has work that is nowhere else; nothing is changed then.
pub fn remove(town: &Town, vault: &impl Vault, rig: &RigName, name: &str) -> Result<(), TownError> {
    let settings = config::load(town)?;
    let mut registry = Registry::read(town)?;
    let entry = registry.rig(rig)?.clone();
    let who = Identity::Crew(rig.clone(), name.to_owned());
    if !entry.crew.iter().any(|known| known == name) && !town.crew(rig, name).exists() {
        return Err(Refused::NotFound { kind: "crew", id: who.actor() }.into());
    }
    wiring::rig_setup(town, &settings, rig, &entry.git_url, None).remove_crew(name)?;
    if let Some(id) = who.bead_id(&entry.beads.prefix) {
        let removed =
            vault.write(&Db::from(rig), &Identity::Overseer.actor(), vec![Op::RemoveAgent { id }]);
        match removed {
            // An earlier try came this far.
            Err(TownError::Refused(Refused::NotFound { .. })) => {}
            other => drop(other?),
        }
    }
    if let Some(entry) = registry.rigs.get_mut(rig) {
        entry.crew.retain(|known| known != name);
    }
    registry.write(town)?;
    Ok(())
}
