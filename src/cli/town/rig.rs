//! Adding a rig and taking one off the list.

use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::adapters::clock;
use crate::adapters::files;
use crate::adapters::layout::Town;
use crate::adapters::rig_setup::Notice;
use crate::adapters::rig_setup::RESERVED;
use crate::adapters::rig_setup::Removed;
use crate::adapters::rig_setup::RigMade;
use crate::adapters::rig_setup::SetupError;
use crate::cli::town::error::TownError;
use crate::cli::town::vault::Vault;
use crate::cli::town::wiring;
use crate::config;
use crate::config::Settings;
use crate::config::registry::Registry;
use crate::config::registry::RigBeads;
use crate::config::registry::RigEntry;
use crate::config::registry::RigFile;
use crate::config::town::Metadata;
use crate::messages::views::rfc3339;
use crate::model::agent::AgentState;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::merge::MrState;
use crate::model::ops::Op;
use crate::model::rows::Agent;
use crate::model::rows::MergeRequest;
use crate::model::rows::Meta;
use crate::model::rows::Order;
use crate::model::tx::Scan;
use crate::model::tx::TxExt;
use crate::model::value::Name;

/// What is wanted of a new rig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRig {
    /// Its name.
    pub name: RigName,
    /// The repository: a URL or a path.
    pub url: String,
    /// The prefix of its ids; `None` makes one from the name.
    pub prefix: Option<String>,
    /// The branch that work lands on; `None` is the repository's default.
    pub target: Option<String>,
}

/// A rig that is on the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedRig {
    /// Its name.
    pub name: RigName,
    /// The repository.
    pub git_url: String,
    /// The prefix of its ids, without dash.
    pub prefix: String,
    /// The branch that work lands on.
    pub target: String,
    /// `remote` or `canonical`.
    pub landing: String,
    /// What the person should know: how to get what lands, what is unusual.
    pub notices: Vec<String>,
    /// Whether gates are configured, or said to be none.
    pub has_gates: bool,
    /// Whether it was on the list before.
    pub existed: bool,
}

/// What became of a rig's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedRig {
    /// Its name.
    pub name: RigName,
    /// Where its files went, when they were not simply deleted.
    pub files: Option<PathBuf>,
    /// Its database, which stays.
    pub database: PathBuf,
}

/// Clones, makes the database, and registers: in this order, so that a rig on the list is whole.
/// A try that was cut short leaves nothing on the list and is continued by the next one.
///
/// # Errors
/// [`TownError`]; nothing is on the list then.
pub fn add(town: &Town, vault: &impl Vault, new: &NewRig) -> Result<AddedRig, TownError> {
    let settings = config::load(town)?;
    let mut registry = Registry::read(town)?;
    check_name(&registry, &new.name)?;
    let existed = registry.rigs.contains_key(&new.name);
    let db = Db::from(&new.name);
    let prefix = choose_prefix(vault, &registry, new, &db)?;
    let url = absolute(&new.url);
    if let Some(old) = registry.rigs.get(&new.name)
        && old.git_url != url
    {
        let what = format!("the repository {}", old.git_url);
        return Err(TownError::OtherRig { rig: new.name.clone(), what });
    }
    let setup = wiring::rig_setup(town, &settings, &new.name, &new.url, new.target.clone());
    refuse_foreign(town, &new.name, existed)?;
    let made = setup.make().inspect_err(|_| tidy(town, &new.name))?;
    if !vault.has(&db)? {
        vault.create(&db)?;
    }
    vault.write(&db, &Identity::Overseer.actor(), rig_ops(&new.name, &prefix))?;
    let entry = RigEntry {
        git_url: url.clone(),
        added_at: rfc3339(clock::now_ms()),
        beads: RigBeads { repo: "local".to_owned(), prefix: prefix.clone() },
        default_branch: made.target.clone(),
        landing: wiring::landing_word(made.landing).to_owned(),
        crew: Vec::new(),
    };
    own_files(town, &settings, &new.name, &entry, &made)?;
    let target = made.target.clone();
    let entry = match registry.rigs.get(&new.name) {
        // Whoever was there before stays: date and crew.
        Some(old) => RigEntry { added_at: old.added_at.clone(), crew: old.crew.clone(), ..entry },
        None => entry,
    };
    registry.rigs.insert(new.name.clone(), entry);
    registry.write(town)?;
    Ok(AddedRig {
        name: new.name.clone(),
        git_url: url,
        prefix,
        target,
        landing: wiring::landing_word(made.landing).to_owned(),
        notices: made.notices.iter().map(notice).collect(),
        has_gates: settings.rigs.get(new.name.as_str()).is_some_and(|own| !own.gates.is_unset()),
        existed,
    })
}

