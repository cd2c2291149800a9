//! The town's own Dolt server as the town needs it: running, answering, and its own.
//!
//! A process is known by the lock that it has (`adapters::dolt`), a server by what it answers: the
//! data directory must be this town's. Only then is it used, and only then adopted.

use std::process::Child;
use std::time::Duration;

use serde::Serialize;

use crate::adapters::clock;
use crate::adapters::detach;
use crate::adapters::dolt;
use crate::adapters::dolt::DoltError;
use crate::adapters::dolt::Holder;
use crate::adapters::dolt::Site;
use crate::adapters::files;
use crate::adapters::host::tree::ProcessId;
use crate::adapters::layout::Town;
use crate::cli::town::error::TownError;
use crate::cli::town::wiring;
use crate::config::DoltMode;
use crate::config::Settings;
use crate::store::admin::Admin;
use crate::store::admin::Standing;
use crate::store::conn::ConnError;
use crate::store::served::sweep;
use crate::store::server::Server;

/// How long a server may take until it answers; a large journal may have to be read.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at a server that does not answer yet.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How long a server may take to end by itself.
pub const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Lines and bytes of its log that an error shows.
const LOG_SHOWN: (usize, u64) = (6, 2_000);

/// The server that a town keeps itself.
#[derive(Clone, Debug)]
pub struct OwnServer {
    site: Site,
}

/// A server that answers.
#[derive(Debug)]
pub struct Up {
    /// Its process.
    pub process: ProcessId,
    /// The same to be waited for, where this process started it.
    pub child: Option<Child>,
    /// What it says of itself.
    pub standing: Standing,
}

impl Up {
    /// Whether it was started just now; else it ran before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.child.is_some()
    }
}

/// How a server fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// When it was asked, in milliseconds since the epoch.
    pub at: i64,
    /// Whether it answered.
    pub ok: bool,
    /// What is wrong, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// `host:port`.
    pub address: String,
    /// Its process, where it is the town's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Microseconds for a new connection.
    pub connect_us: u64,
    /// Microseconds for one empty question.
    pub latency_us: u64,
    /// Connections beside the one that asked.
    pub connections: usize,
    /// Bytes free on the disk with the databases, where it is the town's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_free: Option<u64>,
    /// Dolt's version.
    pub version: String,
    /// The directory that it serves, where it says it.
    pub data_dir: String,
    /// The id of this run of the server.
    pub server_id: String,
    /// Its databases.
    pub databases: Vec<String>,
}

impl OwnServer {
    /// The server of a town whose settings say that it keeps one.
    #[must_use]
    pub fn of(town: &Town, settings: &Settings) -> Option<Self> {
        let own = settings.store.dolt_mode == DoltMode::Server && settings.store.external.is_none();
        own.then(|| Self { site: wiring::dolt_site(town, settings) })
    }

    /// On a site of one's own choice.
    #[must_use]
    pub fn at(site: Site) -> Self {
        Self { site }
    }

    /// Where it is.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// How it is reached.
    ///
    /// # Errors
    /// Its secret cannot be read.
    pub fn server(&self) -> Result<Server, TownError> {
        wiring::own_server(&self.site)
    }

    /// Its process, if one has the data directory.
    ///
    /// # Errors
    /// As [`Site::holder`].
    pub fn process(&self) -> Result<Option<ProcessId>, TownError> {
        match self.site.holder()? {
            Holder::Server { process, .. } => Ok(Some(process)),
            Holder::Nobody | Holder::Unknown => Ok(None),
        }
    }

    /// Makes sure that it runs and answers: one that runs is adopted, else it is started. Its user
    /// is made at the first start, and again if that was cut short.
    ///
    /// # Errors
    /// It cannot be started, ends at once, does not answer in time, or is not this town's.
    pub fn ensure(&self) -> Result<Up, TownError> {
        let found = detach::wait_for(ANSWERS_WITHIN, LOOK_EVERY, || self.found_or_started());
        let (process, mut child) = match found {
            Some(found) => found?,
            None => return Err(DoltError::Unknown(self.site.data.clone()).into()),
        };
        let answered = detach::wait_for(ANSWERS_WITHIN, LOOK_EVERY, || {
            // A server that has ended answers no more; whoever else listens there is another.
            if !matches!(child.as_mut().map(Child::try_wait), None | Some(Ok(None)))
                || !process.is_alive()
            {
                return Some(Err(self.gone()));
            }
            self.answer().transpose()
        });
        let standing = match answered {
            Some(Ok(standing)) => standing,
            Some(Err(error)) => return Err(error),
            None => return Err(self.broken("does not answer")),
        };
        if child.is_some() {
            self.site.note(&process, &standing.databases)?;
        }
        Ok(Up { process, child, standing })
    }

