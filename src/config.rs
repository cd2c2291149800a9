//! Typed settings of a town, in layers: the only reader of the environment and of settings files.
//!
//! Built-in defaults < `mayor/daemon.json` (periods only) < `settings/config.json` < environment.
//! A setting is an environment variable `GT_` and its key in capitals, with two underscores for
//! each dot: `GT_STORE__CACHE_MB`. An unknown key or a value of the wrong type is an error that
//! names the file and the key. Nothing here starts, opens or decides anything.

pub mod duration;
pub mod edit;
pub mod env;
pub mod error;
mod layers;
pub mod presets;
pub mod registry;
#[cfg(test)]
mod tests;
pub mod town;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde::de::value::MapAccessDeserializer;

pub use crate::config::error::ConfigError;
pub use crate::config::layers::load;
pub use crate::config::layers::load_with;
use crate::config::presets::AgentPreset;
use crate::config::presets::builtin;
use crate::machines::limits::Life;
use crate::machines::limits::Limits;
use crate::messages::QueueSettings;
use crate::model::ids::RigName;
use crate::model::merge::GateSpec;
use crate::model::merge::LandingStyle;
use crate::model::merge::TestsWanted;
use crate::model::value::Name;

/// All settings of a town, complete: every field has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Always `town-settings`: what the file is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Version of the file's form: 1.
    pub version: u32,
    /// The preset of a session that names none.
    pub default_agent: String,
    /// Agent presets by name; the built-in ones are there unless overridden.
    pub agents: BTreeMap<String, AgentPreset>,
    /// Environment of every agent, beside its identity.
    pub agent_env: BTreeMap<String, String>,
    /// Names of variables of the daemon's own environment that agents get too.
    pub pass_env: Vec<String>,
    /// Environment of every gate; no secrets.
    pub gate_env: BTreeMap<String, String>,
    /// Milliseconds for a gate that has no `timeout` of its own.
    pub gate_timeout: i64,
    /// Milliseconds for one git command.
    pub git_timeout: i64,
    /// The past.
    pub history: History,
    /// Git jobs at once.
    pub git_jobs: usize,
    /// Checkouts of a rig that wait for the next gate run; 0 makes each anew.
    pub gate_checkouts: usize,
    /// Bound of one log, in bytes.
    pub log_max_bytes: u64,
    /// How long stored data lives, and how much there may be of it.
    pub life: Life,
    /// Bounds and periods of the machines.
    pub limits: Limits,
    /// The person.
    pub owner: Owner,
    /// Merge queues, unless a rig says otherwise.
    pub queue: QueueDefaults,
    /// What rigs have of their own, by name.
    pub rigs: BTreeMap<String, RigSettings>,
    /// The ledger.
    pub store: StoreSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kind: "town-settings".to_owned(),
            version: 1,
            default_agent: presets::SCRIPTED.to_owned(),
            agents: builtin(),
            agent_env: BTreeMap::new(),
            pass_env: Vec::new(),
            gate_env: BTreeMap::new(),
            gate_timeout: 10 * 60_000,
            git_timeout: 120_000,
            history: History::default(),
            life: Life::default(),
            git_jobs: 8,
            gate_checkouts: 4,
            log_max_bytes: 8 << 20,
            limits: Limits::default(),
            owner: Owner::default(),
            queue: QueueDefaults::default(),
            rigs: BTreeMap::new(),
            store: StoreSettings::default(),
        }
    }
}

/// How far back the past can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// Milliseconds. The newest seventh keeps every commit, the rest the last of each 168th: with
    /// seven days, all of a day and one an hour before it. The bounds of `life` win.
    pub keep: i64,
}

impl Default for History {
    fn default() -> Self {
        Self { keep: Life::default().history_keep_ms }
    }
}

/// The person whose town it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Owner {
    /// Name.
    pub name: String,
    /// E-mail of every commit made in the town.
    pub email: String,
}

