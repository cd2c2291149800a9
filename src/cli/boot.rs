//! Wires the rooms into a running town: the only place that names them all.
//!
//! `run_daemon` takes the town's lock, opens the ledger, starts the tree and the door, and takes
//! them down again. Start is recovery: every machine reads its rows and asks the world.

mod books;
mod dolt;
mod live;
mod verify;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

use actix_rt::System;
use tokio::runtime::Builder;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::broadcast;
use tokio::sync::mpsc;

use crate::actors::parts::Parts;
use crate::actors::town::Rig;
use crate::actors::town::Town as Running;
use crate::adapters::clock;
use crate::adapters::clock::MonotonicClock;
use crate::adapters::files;
use crate::adapters::gates;
use crate::adapters::layout::Town;
use crate::adapters::sessions::Sessions;
use crate::adapters::token;
use crate::adapters::world::RealWorld;
use crate::cli::boot::books::DaemonBooks;
use crate::cli::boot::dolt::Tender;
use crate::cli::boot::live::DaemonLive;
use crate::cli::boot::live::Keeper;
use crate::cli::boot::live::Order;
use crate::cli::doorman::KeyDoorman;
use crate::cli::town::error::TownError;
use crate::cli::town::keep::TownKeep;
use crate::cli::town::lock::TownLock;
use crate::cli::town::wiring;
use crate::config;
use crate::config::Settings;
use crate::config::env;
use crate::config::env::Env;
use crate::config::registry::Registry;
use crate::config::town::TownFile;
use crate::gateway::desk::Desk;
use crate::gateway::http;
use crate::gateway::http::Door;
use crate::machines::supervision::Intensity;
use crate::messages::QueueSettings;
use crate::model::ids::Db;
use crate::model::value::Name;
use crate::store::ledger::Ledger;
use crate::store::port::HeldLedger;

/// Orders that may wait for the arbiter; more are told that the daemon is busy.
const ORDERS_MAX: usize = 64;
/// Threads that may block at once: lanes, reads, git.
const BLOCKING_MAX: usize = 64;
/// Seconds after which an idle blocking thread ends.
const BLOCKING_IDLE_S: u64 = 10;
/// Seconds that a stop waits for sessions to end.
const SESSIONS_END_S: u64 = 20;
/// Facts kept for a slow watcher of the door.
const EVENTS_MAX: usize = 1024;

/// Runs the town's daemon in the foreground until it is told to stop.
///
/// # Errors
/// Another daemon runs, settings are wrong, a database cannot be used, the socket cannot be made.
pub fn run_daemon(root: &Path) -> Result<(), TownError> {
    let env = Env::read();
    let town = wiring::town(root, env.runtime_dir.as_ref());
    let _lock = TownLock::take(&town, "daemon")?;
    let runtime = || {
        Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_MAX)
            .thread_keep_alive(Duration::from_secs(BLOCKING_IDLE_S))
            .build()
            .expect("a runtime needs only memory and a poll descriptor")
    };
    let pid = town.daemon_pid();
    let result = System::with_tokio_rt(runtime).block_on(serve(town.clone()));
    for path in [pid, town.socket_path()] {
        if let Err(error) = files::remove_all(&path) {
            tracing::warn!(path = %path.display(), %error, "left behind");
        }
    }
    result
}

/// The rigs of a town as its actors need them.
pub(super) fn rigs(settings: &Settings, registry: &Registry, environment: &Name) -> Vec<Rig> {
    let rigs = registry.rigs.iter().map(|(name, entry)| {
        let target = wiring::target(settings, name, entry);
        Rig {
            name: name.clone(),
            prefix: entry.beads.prefix.clone(),
            queue: QueueSettings {
                environment: environment.clone(),
                ..settings.queue_settings(name, &target)
            },
        }
    });
    rigs.collect()
}

/// What a daemon works on: its settings, and a ledger whose every database it holds.
struct Opened {
    settings: Settings,
    registry: Registry,
    file: TownFile,
    held: Arc<HeldLedger>,
    tender: Option<Arc<Tender>>,
}

