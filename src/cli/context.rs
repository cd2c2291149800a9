//! Which town, database and person a command means.
//!
//! An explicit id or `--rig` wins; the directory only gives the default. A directory belongs to the
//! town around it, and there to the rig whose directory it is in; `.beads/redirect` leads on.
//! Outside of towns a plain directory may have beads of its own, made by `bd init`.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde::Serialize;

use crate::adapters::layout::Town;
use crate::cli::town::wiring;
use crate::config::env::Env;
use crate::config::registry::HQ_PREFIX;
use crate::config::registry::Registry;
use crate::config::town::Metadata;
use crate::gateway::desk::Desk;
use crate::gateway::routing;
use crate::messages::door::DoorError;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;

/// Longest chain of redirects.
const REDIRECTS_MAX: usize = 3;
/// The key of `metadata.json` that has the prefix of ids, in a directory of its own.
pub const PREFIX_KEY: &str = "prefix";

/// What a command line says about where and who.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `--town`.
    pub town: Option<PathBuf>,
    /// `-C`.
    pub directory: Option<PathBuf>,
    /// `--rig`.
    pub rig: Option<String>,
    /// `--actor`.
    pub actor: Option<String>,
}

/// Where beads are.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a town.
    Town {
        /// The town.
        town: Town,
        /// Its rigs.
        registry: Registry,
    },
    /// In a directory of their own.
    Alone {
        /// The `.beads/` directory.
        beads: PathBuf,
        /// The database.
        db: Db,
        /// The prefix of its ids, without dash.
        prefix: String,
    },
}

/// What led to the town or the directory whose beads are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum FoundBy {
    /// `--town` names it.
    #[serde(rename = "--town")]
    Named,
    /// It is around the directory.
    #[serde(rename = "around the directory")]
    Around,
    /// A redirect in or above the directory leads to it.
    #[serde(rename = "redirect")]
    Redirect,
    /// `GT_ROOT` names it.
    #[serde(rename = "GT_ROOT")]
    Environment,
}

/// Which rule chose a database or a rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ChosenBy {
    /// The prefix of an id.
    #[serde(rename = "id")]
    Id,
    /// `--rig`.
    #[serde(rename = "--rig")]
    Rig,
    /// `GT_RIG`, which the town sets for a session.
    #[serde(rename = "GT_RIG")]
    Session,
    /// The directory that a redirect leads to.
    #[serde(rename = "redirect")]
    Redirect,
    /// The directory is a rig's.
    #[serde(rename = "directory")]
    Directory,
    /// There is only one.
    #[serde(rename = "the only one")]
    Only,
    /// Nothing says another: the town's own.
    #[serde(rename = "default")]
    Default,
}

impl std::fmt::Display for FoundBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

impl std::fmt::Display for ChosenBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// A database, and why it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Which.
    pub db: Db,
    /// The rule.
    pub by: ChosenBy,
    /// The `.beads/` directories that were walked, the nearest first; empty where another rule
    /// chose.
    pub chain: Vec<PathBuf>,
}

/// Where and who a command is.
pub struct Context {
    /// What the environment says.
    pub env: Env,
    /// The directory that is meant.
    pub cwd: PathBuf,
    /// Where beads are.
    pub place: Place,
    /// What led there.
    pub found_by: FoundBy,
    /// The rig that was named.
    pub rig: Option<RigName>,
    /// The label of who acts.
    pub actor: Option<String>,
    pub(super) desk: OnceCell<Desk>,
}

fn config(text: impl Into<String>) -> DoorError {
    DoorError::new("config", text)
}

impl Context {
    /// Finds the place that a command means.
    ///
    /// # Errors
    /// Code `config`: there is none, or its files are broken.
    pub fn find(env: Env, wanted: Wanted) -> Result<Self, DoorError> {
        let cwd = directory(&env, wanted.directory.as_deref())?;
        let (place, found_by) = place(&env, &cwd, wanted.town.as_deref())?;
        let actor = wanted.actor.or_else(|| env.actor.clone());
        let rig = wanted.rig.map(RigName);
        Ok(Self { env, cwd, place, found_by, rig, actor, desk: OnceCell::new() })
    }

