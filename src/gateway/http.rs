//! The door behind a socket: HTTP/1.1 with JSON, so that `curl --unix-socket` can knock too.
//!
//! `POST /v1/call` takes a [`Call`] and answers an `Answer` or a [`DoorError`], `GET /v1/hello` says
//! who answers, `GET /v1/events` streams events as server-sent events. The desk runs on threads
//! that may block, never on the arbiter.

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::App;
use actix_web::HttpResponse;
use actix_web::HttpServer;
use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::web;
use futures_util::stream;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::gateway::desk::Desk;
use crate::messages::door::Call;
use crate::messages::door::DoorError;

/// Most bytes of a call.
pub const BODY_MAX: usize = 1 << 20;
/// Connections that are served at once.
const CONNECTIONS_MAX: usize = 512;
/// Seconds that a stop waits for answers that are being given.
const STOP_SECS: u64 = 2;
/// A silent stream says something this often, so that a reader who left is noticed.
const PING: Duration = Duration::from_secs(15);

/// What the handlers share.
#[derive(Clone)]
pub struct Door {
    /// Who answers.
    pub desk: Arc<Desk>,
    /// What time it is, in milliseconds since the epoch.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// What happens, for those who watch.
    pub events: broadcast::Sender<Value>,
}

/// Adds the door's routes to an application.
pub fn configure(door: Door) -> impl FnOnce(&mut web::ServiceConfig) {
    move |app| {
        app.app_data(web::Data::new(door))
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .route("/v1/call", web::post().to(call))
            .route("/v1/hello", web::get().to(hello))
            .route("/v1/events", web::get().to(events))
            .default_service(web::to(nothing_here));
    }
}

/// Serves the door on a listener with one worker until the server's handle stops it. Signals are
/// left to the caller.
///
/// # Errors
/// The listener cannot be used.
pub fn serve(listener: UnixListener, door: Door) -> io::Result<Server> {
    listener.set_nonblocking(true)?;
    let server = HttpServer::new(move || App::new().configure(configure(door.clone())))
        .workers(1)
        .max_connections(CONNECTIONS_MAX)
        .shutdown_timeout(STOP_SECS)
        .disable_signals()
        .listen_uds(listener)?;
    Ok(server.run())
}

async fn call(door: web::Data<Door>, body: web::Bytes) -> HttpResponse {
    let call: Call = match serde_json::from_slice(&body) {
        Ok(call) => call,
        Err(error) => {
            return failure(&DoorError::new("usage", format!("this is no call: {error}")));
        }
    };
    let answered = web::block(move || door.desk.answer(&call, (door.clock)())).await;
    match answered {
        Ok(Ok(answer)) => HttpResponse::Ok().json(answer),
        Ok(Err(error)) => failure(&error),
        Err(error) => {
            tracing::error!(%error, "a call was not answered");
            failure(&DoorError::new(
                "unknown_outcome",
                "the answer was lost: the daemon is stopping",
            ))
        }
    }
}

async fn hello(door: web::Data<Door>) -> HttpResponse {
    HttpResponse::Ok().json(door.desk.hello())
}

async fn nothing_here() -> HttpResponse {
    let known = "POST /v1/call, GET /v1/hello, GET /v1/events";
    failure(&DoorError::new("not_found", "nothing is here").hint(known))
}

async fn events(door: web::Data<Door>) -> HttpResponse {
    let receiver = door.events.subscribe();
    let lines = stream::unfold(receiver, |mut receiver| async move {
        let text = match tokio::time::timeout(PING, receiver.recv()).await {
            Err(_) => ": still here\n\n".to_owned(),
            Ok(Ok(event)) => format!("data: {event}\n\n"),
            Ok(Err(RecvError::Lagged(missed))) => format!("data: {{\"missed\":{missed}}}\n\n"),
            Ok(Err(RecvError::Closed)) => return None,
        };
        Some((Ok::<_, actix_web::Error>(web::Bytes::from(text)), receiver))
    });
    HttpResponse::Ok().content_type("text/event-stream").streaming(lines)
}

fn failure(error: &DoorError) -> HttpResponse {
    HttpResponse::build(status(&error.code)).json(error)
}

/// The HTTP status of an error's code.
fn status(code: &str) -> StatusCode {
    match code {
        "usage" | "mismatch" => StatusCode::BAD_REQUEST,
        "denied" => StatusCode::FORBIDDEN,
        "not_found" => StatusCode::NOT_FOUND,
        "exists" | "cycle" | "held" | "not_now" | "moved" | "stale" => StatusCode::CONFLICT,
        "invalid" => StatusCode::UNPROCESSABLE_ENTITY,
        "busy" => StatusCode::TOO_MANY_REQUESTS,
        "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        "unknown_outcome" => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
