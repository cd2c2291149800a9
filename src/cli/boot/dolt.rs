//! The daemon beside a server: starts or adopts the town's own, watches it, starts it again.
//!
//! Its death is an event. While it is away reads and groups fail with `Down` and machines try
//! again; when it is back everybody is woken. An external server is looked at, and nothing more.

use std::process::Child;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::actors::effects::Stores;
use crate::actors::parts::Parts;
use crate::actors::store::Submit;
use crate::adapters::host::tree::ProcessId;
use crate::adapters::layout::Town;
use crate::cli::town::error::TownError;
use crate::cli::town::server;
use crate::cli::town::server::Health;
use crate::cli::town::server::OwnServer;
use crate::cli::town::wiring;
use crate::config::DoltMode;
use crate::config::Settings;
use crate::machines::supervision;
use crate::machines::supervision::End;
use crate::machines::supervision::Intensity;
use crate::machines::supervision::Restart;
use crate::machines::supervision::Verdict;
use crate::model::ids::Db;
use crate::model::ops::Op;
use crate::model::value::Name;
use crate::store::server::Server;

/// First wait before a dead server is started again, in milliseconds; doubles with each death.
const BACKOFF_MS: i64 = 50;

/// Whose server it is.
enum Whose {
    /// The town's, with its process now.
    Own(Box<OwnServer>, Mutex<Running>),
    /// Somebody else's.
    External(Box<Server>),
}

/// The own server's process, and whether the daemon still wants it.
struct Running {
    process: ProcessId,
    child: Option<Child>,
    wanted: bool,
}

/// Who looks after the server of a running town.
pub(super) struct Tender {
    whose: Whose,
    health: Mutex<Option<Health>>,
    starts: Mutex<Starts>,
}

/// What became of the server since the daemon started.
#[derive(Clone, Copy, Debug, Default)]
struct Starts {
    deaths: u64,
    parked: bool,
    recovered_ms: Option<i64>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tender {
    /// Makes sure that the town's own server runs; `None` for an embedded ledger. Blocks.
    ///
    /// # Errors
    /// As [`OwnServer::ensure`].
    pub(super) fn start(town: &Town, settings: &Settings) -> Result<Option<Arc<Self>>, TownError> {
        if settings.store.dolt_mode == DoltMode::Embedded {
            return Ok(None);
        }
        let whose = match OwnServer::of(town, settings) {
            Some(own) => {
                let up = own.ensure()?;
                let verb = if up.is_new() { "started" } else { "adopted" };
                tracing::info!(pid = up.process.pid, port = own.site().port, "Dolt server {verb}");
                let running = Running { process: up.process, child: up.child, wanted: true };
                Whose::Own(Box::new(own), Mutex::new(running))
            }
            None => Whose::External(Box::new(wiring::server(town, settings)?)),
        };
        let tender = Self { whose, health: Mutex::default(), starts: Mutex::default() };
        tender.look();
        Ok(Some(Arc::new(tender)))
    }

    /// Asks the server how it fares and keeps the answer. Blocks.
    fn look(&self) {
        let health = match &self.whose {
            Whose::Own(own, _) => own.health(),
            Whose::External(server) => server::look(server),
        };
        if let Some(error) = &health.error {
            tracing::warn!(address = health.address, error, "the Dolt server is not well");
        }
        *locked(&self.health) = Some(health);
    }

    /// What is known of the server, for status.
    pub(super) fn told(&self) -> Value {
        let starts = *locked(&self.starts);
        json!({
            "managed": matches!(self.whose, Whose::Own(..)),
            "health": *locked(&self.health),
            "deaths": starts.deaths,
            "parked": starts.parked,
            "recovered_ms": starts.recovered_ms,
        })
    }

    /// Watches from now on, on the present arbiter.
    pub(super) fn watch(self: &Arc<Self>, parts: Parts, stores: Stores) {
        let limits = &parts.limits;
        let intensity = Intensity {
            crashes_max: limits.server_crashes_max,
            period_ms: limits.server_crash_period_ms,
            backoff_ms: BACKOFF_MS,
            backoff_max_ms: limits.server_probe_ms,
        };
        let record = supervision::Child::new(Restart::Permanent, intensity);
        let watch = Watch { tender: self.clone(), parts, stores, record };
        actix_rt::spawn(watch.run());
    }

    /// Starts the server again if it is still wanted; `false` when it is not. Blocks.
    fn restart(&self) -> Result<bool, TownError> {
        let Whose::Own(own, running) = &self.whose else { return Ok(false) };
        let mut running = locked(running);
        if !running.wanted {
            return Ok(false);
        }
        reap(&mut running);
        let up = own.ensure()?;
        running.process = up.process;
        running.child = up.child;
        Ok(true)
    }

    /// Ends the town's own server and starts it no more. Blocks.
    ///
    /// # Errors
    /// As [`OwnServer::stop`].
    pub(super) fn stop(&self) -> Result<(), TownError> {
        let Whose::Own(own, running) = &self.whose else { return Ok(()) };
        let mut running = locked(running);
        running.wanted = false;
        let ended = own.stop()?;
        reap(&mut running);
        tracing::info!(pid = ended.map(|process| process.pid), "the Dolt server has ended");
        Ok(())
    }

    /// Whether a person ended it, and it did not die.
    fn was_asked_to_end(&self) -> bool {
        match &self.whose {
            Whose::Own(own, running) => own.site().was_asked_to_end(&locked(running).process),
            Whose::External(_) => false,
        }
    }

    /// The own server's process.
    fn process(&self) -> Option<ProcessId> {
        match &self.whose {
            Whose::Own(_, running) => Some(locked(running).process.clone()),
            Whose::External(_) => None,
        }
    }
}

/// Takes the end of a child, so that no zombie stays.
fn reap(running: &mut Running) {
    if let Some(child) = &mut running.child
        && let Err(error) = child.try_wait()
    {
        tracing::debug!(%error, "the server's end cannot be taken");
    }
}

/// The watching task.
struct Watch {
    tender: Arc<Tender>,
    parts: Parts,
    stores: Stores,
    record: supervision::Child,
}

impl Watch {
    async fn run(mut self) {
        let every = Duration::from_millis(self.parts.limits.heartbeat_every_ms.unsigned_abs());
        while !self.parts.is_closed() {
            let died = match self.tender.process() {
                Some(process) => tokio::time::timeout(every, process.ended()).await.is_ok(),
                None => tokio::time::timeout(every, std::future::pending::<()>()).await.is_ok(),
            };
            if self.parts.is_closed() {
                return;
            }
            if died {
                self.died().await;
                continue;
            }
            self.look().await;
            if self.record.settled(self.parts.clock.now_ms()) {
                locked(&self.tender.starts).parked = false;
                self.alarm(None).await;
            }
        }
    }

