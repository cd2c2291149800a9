//! The town's own files: who it is, its patrols, and the seats of accounts, escalation and mail.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::adapters::files;
use crate::adapters::layout::Town;
use crate::config::ConfigError;
use crate::config::duration;

/// A period that never comes: about a hundred years.
const NEVER_MS: i64 = 100 * 365 * 86_400_000;

/// Reads a JSON file of the town by its shape; `None` when it is not there.
pub(super) fn read<T: DeserializeOwned>(
    town: &Town,
    path: &Path,
) -> Result<Option<T>, ConfigError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConfigError::io(path)(error)),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        let shown = path.strip_prefix(town.root()).unwrap_or(path);
        ConfigError::Syntax { file: shown.display().to_string(), why: error.to_string() }
    })
}

/// Writes a JSON file of the town, whole or not at all.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), ConfigError> {
    files::write_json(path, value).map_err(ConfigError::io(path))
}

/// `mayor/town.json`: by this file a town is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TownFile {
    /// Always `town`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Version of the file's form: 2.
    pub version: u32,
    /// A name for people.
    pub name: String,
    /// The town's id: a door of another town refuses.
    pub id: String,
    /// The person's e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// A name for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_name: Option<String>,
    /// RFC 3339.
    pub created_at: String,
}

impl TownFile {
    /// The file of a town.
    ///
    /// # Errors
    /// It is not there, or not of its shape.
    pub fn read(town: &Town) -> Result<Self, ConfigError> {
        let path = town.town_json();
        read(town, &path)?.ok_or_else(|| {
            let gone = std::io::Error::new(ErrorKind::NotFound, "no town here: see 'gt install'");
            ConfigError::io(&path)(gone)
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, town: &Town) -> Result<(), ConfigError> {
        write(&town.town_json(), self)
    }
}

/// `mayor/daemon.json`: what the daemon does by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaemonFile {
    /// Always `daemon-patrol-config`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Version of the file's form: 1.
    pub version: u32,
    /// The Deacon's round.
    #[serde(default)]
    pub heartbeat: Patrol,
    /// By name.
    #[serde(default)]
    pub patrols: Patrols,
}

/// The patrols there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Patrols {
    /// Rounds of each rig's witness.
    pub witness: Patrol,
    /// The dog that removes what is ephemeral and old.
    pub wisp_reaper: Reaper,
    /// The dogs that make histories shorter.
    pub compactor_dog: Patrol,
    /// The dog that looks after the place where all databases are.
    pub doctor_dog: Patrol,
    /// The dogs that copy databases.
    pub dolt_backup: Patrol,
    /// The dogs that bring rows into the git archive.
    pub jsonl_git_backup: Patrol,
}

/// One round by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Patrol {
    /// Whether it happens.
    pub enabled: bool,
    /// A duration like `3m`; none is the built-in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
}

impl Default for Patrol {
    fn default() -> Self {
        Self { enabled: true, interval: None }
    }
}

/// The reaper's rounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reaper {
    /// Whether it happens.
    pub enabled: bool,
    /// As [`Patrol::interval`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// What is older than this goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
}

impl Default for Reaper {
    fn default() -> Self {
        Self { enabled: true, interval: None, max_age: None }
    }
}

impl Default for DaemonFile {
    fn default() -> Self {
        let every = |interval: &str| Some(interval.to_owned());
        Self {
            kind: "daemon-patrol-config".to_owned(),
            version: 1,
            heartbeat: Patrol { enabled: true, interval: every("3m") },
            patrols: Patrols {
                witness: Patrol { enabled: true, interval: every("1m") },
                wisp_reaper: Reaper { enabled: true, interval: every("30m"), max_age: every("2h") },
                compactor_dog: Patrol { enabled: true, interval: every("30m") },
                doctor_dog: Patrol { enabled: true, interval: every("30m") },
                dolt_backup: Patrol { enabled: true, interval: every("15m") },
                jsonl_git_backup: Patrol { enabled: true, interval: every("15m") },
            },
        }
    }
}

impl DaemonFile {
    /// The file of a town; the defaults when there is none.
    ///
    /// # Errors
    /// It is not of its shape.
    pub fn read(town: &Town) -> Result<Self, ConfigError> {
        Ok(read(town, &town.daemon_json())?.unwrap_or_default())
    }

