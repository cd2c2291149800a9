//! The layers of the settings: each is checked leaf by leaf, then all are laid over one another.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use config::Config;
use config::Map as ConfigMap;
use config::Source;
use config::Value as ConfigValue;
use config::ValueKind;
use serde_json::Map;
use serde_json::Value;

use crate::adapters::layout::Town;
use crate::config::ConfigError;
use crate::config::Gates;
use crate::config::RigSettings;
use crate::config::SETUP;
use crate::config::Settings;
use crate::config::duration;
use crate::config::town::DaemonFile;
use crate::machines::limits::Limits;

/// Where a value comes from when nobody said anything.
pub(super) const BUILT_IN: &str = "built in";
/// The settings file, as messages name it.
pub(super) const FILE: &str = "settings/config.json";
const PREFIX: &str = "GT_";
/// Variables that name a server which somebody else keeps, and the setting of each. The password
/// is none: it is read when a connection is made, and is in no layer.
const EXTERNAL: [(&str, &str); 4] = [
    ("GT_DOLT_HOST", "host"),
    ("GT_DOLT_PORT", "port"),
    ("GT_DOLT_USER", "user"),
    ("GT_DOLT_TLS", "tls"),
];

/// A JSON object.
pub(super) type Tree = Map<String, Value>;
/// A path of keys with what stands there.
pub(super) type Leaf = (Vec<String>, Value);

/// One layer: values and where they come from.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) origin: String,
    pub(super) tree: Tree,
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<ConfigMap<String, ConfigValue>, config::ConfigError> {
        let entries = self.tree.iter();
        Ok(entries.map(|(k, v)| (k.clone(), to_config(&self.origin, v))).collect())
    }
}

fn to_config(origin: &String, value: &Value) -> ConfigValue {
    let kind = match value {
        Value::Null => ValueKind::Nil,
        Value::Bool(b) => ValueKind::Boolean(*b),
        Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => ValueKind::I64(n),
            (None, Some(n)) => ValueKind::U64(n),
            (None, None) => ValueKind::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => ValueKind::String(text.clone()),
        Value::Array(items) => {
            ValueKind::Array(items.iter().map(|item| to_config(origin, item)).collect())
        }
        Value::Object(tree) => {
            ValueKind::Table(tree.iter().map(|(k, v)| (k.clone(), to_config(origin, v))).collect())
        }
    };
    ConfigValue::new(Some(origin), kind)
}

/// The settings of the town with these variables of the environment.
///
/// # Errors
/// [`ConfigError`] naming the file or variable and the key.
pub fn load_with(town: &Town, vars: &BTreeMap<String, String>) -> Result<Settings, ConfigError> {
    merged(&layers(town, vars)?)
}

/// The settings of the town with the environment of this process.
///
/// # Errors
/// As [`load_with`].
pub fn load(town: &Town) -> Result<Settings, ConfigError> {
    load_with(town, &super::env::variables())
}

/// All layers, lowest first, each checked by itself.
pub(super) fn layers(
    town: &Town,
    vars: &BTreeMap<String, String>,
) -> Result<Vec<Layer>, ConfigError> {
    let file = match read_tree(town)? {
        Some(tree) => checked(FILE, tree)?,
        None => Layer { origin: FILE.to_owned(), tree: Tree::new() },
    };
    with_file(town, vars, file)
}

/// The same with another settings file than the one on disk.
pub(super) fn with_file(
    town: &Town,
    vars: &BTreeMap<String, String>,
    file: Layer,
) -> Result<Vec<Layer>, ConfigError> {
    let daemon = checked("mayor/daemon.json", DaemonFile::read(town)?.settings()?)?;
    let mut all = vec![defaults(), daemon, file];
    all.extend(environment(vars)?);
    Ok(all)
}

/// What is built in, as the lowest layer.
pub(super) fn defaults() -> Layer {
    let tree = match serde_json::to_value(Settings::default()) {
        Ok(Value::Object(tree)) => tree,
        // Settings are plain data with text keys.
        other => unreachable!("settings have a JSON form: {other:?}"),
    };
    Layer { origin: BUILT_IN.to_owned(), tree }
}

