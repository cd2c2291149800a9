//! Seeded moments at which the Dolt server is killed, and how long writes then waited.

use std::time::Instant;

use rustix::process::Signal;

use crate::adapters::clock;
use crate::cli::demo::DemoError;
use crate::cli::demo::chaos::Chaos;
use crate::cli::demo::chaos::SERVER_MS;
use crate::cli::demo::stage::Stage;
use crate::cli::town::server::OwnServer;
use crate::config;

/// Tells the server's moments from the daemon's with one seed.
const OTHER: u64 = 0x5EED;

/// Kills of the server to come, and what became of the earlier ones.
pub(super) struct ServerChaos {
    moments: Chaos,
    waits_ms: Vec<u64>,
}

impl ServerChaos {
    pub(super) fn new(seed: u64, kills: u64) -> Self {
        Self { moments: Chaos::new(seed ^ OTHER, kills, SERVER_MS), waits_ms: Vec::new() }
    }

    /// Draws the next moment, unless one is drawn already.
    pub(super) fn arm(&mut self) {
        if self.moments.due().is_none() {
            self.moments.arm(clock::instant());
        }
    }

    /// When the next kill is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.moments.due()
    }

    pub(super) fn done(&self) -> u64 {
        self.moments.done()
    }

    /// The longest time in milliseconds from a kill to the next acknowledged write.
    pub(super) fn longest_ms(&self) -> Option<u64> {
        self.waits_ms.iter().copied().max()
    }

    /// Kills the server and writes until a write is acknowledged; answers the milliseconds.
    pub(super) fn strike(&mut self, stage: &Stage, until: Instant) -> Result<u64, DemoError> {
        let odd = |error: &dyn std::fmt::Display| DemoError::Odd(error.to_string());
        let settings = config::load(&stage.layout).map_err(|error| odd(&error))?;
        let own = OwnServer::of(&stage.layout, &settings)
            .ok_or_else(|| odd(&"the town keeps no server"))?;
        let Some(process) = own.process().map_err(|error| odd(&error))? else {
            return Err(odd(&"the server is not there to be killed"));
        };
        process.signal(Signal::KILL);
        let began = clock::instant();
        self.moments.struck();
        let number = self.done().to_string();
        let subject = format!("server kill {number}");
        let words = ["mail", "send", "overseer", "-s", &subject, "-m", "acknowledged"];
        loop {
            let ended = stage.gt_end(&words)?;
            if ended.ok {
                break;
            }
            if clock::instant() >= until {
                let why = ended.stderr;
                return Err(odd(&format!("no write after a kill of the server: {why}")));
            }
        }
        let waited = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.waits_ms.push(waited);
        Ok(waited)
    }
}
