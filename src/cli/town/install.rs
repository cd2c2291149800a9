//! Making a town: the seed's tree, the town's own database, roles and town-level agents.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::adapters::clock;
use crate::adapters::files;
use crate::adapters::git::cli::Git;
use crate::adapters::layout::Town;
use crate::adapters::templates;
use crate::adapters::token;
use crate::cli::town::error::TownError;
use crate::cli::town::lock::TownLock;
use crate::cli::town::server::OwnServer;
use crate::cli::town::vault::Vault;
use crate::cli::town::wiring;
use crate::config;
use crate::config::DoltMode;
use crate::config::Settings;
use crate::config::edit;
use crate::config::edit::FirstStore;
use crate::config::registry::HQ_PREFIX;
use crate::config::registry::Registry;
use crate::config::town::DaemonFile;
use crate::config::town::Metadata;
use crate::config::town::TownFile;
use crate::config::town::seats;
use crate::messages::views::rfc3339;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::Role;
use crate::model::ops::Op;
use crate::store::ledger::Ledger;

/// The dog that every town has.
pub const REAPER: &str = "reaper";
/// How long git may take to tell who the person is.
const GIT_WITHIN: Duration = Duration::from_secs(10);

/// What `gt install` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// The town's root, absolute.
    pub root: String,
    /// The town's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it was there before; what was missing is made again either way.
    pub existed: bool,
}

/// What is wanted of a town.
#[derive(Clone, Debug, Default)]
pub struct NewTown {
    /// A name for people; `None` is the directory's.
    pub name: Option<String>,
    /// The engine; `None` is that of a town that is there, else the embedded one.
    pub mode: Option<DoltMode>,
    /// Port of the town's own server.
    pub port: Option<u16>,
    /// The program that serves.
    pub dolt: Option<String>,
}

/// Makes the town at `dir`, or completes it.
///
/// With a server, one that does not run is started for this time and ended again.
///
/// # Errors
/// [`TownError::Foreign`], [`TownError::Nested`], [`TownError::Locked`], [`TownError::Unfit`] for
/// a town with another engine, and whatever stops a step; what is made so far stays and is used by
/// the next try.
pub fn install(dir: &Path, new: &NewTown) -> Result<Installed, TownError> {
    fs::create_dir_all(dir).map_err(TownError::io(dir))?;
    let root = fs::canonicalize(dir).map_err(TownError::io(dir))?;
    let town = Town::new(&root);
    refuse_foreign(&town)?;
    let lock = TownLock::take(&town, "gt install")?;
    let existed = town.town_json().is_file();
    refuse_other_engine(&town, new)?;
    directories(&town)?;
    settings(&town, new)?;
    ledger(&town)?;
    let file = identity(&town, new.name.as_deref())?;
    drop(lock);
    Ok(Installed { root: root.display().to_string(), id: file.id, name: file.name, existed })
}

/// Only an empty directory, a town, or one that an earlier try began.
fn refuse_foreign(town: &Town) -> Result<(), TownError> {
    if let Some(outer) = town.root().parent().and_then(Town::discover) {
        let (path, outer) = (town.root().to_owned(), outer.root().to_owned());
        return Err(TownError::Nested { path, outer });
    }
    if town.town_json().is_file() || town.daemon_lock().is_file() {
        return Ok(());
    }
    let entries = fs::read_dir(town.root()).map_err(TownError::io(town.root()))?;
    for entry in entries {
        let entry = entry.map_err(TownError::io(town.root()))?;
        // `daemon/` is what a try makes first.
        if entry.path() != town.daemon() {
            let (path, found) = (town.root().to_owned(), entry.file_name());
            let found = found.to_string_lossy().into_owned();
            return Err(TownError::Foreign { path, found });
        }
    }
    Ok(())
}

/// The ledger of a town is moved, not forgotten.
fn refuse_other_engine(town: &Town, new: &NewTown) -> Result<(), TownError> {
    let Some(wanted) = new.mode else { return Ok(()) };
    let made = match Metadata::read(town, &town.beads())? {
        Some(made) => made.dolt_mode,
        // A try that was cut short has said it already.
        None if town.config_json().exists() => {
            config::load(town)?.store.dolt_mode.as_str().to_owned()
        }
        None => return Ok(()),
    };
    if made == wanted.as_str() {
        return Ok(());
    }
    let to = wanted.as_str();
    Err(TownError::Unfit(format!(
        "this town's ledger is \"{made}\": move it with 'gt store convert --to {to}'"
    )))
}

