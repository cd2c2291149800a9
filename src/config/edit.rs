//! Reading and changing single settings by dotted key.

use std::collections::BTreeMap;
use std::fs::File;

use rustix::fs::FlockOperation;
use serde_json::Value;

use crate::adapters::files;
use crate::adapters::layout::Town;
use crate::config::ConfigError;
use crate::config::DoltMode;
use crate::config::Settings;
use crate::config::layers;
use crate::config::layers::FILE;
use crate::config::layers::Layer;
use crate::config::layers::Tree;
use crate::config::presets;

/// One setting with its value in force and the layer that it comes from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// The dotted key.
    pub key: String,
    /// The value.
    pub value: Value,
    /// `built in`, a file, or an environment variable.
    pub origin: String,
}

fn path_of(key: &str) -> Vec<String> {
    key.split('.').map(str::to_owned).collect()
}

/// Every setting in force, by key.
///
/// # Errors
/// As [`crate::config::load_with`].
pub fn list(town: &Town, vars: &BTreeMap<String, String>) -> Result<Vec<Entry>, ConfigError> {
    let all = layers::layers(town, vars)?;
    let whole = tree_of(&layers::merged(&all)?);
    let mut entries: Vec<Entry> = layers::leaves(&whole)
        .into_iter()
        .map(|(path, value)| {
            let origin = layers::origin(&all, &path).to_owned();
            Entry { key: path.join("."), value, origin }
        })
        .collect();
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(entries)
}

/// One setting in force: a value, or a whole table.
///
/// # Errors
/// [`ConfigError::NoSuchKey`], and as [`crate::config::load_with`].
pub fn get(town: &Town, vars: &BTreeMap<String, String>, key: &str) -> Result<Entry, ConfigError> {
    let all = layers::layers(town, vars)?;
    let whole = tree_of(&layers::merged(&all)?);
    let path = path_of(key);
    let Some(value) = layers::at(&whole, &path) else {
        let keys: Vec<String> =
            layers::leaves(&whole).into_iter().map(|(path, _)| path.join(".")).collect();
        let last = path.last().map_or("", String::as_str);
        let near = keys.iter().find(|known| known.rsplit('.').next() == Some(last));
        let near = near.map_or(String::new(), |known| format!(" (there is '{known}')"));
        return Err(ConfigError::NoSuchKey { key: key.to_owned(), near });
    };
    let origin = layers::origin(&all, &path).to_owned();
    Ok(Entry { key: key.to_owned(), value: value.clone(), origin })
}

/// Sets a key in `settings/config.json`. Text is read as the type that the key has.
///
/// # Errors
/// The key is unknown, the value does not fit, or the whole would not hold; nothing is changed.
pub fn set(
    town: &Town,
    vars: &BTreeMap<String, String>,
    key: &str,
    text: &str,
) -> Result<Entry, ConfigError> {
    let path = path_of(key);
    let value = layers::fitting(FILE, &path, text)?;
    change(town, vars, |tree| layers::put(tree, &path, value))?;
    get(town, vars, key)
}

/// Takes a key out of `settings/config.json`, so that the layer below holds again.
///
/// # Errors
/// The file does not have it, or the whole would not hold; nothing is changed.
pub fn unset(town: &Town, vars: &BTreeMap<String, String>, key: &str) -> Result<(), ConfigError> {
    let path = path_of(key);
    let mut found = false;
    change(town, vars, |tree| found = take(tree, &path))?;
    if found {
        return Ok(());
    }
    let near = format!(" in {FILE}");
    Err(ConfigError::NoSuchKey { key: key.to_owned(), near })
}

/// Makes or changes a preset of the town's own.
///
/// # Errors
/// As [`set`].
pub fn set_agent(
    town: &Town,
    vars: &BTreeMap<String, String>,
    name: &str,
    command: &str,
) -> Result<(), ConfigError> {
    check_agent_name(name)?;
    set(town, vars, &format!("agents.{name}.command"), command).map(|_| ())
}

/// Removes a preset of the town's own; a built-in one that was overridden is itself again.
///
/// # Errors
/// It is built in, or something still names it.
pub fn remove_agent(
    town: &Town,
    vars: &BTreeMap<String, String>,
    name: &str,
) -> Result<(), ConfigError> {
    let ours = layers::read_tree(town)?.unwrap_or_default();
    if layers::at(&ours, &["agents".to_owned(), name.to_owned()]).is_some() {
        return unset(town, vars, &format!("agents.{name}"));
    }
    Err(ConfigError::Refused(match presets::builtin().contains_key(name) {
        true => format!("agent '{name}' is built in: it can be overridden, not removed"),
        false => format!("no agent '{name}'; 'gt config agent list' shows all of them"),
    }))
}