/// The settings file as it stands; `None` when there is none.
pub(super) fn read_tree(town: &Town) -> Result<Option<Tree>, ConfigError> {
    let path = town.config_json();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConfigError::io(&path)(error)),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| ConfigError::Syntax { file: FILE.to_owned(), why: error.to_string() })
}

/// A layer whose every leaf is a known key with a value of its type.
pub(super) fn checked(origin: &str, tree: Tree) -> Result<Layer, ConfigError> {
    let mut normal = Tree::new();
    for (path, value) in leaves(&tree) {
        let value = duration::normal(path.last().map_or("", String::as_str), value);
        check_leaf(origin, &path, &value)?;
        put(&mut normal, &path, value);
    }
    Ok(Layer { origin: origin.to_owned(), tree: normal })
}

/// Whether one leaf alone would be a valid setting.
pub(super) fn check_leaf(origin: &str, path: &[String], value: &Value) -> Result<(), ConfigError> {
    let name = path.last().map_or("", String::as_str);
    if let Value::String(text) = value
        && duration::is_duration(name)
        && duration::parse_ms(text).is_none()
    {
        let why = format!("'{text}' is no duration like \"30s\" or \"5m\"");
        let (file, key) = (origin.to_owned(), path.join("."));
        return Err(ConfigError::Key { file, key, why });
    }
    let mut alone = Tree::new();
    put(&mut alone, path, value.clone());
    serde_json::from_value::<Settings>(Value::Object(alone)).map(|_| ()).map_err(|error| {
        let key = path.join(".");
        ConfigError::Key { file: origin.to_owned(), key, why: error.to_string() }
    })
}

/// Every value that is no table, and every empty table, with its path.
pub(super) fn leaves(tree: &Tree) -> Vec<Leaf> {
    let mut found = Vec::new();
    collect(tree, &mut Vec::new(), &mut found);
    found
}

fn collect(tree: &Tree, path: &mut Vec<String>, found: &mut Vec<Leaf>) {
    for (key, value) in tree {
        path.push(key.clone());
        match value {
            Value::Object(inner) if !inner.is_empty() => collect(inner, path, found),
            other => found.push((path.clone(), other.clone())),
        }
        path.pop();
    }
}

/// Puts a value at a path, making tables on the way; whatever else stood in the way goes.
pub(super) fn put(tree: &mut Tree, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            tree.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = tree.entry(first.clone()).or_insert_with(|| Value::Object(Tree::new()));
            if !inner.is_object() {
                *inner = Value::Object(Tree::new());
            }
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// What stands at a path.
pub(super) fn at<'a>(tree: &'a Tree, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = tree.get(first)?;
    match (rest, value) {
        ([], value) => Some(value),
        (rest, Value::Object(inner)) => at(inner, rest),
        _ => None,
    }
}

/// One layer per variable that is a setting, so that each is its own origin.
///
/// A name with two underscores in a row is a setting; one without is a setting if it is the name
/// of a plain top-level key. Other `GT_` names are not ours to judge: identity uses them.
fn environment(vars: &BTreeMap<String, String>) -> Result<Vec<Layer>, ConfigError> {
    let plain = defaults().tree;
    let mut found = Vec::new();
    for (name, key) in EXTERNAL {
        let Some(text) = vars.get(name).filter(|text| !text.is_empty()) else { continue };
        let text = match (key, text.as_str()) {
            ("tls", "1") => "true",
            ("tls", "0") => "false",
            (_, text) => text,
        };
        let path = ["store", "external", key].map(str::to_owned).to_vec();
        let origin = format!("environment {name}");
        let value = fitting(&origin, &path, text)?;
        let mut tree = Tree::new();
        put(&mut tree, &path, value);
        found.push(Layer { origin, tree });
    }
    for (name, text) in vars {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        let known = plain.get(&path[0]).is_some_and(|value| !value.is_object());
        if path.len() == 1 && !known {
            continue;
        }
        let origin = format!("environment {name}");
        let value = fitting(&origin, &path, text)?;
        let mut tree = Tree::new();
        put(&mut tree, &path, value);
        found.push(Layer { origin, tree });
    }
    Ok(found)
}

