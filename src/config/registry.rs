//! The rigs of a town: `mayor/rigs.json` is the truth, routes are made from it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use serde::Deserialize;
use serde::Serialize;

use crate::adapters::files;
use crate::adapters::layout::Town;
use crate::config::ConfigError;
use crate::config::town;
use crate::model::ids::Db;
use crate::model::ids::RigName;

/// The prefix of the town's own beads.
pub const HQ_PREFIX: &str = "hq";
/// Longest prefix.
const PREFIX_MAX: usize = 16;

/// `mayor/rigs.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Version of the file's form: 1.
    pub version: u32,
    /// By name.
    pub rigs: BTreeMap<RigName, RigEntry>,
}

/// One rig of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RigEntry {
    /// The repository.
    pub git_url: String,
    /// RFC 3339.
    pub added_at: String,
    /// Its beads.
    pub beads: RigBeads,
    /// The branch that work lands on.
    pub default_branch: String,
    /// How the target moves: `remote` or `canonical`.
    pub landing: String,
    /// People's clones, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crew: Vec<String>,
}

/// Where a rig's beads are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RigBeads {
    /// Always `local`.
    pub repo: String,
    /// Without its dash.
    pub prefix: String,
}

/// `<rig>/config.json`: the rig's own copy of who it is, for people and tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RigFile {
    /// Always `rig`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Version of the file's form: 1.
    pub version: u32,
    /// The rig's name.
    pub name: RigName,
    /// The repository.
    pub git_url: String,
    /// RFC 3339.
    pub created_at: String,
    /// Its beads.
    pub beads: RigBeads,
    /// The branch that work lands on.
    pub default_branch: String,
}

/// One line of `.beads/routes.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// With its dash.
    pub prefix: String,
    /// From the town's root; `.` is the town itself.
    pub path: String,
}

impl Default for Registry {
    fn default() -> Self {
        Self { version: 1, rigs: BTreeMap::new() }
    }
}

impl Registry {
    /// The registry of a town; empty when there is no file yet.
    ///
    /// # Errors
    /// It is not of its shape, or of a version that is not known.
    pub fn read(town: &Town) -> Result<Self, ConfigError> {
        let found: Self = town::read(town, &town.rigs_json())?.unwrap_or_default();
        if found.version != 1 {
            return Err(ConfigError::Key {
                file: "mayor/rigs.json".to_owned(),
                key: "version".to_owned(),
                why: format!("{} is not known: this gt knows 1", found.version),
            });
        }
        Ok(found)
    }

    /// Writes the registry, then the routes that follow from it.
    ///
    /// # Errors
    /// A file cannot be written. The registry counts; routes are made again at the next start.
    pub fn write(&self, town: &Town) -> Result<(), ConfigError> {
        town::write(&town.rigs_json(), self)?;
        self.write_routes(town)
    }