/// Opens the ledger, after its server where it has one of its own. Blocks.
fn open(town: &Town) -> Result<Opened, TownError> {
    let settings = config::load(town)?;
    let registry = Registry::read(town)?;
    registry.check_routes(town)?;
    let file = TownFile::read(town)?;
    wiring::check_mode(town, settings.store.dolt_mode)?;
    let tender = Tender::start(town, &settings)?;
    let ledger = Ledger::open(town.root(), wiring::ledger_settings(town, &settings)?);
    let wait_ms = settings.store.writer_wait_ms;
    let held = Arc::new(HeldLedger::owned(Arc::new(ledger), wait_ms, file.id.clone()));
    held.hold(&Db::hq())?;
    for name in registry.rigs.keys() {
        held.hold(&Db::from(name))?;
    }
    Ok(Opened { settings, registry, file, held, tender })
}

/// Runs what blocks away from the arbiter: connections to a server may not be used on it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TownError> + Send + 'static,
) -> Result<T, TownError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(TownError::io("a worker thread")(io::Error::other(panic))))
}

async fn serve(town: Town) -> Result<(), TownError> {
    let at = town.clone();
    let Opened { settings, registry, file, held, tender } = blocking(move || open(&at)).await?;
    let exe = env::exe().map_err(TownError::io("gt"))?;
    let base = env::base(&settings.pass_env);
    let told = wiring::world_settings(&settings, &registry, exe.clone(), base)?;
    let world = RealWorld::new(town.clone(), told);
    world.recover();
    world.sessions().link_commands(&exe).map_err(TownError::io(town.bin()))?;
    let clock = Arc::new(MonotonicClock::default());
    let limits = settings.limits.clone();
    let keep = Arc::new(TownKeep::new(town.root().to_owned(), held.clone(), &settings));
    let parts = Parts::new(clock.clone(), held.clone(), Arc::new(world.clone()), limits)
        .with_keep(keep, settings.life());
    let environment = gates::environment_digest(&world.settings());
    let rigs = rigs(&settings, &registry, &environment);
    let running = Running::start(parts.clone(), rigs, Intensity::default()).await?;
    if let Some(tender) = &tender {
        tender.watch(parts.clone(), running.stores());
    }
    let (orders, mut inbox) = mpsc::channel(ORDERS_MAX);
    let keeper = Keeper {
        town: town.clone(),
        held,
        stores: running.stores(),
        world: world.clone(),
        parts: parts.clone(),
        orders,
        runtime: tokio::runtime::Handle::current(),
        databases: Arc::new(RwLock::new(registry.databases())),
        tender: tender.clone(),
    };
    let (door, listener) = open_door(&town, &keeper, &file, clock)?;
    let served = http::serve(listener, door).map_err(TownError::io(town.socket_path()))?;
    write_pid(&town)?;
    tracing::info!(root = %town.root().display(), rigs = registry.rigs.len(), "the town is up");
    let sessions = wait(&mut inbox, &keeper, &running).await?;
    tracing::info!(sessions, "the town goes down");
    parts.close();
    if sessions {
        end_sessions(&world, settings.limits.stop_grace_ms).await;
    }
    served.close().await;
    match tender {
        // Whoever keeps the sessions starts the next daemon, which finds the server running.
        Some(tender) if sessions => blocking(move || tender.stop()).await,
        _ => Ok(()),
    }
}

fn write_pid(town: &Town) -> Result<(), TownError> {
    let path = town.daemon_pid();
    let text = format!("{}\n", std::process::id());
    files::write_atomic(&path, text.as_bytes(), 0o644).map_err(TownError::io(&path))
}

fn open_door(
    town: &Town,
    keeper: &Keeper,
    file: &TownFile,
    clock: Arc<MonotonicClock>,
) -> Result<(Door, UnixListener), TownError> {
    let live = Arc::new(DaemonLive::new(keeper.clone()));
    let books = Arc::new(DaemonBooks::new(keeper.clone()));
    let key = town.key();
    let key = token::town_key(&key).map_err(TownError::io(&key))?;
    let doorman = Arc::new(KeyDoorman::new(key));
    let desk = Desk::new(books, Some(live), doorman, Some(file.id.clone()));
    let path = town.prepare_socket().map_err(TownError::io(town.socket_path()))?;
    // The lock is ours, so a socket that is there is a dead daemon's.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(TownError::io(&path)(error));
        }
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path).map_err(TownError::io(&path))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(TownError::io(&path))?;
    let (events, _) = broadcast::channel(EVENTS_MAX);
    forward(keeper.parts.events.subscribe(), events.clone());
    let door = Door { desk: Arc::new(desk), clock: Arc::new(move || clock.now_ms()), events };
    Ok((door, listener))
}

