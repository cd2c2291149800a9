//! The door behind a socket: HTTP/1.1 with JSON, so that `curl --unix-socket` can knock too.
//!
//! `POST /v1/call` takes a [`Call`] and answers an `Answer` or a [`DoorError`], `GET /v1/hello` says
//! who answers, `GET /v1/events` streams events as server-sent events. The desk runs on threads
//! that may block, never on the arbiter.
//!
//! Each connection carries one request, so that a door that closes waits for the answers that are
//! being given and for nothing else.

use std::any::Any;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::App;
use actix_web::HttpResponse;
use actix_web::HttpServer;
use actix_web::dev::Extensions;
use actix_web::dev::ServerHandle;
use actix_web::http::KeepAlive;
use actix_web::http::StatusCode;
use actix_web::web;
use futures_util::stream;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::gateway::desk::Desk;
use crate::messages::door::Call;
use crate::messages::door::DoorError;

/// Most bytes of a call.
pub const BODY_MAX: usize = 1 << 20;
/// Connections that are served at once.
const CONNECTIONS_MAX: usize = 512;
/// How long a closing door waits for answers that are being given.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
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

/// A door that is open.
pub struct Served {
    server: ServerHandle,
    closing: watch::Sender<bool>,
    connections: watch::Sender<usize>,
}

impl Served {
    /// Lets nobody in any more, ends the event streams, and returns when every answer that was
    /// being given has gone out, or after two seconds.
    pub async fn close(self) {
        self.closing.send_replace(true);
        // The server looks at its own connections once a second only; ours are counted.
        let stopped = self.server.stop(true);
        let mut open = self.connections.subscribe();
        let all_gone = async {
            tokio::select! {
                _ = open.wait_for(|open| *open == 0) => {}
                () = stopped => {}
            }
        };
        if tokio::time::timeout(CLOSE_WITHIN, all_gone).await.is_err() {
            tracing::warn!("the closing door cut a connection off");
        }
    }
}

/// A connection while it is open.
struct Connected(watch::Sender<usize>);

impl Connected {
    fn new(count: watch::Sender<usize>) -> Self {
        count.send_modify(|open| *open += 1);
        Self(count)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

/// Adds the door's routes to an application.
fn configure(door: Door, closing: watch::Receiver<bool>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |app| {
        app.app_data(web::Data::new(door))
            .app_data(web::Data::new(closing))
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .route("/v1/call", web::post().to(call))
            .route("/v1/hello", web::get().to(hello))
            .route("/v1/events", web::get().to(events))
            .default_service(web::to(nothing_here));
    }
}

/// Opens the door on a listener, with one worker. Must be called on an arbiter; signals are left
/// to the caller.
///
/// # Errors
/// The listener cannot be used.
pub fn serve(listener: UnixListener, door: Door) -> io::Result<Served> {
    listener.set_nonblocking(true)?;
    let (closing, told) = watch::channel(false);
    let (connections, _) = watch::channel(0);
    let count = connections.clone();
    let connected = move |_: &dyn Any, of: &mut Extensions| {
        of.insert(Connected::new(count.clone()));
    };
    let app = move || App::new().configure(configure(door.clone(), told.clone()));
    let server = HttpServer::new(app)
        .workers(1)
        .max_connections(CONNECTIONS_MAX)
        .keep_alive(KeepAlive::Disabled)
        .on_connect(connected)
        .shutdown_timeout(CLOSE_WITHIN.as_secs())
        .disable_signals()
        .listen_uds(listener)?
        .run();
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the door has failed");
        }
    });
    Ok(Served { server: handle, closing, connections })
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

async fn events(door: web::Data<Door>, closing: web::Data<watch::Receiver<bool>>) -> HttpResponse {
    let state = (door.events.subscribe(), closing.get_ref().clone());
    let lines = stream::unfold(state, |(mut events, mut closing)| async move {
        let event = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => return None,
            event = tokio::time::timeout(PING, events.recv()) => event,
        };
        let text = match event {
            Err(_) => ": still here\n\n".to_owned(),
            Ok(Ok(event)) => format!("data: {event}\n\n"),
            Ok(Err(RecvError::Lagged(missed))) => format!("data: {{\"missed\":{missed}}}\n\n"),
            Ok(Err(RecvError::Closed)) => return None,
        };
        Some((Ok::<_, actix_web::Error>(web::Bytes::from(text)), (events, closing)))
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