impl Default for Owner {
    fn default() -> Self {
        Self { name: "overseer".to_owned(), email: "overseer@localhost".to_owned() }
    }
}

/// How merge queues run unless a rig says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueDefaults {
    /// How a merge request's commits come to the target: `rebase`, `squash` or `merge`.
    pub landing_style: LandingStyle,
    /// Most merge requests in one stack; how many are stacked follows from the failure rate.
    pub batch_max: usize,
    /// Milliseconds that a merge request waits for others to be stacked with.
    pub batch_wait_ms: i64,
    /// Runs of all gates at once.
    pub slots: usize,
    /// Runs of all gates at once that were asked for ahead of the queue (`gt verify`), per rig.
    pub verify_slots: usize,
    /// Most innocents sent back because of flaky gates, in a million merge requests.
    pub evict_error_ppm: i64,
    /// Milliseconds that a green run of the target speaks for it when the first of a stack is red.
    pub base_age_ms: i64,
    /// Runs in a row that could not run before a person is told.
    pub stuck_max: i64,
    /// Returns of one bead before a person is told.
    pub rework_max: i64,
}

impl Default for QueueDefaults {
    fn default() -> Self {
        Self {
            landing_style: LandingStyle::Rebase,
            batch_max: 64,
            batch_wait_ms: 0,
            slots: 2,
            verify_slots: 1,
            evict_error_ppm: 100,
            base_age_ms: 60 * 60_000,
            stuck_max: 3,
            rework_max: 3,
        }
    }
}

/// What one rig has of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RigSettings {
    /// What prepares a candidate's checkout before its gates run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<SetupSettings>,
    /// The gates.
    #[serde(skip_serializing_if = "Gates::is_unset")]
    pub gates: Gates,
    /// The branch that work lands on; else the one that `gt rig add` found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// As [`QueueDefaults::landing_style`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landing_style: Option<LandingStyle>,
    /// As [`QueueDefaults::batch_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_max: Option<usize>,
    /// As [`QueueDefaults::slots`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<usize>,
    /// As [`QueueDefaults::stuck_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck_max: Option<i64>,
    /// As [`QueueDefaults::rework_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rework_max: Option<i64>,
}

/// The gates of a rig. Nothing lands where neither is said (I10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gates {
    /// By name.
    Named(BTreeMap<String, GateSettings>),
    /// The word `none`: everything may land.
    None,
}

impl Default for Gates {
    fn default() -> Self {
        Self::Named(BTreeMap::new())
    }
}

impl Gates {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        matches!(self, Self::Named(gates) if gates.is_empty())
    }
}

impl Serialize for Gates {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(gates) => gates.serialize(serializer),
            Self::None => serializer.serialize_str("none"),
        }
    }
}

impl<'de> Deserialize<'de> for Gates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Gates;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("gates by name, each with cmd and timeout, or the word \"none\"")
            }
            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Gates, E> {
                match word {
                    "none" => Ok(Gates::None),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Gates, A::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(map)).map(Gates::Named)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

/// One gate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateSettings {
    /// The shell command; it must not be empty.
    pub cmd: String,
    /// Milliseconds until its whole process tree is ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// Least number of tests that it must tell of; fewer is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tests: Option<u64>,
    /// How it tells of them, with `{n}` for the number, where its runner is not a known one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests_pattern: Option<String>,
}

/// The name of the setup step among the gates.
pub const SETUP: &str = "setup";

/// What prepares a checkout, such as fetching dependencies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SetupSettings {
    /// The shell command; it must not be empty.
    pub cmd: String,
    /// Milliseconds until its whole process tree is ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

/// Which engine holds the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoltMode {
    /// Compiled in.
    #[default]
    Embedded,
    /// One `dolt sql-server` per town.
    Server,
}

impl DoltMode {
    /// The word of the settings and of `.beads/metadata.json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Server => "server",
        }
    }
}

