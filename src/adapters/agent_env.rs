//! The environment of an agent's session: who it is, where it works, how it is known.
//!
//! It is complete: nothing of the daemon's own environment reaches an agent but what the settings
//! name.

use std::collections::BTreeMap;

use crate::adapters::layout::Town;
use crate::adapters::world::WorldSettings;
use crate::model::effect::SessionSpec;

/// The environment of a session, without its secret.
///
/// `preset` is the resolved agent preset. Entries of the settings' `agent_env` come first, so
/// that none of them can change an identity.
#[must_use]
pub fn agent_env(
    town: &Town,
    settings: &WorldSettings,
    spec: &SessionSpec,
    preset: &str,
) -> BTreeMap<String, String> {
    let mut env = settings.base_env.clone();
    env.extend(settings.agent_env.clone());
    let path = env.get("PATH").map_or("/usr/bin:/bin", String::as_str);
    let path = format!("{}:{path}", town.bin().display());
    let root = town.root().display().to_string();
    let email = settings.owner_email.clone();
    let named = [
        ("PATH", path),
        ("GT_ROOT", root.clone()),
        ("GT_ROLE", spec.actor.clone()),
        ("GT_RIG", spec.place.rig.to_string()),
        ("GT_POLECAT", spec.place.name.clone()),
        ("GT_SESSION", spec.id.to_string()),
        ("GT_AGENT", preset.to_owned()),
        ("GT_AGENT_BEAD", spec.agent.to_string()),
        ("GT_BEAD", spec.bead.to_string()),
        ("GT_BRANCH", spec.branch.clone()),
        ("BD_ACTOR", spec.actor.clone()),
        ("BEADS_AGENT_NAME", spec.actor.clone()),
        ("GIT_AUTHOR_NAME", spec.actor.clone()),
        ("GIT_AUTHOR_EMAIL", email.clone()),
        ("GIT_COMMITTER_NAME", spec.actor.clone()),
        ("GIT_COMMITTER_EMAIL", email),
        ("GIT_CEILING_DIRECTORIES", root),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
    ];
    env.extend(named.map(|(key, value)| (key.to_owned(), value)));
    for (key, value) in [("TERM", "dumb"), ("LANG", "C.UTF-8")] {
        env.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    env
}