/// A path is made absolute, because the clone remembers it; a URL stays as it is.
fn absolute(url: &str) -> String {
    std::fs::canonicalize(url).map_or_else(|_| url.to_owned(), |path| path.display().to_string())
}

/// A directory of the rig's name that no earlier try made is somebody else's.
fn refuse_foreign(town: &Town, name: &RigName, existed: bool) -> Result<(), TownError> {
    let path = town.rig(name);
    if existed || !path.exists() || path.join("mayor").is_dir() {
        return Ok(());
    }
    let mut entries = std::fs::read_dir(&path).map_err(TownError::io(&path))?;
    match entries.next() {
        None => Ok(()),
        Some(entry) => {
            let found = entry.map_err(TownError::io(&path))?.file_name();
            Err(TownError::Foreign { path, found: found.to_string_lossy().into_owned() })
        }
    }
}

/// After a try that did not even get a clone, nothing of it stays.
fn tidy(town: &Town, name: &RigName) {
    if town.canonical(name).exists() {
        return;
    }
    let path = town.rig(name);
    if let Err(error) = files::remove_all(&path) {
        tracing::warn!(path = %path.display(), %error, "an empty rig directory stays");
    }
}

fn check_name(registry: &Registry, name: &RigName) -> Result<(), TownError> {
    let text = name.as_str();
    let fits = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !fits {
        return Err(TownError::BadName(text.to_owned()));
    }
    if RESERVED.iter().any(|taken| taken.eq_ignore_ascii_case(text)) {
        return Err(SetupError::Reserved(name.clone()).into());
    }
    // On a file system that ignores case, two such names would be one directory.
    let twin = registry
        .rigs
        .keys()
        .find(|known| *known != name && known.as_str().eq_ignore_ascii_case(text));
    match twin {
        Some(twin) => {
            let what = format!("the name '{twin}'");
            Err(TownError::OtherRig { rig: name.clone(), what })
        }
        None => Ok(()),
    }
}

/// The prefix that was asked for, or the one of an earlier try, or a new one.
fn choose_prefix(
    vault: &impl Vault,
    registry: &Registry,
    new: &NewRig,
    db: &Db,
) -> Result<String, TownError> {
    let earlier = match vault.has(db)? {
        true => vault.read(db, |tx| tx.row::<Meta>(&Name::from("prefix")))?.map(|meta| meta.value),
        false => None,
    };
    if let (Some(asked), Some(earlier)) = (&new.prefix, &earlier)
        && asked != earlier
    {
        let what = format!("beads '{earlier}-...': its ids keep the prefix '{earlier}'");
        return Err(TownError::OtherRig { rig: new.name.clone(), what });
    }
    let prefix = earlier
        .or_else(|| new.prefix.clone())
        .or_else(|| registry.suggest_prefix(&new.name))
        .unwrap_or_else(|| new.name.0.to_ascii_lowercase());
    registry.check_prefix(&new.name, &prefix)?;
    Ok(prefix)
}

/// What makes an empty database a rig's. Every op may be repeated.
#[must_use]
pub fn rig_ops(rig: &RigName, prefix: &str) -> Vec<Op> {
    let meta = |name: &str, value: &str| Op::SetMeta { name: name.into(), value: value.to_owned() };
    vec![
        meta("prefix", prefix),
        meta("rig", rig.as_str()),
        Op::RegisterAgent { who: Identity::Witness(rig.clone()) },
        Op::RegisterAgent { who: Identity::Refinery(rig.clone()) },
    ]
}

