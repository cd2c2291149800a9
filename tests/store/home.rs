//! Where a test's databases live: files of the embedded engine, or a real server of the test's own.
//!
//! [`both_engines`] makes two tests of each body, so that one source says what a ledger does. The
//! half on the server needs the program and is asked for by name.

use std::path::Path;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use gastown::model::ids::Db;
use gastown::store::conn::Conn;
use gastown::store::doltlite::DoltLite;
use gastown::store::doltlite::Tuning;
use gastown::store::ledger::Engine;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::ledger::Wrap;
use gastown::store::server::DoltServer;
use proptest::prelude::ProptestConfig;

use crate::support::dolt::Dolt;

/// Makes of each function over a [`Home`] a test on either engine.
macro_rules! both_engines {
    ($($name:ident),+ $(,)?) => {
        $(
            mod $name {
                use crate::store::home::Home;

                #[test]
                fn embedded() {
                    super::$name(&Home::embedded());
                }

                #[test]
                #[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
                fn server() {
                    super::$name(&Home::server());
                }
            }
        )+
    };
}

/// Makes of each function over a [`Home`] a test on the server: for what only a server can do.
macro_rules! server_only {
    ($($name:ident),+ $(,)?) => {
        $(
            mod $name {
                use crate::store::home::Home;

                #[test]
                #[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
                fn server() {
                    super::$name(&Home::server());
                }
            }
        )+
    };
}

pub(crate) use both_engines;
pub(crate) use server_only;

const TUNING: Tuning = Tuning { cache_mb: 4, busy_ms: 1000 };

/// A directory for a town, and the engine behind its ledger. Both are gone when it is dropped.
pub struct Home {
    server: Option<Mutex<Dolt>>,
    dir: tempfile::TempDir,
}

impl Home {
    /// Files.
    pub fn embedded() -> Self {
        Self { server: None, dir: tempfile::tempdir().unwrap() }
    }

    /// A server of its own.
    pub fn server() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { server: Some(Mutex::new(Dolt::start(&dir.path().join("dolt")))), dir }
    }

    pub fn is_server(&self) -> bool {
        self.server.is_some()
    }

    /// The town's root.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// These settings, with this engine.
    pub fn settings(&self, settings: Settings) -> Settings {
        let engine = match &self.server {
            None => Engine::Embedded,
            Some(_) => Engine::Server(self.dolt().address()),
        };
        Settings { engine, ..settings }
    }

    /// A ledger of the town, as another process would have it.
    pub fn ledger(&self, settings: Settings) -> Ledger {
        Ledger::open(self.root(), self.settings(settings))
    }

    /// As [`Home::ledger`], with something between it and each of its connections.
    pub fn wrapped(&self, settings: Settings, wrap: Wrap) -> Ledger {
        Ledger::wrapped(self.root(), self.settings(settings), wrap)
    }

    /// A ledger with an empty database of this name.
    pub fn with_db(&self, name: &str) -> (Ledger, Db) {
        let (ledger, db) = (self.ledger(Settings::default()), Db::from(name));
        ledger.create_db(&db).unwrap();
        (ledger, db)
    }

    /// A ledger with an empty database of a rig.
    pub fn town(&self) -> (Ledger, Db) {
        self.with_db("shop")
    }

    /// A connection past the ledger: an outsider's.
    pub fn conn(&self, db: &Db) -> Box<dyn Conn> {
        match &self.server {
            None => {
                let path = self.ledger(Settings::default()).path(db);
                Box::new(DoltLite::open(&path, TUNING).unwrap())
            }
            Some(_) => {
                let address = self.dolt().address().on(db.as_str());
                Box::new(DoltServer::connect(&address).unwrap())
            }
        }
    }

    /// Bytes of a database's file; 0 on a server, whose files are its own and may change at any
    /// time. There the newest commit alone tells.
    pub fn bytes(&self, ledger: &Ledger, db: &Db) -> u64 {
        match &self.server {
            None => std::fs::metadata(ledger.path(db)).unwrap().len(),
            Some(_) => 0,
        }
    }

    /// So many random cases; fewer on the server, where each takes a hundred times as long.
    pub fn cases(&self, embedded: u32, server: u32) -> ProptestConfig {
        super::support::cases(if self.is_server() { server } else { embedded })
    }

    /// The server itself, to be killed and started again.
    pub fn dolt(&self) -> MutexGuard<'_, Dolt> {
        let server = self.server.as_ref().expect("only a server can be asked for");
        server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longest time in which a server that is down is told.
pub const DOWN_WITHIN: Duration = Duration::from_secs(2);
