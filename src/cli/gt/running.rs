//! `gt up` and `gt down`.

use std::process::Child;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::adapters::detach;
use crate::adapters::files;
use crate::adapters::host::tree::ProcessId;
use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::gt::status;
use crate::cli::render;
use crate::cli::town::lock::TownLock;
use crate::cli::town::server::OwnServer;
use crate::cli::town::wiring;
use crate::config::env;
use crate::messages::door::Control;
use crate::messages::door::DoorError;
use crate::messages::door::HelloView;
use crate::messages::door::Query;

/// How long a daemon may take until its door answers; a large ledger may have to be migrated.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// How long a daemon may take to end, beside the grace of its sessions.
const DOWN_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Start the town.
///
/// Starts the daemon in the background, with its log at daemon/daemon.log, and waits until it
/// answers. A town that runs already is left as it is.
#[derive(Debug, Args)]
pub struct Up {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Up {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        if let Some(hello) = answers(&here)? {
            if self.json {
                return render::json(&json!({"started": false, "pid": hello.pid}));
            }
            return render::line(&format!("the town is up already (process {})", hello.pid));
        }
        let hello = start(&here)?;
        if self.json {
            return render::json(&json!({"started": true, "pid": hello.pid}));
        }
        render::line(&format!("the town is up (process {})", hello.pid))?;
        status::show(&here.ask(Query::Status)?)
    }
}

/// Who answers at the door. A door that breaks off is a daemon that is going: the lock decides
/// whether another one may start. Only an answer of a wrong kind is an error.
fn answers(here: &Here) -> Result<Option<HelloView>, DoorError> {
    match here.hello() {
        Err(error) if error.code != "mismatch" => Ok(None),
        other => other,
    }
}

fn start(here: &Here) -> Result<HelloView, DoorError> {
    let log = here.town.daemon().join("daemon.log");
    let exe = env::exe().map_err(|error| internal(&format!("own program: {error}")))?;
    let arguments = ["daemon", "run"];
    let max = here.settings.log_max_bytes;
    let mut child = detach::start(&exe, &arguments, here.town.root(), &log, max)
        .map_err(|error| internal(&format!("the daemon cannot be started: {error}")))?;
    let answered = detach::wait_for(UP_WITHIN, LOOK_EVERY, || match answers(here) {
        Ok(Some(hello)) => Some(Ok(hello)),
        Ok(None) => ended(&mut child).map(Err),
        Err(error) => Some(Err(error)),
    });
    match answered {
        Some(Ok(hello)) => Ok(hello),
        Some(Err(error)) => Err(with_log(error, here)),
        None => {
            let text = format!("the daemon (process {}) does not answer", child.id());
            Err(with_log(DoorError::new("unavailable", text), here))
        }
    }
}

/// How the child ended, if it has.
fn ended(child: &mut Child) -> Option<DoorError> {
    match child.try_wait() {
        Ok(None) => None,
        Ok(Some(status)) => {
            Some(DoorError::new("unavailable", format!("the daemon ended at once ({status})")))
        }
        Err(error) => Some(internal(&format!("the daemon cannot be watched: {error}"))),
    }
}

fn internal(text: &str) -> DoorError {
    DoorError::new("internal", text)
}

fn with_log(error: DoorError, here: &Here) -> DoorError {
    let path = here.town.daemon().join("daemon.log");
    let tail = files::tail(&path, 5, 2_000).unwrap_or_default();
    error.hint(format!("see {}; it ends with:\n{tail}", path.display()))
}

/// Stop the town; work stays assigned.
///
/// Ends the daemon, its sessions and the town's own Dolt server, and waits until they are gone.
/// What is assigned stays so: 'gt up' starts the next session of each worker in the same worktree.
/// May be repeated.
#[derive(Debug, Args)]
pub struct Down {
    /// Leave the agents' sessions running; the next daemon finds them.
    #[arg(long)]
    keep_sessions: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Down {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        // A town with broken settings must be stoppable.
        let here = Here::for_settings(at)?;
        let Some(hello) = here.hello()? else {
            if let Some(holder) = TownLock::holder(&here.town)? {
                return Err(DoorError::new("unavailable", "the daemon does not answer").hint(
                    format!("{holder} has the town: if it hangs, end it with 'kill -9 PID'"),
                ));
            }
            // A server that somebody started by hand, or that a killed daemon left.
            let site = wiring::dolt_site(&here.town, &here.settings);
            let server = OwnServer::at(site).stop()?.map(|process| process.pid);
            return match (self.json, server) {
                (true, _) => render::json(&json!({"stopped": false, "server": server})),
                (false, None) => render::line("the town is not running"),
                (false, Some(pid)) => render::line(&format!(
                    "the town is not running; its Dolt server (process {pid}) has ended"
                )),
            };
        };
        let daemon = ProcessId::of(i32::try_from(hello.pid).unwrap_or(0));
        here.control::<serde_json::Value>(Control::Stop { sessions: !self.keep_sessions })?;
        let grace = u64::try_from(here.settings.limits.stop_grace_ms).unwrap_or(0);
        let within = DOWN_WITHIN + Duration::from_millis(grace);
        let gone = detach::wait_for(within, LOOK_EVERY, || {
            let free = TownLock::holder(&here.town).is_ok_and(|holder| holder.is_none());
            (free && !daemon.is_alive()).then_some(())
        });
        if gone.is_none() {
            let text = format!("process {} was asked to end and still runs", hello.pid);
            return Err(with_log(DoorError::new("unavailable", text), &here));
        }
        match self.json {
            true => render::json(&json!({"stopped": true, "pid": hello.pid})),
            false => render::line("the town is down; what was assigned stays assigned"),
        }
    }
}