    /// Who has the data directory, or a new server; `None` while somebody else is starting one.
    fn found_or_started(&self) -> Option<Result<(ProcessId, Option<Child>), TownError>> {
        match self.site.holder() {
            Ok(Holder::Server { process, port }) => {
                let other = port.filter(|port| *port != self.site.port);
                Some(match other {
                    Some(runs) => Err(DoltError::OtherPort { runs, wanted: self.site.port }.into()),
                    None => Ok((process, None)),
                })
            }
            Ok(Holder::Unknown) => None,
            Ok(Holder::Nobody) => match self.swept().and_then(|()| Ok(self.site.start()?)) {
                Ok(started) => Some(Ok((started.process, Some(started.child)))),
                Err(TownError::Dolt(DoltError::Running { .. })) => None,
                Err(error) => Some(Err(error)),
            },
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Clears away the databases whose making was interrupted, which only a server at rest allows.
    fn swept(&self) -> Result<(), TownError> {
        let data = &self.site.data;
        for aside in sweep(data).map_err(TownError::io(data))? {
            tracing::warn!(aside = %aside.display(), "a half-made database was moved aside");
        }
        Ok(())
    }

    /// One try of the handshake; `None` while nobody listens.
    fn answer(&self) -> Result<Option<Standing>, TownError> {
        let server = self.server()?;
        let wrong = |error: ConnError| self.broken(&format!("answers: {error}"));
        if !self.site.has_user() && !self.make_user(&server)? {
            return Ok(None);
        }
        let mut admin = match Admin::connect(&server) {
            Ok(admin) => admin,
            Err(ConnError::Down(_)) => return Ok(None),
            Err(error) => {
                // Its list of users was made anew, or the first start was cut short.
                tracing::warn!(%error, "the server does not know its user: it is made again");
                if !self.make_user(&server)? {
                    return Ok(None);
                }
                Admin::connect(&server).map_err(wrong)?
            }
        };
        let standing = admin.standing().map_err(wrong)?;
        if standing.data_dir != self.site.data.display().to_string() {
            let what = format!("is another one: it serves {}", standing.data_dir);
            return Err(self.broken(&what));
        }
        Ok(Some(standing))
    }

    /// Makes the server's user as its first one, then removes that; `false` while nobody listens.
    fn make_user(&self, server: &Server) -> Result<bool, TownError> {
        let wrong = |error: ConnError| self.broken(&format!("answers: {error}"));
        let first = Server { user: dolt::FIRST_USER.to_owned(), ..server.clone() };
        match Admin::connect(&first) {
            Ok(mut admin) => admin.make_user(dolt::USER, &server.password).map_err(wrong)?,
            Err(ConnError::Down(_)) => return Ok(false),
            // An earlier try came as far as removing it; then ours must do.
            Err(error) => tracing::debug!(%error, "the first user is gone"),
        }
        let mut admin = Admin::connect(server).map_err(wrong)?;
        admin.drop_first_user().map_err(wrong)?;
        self.site.user_made()?;
        Ok(true)
    }

    fn gone(&self) -> TownError {
        self.broken("ended at once")
    }

    fn broken(&self, what: &str) -> TownError {
        let (lines, bytes) = LOG_SHOWN;
        let tail = files::tail(&self.site.log, lines, bytes).unwrap_or_default();
        let what = format!("(127.0.0.1:{}) {what}", self.site.port);
        let log = format!(
            "; its log {} ends with:\n{tail}\nif it cannot open its data: 'gt dolt recover'",
            self.site.log.display()
        );
        TownError::Server { what, log }
    }

    /// Ends it; answers the process that ended, `None` when none ran.
    ///
    /// # Errors
    /// As [`Site::stop`].
    pub fn stop(&self) -> Result<Option<ProcessId>, TownError> {
        Ok(self.site.stop(STOP_WITHIN)?)
    }

    /// Asks it how it fares. Nothing is written.
    #[must_use]
    pub fn health(&self) -> Health {
        let server = self.server();
        let mut health = match &server {
            Ok(server) => look(server),
            Err(error) => Health { error: Some(error.to_string()), ..Health::down("") },
        };
        health.pid = self.process().ok().flatten().map(|process| process.pid);
        health.disk_free = self.site.free_bytes().ok();
        if health.ok && health.data_dir != self.site.data.display().to_string() {
            health.ok = false;
            health.error = Some(format!("another server answers, with {}", health.data_dir));
        }
        health
    }
}

impl Health {
    fn down(address: &str) -> Self {
        Self {
            at: clock::now_ms(),
            ok: false,
            error: None,
            address: address.to_owned(),
            pid: None,
            connect_us: 0,
            latency_us: 0,
            connections: 0,
            disk_free: None,
            version: String::new(),
            data_dir: String::new(),
            server_id: String::new(),
            databases: Vec::new(),
        }
    }
}

/// How any server fares, with one connection.
#[must_use]
pub fn look(server: &Server) -> Health {
    let mut health = Health::down(&server.address());
    let micros =
        |from: std::time::Instant| u64::try_from(from.elapsed().as_micros()).unwrap_or(u64::MAX);
    let began = clock::instant();
    let asked = Admin::connect(server).and_then(|mut admin| {
        health.connect_us = micros(began);
        let asked = clock::instant();
        admin.ping()?;
        health.latency_us = micros(asked);
        admin.standing()
    });
    match asked {
        Ok(standing) => {
            health.ok = true;
            health.connections = standing.connections;
            health.version = standing.version;
            health.data_dir = standing.data_dir;
            health.server_id = standing.server_id;
            health.databases = standing.databases;
        }
        Err(error) => health.error = Some(error.to_string()),
    }
    health
}