    /// What it says, as settings.
    pub(super) fn settings(&self) -> Result<Map<String, Value>, ConfigError> {
        let reaper = &self.patrols.wisp_reaper;
        let reap = Patrol { enabled: reaper.enabled, interval: reaper.interval.clone() };
        let max_age = Patrol { enabled: true, interval: reaper.max_age.clone() };
        let periods = [
            ("heartbeat", "heartbeat_every_ms", &self.heartbeat),
            ("patrols.witness", "patrol_every_ms", &self.patrols.witness),
            ("patrols.wisp_reaper", "reaper_every_ms", &reap),
            ("patrols.wisp_reaper.max_age", "nudge_ttl_ms", &max_age),
            ("patrols.compactor_dog", "compactor_every_ms", &self.patrols.compactor_dog),
            ("patrols.doctor_dog", "doctor_every_ms", &self.patrols.doctor_dog),
            ("patrols.dolt_backup", "backup_every_ms", &self.patrols.dolt_backup),
            ("patrols.jsonl_git_backup", "archive_every_ms", &self.patrols.jsonl_git_backup),
        ];
        let mut limits = Map::new();
        for (key, limit, patrol) in periods {
            let said = patrol.interval.as_deref().map(|text| {
                duration::parse_ms(text).filter(|ms| *ms > 0).ok_or_else(|| ConfigError::Key {
                    file: "mayor/daemon.json".to_owned(),
                    key: key.to_owned(),
                    why: format!("'{text}' is no duration like \"30s\" or \"5m\""),
                })
            });
            let ms = said.transpose()?;
            let ms = if patrol.enabled { ms } else { Some(NEVER_MS) };
            if let Some(ms) = ms {
                limits.insert(limit.to_owned(), Value::from(ms));
            }
        }
        let mut tree = Map::new();
        if !limits.is_empty() {
            tree.insert("limits".to_owned(), Value::Object(limits));
        }
        Ok(tree)
    }
}

/// `.beads/metadata.json`: which database the beads of a directory are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Always `dolt`.
    pub database: String,
    /// Always `dolt`.
    pub backend: String,
    /// `embedded` or `server`.
    pub dolt_mode: String,
    /// The database's name.
    pub dolt_database: String,
    /// What other programs keep here.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

impl Metadata {
    /// For a database.
    #[must_use]
    pub fn new(db: &str, mode: super::DoltMode) -> Self {
        Self {
            database: "dolt".to_owned(),
            backend: "dolt".to_owned(),
            dolt_mode: mode.as_str().to_owned(),
            dolt_database: db.to_owned(),
            more: BTreeMap::new(),
        }
    }

    /// The file in a `.beads/` directory; `None` when there is none.
    ///
    /// # Errors
    /// It is not of its shape.
    pub fn read(town: &Town, beads: &Path) -> Result<Option<Self>, ConfigError> {
        read(town, &beads.join("metadata.json"))
    }

    /// Writes it into a `.beads/` directory. What other programs keep in it stays.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn write(&self, town: &Town, beads: &Path) -> Result<(), ConfigError> {
        let old = Self::read(town, beads)?;
        let more = old.map_or_else(BTreeMap::new, |old| old.more);
        write(&beads.join("metadata.json"), &Self { more, ..self.clone() })
    }
}

/// The first text of each file whose content is a seat: path below the root, and the value.
#[must_use]
pub fn seats() -> [(&'static str, Value); 3] {
    let accounts = json!({"version": 1, "accounts": {}, "default": null});
    let escalation = json!({
        "type": "escalation",
        "version": 1,
        "routes": {
            "low": ["bead"],
            "medium": ["bead", "mail:mayor"],
            "high": ["bead", "mail:mayor"],
            "critical": ["bead", "mail:mayor"],
        },
        "contacts": {},
        "stale_threshold": "4h",
        "max_reescalations": 2,
    });
    let messaging =
        json!({"type": "messaging", "version": 1, "lists": {}, "queues": {}, "announces": {}});
    [
        ("mayor/accounts.json", accounts),
        ("settings/escalation.json", escalation),
        ("config/messaging.json", messaging),
    ]
}