    /// The town, if the command is in one.
    #[must_use]
    pub fn town(&self) -> Option<&Town> {
        match &self.place {
            Place::Town { town, .. } => Some(town),
            Place::Alone { .. } => None,
        }
    }

    /// Every database with the prefix of its ids, without dash.
    #[must_use]
    pub fn databases(&self) -> Vec<(Db, String)> {
        match &self.place {
            Place::Alone { db, prefix, .. } => vec![(db.clone(), prefix.clone())],
            Place::Town { registry, .. } => {
                let rigs = registry.rigs.iter();
                let rigs = rigs.map(|(name, rig)| (Db::from(name), rig.beads.prefix.clone()));
                std::iter::once((Db::hq(), HQ_PREFIX.to_owned())).chain(rigs).collect()
            }
        }
    }

    /// The database that is meant where no id says it.
    ///
    /// # Errors
    /// The named rig is not there, or a redirect leads nowhere.
    pub fn default_db(&self) -> Result<Db, DoorError> {
        Ok(self.choose()?.db)
    }

    /// As [`Context::default_db`], with the reason: the one place where a default is chosen.
    ///
    /// # Errors
    /// As [`Context::default_db`].
    pub fn choose(&self) -> Result<Chosen, DoorError> {
        let named = |db| Ok(Chosen { db, by: ChosenBy::Rig, chain: Vec::new() });
        match (&self.place, &self.rig) {
            (Place::Alone { db, .. }, None) => {
                let chain = chain(&self.cwd, None)?;
                let by = if chain.len() > 1 { ChosenBy::Redirect } else { ChosenBy::Directory };
                Ok(Chosen { db: db.clone(), by, chain })
            }
            (Place::Alone { .. }, Some(rig)) => {
                Err(config(format!("there is no town here, so there is no rig '{rig}'"))
                    .hint("go to the town's directory, or name it with --town"))
            }
            (Place::Town { .. }, Some(rig)) if rig.as_str() == "hq" => named(Db::hq()),
            (Place::Town { registry, .. }, Some(rig)) => {
                let known: Vec<&str> = registry.rigs.keys().map(RigName::as_str).collect();
                if registry.rigs.contains_key(rig) {
                    return named(Db::from(rig));
                }
                let error = DoorError::new("not_found", format!("no rig '{rig}'"));
                Err(match routing::nearest(rig.as_str(), known.iter().copied()) {
                    Some(near) => error.hint(format!("did you mean '{near}'?")),
                    None => error.hint(format!("there is hq, {}", known.join(", "))),
                })
            }
            (Place::Town { town, registry }, None) => {
                let chain = chain(&self.cwd, Some(town.root()))?;
                let db = located(town, registry, chain.last().unwrap_or(&self.cwd));
                let by = match chain.len() {
                    0 | 1 if db.is_hq() => ChosenBy::Default,
                    0 | 1 => ChosenBy::Directory,
                    _ => ChosenBy::Redirect,
                };
                Ok(Chosen { db, by, chain })
            }
        }
    }

    /// The rig that is meant where none is named: the session's, the directory's, or the only one.
    #[must_use]
    pub fn default_rig(&self) -> Option<(RigName, ChosenBy)> {
        let Place::Town { registry, .. } = &self.place else { return None };
        let known = |rig: &RigName| registry.rigs.contains_key(rig);
        if let Some(rig) = self.env.rig.clone().map(RigName).filter(known) {
            return Some((rig, ChosenBy::Session));
        }
        if let Ok(chosen) = self.choose()
            && let Some(rig) = chosen.db.rig()
        {
            return Some((rig, chosen.by));
        }
        let mut all = registry.rigs.keys();
        all.next().filter(|_| all.next().is_none()).map(|rig| (rig.clone(), ChosenBy::Only))
    }

    /// The database that an id lives in.
    ///
    /// # Errors
    /// No database has its prefix.
    pub fn db_of(&self, id: &BeadId) -> Result<Db, DoorError> {
        routing::route(&self.databases(), id)
    }

