//! Moving the ledger of a town from one engine to the other.
//!
//! A new store is made beside the old one, filled and compared; until then the old one is the
//! town's. Then the switch: the old data goes aside, the new takes its place, settings and
//! `metadata.json` follow. A journal says whether the switch has begun: before, a repeat starts
//! over; after, it goes on. Nothing deletes the old store but `gt store confirm`.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::adapters::clock;
use crate::adapters::files;
use crate::adapters::layout::Town;
use crate::adapters::token;
use crate::cli::town::error::TownError;
use crate::cli::town::lock::TownLock;
use crate::cli::town::server::OwnServer;
use crate::cli::town::wiring;
use crate::config;
use crate::config::ConfigError;
use crate::config::DoltMode;
use crate::config::Settings;
use crate::config::edit;
use crate::config::registry::Registry;
use crate::config::town::Metadata;
use crate::config::town::TownFile;
use crate::model::ids::Db;
use crate::store::convert;
use crate::store::convert::Copied;
use crate::store::ledger::Engine;
use crate::store::ledger::Ledger;
use crate::store::writer::Writer;

/// `daemon/convert/journal.json`: how far a conversion is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The engine that the ledger moves to.
    pub to: DoltMode,
    /// Whether the new store is whole and checked, so that what is left is to switch.
    pub switching: bool,
    /// Where the old store goes.
    pub aside: PathBuf,
    /// What was copied.
    pub copied: Vec<Copied>,
}

/// `daemon/old-stores.json`: stores that were moved aside and wait for a person's word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldStores {
    /// In the order of their conversions.
    pub stores: Vec<OldStore>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldStore {
    /// Its directory.
    pub path: PathBuf,
    /// Its engine.
    pub mode: DoltMode,
    /// Rows of each database at the conversion.
    pub rows: Vec<(Db, u64)>,
    /// The word that confirms its end.
    pub token: String,
}

/// What a conversion did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Converted {
    /// The engine that has the ledger now.
    pub mode: DoltMode,
    /// Every database with its tables' rows and digests, the same in both stores.
    pub databases: Vec<Copied>,
    /// The old store.
    pub old: OldStore,
}

fn work(town: &Town) -> PathBuf {
    town.daemon().join("convert")
}

fn journal_path(town: &Town) -> PathBuf {
    work(town).join("journal.json")
}

/// Where the new store is made: as the root of a town, whose data directory is inside.
fn draft(town: &Town) -> Town {
    Town::new(work(town).join("new"))
}

impl Journal {
    /// The journal of a conversion that is under way or was interrupted.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(town: &Town) -> Result<Option<Self>, ConfigError> {
        let path = journal_path(town);
        files::read_json(&path).map_err(ConfigError::io(&path))
    }

    /// Whether a conversion was interrupted while it switched.
    ///
    /// # Errors
    /// As [`Journal::read`].
    pub fn is_switching(town: &Town) -> Result<bool, ConfigError> {
        Ok(Self::read(town)?.is_some_and(|journal| journal.switching))
    }

    fn write(&self, town: &Town) -> Result<(), TownError> {
        let path = journal_path(town);
        files::write_json(&path, self).map_err(TownError::io(&path))
    }
}

impl OldStores {
    fn path(town: &Town) -> PathBuf {
        town.daemon().join("old-stores.json")
    }

    /// Those of a town.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn read(town: &Town) -> Result<Self, TownError> {
        let path = Self::path(town);
        Ok(files::read_json(&path).map_err(TownError::io(&path))?.unwrap_or_default())
    }

    fn write(&self, town: &Town) -> Result<(), TownError> {
        let path = Self::path(town);
        match self.stores.is_empty() {
            true => files::remove_all(&path).map_err(TownError::io(&path)),
            false => files::write_json(&path, self).map_err(TownError::io(&path)),
        }
    }
}