/// Hands facts on to those who watch at the door.
fn forward(
    mut from: broadcast::Receiver<crate::actors::parts::Event>,
    to: broadcast::Sender<serde_json::Value>,
) {
    actix_rt::spawn(async move {
        loop {
            let value = match from.recv().await {
                Ok(event) => serde_json::to_value(event),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    Ok(serde_json::json!({ "missed": missed }))
                }
                Err(broadcast::error::RecvError::Closed) => return,
            };
            match value {
                // Nobody watching is fine.
                Ok(value) => drop(to.send(value)),
                Err(error) => tracing::error!(%error, "an event could not be written"),
            }
        }
    });
}

/// Serves orders that need the arbiter until the stop; answers whether sessions are to be ended.
async fn wait(
    inbox: &mut mpsc::Receiver<Order>,
    keeper: &Keeper,
    running: &Running,
) -> Result<bool, TownError> {
    let failed = TownError::io("signals");
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(TownError::io("signals"))?;
    loop {
        tokio::select! {
            biased;
            order = inbox.recv() => match order {
                Some(Order::Stop { sessions }) => return Ok(sessions),
                Some(Order::Reload { done }) => {
                    let result = reload(keeper, running);
                    if done.send(result).is_err() {
                        tracing::debug!("nobody waits for the reload");
                    }
                }
                None => return Ok(false),
            },
            // A supervisor of the daemon restarts it: sessions live on.
            _ = terminate.recv() => return Ok(false),
            _ = interrupt.recv() => return Ok(true),
        }
    }
}

/// Reads settings and registry again, tells the world, and starts what is new.
fn reload(keeper: &Keeper, running: &Running) -> Result<usize, TownError> {
    let settings = config::load(&keeper.town)?;
    let registry = Registry::read(&keeper.town)?;
    let exe = env::exe().map_err(TownError::io("gt"))?;
    let base = env::base(&settings.pass_env);
    keeper.world.configure(wiring::world_settings(&settings, &registry, exe, base)?);
    *keeper.databases.write().unwrap_or_else(PoisonError::into_inner) = registry.databases();
    let environment = gates::environment_digest(&keeper.world.settings());
    let rigs = rigs(&settings, &registry, &environment);
    let count = rigs.len();
    let names: Vec<_> = rigs.iter().map(|rig| rig.name.clone()).collect();
    running.keep_rigs(&names);
    for rig in rigs {
        running.add_rig(rig);
    }
    Ok(count)
}

/// Ends every session of the town; assignments stay, the next start goes on with them.
async fn end_sessions(world: &RealWorld, grace_ms: i64) {
    let sessions = world.sessions();
    let all = match sessions.list() {
        Ok(all) => all,
        Err(error) => {
            tracing::error!(%error, "sessions cannot be listed");
            return;
        }
    };
    let grace = u64::try_from(grace_ms).unwrap_or(0);
    let ends = all.into_iter().map(|id| end_session(sessions, id, grace));
    let all = futures_util::future::join_all(ends);
    if tokio::time::timeout(Duration::from_secs(SESSIONS_END_S), all).await.is_err() {
        tracing::error!("some sessions did not end within {SESSIONS_END_S} s");
    }
}

async fn end_session(sessions: &Sessions, id: crate::model::ids::SessionId, grace: u64) {
    if let Err(error) = sessions.stop(&id, grace).await {
        tracing::warn!(session = %id, %error, "cannot be stopped");
        return;
    }
    match sessions.watch(&id).await {
        Ok(exit) => tracing::debug!(session = %id, ?exit, "ended"),
        Err(error) => tracing::warn!(session = %id, %error, "cannot be watched"),
    }
}

/// The time, for commands that answer calls themselves.
#[must_use]
pub fn now_ms() -> i64 {
    clock::now_ms()
}