fn directories(town: &Town) -> Result<(), TownError> {
    let private = [town.daemon(), town.sessions(), town.logs(), town.dolt_data()];
    for dir in private {
        files::private_dir(&dir).map_err(TownError::io(&dir))?;
    }
    let dirs = [
        town.beads(),
        town.mayor(),
        town.settings(),
        town.config(),
        town.dog(REAPER),
        town.logs().join("agents"),
        town.logs().join("gates"),
    ];
    for dir in dirs {
        fs::create_dir_all(&dir).map_err(TownError::io(&dir))?;
    }
    Ok(())
}

/// Makes a file that is not there; one that is belongs to the person.
fn keep_or_write(path: &Path, text: impl FnOnce() -> String) -> Result<(), TownError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            files::write_atomic(path, text().as_bytes(), 0o600).map_err(TownError::io(path))
        }
        Err(error) => Err(TownError::io(path)(error)),
    }
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("plain data has a JSON form") + "\n"
}

fn settings(town: &Town, new: &NewTown) -> Result<(), TownError> {
    keep_or_write(&town.claude_md(), || templates::CLAUDE_MD.to_owned())?;
    keep_or_write(&town.daemon_json(), || pretty(&DaemonFile::default()))?;
    for (path, value) in seats() {
        keep_or_write(&town.root().join(path), || pretty(&value))?;
    }
    if !town.config_json().exists() {
        let (name, email) = person(town);
        let mode = new.mode.unwrap_or_default();
        let store = FirstStore { mode, port: new.port, dolt: new.dolt.clone() };
        edit::write_first(town, &name, &email, &store)?;
    }
    // A registry that cannot be read is not replaced.
    let registry = Registry::read(town)?;
    keep_or_write(&town.rigs_json(), || pretty(&registry))?;
    registry.check_routes(town)?;
    // What the ledger was made with is written once; it must agree from then on.
    if Metadata::read(town, &town.beads())?.is_none() {
        let mode = config::load(town)?.store.dolt_mode;
        Metadata::new("hq", mode).write(town, &town.beads())?;
    }
    Ok(())
}

/// The person, as git knows them.
fn person(town: &Town) -> (String, String) {
    let owner = config::Owner::default();
    let git = Git::new(town.root(), GIT_WITHIN);
    let ask = |key: &str, other: String| match git.ask(&["config", "--get", key]) {
        Ok(answer) if answer.status.success() && !answer.stdout.is_empty() => answer.stdout,
        Ok(_) => other,
        Err(error) => {
            tracing::warn!(%error, key, "git does not tell who you are");
            other
        }
    };
    (ask("user.name", owner.name), ask("user.email", owner.email))
}

fn ledger(town: &Town) -> Result<(), TownError> {
    let settings = config::load(town)?;
    let own = OwnServer::of(town, &settings);
    let up = own.as_ref().map(OwnServer::ensure).transpose()?;
    let made = fill(town, &settings);
    match (own, up) {
        // It ran before: somebody else wants it.
        (Some(own), Some(up)) if up.is_new() => made.and(own.stop().map(|_| ())),
        _ => made,
    }
}

fn fill(town: &Town, settings: &Settings) -> Result<(), TownError> {
    let ledger = Ledger::open(town.root(), wiring::ledger_settings(town, settings)?);
    let hq = Db::hq();
    if !ledger.has(&hq)? {
        ledger.create(&hq)?;
    }
    ledger.write(&hq, &Identity::Overseer.actor(), hq_ops())?;
    Ok(())
}

/// What makes an empty database the town's own. Every op may be repeated.
#[must_use]
pub fn hq_ops() -> Vec<Op> {
    let prefix = Op::SetMeta { name: "prefix".into(), value: HQ_PREFIX.to_owned() };
    let roles = Role::ALL.iter().map(|role| Op::RegisterRole { role: *role });
    let agents =
        [Identity::Mayor, Identity::Deacon, Identity::Boot, Identity::Dog(REAPER.to_owned())];
    let agents = agents.into_iter().map(|who| Op::RegisterAgent { who });
    std::iter::once(prefix).chain(roles).chain(agents).collect()
}

/// The last step: from here on this is a town.
fn identity(town: &Town, name: Option<&str>) -> Result<TownFile, TownError> {
    if town.town_json().is_file() {
        return Ok(TownFile::read(town)?);
    }
    let key = token::town_key(&town.key()).map_err(TownError::io(town.key()))?;
    let dir = town.root().file_name().map_or("town".into(), |name| name.to_string_lossy());
    let file = TownFile {
        kind: "town".to_owned(),
        version: 2,
        name: name.map_or_else(|| dir.into_owned(), str::to_owned),
        id: format!("town-{}", token::short_hash(&key)),
        owner: Some(config::load(town)?.owner.email),
        public_name: None,
        created_at: rfc3339(clock::now_ms()),
    };
    file.write(town)?;
    Ok(file)
}
