//! What the environment says of this process: who it is and where. Read here and nowhere else.
#![allow(clippy::disallowed_methods, reason = "the one reader of the environment")]

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Variables of the daemon's own environment that every agent gets.
const BASE: [&str; 13] = [
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "SHELL",
    "SSH_AUTH_SOCK",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];

/// The `GT_` variables and what else names an identity.
pub fn variables() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(key, _)| key.starts_with("GT_"))
        .collect()
}

/// Who and where this process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env {
    /// `GT_ROOT`: the town's root.
    pub root: Option<PathBuf>,
    /// `GT_TOKEN`: the session's secret.
    pub token: Option<String>,
    /// `BD_ACTOR`: a label, not proof.
    pub actor: Option<String>,
    /// `GT_ROLE`: the address of an agent.
    pub role: Option<String>,
    /// `GT_RIG`: the rig of an agent.
    pub rig: Option<String>,
    /// `GT_SESSION`: the session's id.
    pub session: Option<String>,
    /// `GT_BEAD`: the bead at the session's start.
    pub bead: Option<String>,
    /// `GT_BRANCH`: the branch of the session's work.
    pub branch: Option<String>,
    /// `XDG_RUNTIME_DIR`: for sockets whose own place has a path too long.
    pub runtime_dir: Option<PathBuf>,
    /// The directory that the process is in.
    pub cwd: PathBuf,
}

impl Env {
    /// What holds now.
    #[must_use]
    pub fn read() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            root: text("GT_ROOT").map(PathBuf::from),
            token: text("GT_TOKEN"),
            actor: text("BD_ACTOR"),
            role: text("GT_ROLE"),
            rig: text("GT_RIG"),
            session: text("GT_SESSION"),
            bead: text("GT_BEAD"),
            branch: text("GT_BRANCH"),
            runtime_dir: text("XDG_RUNTIME_DIR").map(PathBuf::from),
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        }
    }

    /// Whether this process belongs to an agent's session.
    #[must_use]
    pub fn is_agent(&self) -> bool {
        self.token.is_some()
    }
}

/// The environment that agents start from: [`BASE`], and what the settings pass on by name.
#[must_use]
pub fn base(pass: &[String]) -> BTreeMap<String, String> {
    let names = BASE.iter().copied().chain(pass.iter().map(String::as_str));
    names.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect()
}

/// A secret that a setting names by its variable; empty without one. It is kept nowhere.
#[must_use]
pub fn secret(name: &str) -> String {
    if name.is_empty() { String::new() } else { std::env::var(name).unwrap_or_default() }
}

/// The running program's own file.
///
/// # Errors
/// The system does not tell.
pub fn exe() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// Whether a person reads what is printed.
#[must_use]
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}
