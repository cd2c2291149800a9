//! Agent presets: which program a session runs. Breadth is data.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde::de::value::SeqAccessDeserializer;

/// The preset that needs no agent of one's own.
pub const SCRIPTED: &str = "scripted";

/// One agent program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentPreset {
    /// The program; it must not be empty.
    pub command: CommandLine,
    /// Its environment, beside what every agent gets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What it is, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// How a program is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// One text for the shell.
    Shell(String),
    /// Program and arguments.
    Argv(Vec<String>),
}

impl Default for CommandLine {
    fn default() -> Self {
        Self::Argv(Vec::new())
    }
}

impl CommandLine {
    /// Program and arguments, ready to run; empty when nothing was said.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Shell(text) if text.trim().is_empty() => Vec::new(),
            Self::Shell(text) => vec!["/bin/sh".to_owned(), "-c".to_owned(), text.clone()],
            Self::Argv(argv) => argv.clone(),
        }
    }

    /// As a person would type it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Shell(text) => text.clone(),
            Self::Argv(argv) => argv.join(" "),
        }
    }
}

impl AgentPreset {
    /// Program and arguments, with the preset's environment set by `env`.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        let argv = self.command.argv();
        if self.env.is_empty() || argv.is_empty() {
            return argv;
        }
        let pairs = self.env.iter().map(|(key, value)| format!("{key}={value}"));
        std::iter::once("/usr/bin/env".to_owned()).chain(pairs).chain(argv).collect()
    }
}

impl Serialize for CommandLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Shell(text) => serializer.serialize_str(text),
            Self::Argv(argv) => argv.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = CommandLine;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a shell command, or a list of program and arguments")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CommandLine, E> {
                Ok(CommandLine::Shell(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<CommandLine, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(CommandLine::Argv)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

/// The presets that every town has.
#[must_use]
pub fn builtin() -> BTreeMap<String, AgentPreset> {
    let scripted = AgentPreset {
        command: CommandLine::Argv(vec!["gt".to_owned(), "scripted-agent".to_owned()]),
        env: BTreeMap::new(),
        description: "follows the instructions in the bead; needs no model".to_owned(),
    };
    let shell = |text: &str, name: &str| AgentPreset {
        command: CommandLine::Shell(text.to_owned()),
        env: BTreeMap::new(),
        description: format!("{name}, headless; unverified: not yet driven through a whole job"),
    };
    let claude = shell(
        "exec claude -p \"$(gt prime)\" --output-format stream-json --verbose \
         --dangerously-skip-permissions",
        "Claude Code",
    );
    let codex = shell("exec codex exec --json \"$(gt prime)\" </dev/null", "Codex");
    let gemini = shell(
        "exec gemini -m gemini-2.5-flash --approval-mode yolo --output-format stream-json \
         -p \"$(gt prime)\"",
        "Gemini CLI",
    );
    [(SCRIPTED, scripted), ("claude", claude), ("codex", codex), ("gemini", gemini)]
        .into_iter()
        .map(|(name, preset)| (name.to_owned(), preset))
        .collect()
}
