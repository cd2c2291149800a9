//! `gt config`.

use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;

use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::config::duration;
use crate::config::edit;
use crate::config::edit::Entry;
use crate::config::presets;
use crate::messages::door::Control;
use crate::messages::door::DoorError;

/// Settings, agents and gates.
///
/// Layers: built in < mayor/daemon.json < settings/config.json < environment (GT_STORE__CACHE_MB
/// for store.cache_mb). A change is checked as a whole before any of it is written. A running town
/// takes gates, queues and presets up at once; limits, store and git_jobs at its next start.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Show one setting, or all below a key.
    Get {
        /// Dotted, as store.cache_mb.
        key: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Set one setting in settings/config.json.
    #[command(after_help = "Examples:\n  gt config set rigs.web.gates.test.cmd 'make test'\n  \
        gt config set rigs.web.gates.test.timeout 5m\n  gt config set rigs.docs.gates none\n  \
        gt config set limits.polecats_max 8")]
    Set {
        /// Dotted.
        key: String,
        /// Text, number, duration (30s, 5m) or JSON, as the setting needs.
        value: String,
    },
    /// Take one setting out of settings/config.json.
    Unset {
        /// Dotted.
        key: String,
    },
    /// Show all settings in force and where each comes from.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// The programs that sessions run.
    #[command(subcommand)]
    Agent(Agent),
    /// Show or set the agent of a session that names none.
    DefaultAgent {
        /// Set it to this one.
        name: Option<String>,
    },
}

/// The programs that sessions run.
#[derive(Debug, Subcommand)]
pub enum Agent {
    /// Make or change an agent of the town's own.
    #[command(after_help = "Example:\n  gt config agent set fast 'exec my-agent --prompt \
        \"$(gt prime)\"'\n  gt config default-agent fast")]
    Set {
        /// Its name.
        name: String,
        /// The command, run by the shell in the worktree; or a JSON list of program and arguments.
        command: String,
    },
    /// Show the agents.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove an agent of the town's own.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Serialize)]
struct AgentLine {
    name: String,
    command: String,
    description: String,
    built_in: bool,
    default: bool,
}

/// A value as a person writes it.
fn shown(entry: &Entry) -> String {
    let name = entry.key.rsplit('.').next().unwrap_or_default();
    match &entry.value {
        Value::String(text) => text.clone(),
        Value::Number(n) if duration::is_duration(name) => {
            n.as_i64().map_or_else(|| n.to_string(), duration::show_ms)
        }
        other => other.to_string(),
    }
}

impl Config {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        // Settings that do not hold must not keep a person from mending them.
        let here = Here::for_settings(at)?;
        let (town, vars) = (&here.town, &here.vars);
        match self {
            Self::Get { key, json } => {
                let entry = edit::get(town, vars, &key)?;
                if json { render::json(&entry) } else { render::line(&shown(&entry)) }
            }
            Self::Set { key, value } => {
                here.persons_only("change settings")?;
                let entry = edit::set(town, vars, &key, &value)?;
                if entry.origin.starts_with("environment") {
                    render::line(&format!("note: {} is above it and still wins", entry.origin))?;
                }
                if waits_for_restart(&here, &key) {
                    render::line(&format!("{key} takes effect at the next 'gt up'"))?;
                }
                changed(&here)
            }
            Self::Unset { key } => {
                here.persons_only("change settings")?;
                edit::unset(town, vars, &key)?;
                changed(&here)
            }
            Self::List { json } => {
                let all = edit::list(town, vars)?;
                if json {
                    return render::json(&all);
                }
                let rows = all.iter().map(|e| vec![e.key.clone(), shown(e), e.origin.clone()]);
                render::table(&["KEY", "VALUE", "FROM"], rows.collect())
            }
            Self::Agent(agent) => agent.run(&here),
            Self::DefaultAgent { name: None } => {
                render::line(&shown(&edit::get(town, vars, "default_agent")?))
            }
            Self::DefaultAgent { name: Some(name) } => {
                here.persons_only("change settings")?;
                edit::set(town, vars, "default_agent", &name)?;
                changed(&here)
            }
        }
    }
}

impl Agent {
    fn run(self, here: &Here) -> Result<u8, DoorError> {
        let (town, vars) = (&here.town, &here.vars);
        match self {
            Self::Set { name, command } => {
                here.persons_only("change settings")?;
                edit::set_agent(town, vars, &name, &command)?;
                changed(here)
            }
            Self::Remove { name } => {
                here.persons_only("change settings")?;
                edit::remove_agent(town, vars, &name)?;
                changed(here)
            }
            Self::List { json } => {
                let settings = crate::config::load_with(town, vars)?;
                let builtin = presets::builtin();
                let lines: Vec<AgentLine> = settings
                    .agents
                    .iter()
                    .map(|(name, preset)| AgentLine {
                        name: name.clone(),
                        command: preset.command.text(),
                        description: preset.description.clone(),
                        built_in: builtin.get(name) == Some(preset),
                        default: *name == settings.default_agent,
                    })
                    .collect();
                if json {
                    return render::json(&lines);
                }
                let rows = lines.into_iter().map(|line| {
                    let mark = if line.default { "*" } else { "" };
                    vec![format!("{}{mark}", line.name), line.command, line.description]
                });
                render::table(&["AGENT", "COMMAND", ""], rows.collect())
            }
        }
    }
}

/// Whether the daemon runs and reads this key only at its start.
fn waits_for_restart(here: &Here, key: &str) -> bool {
    let at_start = ["limits.", "life.", "history.", "store.", "git_jobs"]
        .iter()
        .any(|word| key.starts_with(word));
    at_start && here.is_up()
}

/// A running town reads its settings again.
fn changed(here: &Here) -> Result<u8, DoorError> {
    if here.is_up() {
        here.control::<Value>(Control::Reload)?;
    }
    Ok(0)
}
