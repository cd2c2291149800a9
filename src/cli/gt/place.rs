//! `gt where`, `completions`, `version`, and the two that the town itself starts.

use std::path::PathBuf;

use clap::Args;
use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::adapters::host;
use crate::adapters::scripted::Agent;
use crate::cli::context::Wanted;
use crate::cli::gt::Gt;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::config::env::Env;
use crate::messages::door::DoorError;

/// Which town, rig and database are meant here, who you are, and which rule says so.
///
/// The rules are in docs/resolution.md; 'bd where ID' explains an id.
#[derive(Debug, Args)]
pub struct Where {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Where {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let chosen = here.context.choose()?;
        let rig = here.context.default_rig();
        let socket = here.town.socket_path();
        let (actor, actor_by) = here.actor();
        if self.json {
            let (rig, rig_by) = rig.unzip();
            return render::json(&json!({
                "root": here.town.root(), "found_by": here.context.found_by,
                "rig": rig, "rig_by": rig_by,
                "database": chosen.db, "chosen_by": chosen.by, "chain": chosen.chain,
                "actor": actor, "actor_by": actor_by,
                "socket": socket, "running": here.is_up(),
            }));
        }
        let rig = rig.map_or("-".to_owned(), |(rig, by)| format!("{rig}  ({by})"));
        let root = here.town.root().display();
        let rows = [
            ("town", format!("{root}  ({})", here.context.found_by)),
            ("rig", rig),
            ("database", format!("{}  ({})", chosen.db, chosen.by)),
            ("you are", format!("{actor}  ({actor_by})")),
            ("socket", socket.display().to_string()),
        ];
        for (what, value) in rows {
            render::line(&format!("{what:<9} {value}"))?;
        }
        for step in chosen.chain.iter().skip(1) {
            render::line(&format!("redirect  to {}", step.display()))?;
        }
        Ok(0)
    }
}

/// A completion script for a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gt completions bash >~/.local/share/bash-completion/completions/gt"
)]
pub struct Completions {
    /// Which.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<u8, DoorError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Gt::command(), "gt", &mut script);
        render::line(String::from_utf8_lossy(&script).trim_end())
    }
}

/// The program's version.
#[derive(Debug, Args)]
pub struct Version {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Version {
    pub(super) fn run(self) -> Result<u8, DoorError> {
        let version = env!("CARGO_PKG_VERSION");
        if self.json {
            let protocol = crate::messages::door::PROTOCOL;
            return render::json(&json!({"version": version, "protocol": protocol}));
        }
        render::line(&format!("gt {version}"))
    }
}

/// Host of one session or gate: started by the daemon, with the directory that says what to run.
#[derive(Debug, Args)]
pub struct SessionHost {
    dir: PathBuf,
}

impl SessionHost {
    pub(super) fn run(self) -> Result<u8, DoorError> {
        match host::run(&self.dir) {
            Ok(_) => Ok(0),
            Err(error) => Err(DoorError::new("internal", error.to_string())),
        }
    }
}

/// An agent that follows the instructions in its bead; the preset 'scripted' runs it.
#[derive(Debug, Args)]
pub struct ScriptedAgent {}

impl ScriptedAgent {
    pub(super) fn run(self) -> Result<u8, DoorError> {
        let env = Env::read();
        let (Some(root), Some(session), Some(actor)) = (env.root, env.session, env.actor) else {
            return Err(DoorError::new("usage", "this agent is started by the town")
                .hint("sling a bead: 'gt sling BEAD RIG --agent scripted'"));
        };
        let agent = Agent { root, session, actor, cwd: env.cwd };
        agent.run().map(|()| 0).map_err(|error| DoorError::new("agent", error.to_string()))
    }
}
