//! Where a command is: the town, its settings, who asks, and the way to the door.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::adapters::layout::Town;
use crate::cli::call;
use crate::cli::context::Context;
use crate::cli::context::Place;
use crate::cli::context::Wanted;
use crate::cli::town::error::TownError;
use crate::cli::town::wiring;
use crate::config;
use crate::config::Settings;
use crate::config::env;
use crate::config::env::Env;
use crate::config::registry::Registry;
use crate::config::town::TownFile;
use crate::gateway::client;
use crate::gateway::client::ClientError;
use crate::messages::door::Answer;
use crate::messages::door::Call;
use crate::messages::door::Control;
use crate::messages::door::DoorError;
use crate::messages::door::HelloView;
use crate::messages::door::PROTOCOL;
use crate::messages::door::Query;
use crate::messages::door::Request;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ops::Facts;
use crate::model::ops::Op;
use crate::store::ledger::Ledger;

/// How long the door may take to say who answers.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// What a command of `gt` works with.
pub struct Here {
    /// Where and who, as the door needs it.
    pub context: Context,
    /// `GT_` variables, for the settings' top layer.
    pub vars: BTreeMap<String, String>,
    /// The town.
    pub town: Town,
    /// The settings in force.
    pub settings: Settings,
    /// The rigs.
    pub registry: Registry,
}

impl Here {
    /// The town that is meant, with its settings.
    ///
    /// # Errors
    /// There is no town, or its files do not hold.
    pub fn find(at: &Wanted) -> Result<Self, DoorError> {
        let mut here = Self::for_settings(at)?;
        here.settings = config::load_with(&here.town, &here.vars)?;
        Ok(here)
    }

    /// The same where settings may be wrong: they are the defaults.
    ///
    /// # Errors
    /// There is no town.
    pub fn for_settings(at: &Wanted) -> Result<Self, DoorError> {
        let context = Context::find(Env::read(), at.clone())?;
        let Place::Town { town, registry } = &context.place else {
            let text = format!("{} is in no town", context.cwd.display());
            return Err(DoorError::new("config", text)
                .hint("cd into a town, name it with --town, or make one: 'gt install DIR'"));
        };
        let (town, registry) = (town.clone(), registry.clone());
        let (vars, settings) = (env::variables(), Settings::default());
        Ok(Self { context, vars, town, settings, registry })
    }

    /// Who and where this process is.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.context.env
    }

    /// Refuses an agent's session what only a person decides.
    ///
    /// # Errors
    /// `denied`, with whom to ask.
    pub fn persons_only(&self, what: &str) -> Result<(), DoorError> {
        if !self.env().is_agent() {
            return Ok(());
        }
        Err(DoorError::new("denied", format!("an agent's session cannot {what}"))
            .hint("ask for it: 'gt mail send overseer -s SUBJECT -m TEXT'"))
    }

    /// The directory that is meant.
    #[must_use]
    pub fn cwd(&self) -> &Path {
        &self.context.cwd
    }

    /// The ledger, for a command that has the town to itself.
    ///
    /// # Errors
    /// The engine cannot be reached: told before anything is begun.
    pub fn ledger(&self) -> Result<Ledger, DoorError> {
        let settings = wiring::ledger_settings(&self.town, &self.settings)?;
        let ledger = Ledger::open(self.town.root(), settings);
        ledger.reach(&Db::hq()).map_err(TownError::from)?;
        Ok(ledger)
    }

    /// Sends a request: to the daemon, or without one to a desk of this process.
    ///
    /// # Errors
    /// The door's.
    pub fn send(&self, request: Request) -> Result<Answer, DoorError> {
        call::send(&self.context, request)
    }

    /// Asks a question.
    ///
    /// # Errors
    /// The door's.
    pub fn ask<T: DeserializeOwned>(&self, query: Query) -> Result<T, DoorError> {
        call::ask(&self.context, query)
    }

    /// Commits ops together in one database.
    ///
    /// # Errors
    /// The door's.
    pub fn write(&self, db: &Db, ops: Vec<Op>) -> Result<Facts, DoorError> {
        call::write(&self.context, db, ops)
    }

    /// Asks the running town for something.
    ///
    /// # Errors
    /// The door's; `unavailable` without a daemon.
    pub fn control<T: DeserializeOwned>(&self, control: Control) -> Result<T, DoorError> {
        typed(self.send(Request::Control(control))?)
    }

    /// Who answers at the door; `None` without a daemon.
    ///
    /// # Errors
    /// Somebody else answers.
    pub fn hello(&self) -> Result<Option<HelloView>, DoorError> {
        let call = Call {
            protocol: PROTOCOL,
            town: Some(TownFile::read(&self.town)?.id),
            token: None,
            actor: None,
            request: Request::Hello,
        };
        match client::call(&self.town.socket_path(), &call, HELLO_WITHIN) {
            Ok(answer) => typed(answer).map(Some),
            Err(ClientError::Closed(_)) => Ok(None),
            Err(ClientError::Door(error)) => Err(error),
            Err(error) => Err(DoorError::new("unavailable", error.to_string())
                .hint("'gt daemon logs' tells what the daemon does")),
        }
    }

    /// Whether a daemon answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.hello().is_ok_and(|hello| hello.is_some())
    }

    /// The caller's address, as far as the environment tells, and what told it.
    #[must_use]
    pub fn actor(&self) -> (String, &'static str) {
        if let Some(role) = &self.env().role {
            return (role.clone(), "GT_ROLE");
        }
        match &self.context.actor {
            Some(actor) => (actor.clone(), "BD_ACTOR"),
            None => (Identity::Overseer.actor(), "default"),
        }
    }

    /// The database that an id belongs to.
    ///
    /// # Errors
    /// No prefix of this town begins it.
    pub fn db_of(&self, id: &BeadId) -> Result<Db, DoorError> {
        self.context.db_of(id)
    }

    /// The rig that is meant where none is named: the session's, the directory's, or the only one.
    #[must_use]
    pub fn default_rig(&self) -> Option<RigName> {
        self.context.default_rig().map(|(rig, _)| rig)
    }

    /// A rig by name, or the default one.
    ///
    /// # Errors
    /// There is none of that name, or none is meant.
    pub fn rig(&self, name: Option<String>) -> Result<RigName, DoorError> {
        match name.map(RigName) {
            Some(rig) => {
                self.registry.rig(&rig)?;
                Ok(rig)
            }
            None => self.default_rig().ok_or_else(|| {
                DoorError::new("usage", "which rig?").hint("name it: --rig RIG ('gt rig list')")
            }),
        }
    }
}

fn typed<T: DeserializeOwned>(answer: Answer) -> Result<T, DoorError> {
    serde_json::from_value(answer.result).map_err(|error| {
        DoorError::new("mismatch", format!("the answer has another shape: {error}"))
            .hint("the running daemon may be of another version: 'gt down', then 'gt up'")
    })
}

impl From<TownError> for DoorError {
    fn from(error: TownError) -> Self {
        match error {
            TownError::Config(error) => error.into(),
            error => Self::new(error.code(), error.to_string()),
        }
    }
}
