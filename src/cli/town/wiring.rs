//! What the rooms are told by settings and registry: pure translation.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::adapters::dolt;
use crate::adapters::dolt::Site;
use crate::adapters::git::Landing;
use crate::adapters::git::RigGit;
use crate::adapters::git::handle::Handles;
use crate::adapters::layout::Town;
use crate::adapters::rig_setup::RigSetup;
use crate::adapters::world::RigSite;
use crate::adapters::world::WorldSettings;
use crate::cli::town::convert::Journal;
use crate::cli::town::error::TownError;
use crate::config;
use crate::config::ConfigError;
use crate::config::DoltMode;
use crate::config::Settings;
use crate::config::env;
use crate::config::registry::Registry;
use crate::config::registry::RigEntry;
use crate::config::town::Metadata;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::store::ledger;
use crate::store::ledger::Engine;
use crate::store::served::Apart;
use crate::store::server::Server;

/// Milliseconds as a duration.
fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// The town at a root, with the runtime directory of the environment.
#[must_use]
pub fn town(root: &Path, runtime_dir: Option<&PathBuf>) -> Town {
    let town = Town::new(root);
    match runtime_dir {
        Some(dir) => town.with_runtime_dir(dir),
        None => town,
    }
}

/// The landing kind's word in the registry.
#[must_use]
pub fn landing_word(landing: Landing) -> &'static str {
    match landing {
        Landing::Remote => "remote",
        Landing::Canonical => "canonical",
    }
}

/// The landing kind behind the registry's word.
///
/// # Errors
/// [`ConfigError::Key`] for another word.
pub fn landing(name: &RigName, entry: &RigEntry) -> Result<Landing, ConfigError> {
    match entry.landing.as_str() {
        "remote" => Ok(Landing::Remote),
        "canonical" => Ok(Landing::Canonical),
        other => Err(ConfigError::Key {
            file: "mayor/rigs.json".to_owned(),
            key: format!("rigs.{name}.landing"),
            why: format!("'{other}' is neither \"remote\" nor \"canonical\""),
        }),
    }
}

/// The branch that a rig's work lands on: its settings', else the registry's.
#[must_use]
pub fn target(settings: &Settings, name: &RigName, entry: &RigEntry) -> String {
    let own = settings.rigs.get(name.as_str()).and_then(|rig| rig.target.clone());
    own.unwrap_or_else(|| entry.default_branch.clone())
}

/// What the ledger is told.
///
/// # Errors
/// The settings and `.beads/metadata.json` name different engines, a conversion was interrupted,
/// or the server's secret cannot be read.
pub fn ledger_settings(town: &Town, settings: &Settings) -> Result<ledger::Settings, TownError> {
    check_mode(town, settings.store.dolt_mode)?;
    let engine = match settings.store.dolt_mode {
        DoltMode::Embedded => Engine::Embedded,
        DoltMode::Server => Engine::Server(server(town, settings)?),
    };
    // The files of a server of somebody else's are not ours to read.
    let own = settings.store.dolt_mode == DoltMode::Server && settings.store.external.is_none();
    let apart = own.then(|| apart(dolt_site(town, settings)));
    // It is told so at its start (`Site::own_env`); of another one nobody knows.
    let collects_beside = own;
    Ok(ledger::Settings { apart, collects_beside, ..ledger_on(settings, engine) })
}

/// Where a database of the town is: a file, a directory of its server's, or an address.
///
/// # Errors
/// The settings cannot be read.
pub fn database(town: &Town, db: &Db) -> Result<PathBuf, TownError> {
    let settings = config::load(town)?;
    let dir = town.dolt_data().join(db.as_str());
    Ok(match (settings.store.dolt_mode, &settings.store.external) {
        (DoltMode::Embedded, _) => dir.join(format!("{db}.db")),
        (DoltMode::Server, None) => dir,
        (DoltMode::Server, Some(_)) => {
            PathBuf::from(format!("mysql://{}/{db}", server(town, &settings)?.address()))
        }
    })
}

/// Backups of the town's own server, made beside it.
fn apart(site: Site) -> Apart {
    Apart(Arc::new(move |database, url| {
        dolt::apart::back_up(&site, database, url).map_err(|error| error.to_string())
    }))
}

/// The same on an engine that is named.
#[must_use]
pub fn ledger_on(settings: &Settings, engine: Engine) -> ledger::Settings {
    let store = &settings.store;
    ledger::Settings {
        cache_mb: store.cache_mb,
        readers: store.readers,
        reader_wait_ms: store.reader_wait_ms,
        busy_ms: store.busy_ms,
        writer_wait_ms: store.writer_wait_ms,
        writer_id: store.writer_id,
        retries: store.retries,
        engine,
        apart: None,
        collects_beside: false,
    }
}