/// Moves the ledger. The town must be down; its server may run and is ended.
///
/// # Errors
/// [`TownError::Unfit`] when it is there already, on an external server, or another conversion is
/// half done; [`TownError::Locked`]; the engines' failures. The old store stays the town's until
/// the switch.
pub fn convert(town: &Town, to: DoltMode) -> Result<Converted, TownError> {
    let _lock = TownLock::take(town, "gt store convert")?;
    if let Some(journal) = Journal::read(town)?.filter(|journal| journal.switching) {
        if journal.to != to {
            let word = journal.to.as_str();
            let text =
                format!("a conversion to {word} is half done: 'gt store convert --to {word}'");
            return Err(TownError::Unfit(text));
        }
        return switch(town, &journal);
    }
    let settings = config::load(town)?;
    if settings.store.dolt_mode == to {
        return Err(TownError::Unfit(format!("the ledger is {} already", to.as_str())));
    }
    if settings.store.external.is_some() {
        let text = "the ledger is only moved between this town's own files and its own server: \
                    take store.external and GT_DOLT_HOST away first";
        return Err(TownError::Unfit(text.to_owned()));
    }
    let dir = work(town);
    let own = wiring::dolt_site(town, &settings);
    let own = OwnServer::at(own);
    // An earlier try may have left its server on a half-made store.
    own.stop()?;
    files::remove_all(&dir).map_err(TownError::io(&dir))?;
    files::private_dir(&dir).map_err(TownError::io(&dir))?;
    let stamp = clock::now_ms() / 1000;
    let old = settings.store.dolt_mode.as_str();
    let aside = town.root().join(format!(".dolt-data.{old}-{stamp}"));
    let mut journal = Journal { to, switching: false, aside, copied: Vec::new() };
    journal.write(town)?;
    let filled = fill(town, &settings, to);
    // Either store's files are moved by the switch.
    own.stop()?;
    let (held, copied) = match filled {
        Ok(filled) => filled,
        Err(error) => {
            files::remove_all(&dir).map_err(TownError::io(&dir))?;
            return Err(error);
        }
    };
    journal.copied = copied;
    journal.switching = true;
    journal.write(town)?;
    let done = switch(town, &journal);
    // Whoever waits for a writer finds another file in its place, or no server.
    drop(held);
    done
}

/// Makes the new store and copies every database into it. The writers of the old one are held from
/// then on, so that nothing is written there any more.
fn fill(
    town: &Town,
    settings: &Settings,
    to: DoltMode,
) -> Result<(Vec<Writer>, Vec<Copied>), TownError> {
    let draft = draft(town);
    let data = draft.dolt_data();
    files::private_dir(&data).map_err(TownError::io(&data))?;
    // One server serves either the old data or the new; the other side is files.
    let mut site = wiring::dolt_site(town, settings);
    let files_root = match to {
        DoltMode::Server => {
            site.data = data;
            town.root()
        }
        DoltMode::Embedded => draft.root(),
    };
    let server_root = if to == DoltMode::Server { draft.root() } else { town.root() };
    let own = OwnServer::at(site);
    let up = own.ensure()?;
    let on_files = Ledger::open(files_root, wiring::ledger_on(settings, Engine::Embedded));
    let engine = Engine::Server(own.server()?);
    let on_server = Ledger::open(server_root, wiring::ledger_on(settings, engine));
    tracing::debug!(pid = up.process.pid, "a server for the conversion");
    let (old, new) = match to {
        DoltMode::Server => (&on_files, &on_server),
        DoltMode::Embedded => (&on_server, &on_files),
    };
    let databases = old.databases()?;
    let rigs = Registry::read(town)?.rigs;
    let wanted = std::iter::once(Db::hq()).chain(rigs.keys().map(Db::from));
    let missing: Vec<Db> = wanted.filter(|db| !databases.contains(db)).collect();
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(Db::as_str).collect();
        let names = names.join(", ");
        return Err(TownError::Unfit(format!(
            "database {names} cannot be found or read, and would be left behind: 'gt dolt status' \
             and 'gt doctor' say why"
        )));
    }
    let mut held = Vec::new();
    for db in &databases {
        held.push(old.writer(db, "gt store convert", settings.store.writer_wait_ms)?);
    }
    let mut copied = Vec::new();
    for db in &databases {
        copied.push(convert::copy(old, new, db)?);
    }
    Ok((held, copied))
}