/// The value that a text stands for at a path: the text itself, a duration, or JSON.
pub(super) fn fitting(origin: &str, path: &[String], text: &str) -> Result<Value, ConfigError> {
    let name = path.last().map_or("", String::as_str);
    let plain = duration::normal(name, Value::String(text.to_owned()));
    let json: Option<Value> = serde_json::from_str(text).ok();
    let structured = text.starts_with(['[', '{']);
    let mut tries: Vec<Value> = std::iter::once(plain).chain(json).collect();
    if structured {
        tries.reverse();
    }
    let mut last = None;
    for value in tries {
        match check_leaf(origin, path, &value) {
            Ok(()) => return Ok(value),
            // The reading that comes second is the one whose type was more likely meant.
            Err(error) => last = Some(error),
        }
    }
    let key = path.join(".");
    let nothing = || ConfigError::Key { file: origin.to_owned(), key, why: "no value".to_owned() };
    Err(last.unwrap_or_else(nothing))
}

/// All layers as one, with what only holds of the whole.
pub(super) fn merged(layers: &[Layer]) -> Result<Settings, ConfigError> {
    let builder = layers.iter().fold(Config::builder(), |b, layer| b.add_source(layer.clone()));
    let whole = builder.build().and_then(Config::try_deserialize::<Settings>);
    let settings = whole
        .map_err(|error| ConfigError::Syntax { file: FILE.to_owned(), why: error.to_string() })?;
    let problem = complaint(&settings);
    match problem {
        None => Ok(settings),
        Some((path, why)) => {
            let file = origin(layers, &path).to_owned();
            Err(ConfigError::Key { file, key: path.join("."), why })
        }
    }
}

/// The highest layer that says something at the path or below it.
pub(super) fn origin<'a>(layers: &'a [Layer], path: &[String]) -> &'a str {
    let said = |layer: &&Layer| {
        (1..=path.len()).rev().any(|len| match at(&layer.tree, &path[..len]) {
            Some(Value::Object(_)) => len == path.len(),
            Some(_) => true,
            None => false,
        })
    };
    layers.iter().rev().find(said).map_or(FILE, |layer| layer.origin.as_str())
}

/// The first thing that is wrong with the whole: its path, and why.
fn complaint(settings: &Settings) -> Option<(Vec<String>, String)> {
    let path = |parts: &[&str]| parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
    if settings.version != 1 {
        let why = format!("version {} is not known: this gt knows 1", settings.version);
        return Some((path(&["version"]), why));
    }
    for (name, preset) in &settings.agents {
        if preset.command.argv().is_empty() {
            return Some((path(&["agents", name, "command"]), "is empty".to_owned()));
        }
    }
    if !settings.agents.contains_key(&settings.default_agent) {
        let known: Vec<&str> = settings.agents.keys().map(String::as_str).collect();
        let why = format!("no agent '{}': known are {}", settings.default_agent, known.join(", "));
        return Some((path(&["default_agent"]), why));
    }
    for (rig, own) in &settings.rigs {
        if own.batch_max == Some(0) {
            return Some((path(&["rigs", rig, "batch_max"]), "must be 1 or more".to_owned()));
        }
        if own.slots == Some(0) {
            return Some((path(&["rigs", rig, "slots"]), "must be 1 or more".to_owned()));
        }
        if let Some((last, why)) = gate_complaint(own) {
            return Some(([path(&["rigs", rig]), last].concat(), why));
        }
    }
    bounds(settings).map(|(parts, why)| (path(&parts), why))
}