    /// The routes: the town's own first, then the rigs by name.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        let own = Route { prefix: format!("{HQ_PREFIX}-"), path: ".".to_owned() };
        let rigs = self.rigs.iter().map(|(name, rig)| Route {
            prefix: format!("{}-", rig.beads.prefix),
            path: format!("{name}/mayor/rig"),
        });
        std::iter::once(own).chain(rigs).collect()
    }

    fn routes_text(&self) -> String {
        let line =
            |route: &Route| serde_json::to_string(route).expect("a route is plain text") + "\n";
        self.routes().iter().map(line).collect()
    }

    /// Writes `.beads/routes.jsonl`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_routes(&self, town: &Town) -> Result<(), ConfigError> {
        let path = town.routes_jsonl();
        let text = self.routes_text();
        files::write_atomic(&path, text.as_bytes(), 0o600).map_err(ConfigError::io(&path))
    }

    /// At start: makes the routes again if they are not what the registry says. Whether they were
    /// is the answer.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn check_routes(&self, town: &Town) -> Result<bool, ConfigError> {
        let path = town.routes_jsonl();
        match fs::read_to_string(&path) {
            Ok(text) if text == self.routes_text() => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(ConfigError::io(&path)(error)),
        }
        self.write_routes(town)?;
        Ok(false)
    }

    /// One rig.
    ///
    /// # Errors
    /// There is none of that name; the text lists those there are.
    pub fn rig(&self, name: &RigName) -> Result<&RigEntry, ConfigError> {
        self.rigs.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.rigs.keys().map(RigName::as_str).collect();
            let known = match known.as_slice() {
                [] => "there is none yet: 'gt rig add NAME REPOSITORY'".to_owned(),
                known => format!("there is {}", known.join(", ")),
            };
            ConfigError::NotFound(format!("no rig '{name}'; {known}"))
        })
    }

    /// Every database with the prefix of its ids, without dash; the town's own first.
    #[must_use]
    pub fn databases(&self) -> Vec<(Db, String)> {
        let rigs = self.rigs.iter().map(|(name, rig)| (Db::from(name), rig.beads.prefix.clone()));
        std::iter::once((Db::hq(), HQ_PREFIX.to_owned())).chain(rigs).collect()
    }

    /// A prefix for a new rig: the first letters of its name's parts, or more of the name.
    #[must_use]
    pub fn suggest_prefix(&self, name: &RigName) -> Option<String> {
        let parts = name.0.split(['-', '_']).filter(|part| !part.is_empty());
        let initials: String = parts.filter_map(|part| part.chars().next()).collect();
        let letters: String = name.0.chars().filter(char::is_ascii_alphanumeric).collect();
        let longer = (2..=letters.len().min(PREFIX_MAX)).map(|len| letters[..len].to_owned());
        let short = (initials.len() > 1).then_some(initials);
        short
            .into_iter()
            .chain(longer)
            .map(|prefix| prefix.to_ascii_lowercase())
            .find(|prefix| self.check_prefix(name, prefix).is_ok())
    }

    /// Whether a prefix may be that of a rig.
    ///
    /// # Errors
    /// It has other characters than allowed, or some id would be another rig's as well.
    pub fn check_prefix(&self, name: &RigName, prefix: &str) -> Result<(), ConfigError> {
        let fits = prefix.len() <= PREFIX_MAX
            && prefix.starts_with(|c: char| c.is_ascii_lowercase())
            && prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !prefix.ends_with('-')
            && !prefix.contains("--");
        if !fits {
            return Err(ConfigError::Refused(format!(
                "'{prefix}' cannot be a prefix: use 1 to {PREFIX_MAX} of a-z, 0-9 and '-', a letter \
                 first"
            )));
        }
        let others = self.rigs.iter().filter(|(other, _)| *other != name);
        let others = others.map(|(other, rig)| (other.as_str(), rig.beads.prefix.as_str()));
        for (owner, other) in std::iter::once(("the town", HQ_PREFIX)).chain(others) {
            let why = if other == prefix {
                format!("it is the prefix of {owner}")
            } else if let Some(rest) = prefix.strip_prefix(&format!("{other}-")) {
                format!(
                    "ids of {owner} begin with '{other}-' too, and '{other}-{rest}-x' could be either's"
                )
            } else if let Some(rest) = other.strip_prefix(&format!("{prefix}-")) {
                format!("{owner} has '{other}', and '{prefix}-{rest}-x' could be either's")
            } else {
                continue;
            };
            return Err(ConfigError::Refused(format!(
                "prefix '{prefix}' for rig {name}: {why}; choose another with --prefix"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Registry;
    use super::RigBeads;
    use super::RigEntry;

    fn registry(rigs: &[(&str, &str)]) -> Registry {
        let entry = |prefix: &str| RigEntry {
            git_url: "/src".to_owned(),
            added_at: "2026-01-01T00:00:00Z".to_owned(),
            beads: RigBeads { repo: "local".to_owned(), prefix: prefix.to_owned() },
            default_branch: "main".to_owned(),
            landing: "remote".to_owned(),
            crew: Vec::new(),
        };
        let rigs = rigs.iter().map(|(name, prefix)| ((*name).into(), entry(prefix)));
        Registry { version: 1, rigs: rigs.collect() }
    }

    #[test]
    fn routes_are_the_seeds() {
        let text = registry(&[("gastown", "gt"), ("beads", "bd")]).routes_text();
        insta::assert_snapshot!(text, @r#"
        {"prefix":"hq-","path":"."}
        {"prefix":"bd-","path":"beads/mayor/rig"}
        {"prefix":"gt-","path":"gastown/mayor/rig"}
        "#);
    }

    #[test]
    fn ambiguous_prefixes_are_refused_with_the_reason() {
        let town = registry(&[("gastown", "gt"), ("web", "web-ui")]);
        let refused = |prefix: &str| {
            town.check_prefix(&"new".into(), prefix).map_err(|error| error.to_string()).err()
        };
        assert_eq!(refused("api"), None);
        assert_eq!(refused("gtx"), None, "another word, not a longer prefix");
        assert!(town.check_prefix(&"gastown".into(), "gt").is_ok(), "its own");
        let answers: Vec<String> =
            ["gt", "hq", "gt-a", "web", "Up", "a-", ""].into_iter().filter_map(refused).collect();
        insta::assert_snapshot!(answers.join("\n"), @"
        prefix 'gt' for rig new: it is the prefix of gastown; choose another with --prefix
        prefix 'hq' for rig new: it is the prefix of the town; choose another with --prefix
        prefix 'gt-a' for rig new: ids of gastown begin with 'gt-' too, and 'gt-a-x' could be either's; choose another with --prefix
        prefix 'web' for rig new: web has 'web-ui', and 'web-ui-x' could be either's; choose another with --prefix
        'Up' cannot be a prefix: use 1 to 16 of a-z, 0-9 and '-', a letter first
        'a-' cannot be a prefix: use 1 to 16 of a-z, 0-9 and '-', a letter first
        '' cannot be a prefix: use 1 to 16 of a-z, 0-9 and '-', a letter first
        ");
    }

    #[test]
    fn a_prefix_is_suggested_that_nobody_has() {
        let town = registry(&[("gastown", "ga")]);
        let suggest = |name: &str| town.suggest_prefix(&name.into());
        assert_eq!(suggest("my-web-app").as_deref(), Some("mwa"));
        assert_eq!(suggest("garden").as_deref(), Some("gar"));
    }
}