/// No engine stands in for another: what made the ledger and what is to open it must agree.
///
/// # Errors
/// [`ConfigError::Key`] when they do not, or a conversion was interrupted while it switched.
pub fn check_mode(town: &Town, mode: DoltMode) -> Result<(), ConfigError> {
    let key = |why: String| ConfigError::Key {
        file: ".beads/metadata.json".to_owned(),
        key: "dolt_mode".to_owned(),
        why,
    };
    if Journal::is_switching(town)? {
        let why = "a conversion of the store was interrupted at its last step: repeat \
                   'gt store convert'";
        return Err(key(why.to_owned()));
    }
    let Some(made) = Metadata::read(town, &town.beads())? else { return Ok(()) };
    if made.dolt_mode == mode.as_str() {
        return Ok(());
    }
    Err(key(format!(
        "the ledger is \"{}\", store.dolt_mode is \"{}\": set it back (also in the environment), \
         or move the ledger with 'gt store convert --to {}'",
        made.dolt_mode,
        mode.as_str(),
        mode.as_str()
    )))
}

/// The server that the settings name: somebody else's, or the town's own.
///
/// # Errors
/// The own server's secret cannot be read.
pub fn server(town: &Town, settings: &Settings) -> Result<Server, TownError> {
    if let Some(external) = &settings.store.external {
        return Ok(Server {
            host: external.host.clone(),
            port: external.port,
            user: external.user.clone(),
            password: env::secret(&external.password_env),
            database: String::new(),
            tls: external.tls,
        });
    }
    own_server(&dolt_site(town, settings))
}

/// The town's own server, as its user.
///
/// # Errors
/// The secret cannot be read. One that is not made yet is no error: then nobody can connect.
pub fn own_server(site: &Site) -> Result<Server, TownError> {
    Ok(Server {
        host: "127.0.0.1".to_owned(),
        port: site.port,
        user: dolt::USER.to_owned(),
        password: site.known_secret()?.unwrap_or_default(),
        database: String::new(),
        tls: false,
    })
}

/// Where the town's own server is and how it is started.
#[must_use]
pub fn dolt_site(town: &Town, settings: &Settings) -> Site {
    let mut env = env::base(&[]);
    // Agents of the person's own keys have no business there.
    env.remove("SSH_AUTH_SOCK");
    let mut site = Site::of(town, &settings.store.dolt, settings.store.port, env);
    site.log_max_bytes = settings.log_max_bytes;
    site
}

/// What the world is told. `base_env` is what agents start from.
///
/// # Errors
/// The registry has an unknown landing kind.
pub fn world_settings(
    settings: &Settings,
    registry: &Registry,
    exe: PathBuf,
    base_env: BTreeMap<String, String>,
) -> Result<WorldSettings, ConfigError> {
    let mut rigs = BTreeMap::new();
    for (name, entry) in &registry.rigs {
        let site = RigSite {
            prefix: entry.beads.prefix.clone(),
            target: target(settings, name, entry),
            landing: landing(name, entry)?,
        };
        rigs.insert(name.clone(), site);
    }
    Ok(WorldSettings {
        exe,
        presets: settings.agents.iter().map(|(name, p)| (name.clone(), p.argv())).collect(),
        default_preset: settings.default_agent.clone(),
        owner_email: settings.owner.email.clone(),
        base_env,
        agent_env: settings.agent_env.clone(),
        gate_env: settings.gate_env.clone(),
        rigs,
        log_max_bytes: settings.log_max_bytes,
        git_timeout_ms: u64::try_from(settings.git_timeout).unwrap_or(0),
        git_jobs: settings.git_jobs,
        gate_checkouts: settings.gate_checkouts,
        grace_ms: u64::try_from(settings.limits.stop_grace_ms).unwrap_or(0),
    })
}

/// Git of a registered rig.
///
/// # Errors
/// No such rig, or an unknown landing kind.
pub fn rig_git(
    town: &Town,
    settings: &Settings,
    registry: &Registry,
    rig: &RigName,
) -> Result<RigGit, ConfigError> {
    let entry = registry.rig(rig)?;
    Ok(RigGit {
        town: town.clone(),
        rig: rig.clone(),
        landing: landing(rig, entry)?,
        target: target(settings, rig, entry),
        owner_email: settings.owner.email.clone(),
        timeout: millis(settings.git_timeout),
        handles: Handles::default(),
    })
}

/// The set-up of a rig from a repository.
#[must_use]
pub fn rig_setup(
    town: &Town,
    settings: &Settings,
    rig: &RigName,
    source: &str,
    target: Option<String>,
) -> RigSetup {
    RigSetup {
        town: town.clone(),
        rig: rig.clone(),
        source: source.to_owned(),
        target,
        owner_email: settings.owner.email.clone(),
        timeout: millis(settings.git_timeout),
    }
}