/// What is wrong with a rig's gates or their setup step: its path below the rig, and why.
fn gate_complaint(own: &RigSettings) -> Option<(Vec<String>, String)> {
    let path = |parts: &[&str]| parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
    let positive = "must be more than 0".to_owned();
    if let Some(setup) = &own.setup {
        if setup.cmd.trim().is_empty() {
            return Some((path(&["setup", "cmd"]), "a setup step needs a command".to_owned()));
        }
        if setup.timeout.is_some_and(|ms| ms <= 0) {
            return Some((path(&["setup", "timeout"]), positive));
        }
    }
    let Gates::Named(gates) = &own.gates else { return None };
    for (name, gate) in gates {
        let at = |last| path(&["gates", name, last]);
        if crate::adapters::layout::component(name).is_err() {
            let why = "a gate's name has letters, digits, '-' and '_'".to_owned();
            return Some((path(&["gates", name]), why));
        }
        if name == SETUP && own.setup.is_some() {
            let why = "the rig's setup step has that name".to_owned();
            return Some((path(&["gates", name]), why));
        }
        if gate.cmd.trim().is_empty() {
            return Some((at("cmd"), "a gate needs a command".to_owned()));
        }
        if gate.timeout.is_some_and(|ms| ms <= 0) {
            return Some((at("timeout"), positive));
        }
        if gate.min_tests == Some(0) {
            return Some((at("min_tests"), "must be 1 or more".to_owned()));
        }
        if let Some(pattern) = &gate.tests_pattern {
            if !pattern.contains("{n}") {
                return Some((at("tests_pattern"), "needs {n} where the number is".to_owned()));
            }
            if gate.min_tests.is_none() {
                return Some((at("tests_pattern"), "means nothing without min_tests".to_owned()));
            }
        }
    }
    None
}

/// Numbers that must not be zero or negative.
fn bounds(settings: &Settings) -> Option<(Vec<&'static str>, String)> {
    let Limits { polecats_max, group_max, lane_queue_max, dispatch_batch, relay_batch, .. } =
        settings.limits;
    let counts = [
        (vec!["limits", "polecats_max"], polecats_max),
        (vec!["limits", "group_max"], group_max),
        (vec!["limits", "lane_queue_max"], lane_queue_max),
        (vec!["limits", "dispatch_batch"], dispatch_batch),
        (vec!["limits", "relay_batch"], relay_batch),
        (vec!["queue", "batch_max"], settings.queue.batch_max),
        (vec!["life", "decay_batch"], settings.life.decay_batch),
        (vec!["queue", "slots"], settings.queue.slots),
        (vec!["queue", "verify_slots"], settings.queue.verify_slots),
        (vec!["git_jobs"], settings.git_jobs),
        (vec!["store", "readers"], settings.store.readers),
    ];
    let zero = counts.into_iter().find(|(_, count)| *count == 0);
    if let Some((path, _)) = zero {
        return Some((path, "must be 1 or more".to_owned()));
    }
    let limits = &settings.limits;
    let times = [
        (vec!["gate_timeout"], settings.gate_timeout),
        (vec!["git_timeout"], settings.git_timeout),
        (vec!["limits", "patrol_every_ms"], limits.patrol_every_ms),
        (vec!["limits", "heartbeat_every_ms"], limits.heartbeat_every_ms),
        (vec!["limits", "reaper_every_ms"], limits.reaper_every_ms),
        (vec!["limits", "backup_every_ms"], limits.backup_every_ms),
        (vec!["limits", "archive_every_ms"], limits.archive_every_ms),
        (vec!["limits", "compactor_every_ms"], limits.compactor_every_ms),
        (vec!["limits", "doctor_every_ms"], limits.doctor_every_ms),
        (vec!["life", "ephemera_keep_ms"], settings.life.ephemera_keep_ms),
        (vec!["life", "beads_keep_ms"], settings.life.beads_keep_ms),
        (vec!["life", "commits_max"], settings.life.commits_max),
        (vec!["life", "size_mb_max"], settings.life.size_mb_max),
        (vec!["life", "growth_max"], settings.life.growth_max),
        (vec!["history", "keep"], settings.history.keep),
        (vec!["limits", "effect_deadline_ms"], limits.effect_deadline_ms),
        (vec!["limits", "effect_retry_ms"], limits.effect_retry_ms),
    ];
    let short = times.into_iter().find(|(_, ms)| *ms <= 0);
    if let Some((path, _)) = short {
        return Some((path, "must be more than 0".to_owned()));
    }
    let ppm = settings.queue.evict_error_ppm;
    (!(1..=1_000_000).contains(&ppm)).then(|| {
        let why = "must be 1 to 1000000: no number of runs is enough for 0".to_owned();
        (vec!["queue", "evict_error_ppm"], why)
    })
}