fn check_agent_name(name: &str) -> Result<(), ConfigError> {
    let fits = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        return Ok(());
    }
    Err(ConfigError::Refused(format!(
        "'{name}' cannot name an agent: use letters, digits, '-' and '_', at most 64"
    )))
}

/// Changes the settings file: all of it is checked before any of it is written.
pub(super) fn change(
    town: &Town,
    vars: &BTreeMap<String, String>,
    edit: impl FnOnce(&mut Tree),
) -> Result<(), ConfigError> {
    let dir = town.settings();
    let held = File::open(&dir).map_err(ConfigError::io(&dir))?;
    // Two changes at once would lose one; the directory itself is the lock.
    rustix::fs::flock(&held, FlockOperation::LockExclusive)
        .map_err(|error| ConfigError::io(&dir)(error.into()))?;
    let old = layers::read_tree(town)?.unwrap_or_default();
    let mut new = old.clone();
    edit(&mut new);
    if new == old {
        return Ok(());
    }
    let mode = ["store".to_owned(), "dolt_mode".to_owned()];
    if layers::at(&new, &mode) != layers::at(&old, &mode) {
        // Where the rows are does not follow a word in a file.
        return Err(ConfigError::Refused(
            "store.dolt_mode is not set by hand: 'gt install --store server' makes a new town with \
             a server, 'gt store convert --to server|embedded' moves the ledger of this one"
                .to_owned(),
        ));
    }
    let layer = layers::checked(FILE, new.clone())?;
    layers::merged(&layers::with_file(town, vars, layer)?)?;
    write(town, new)
}

/// Says which engine has the ledger, after the ledger is there.
///
/// # Errors
/// The file cannot be read or written, or does not hold.
pub fn set_mode(town: &Town, mode: DoltMode) -> Result<(), ConfigError> {
    let mut tree = layers::read_tree(town)?.unwrap_or_default();
    let path = ["store".to_owned(), "dolt_mode".to_owned()];
    layers::put(&mut tree, &path, Value::from(mode.as_str()));
    let Layer { tree, .. } = layers::checked(FILE, tree)?;
    write(town, tree)
}

/// Writes the settings file with sorted keys.
pub(super) fn write(town: &Town, tree: Tree) -> Result<(), ConfigError> {
    let path = town.config_json();
    let mut text = serde_json::to_vec_pretty(&sorted(Value::Object(tree)))
        .map_err(|error| ConfigError::Syntax { file: FILE.to_owned(), why: error.to_string() })?;
    text.push(b'\n');
    files::write_atomic(&path, &text, 0o600).map_err(ConfigError::io(&path))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(tree) => {
            let by_key: BTreeMap<String, Value> =
                tree.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(by_key.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Takes out what stands at a path, and the tables that are empty then.
fn take(tree: &mut Tree, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    if rest.is_empty() {
        return tree.remove(first).is_some();
    }
    let Some(Value::Object(inner)) = tree.get_mut(first) else { return false };
    let found = take(inner, rest);
    if found && inner.is_empty() {
        tree.remove(first);
    }
    found
}

fn tree_of(settings: &Settings) -> Tree {
    let tree = serde_json::to_value(settings);
    match tree {
        Ok(Value::Object(tree)) => tree,
        // Settings are plain data with text keys.
        other => unreachable!("settings have a JSON form: {other:?}"),
    }
}

/// What is said of the ledger when a town is made; what is not said is a default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstStore {
    /// The engine.
    pub mode: DoltMode,
    /// Port of the town's own server.
    pub port: Option<u16>,
    /// The program that serves.
    pub dolt: Option<String>,
}

/// What `gt install` writes: the person, the engine, and nothing that is a default anyway.
///
/// # Errors
/// The file cannot be written.
pub fn write_first(
    town: &Town,
    name: &str,
    email: &str,
    store: &FirstStore,
) -> Result<(), ConfigError> {
    let mut value = serde_json::json!({
        "type": "town-settings",
        "version": 1,
        "default_agent": presets::SCRIPTED,
        "owner": {"name": name, "email": email},
    });
    if store.mode != DoltMode::default() {
        value["store"]["dolt_mode"] = Value::from(store.mode.as_str());
    }
    if let Some(port) = store.port {
        value["store"]["port"] = Value::from(port);
    }
    if let Some(dolt) = &store.dolt {
        value["store"]["dolt"] = Value::from(dolt.as_str());
    }
    match value {
        Value::Object(tree) => {
            let Layer { tree, .. } = layers::checked(FILE, tree)?;
            write(town, tree)
        }
        _ => Ok(()),
    }
}
