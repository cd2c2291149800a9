//! The two engines as a soak has them: a town whose daemon is a child of this process, and a server
//! of its own.

use std::fs;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use gastown::adapters::dolt::Holder;
use gastown::adapters::dolt::Site;
use gastown::adapters::layout::Town;
use gastown::cli::town::wiring;
use gastown::config;
use gastown::model::ids::Db;
use gastown::store::conn::Conn;
use gastown::store::doltlite::DoltLite;
use gastown::store::doltlite::Tuning;
use gastown::store::ledger::Engine;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::server::DoltServer;
use gastown::store::server::Server;

use crate::dolt::free_port;
use crate::tools::Fallible;
use crate::tools::gt;
use crate::tools::make_repository;
use crate::tools::run;

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Files.
    Embedded,
    /// A real server.
    Server,
}

impl Kind {
    /// Both, in the order in which they are measured.
    pub(crate) const ALL: [Self; 2] = [Self::Embedded, Self::Server];

    /// The word for flags and tables.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Server => "server",
        }
    }
}

/// A ledger at `root`, on files or on this server.
pub(crate) fn ledger(root: &Path, server: Option<Server>) -> Ledger {
    let engine = server.map_or(Engine::Embedded, Engine::Server);
    Ledger::open(root, Settings { engine, ..Settings::default() })
}

/// Makes a town with the rig `app` (prefix `ap`) below `dir`, unless it is there.
pub(crate) fn make(dir: &Path, kind: Kind) -> Fallible<PathBuf> {
    let (root, made) = (dir.join("town"), dir.join("made"));
    if made.is_file() {
        return Ok(root);
    }
    let origin = dir.join("app");
    make_repository(&origin)?;
    let (at, port) = (root.display().to_string(), free_port().to_string());
    let mut words = vec!["install", &at];
    let dolt = std::env::var("GT_TEST_DOLT").unwrap_or_else(|_| "dolt".to_owned());
    if kind == Kind::Server {
        words.extend(["--store", "server", "--port", &port, "--dolt", &dolt]);
    }
    run(dir, &words)?;
    if kind == Kind::Server {
        run(&root, &["dolt", "start"])?;
    }
    run(&root, &["rig", "add", "app", &origin.display().to_string(), "--prefix", "ap"])?;
    if kind == Kind::Server {
        // More deaths than a server may have are what is wanted here.
        for (key, value) in [("crashes_max", "100000"), ("crash_period_ms", "1000")] {
            run(&root, &["config", "set", &format!("limits.server_{key}"), value])?;
        }
    }
    fs::write(made, "")?;
    Ok(root)
}

/// The ledger of a town, on the engine that it has.
pub(crate) fn of_town(root: &Path) -> Fallible<Ledger> {
    let town = Town::new(root);
    let settings = wiring::ledger_settings(&town, &config::load(&town)?)?;
    Ok(Ledger::open(root, settings))
}

/// The server that a town keeps itself.
pub(crate) struct Kept {
    site: Site,
    server: Server,
}

impl Kept {
    pub(crate) fn of(root: &Path) -> Fallible<Self> {
        let town = Town::new(root);
        let settings = config::load(&town)?;
        let server = wiring::server(&town, &settings)?;
        Ok(Self { site: wiring::dolt_site(&town, &settings), server })
    }

    /// Kills the process that has the town's data, and nothing else.
    pub(crate) fn kill9(&self) -> Fallible<()> {
        let Holder::Server { process, .. } = self.site.holder()? else {
            return Err("no server has the town's data".into());
        };
        let pid = rustix::process::Pid::from_raw(process.pid).ok_or("it has no number")?;
        Ok(rustix::process::kill_process(pid, rustix::process::Signal::KILL)?)
    }

    /// Waits until the town has a server that answers again.
    pub(crate) fn await_answer(&self) -> Fallible<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while DoltServer::connect(&self.server).is_err() {
            if Instant::now() > deadline {
                return Err("the server did not come back".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// A daemon in the foreground, as a child: it is killed by its own handle.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts it and waits until it answers its door.
    pub(crate) fn start(root: &Path) -> Fallible<Self> {
        let log = File::options().create(true).append(true).open(root.join("soak-daemon.log"))?;
        let mut child = Command::new(gt())
            .args(["daemon", "run"])
            .current_dir(root)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let socket = Town::new(root).socket_path();
        let deadline = Instant::now() + Duration::from_secs(60);
        while UnixStream::connect(&socket).is_err() {
            if let Some(status) = child.try_wait()? {
                return Err(format!("the daemon ended at its start: {status}").into());
            }
            if Instant::now() > deadline {
                child.kill()?;
                return Err("the daemon does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Self(child))
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Fallible<Option<std::process::ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Kills it at once.
    pub(crate) fn kill9(mut self) -> Fallible<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Writes a file so that it is the old or the new one after a crash.
pub(crate) fn replace(path: &Path, text: &str) -> Fallible<()> {
    let draft = path.with_extension("new");
    fs::write(&draft, text)?;
    File::open(&draft)?.sync_all()?;
    fs::rename(&draft, path)?;
    Ok(())
}

/// A connection past the ledger.
pub(crate) fn raw(ledger: &Ledger, kind: Kind, db: &Db) -> Fallible<Box<dyn Conn>> {
    Ok(match kind {
        Kind::Embedded => {
            let tuning = Tuning { cache_mb: 32, busy_ms: 5_000 };
            Box::new(DoltLite::open(&ledger.path(db), tuning)?)
        }
        Kind::Server => {
            // The town's root is above the directory of its databases.
            let path = ledger.path(db);
            let root = path.ancestors().nth(2).ok_or("the database has no town")?;
            Box::new(DoltServer::connect(&Kept::of(root)?.server.on(db.as_str()))?)
        }
    })
}
