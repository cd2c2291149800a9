//! `gt dolt start|stop|restart|status|logs`.

use clap::Args;
use serde_json::json;

use crate::adapters::files;
use crate::adapters::host::tree::ProcessId;
use crate::adapters::layout::Town;
use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::cli::town::server;
use crate::cli::town::server::Health;
use crate::cli::town::server::OwnServer;
use crate::cli::town::server::STOP_WITHIN;
use crate::cli::town::wiring;
use crate::config::DoltMode;
use crate::messages::door::DoorError;

/// Most bytes of a log that are shown.
const LOG_BYTES: u64 = 1 << 20;

/// Start the town's own server, or find it running.
///
/// It needs no daemon and outlives this command; 'gt up' finds it. 'gt down' ends it.
#[derive(Debug, Args)]
pub struct Start {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// End the town's own server.
///
/// Refused while the town runs: its daemon would start the server again. 'gt down' ends both.
#[derive(Debug, Args)]
pub struct Stop {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// End the town's own server and start it again.
///
/// Beside a running town the daemon starts it; what is being written meanwhile is tried again.
#[derive(Debug, Args)]
pub struct Restart {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Whether the server runs, answers, and how it fares.
#[derive(Debug, Args)]
pub struct Status {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Show the end of the server's log.
#[derive(Debug, Args)]
pub struct Logs {
    /// How many lines.
    #[arg(long, short = 'n', default_value_t = 50)]
    lines: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The server that this town keeps, or why it keeps none.
pub(super) fn own(here: &Here, verb: &str) -> Result<OwnServer, DoorError> {
    if let Some(own) = OwnServer::of(&here.town, &here.settings) {
        return Ok(own);
    }
    if here.settings.store.dolt_mode == DoltMode::Embedded {
        let text = "this town's ledger is embedded: there is no server";
        return Err(DoorError::new("not_now", text).hint(
            "'gt up' and 'gt down' start and stop the town; 'gt dolt status' tells of its files",
        ));
    }
    let address = wiring::server(&here.town, &here.settings)?.address();
    let text = format!("the server at {address} is somebody else's: the town does not {verb} it");
    Err(DoorError::new("not_now", text)
        .hint("'gt dolt status' tells whether it answers; store.external and GT_DOLT_HOST name it"))
}

impl Start {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let own = own(&here, "start")?;
        let up = own.ensure()?;
        let address = own.server()?.address();
        let pid = up.process.pid;
        if self.json {
            return render::json(&json!({"started": up.is_new(), "pid": pid, "address": address}));
        }
        let verb = if up.is_new() { "is up" } else { "runs already" };
        render::line(&format!("the Dolt server {verb} at {address} (process {pid})"))
    }
}

impl Stop {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let own = own(&here, "stop")?;
        if here.is_up() {
            return Err(DoorError::new("not_now", "the town runs and needs its server").hint(
                "'gt down' ends both; 'gt dolt restart' ends the server and starts it again",
            ));
        }
        let ended = end(&own)?;
        if self.json {
            let pid = ended.as_ref().map(|process| process.pid);
            return render::json(&json!({"stopped": ended.is_some(), "pid": pid}));
        }
        render::line(&match ended {
            Some(process) => format!("the Dolt server (process {}) has ended", process.pid),
            None => "the Dolt server does not run".to_owned(),
        })
    }
}

/// Ends the server; a person who waits is told for what.
fn end(own: &OwnServer) -> Result<Option<ProcessId>, DoorError> {
    if let Some(process) = own.process()? {
        let most = STOP_WITHIN.as_secs();
        render::complain(&format!(
            "ending the Dolt server (process {}), which may take {most} s",
            process.pid
        ));
    }
    Ok(own.stop()?)
}

impl Restart {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let own = own(&here, "restart")?;
        let ended = end(&own)?;
        // Beside a daemon either may come first; the other finds it running.
        let up = own.ensure()?;
        let (pid, address) = (up.process.pid, own.server()?.address());
        if self.json {
            let before = ended.map(|process| process.pid);
            return render::json(&json!({"pid": pid, "before": before, "address": address}));
        }
        render::line(&format!("the Dolt server is up at {address} (process {pid})"))
    }
}

impl Status {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        if here.settings.store.dolt_mode == DoltMode::Embedded {
            return embedded(&here.town, self.json);
        }
        let own = OwnServer::of(&here.town, &here.settings);
        let health = match &own {
            Some(own) => own.health(),
            None => server::look(&wiring::server(&here.town, &here.settings)?),
        };
        let code = if health.ok { 0 } else { 4 };
        if self.json {
            let told = json!({"mode": "server", "managed": own.is_some(), "server": health});
            return render::json(&told).map(|_| code);
        }
        show(&health, own.is_some())?;
        Ok(code)
    }
}

fn embedded(town: &Town, json: bool) -> Result<u8, DoorError> {
    let data = town.dolt_data();
    if json {
        return render::json(&json!({"mode": "embedded", "managed": false, "data_dir": data}));
    }
    render::line(&format!(
        "the ledger is embedded: files in {}, no server; 'gt store convert' would move it to one",
        data.display()
    ))
}

fn show(health: &Health, managed: bool) -> Result<u8, DoorError> {
    let whose = if managed { "the town's own" } else { "somebody else's" };
    let Health { address, connect_us, latency_us, connections, .. } = health;
    if !health.ok {
        let why = health.error.as_deref().unwrap_or("no answer");
        let pid = health.pid.map_or(String::new(), |pid| format!(" (process {pid} has its data)"));
        render::line(&format!(
            "the Dolt server at {address} ({whose}) does not answer{pid}: {why}"
        ))?;
        return match managed {
            true => render::line("start it with 'gt dolt start', or the whole town with 'gt up'"),
            false => Ok(0),
        };
    }
    let pid = health.pid.map_or(String::new(), |pid| format!(", process {pid}"));
    render::line(&format!("the Dolt server at {address} answers ({whose}{pid})"))?;
    render::line(&format!("  dolt         {}, server {}", health.version, health.server_id))?;
    render::line(&format!("  connect      {} ms", millis(*connect_us)))?;
    render::line(&format!("  latency      {} ms", millis(*latency_us)))?;
    render::line(&format!("  connections  {connections}"))?;
    if let Some(free) = health.disk_free {
        render::line(&format!("  disk free    {} MB", free >> 20))?;
    }
    render::line(&format!("  databases    {}", health.databases.join(", ")))
}

/// Milliseconds with one digit behind the point.
fn millis(us: u64) -> String {
    format!("{}.{}", us / 1000, us % 1000 / 100)
}

impl Logs {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let own = own(&here, "log")?;
        let path = own.site().log.clone();
        let text = files::tail(&path, self.lines, LOG_BYTES)
            .map_err(|error| DoorError::new("io", format!("{}: {error}", path.display())))?;
        if self.json {
            let lines: Vec<&str> = text.lines().collect();
            return render::json(&json!({"log": path, "lines": lines}));
        }
        if text.is_empty() { Ok(0) } else { render::line(&text) }
    }
}