/// Puts the new store in the place of the old one. Each step does nothing where it is done.
fn switch(town: &Town, journal: &Journal) -> Result<Converted, TownError> {
    let old = remember(town, journal)?;
    let (data, new) = (town.dolt_data(), draft(town).dolt_data());
    if new.exists() {
        if data.exists() {
            rename(&data, &journal.aside)?;
        }
        rename(&new, &data)?;
    }
    edit::set_mode(town, journal.to)?;
    for (name, entry) in Registry::read(town)?.rigs {
        tracing::debug!(rig = %name, prefix = entry.beads.prefix, "metadata.json");
        rewrite(town, &town.rig_beads(&name), name.as_str(), journal.to)?;
    }
    rewrite(town, &town.beads(), "hq", journal.to)?;
    let dir = work(town);
    files::remove_all(&dir).map_err(TownError::io(&dir))?;
    Ok(Converted { mode: journal.to, databases: journal.copied.clone(), old })
}

fn rename(from: &Path, to: &Path) -> Result<(), TownError> {
    fs::rename(from, to).map_err(TownError::io(from))?;
    let parents = [from.parent(), to.parent()];
    for dir in parents.into_iter().flatten() {
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(TownError::io(dir))?;
    }
    Ok(())
}

/// A directory's `metadata.json`, where it is the town's own and not the repository's.
fn rewrite(town: &Town, beads: &Path, db: &str, to: DoltMode) -> Result<(), TownError> {
    match Metadata::read(town, beads)? {
        Some(found) if found.dolt_database == db => {
            Ok(Metadata { dolt_mode: to.as_str().to_owned(), ..found }.write(town, beads)?)
        }
        _ => Ok(()),
    }
}

/// Writes down the old store before it is moved aside.
fn remember(town: &Town, journal: &Journal) -> Result<OldStore, TownError> {
    let mut known = OldStores::read(town)?;
    if let Some(old) = known.stores.iter().find(|old| old.path == journal.aside) {
        return Ok(old.clone());
    }
    let mode = match journal.to {
        DoltMode::Server => DoltMode::Embedded,
        DoltMode::Embedded => DoltMode::Server,
    };
    let rows: Vec<(Db, u64)> =
        journal.copied.iter().map(|copied| (copied.db.clone(), copied.digest.rows())).collect();
    let path = journal.aside.clone();
    let mut old = OldStore { path, mode, rows, token: String::new() };
    old.token = old.word(&TownFile::read(town)?.id);
    known.stores.push(old.clone());
    known.write(town)?;
    Ok(old)
}

impl OldStore {
    /// The word that belongs to this store of this town, with these rows.
    fn word(&self, town: &str) -> String {
        let rows: Vec<String> = self.rows.iter().map(|(db, rows)| format!("{db}={rows}")).collect();
        let text = format!("{town} {} {}", self.path.display(), rows.join(" "));
        token::short_hash(text.as_bytes())
    }
}

/// Deletes the old store that a word names, once the town has another one that can be read.
///
/// # Errors
/// [`TownError::Unfit`] for a word that names none; the present store cannot be read.
pub fn confirm(town: &Town, word: &str) -> Result<OldStore, TownError> {
    let mut known = OldStores::read(town)?;
    let id = TownFile::read(town)?.id;
    let named = known.stores.iter().position(|old| old.token == word && old.word(&id) == word);
    let Some(at) = named else {
        let text =
            format!("'{word}' names no old store of this town: 'gt store status' shows them");
        return Err(TownError::Unfit(text));
    };
    let settings = config::load(town)?;
    let ledger = Ledger::open(town.root(), wiring::ledger_settings(town, &settings)?);
    for (db, _) in &known.stores[at].rows {
        ledger.read(db, |_| ())?;
    }
    let old = known.stores.remove(at);
    // A repeat after a stop in the middle finds the store still on the list.
    files::remove_all(&old.path).map_err(TownError::io(&old.path))?;
    known.write(town)?;
    Ok(old)
}
