//! How a command gets its answer: from the daemon, or without one from the ledger itself.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::adapters::clock;
use crate::adapters::layout::Town;
use crate::cli::books::LedgerBooks;
use crate::cli::context::Context;
use crate::cli::context::Place;
use crate::cli::doorman::KeyDoorman;
use crate::cli::town::lock::TownLock;
use crate::cli::town::wiring;
use crate::config;
use crate::config::town::TownFile;
use crate::gateway::client;
use crate::gateway::client::ClientError;
use crate::gateway::desk::Desk;
use crate::messages::door::Answer;
use crate::messages::door::Call;
use crate::messages::door::Control;
use crate::messages::door::DoorError;
use crate::messages::door::PROTOCOL;
use crate::messages::door::Query;
use crate::messages::door::Request;
use crate::model::ids::Db;
use crate::model::ops::Facts;
use crate::model::ops::Op;
use crate::store::ledger::Ledger;
use crate::store::ledger::Settings;

/// How long a command waits for the daemon.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// How long it waits where a whole database is worked on.
const UPKEEP_WITHIN: Duration = Duration::from_secs(3_600);

/// How long it waits for gates, which have time-outs of their own.
const VERIFY_WITHIN: Duration = Duration::from_secs(24 * 3_600);

/// How long a command waits for the answer to a request.
fn patience(request: &Request) -> Duration {
    match request {
        Request::Control(Control::Upkeep { .. }) => UPKEEP_WITHIN,
        Request::Verify(_) => VERIFY_WITHIN,
        _ => ANSWER_WITHIN,
    }
}

/// Sends a request and gives the answer.
///
/// # Errors
/// What the desk refused; `unavailable` when neither daemon nor ledger can be used.
pub fn send(context: &Context, request: Request) -> Result<Answer, DoorError> {
    let mut call = Call {
        protocol: PROTOCOL,
        town: None,
        token: context.env.token.clone(),
        actor: context.actor.clone(),
        request,
    };
    let Place::Town { town, .. } = &context.place else {
        // A directory's own beads know no sessions: there everybody is the overseer.
        call.token = None;
        return direct(context, &call);
    };
    call.town = Some(TownFile::read(town)?.id);
    match client::call(&town.socket_path(), &call, patience(&call.request)) {
        Ok(answer) => Ok(answer),
        Err(ClientError::Closed(why)) => {
            refuse_if_held(town, &why)?;
            direct(context, &call)
        }
        Err(error) => Err(failed(&call.request, error)),
    }
}

/// Asks a question.
///
/// # Errors
/// As [`send`].
pub fn ask<T: DeserializeOwned>(context: &Context, query: Query) -> Result<T, DoorError> {
    let answer = send(context, Request::Read(query))?;
    serde_json::from_value(answer.result).map_err(|error| {
        DoorError::new("internal", format!("the answer has another shape: {error}"))
    })
}

/// Commits ops together in one database.
///
/// # Errors
/// As [`send`].
pub fn write(context: &Context, db: &Db, ops: Vec<Op>) -> Result<Facts, DoorError> {
    Ok(send(context, Request::Write { db: db.clone(), ops })?.facts)
}

/// Somebody who has the town but does not answer must not be passed by.
fn refuse_if_held(town: &Town, why: &std::io::Error) -> Result<(), DoorError> {
    match TownLock::holder(town) {
        Ok(None) => Ok(()),
        Ok(Some(holder)) => {
            let text = format!("{holder} has the town, but its door is shut ({why})");
            Err(DoorError::new("unavailable", text)
                .hint("it may be starting or stopping: try again; 'gt down' ends it"))
        }
        Err(error) => Err(DoorError::new("unavailable", error.to_string())),
    }
}

fn failed(request: &Request, error: ClientError) -> DoorError {
    match error {
        ClientError::Door(error) => error,
        ClientError::Closed(_) | ClientError::Lost(_) | ClientError::Garbled(_) => {
            let text = error.to_string();
            match request {
                Request::Hello | Request::Read(_) => {
                    DoorError::new("unavailable", text).hint("try again; 'gt status' tells more")
                }
                Request::Verify(_) => DoorError::new("unavailable", text)
                    .hint("what was cut off proves nothing: 'gt status', then verify again"),
                Request::Write { .. } | Request::Done { .. } | Request::Control(_) => {
                    DoorError::new("unknown_outcome", text)
                        .hint("it may stand or not: look with 'bd show' or 'gt status' first")
                }
            }
        }
    }
}

fn direct(context: &Context, call: &Call) -> Result<Answer, DoorError> {
    let desk = match context.desk.get() {
        Some(desk) => desk,
        None => {
            let desk = desk(context)?;
            context.desk.get_or_init(|| desk)
        }
    };
    desk.answer(call, clock::now_ms())
}

/// A desk over the ledger in this process.
fn desk(context: &Context) -> Result<Desk, DoorError> {
    let (ledger, key, town) = match &context.place {
        Place::Town { town, .. } => {
            let settings = wiring::ledger_settings(town, &config::load(town)?)?;
            let id = TownFile::read(town)?.id;
            (Ledger::open(town.root(), settings), town.key(), Some(id))
        }
        Place::Alone { beads, .. } => {
            (Ledger::open(beads, Settings::default()), beads.join("key"), None)
        }
    };
    let books = LedgerBooks::new(ledger, context.databases());
    let doorman = KeyDoorman::at(&key)
        .map_err(|error| DoorError::new("io", format!("{}: {error}", key.display())))?;
    Ok(Desk::new(Arc::new(books), None, Arc::new(doorman), town))
}