/// The ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// Page cache of one database in megabytes.
    pub cache_mb: u32,
    /// Which engine.
    pub dolt_mode: DoltMode,
    /// Most reading connections of one database.
    pub readers: usize,
    /// Milliseconds that a caller waits for a reading connection.
    pub reader_wait_ms: u64,
    /// Milliseconds that a connection waits for another one's commit.
    pub busy_ms: i32,
    /// Milliseconds that a command waits for another process's writer lock.
    pub writer_wait_ms: u64,
    /// 0 to 255: tells this clone's keys from another's.
    pub writer_id: i64,
    /// Tries of a group whose commit collides with another writer's.
    pub retries: u32,
    /// The program that serves a town in server mode; a name is looked up in PATH.
    pub dolt: String,
    /// Port of the town's own server, on loopback.
    pub port: u16,
    /// A server that somebody else keeps: then the town starts and stops none. `GT_DOLT_HOST`
    /// and its like set it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalServer>,
}

/// A Dolt server that is not the town's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExternalServer {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Name of the environment variable that has the password; empty is no password.
    pub password_env: String,
    /// Whether the connection must be encrypted.
    pub tls: bool,
}

impl Default for ExternalServer {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 3307,
            user: "root".to_owned(),
            password_env: "GT_DOLT_PASSWORD".to_owned(),
            tls: false,
        }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            cache_mb: 64,
            dolt_mode: DoltMode::Embedded,
            readers: 4,
            reader_wait_ms: 10_000,
            busy_ms: 5_000,
            writer_wait_ms: 10_000,
            writer_id: 0,
            retries: 5,
            dolt: "dolt".to_owned(),
            port: 3307,
            external: None,
        }
    }
}

impl Settings {
    /// How long stored data lives, the past among it.
    #[must_use]
    pub fn life(&self) -> Life {
        Life { history_keep_ms: self.history.keep, ..self.life.clone() }
    }

    /// How a rig's queue runs. `target` is what the registry says; a rig's own `target` wins. The
    /// environment is left to whoever knows it.
    #[must_use]
    pub fn queue_settings(&self, rig: &RigName, target: &str) -> QueueSettings {
        let own = self.rigs.get(rig.as_str()).cloned().unwrap_or_default();
        let gates_none = own.gates == Gates::None;
        let gates = match own.gates {
            Gates::Named(gates) => gates,
            Gates::None => BTreeMap::new(),
        };
        let spec = |(name, gate): (String, GateSettings)| GateSpec {
            tests: gate
                .min_tests
                .map(|min| TestsWanted { min, pattern: gate.tests_pattern.clone() }),
            ..GateSpec::new(&name, &gate.cmd, gate.timeout.unwrap_or(self.gate_timeout))
        };
        // Alone it proves nothing: a rig with a setup step and no gates has no gates.
        let setup = own.setup.filter(|_| !gates.is_empty()).map(|setup| GateSpec {
            setup: true,
            ..GateSpec::new(SETUP, &setup.cmd, setup.timeout.unwrap_or(self.gate_timeout))
        });
        QueueSettings {
            target: own.target.unwrap_or_else(|| target.to_owned()),
            gates: setup.into_iter().chain(gates.into_iter().map(spec)).collect(),
            gates_none,
            environment: Name::default(),
            style: own.landing_style.unwrap_or(self.queue.landing_style),
            batch_max: own.batch_max.unwrap_or(self.queue.batch_max),
            batch_wait_ms: self.queue.batch_wait_ms,
            slots: own.slots.unwrap_or(self.queue.slots),
            evict_error_ppm: self.queue.evict_error_ppm,
            base_age_ms: self.queue.base_age_ms,
            stuck_max: own.stuck_max.unwrap_or(self.queue.stuck_max),
            rework_max: own.rework_max.unwrap_or(self.queue.rework_max),
        }
    }
}