    /// What a history is asked of: an id as [`Context::id`], an address, or the name of a rig.
    ///
    /// # Errors
    /// As [`Context::default_db`].
    pub fn subject(&self, text: &str) -> Result<BeadId, DoorError> {
        let is_rig = self.databases().iter().any(|(db, _)| db.as_str() == text);
        if is_rig || text.contains('/') {
            return Ok(BeadId::from(text));
        }
        self.id(text)
    }

    /// The id that was typed; without a prefix it gets that of the default database.
    ///
    /// # Errors
    /// As [`Context::default_db`].
    pub fn id(&self, text: &str) -> Result<BeadId, DoorError> {
        if text.contains('-') {
            return Ok(BeadId::from(text));
        }
        let db = self.default_db()?;
        let databases = self.databases();
        let prefix = databases.iter().find(|(name, _)| *name == db).map(|(_, prefix)| prefix);
        Ok(prefix.map_or_else(|| BeadId::from(text), |prefix| BeadId(format!("{prefix}-{text}"))))
    }
}

fn directory(env: &Env, wanted: Option<&Path>) -> Result<PathBuf, DoorError> {
    let path = wanted.map_or_else(|| env.cwd.clone(), |dir| env.cwd.join(dir));
    path.canonicalize().map_err(|error| config(format!("{}: {error}", path.display())))
}

/// The place that is meant: named, around the directory, or named by the environment.
fn place(env: &Env, cwd: &Path, named: Option<&Path>) -> Result<(Place, FoundBy), DoorError> {
    let town = |root: &Path, by| {
        in_town(wiring::town(root, env.runtime_dir.as_ref())).map(|place| (place, by))
    };
    if let Some(root) = named {
        let root = env.cwd.join(root);
        let root = root.canonicalize().unwrap_or(root);
        return town(&root, FoundBy::Named);
    }
    if let Some(found) = Town::discover(cwd) {
        return town(found.root(), FoundBy::Around);
    }
    let walked = chain(cwd, None)?;
    if let Some(beads) = walked.last() {
        let by = if walked.len() > 1 { FoundBy::Redirect } else { FoundBy::Around };
        return match Town::discover(beads) {
            Some(found) => town(found.root(), by),
            None => alone(beads.clone()).map(|place| (place, by)),
        };
    }
    match &env.root {
        Some(root) => town(root, FoundBy::Environment),
        None => Err(config(format!("there are no beads in {} or above it", cwd.display())).hint(
            "'bd init' makes a place for them here; a town is made by 'gt install' and found by --town or GT_ROOT",
        )),
    }
}

fn in_town(town: Town) -> Result<Place, DoorError> {
    if !town.town_json().is_file() {
        let text = format!("there is no town at {}", town.root().display());
        return Err(config(text).hint("check --town and GT_ROOT; 'gt install' makes one"));
    }
    let registry = Registry::read(&town)?;
    Ok(Place::Town { town, registry })
}

fn alone(beads: PathBuf) -> Result<Place, DoorError> {
    let broken = |what: &str| {
        config(format!("{}: {what}", beads.join("metadata.json").display()))
            .hint("move .beads aside and run 'bd init' again, or put the file back")
    };
    let found = Metadata::read(&Town::new(&beads), &beads)?;
    let Some(found) = found else { return Err(broken("the file is not there")) };
    let prefix = found.more.get(PREFIX_KEY).and_then(serde_json::Value::as_str);
    let Some(prefix) = prefix else { return Err(broken("it names no prefix")) };
    let (db, prefix) = (Db::from(found.dolt_database.as_str()), prefix.to_owned());
    Ok(Place::Alone { beads, db, prefix })
}

/// The database whose directory this is.
fn located(town: &Town, registry: &Registry, at: &Path) -> Db {
    let below = at.strip_prefix(town.root()).ok();
    let first = below.and_then(|below| below.components().next());
    let name = first.and_then(|part| part.as_os_str().to_str()).map(RigName::from);
    name.filter(|name| registry.rigs.contains_key(name)).map_or_else(Db::hq, |rig| Db::from(&rig))
}