fn own_files(
    town: &Town,
    settings: &Settings,
    name: &RigName,
    entry: &RigEntry,
    made: &RigMade,
) -> Result<(), TownError> {
    let beads = town.rig_beads(name);
    // A repository that tracks `.beads/` keeps its own file there.
    let theirs = made.notices.contains(&Notice::TracksBeads);
    if !(theirs && beads.join("metadata.json").exists()) {
        Metadata::new(name.as_str(), settings.store.dolt_mode).write(town, &beads)?;
    }
    let file = RigFile {
        kind: "rig".to_owned(),
        version: 1,
        name: name.clone(),
        git_url: entry.git_url.clone(),
        created_at: entry.added_at.clone(),
        beads: entry.beads.clone(),
        default_branch: entry.default_branch.clone(),
    };
    let path = town.rig_config(name);
    files::write_json(&path, &file).map_err(TownError::io(&path))
}

fn notice(notice: &Notice) -> String {
    match notice {
        Notice::TracksBeads => "the repository tracks files under .beads/: they stay as they are, \
             and the town keeps its beads elsewhere"
            .to_owned(),
        Notice::LandsHere { reason, pull } => format!(
            "the remote's branch cannot be pushed to ({reason}): work lands on the town's own \
             clone; get it with '{pull}'"
        ),
    }
}

/// Takes a rig off the list, then removes its files. Files with work that is nowhere else are
/// moved aside; the database stays.
///
/// # Errors
/// [`TownError::InUse`] while anything of it is at work; the list is unchanged then.
pub fn remove(town: &Town, vault: &impl Vault, name: &RigName) -> Result<RemovedRig, TownError> {
    let settings = config::load(town)?;
    let mut registry = Registry::read(town)?;
    let entry = registry.rig(name)?.clone();
    let in_use = |what: String, remedy| Err(TownError::InUse { rig: name.clone(), what, remedy });
    if let Some(what) = at_work(vault, name)? {
        return in_use(what, "wait for it, or 'gt release BEAD' and 'gt mq reject MR'");
    }
    if !entry.crew.is_empty() {
        let what = format!("there are clones of people: {}", entry.crew.join(", "));
        return in_use(what, "'gt crew remove' each first");
    }
    registry.rigs.remove(name);
    registry.write(town)?;
    let setup = wiring::rig_setup(town, &settings, name, &entry.git_url, None);
    let files = match setup.remove()? {
        Removed::Deleted | Removed::Absent => None,
        Removed::Aside(path) => Some(path),
    };
    let database = town.dolt_data().join(name.as_str());
    Ok(RemovedRig { name: name.clone(), files, database })
}

/// Something of the rig that is held, waits, or is queued.
fn at_work(vault: &impl Vault, name: &RigName) -> Result<Option<String>, TownError> {
    let db = Db::from(name);
    if !vault.has(&db)? {
        return Ok(None);
    }
    vault.read(&db, |tx| {
        let agents = tx.rows::<Agent>(&Scan::default())?;
        let busy = agents.iter().find(|agent| agent.state != AgentState::Idle);
        if let Some(agent) = busy {
            let bead = agent.hook_bead.as_ref().map_or(String::new(), |id| format!(" with {id}"));
            return Ok(Some(format!("{} is {}{bead}", agent.actor, agent.state.word())));
        }
        let orders = tx.rows::<Order>(&Scan { limit: Some(1), ..Scan::default() })?;
        if let Some(order) = orders.first() {
            return Ok(Some(format!("{} waits for a worker", order.bead)));
        }
        for state in [MrState::Queued, MrState::Held] {
            let waiting = tx.with::<MergeRequest>(
                Some("by_state"),
                vec![crate::model::value::Cell::to_value(&state)],
            )?;
            if let Some(mr) = waiting.first() {
                return Ok(Some(format!("{} is {state} in the merge queue", mr.id)));
            }
        }
        Ok(None)
    })
}