    async fn look(&self) {
        let tender = self.tender.clone();
        if let Err(panic) = tokio::task::spawn_blocking(move || tender.look()).await {
            tracing::error!(%panic, "looking at the server");
        }
    }

    /// The server is gone: starts it again when the policy says so, until it runs.
    async fn died(&mut self) {
        let died_at = self.parts.clock.now_ms();
        let mut why = "it ended".to_owned();
        let mut end = End::Clean;
        if !self.tender.was_asked_to_end() {
            locked(&self.tender.starts).deaths += 1;
            end = End::Crash(why.clone());
        }
        let mut raise = None;
        loop {
            let now = self.parts.clock.now_ms();
            let at = match self.record.ended(&end, now) {
                Verdict::Leave => return,
                Verdict::StartAt(at) => at,
                Verdict::Park { probe_at, tell } => {
                    // hq is on that very server: the alarm is raised when it is back.
                    tracing::error!(why, "the Dolt server dies again and again");
                    locked(&self.tender.starts).parked = true;
                    raise = tell.then(|| format!("it died too often; last: {why}")).or(raise);
                    probe_at
                }
            };
            tracing::warn!(why, wait_ms = at - now, "the Dolt server is gone");
            let wait = Duration::from_millis((at - now).max(0).unsigned_abs());
            // Nothing comes: this is the wait.
            drop(tokio::time::timeout(wait, std::future::pending::<()>()).await);
            if self.parts.is_closed() {
                return;
            }
            let tender = self.tender.clone();
            match tokio::task::spawn_blocking(move || tender.restart()).await {
                Ok(Ok(true)) => break,
                Ok(Ok(false)) => return,
                Ok(Err(error)) => why = error.to_string(),
                Err(panic) => why = panic.to_string(),
            }
            end = End::Crash(why.clone());
        }
        let took = self.parts.clock.now_ms() - died_at;
        locked(&self.tender.starts).recovered_ms = Some(took);
        tracing::info!(took_ms = took, "the Dolt server is back");
        self.look().await;
        if let Some(words) = raise {
            self.alarm(Some(words)).await;
        }
        for address in self.parts.directory.addresses() {
            self.parts.directory.wake(&address);
        }
    }

    async fn alarm(&self, raise: Option<String>) {
        let Some(hq) = self.stores.get(&Db::hq()) else { return };
        let op = Op::SetAlarm {
            subject: Name::from("dolt server"),
            condition: Name::from("dies again and again"),
            raise,
        };
        let told = hq.send(Submit { actor: "deacon".to_owned(), ops: vec![op] }).await;
        match told {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "cannot raise or clear an alarm"),
            Err(error) => tracing::error!(%error, "cannot raise or clear an alarm"),
        }
    }
}