/// The `.beads/` directories from the nearest one upwards to the one that it leads to, by at most
/// three redirects; empty where there is none. `root` bounds the search.
///
/// # Errors
/// A redirect names nothing, they go in a circle, or they are too many; the chain is named.
pub fn chain(from: &Path, root: Option<&Path>) -> Result<Vec<PathBuf>, DoorError> {
    let within = |dir: &&Path| root.is_none_or(|root| dir.starts_with(root));
    let nearest =
        from.ancestors().take_while(within).map(|dir| dir.join(".beads")).find(|beads| {
            beads.join("redirect").is_file() || beads.join("metadata.json").is_file()
        });
    let Some(mut beads) = nearest else { return Ok(Vec::new()) };
    let mut chain = vec![beads.clone()];
    while let Some(next) = redirect(&beads)? {
        let cycle = chain.contains(&next);
        chain.push(next.clone());
        let shown = || {
            let steps: Vec<String> = chain.iter().map(|path| path.display().to_string()).collect();
            steps.join(" -> ")
        };
        if cycle {
            return Err(config(format!("redirects go in a circle: {}", shown()))
                .hint("remove one of these redirect files"));
        }
        if chain.len() > REDIRECTS_MAX + 1 {
            let text = format!("more than {REDIRECTS_MAX} redirects: {}", shown());
            return Err(config(text).hint("point the first one at the last directory"));
        }
        beads = next;
    }
    Ok(chain)
}

/// Where a `.beads/` directory leads, if it leads on; paths are from the directory that holds it.
fn redirect(beads: &Path) -> Result<Option<PathBuf>, DoorError> {
    let file = beads.join("redirect");
    if !file.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file)
        .map_err(|error| config(format!("{}: {error}", file.display())))?;
    let mut said = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let Some(said) = said.next() else {
        return Err(config(format!("{} names no directory", file.display())));
    };
    let target = beads.parent().unwrap_or(beads).join(said);
    let found = target.canonicalize().map_err(|error| {
        config(format!("{} leads to {}: {error}", file.display(), target.display()))
            .hint("remove the redirect, or make what it names")
    })?;
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::chain;

    fn lead(root: &Path, from: &str, to: &str) {
        let beads = root.join(from).join(".beads");
        fs::create_dir_all(&beads).unwrap();
        fs::write(beads.join("redirect"), format!("# where\n{to}\n")).unwrap();
    }

    #[test]
    fn redirects_are_followed_three_times() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (from, to) in [("a", "../b/.beads"), ("b", "../c/.beads"), ("c", "../d/.beads")] {
            lead(&root, from, to);
        }
        fs::create_dir_all(root.join("d/.beads")).unwrap();
        fs::create_dir_all(root.join("a/deep/down")).unwrap();
        let found = chain(&root.join("a/deep/down"), None).unwrap();
        assert_eq!(found, ["a", "b", "c", "d"].map(|dir| root.join(dir).join(".beads")));
        lead(&root, "d", "../e/.beads");
        fs::create_dir_all(root.join("e/.beads")).unwrap();
        let error = chain(&root.join("a"), None).unwrap_err();
        assert!(error.error.starts_with("more than 3 redirects"), "{error}");
        let found = chain(&root.join("b"), None).unwrap();
        assert_eq!(found.last(), Some(&root.join("e/.beads")));
    }

    #[test]
    fn circles_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        lead(&root, "a", "../b/.beads");
        fs::create_dir_all(root.join("b/.beads")).unwrap();
        lead(&root, "b", "../a/.beads");
        let error = chain(&root.join("a"), None).unwrap_err();
        let at = root.display();
        let text =
            format!("redirects go in a circle: {at}/a/.beads -> {at}/b/.beads -> {at}/a/.beads");
        assert_eq!(error.error, text);
        lead(&root, "c", "../nowhere/.beads");
        assert!(chain(&root.join("c"), None).unwrap_err().error.contains("/nowhere/.beads"));
    }
}
