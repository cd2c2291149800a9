//! A call through a real socket: the server on one side, the blocking client on the other.

use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use gastown::adapters::clock::Stopwatch;
use gastown::gateway::client;
use gastown::gateway::client::ClientError;
use gastown::gateway::http;
use gastown::gateway::http::BODY_MAX;
use gastown::gateway::http::Door;
use gastown::messages::door::HelloView;
use gastown::messages::door::Query;
use gastown::messages::door::Request;
use gastown::messages::views::IssueView;
use gastown::model::ids::Db;
use gastown::model::ops::Op;
use gastown::model::query::BeadFilter;
use serde_json::Value;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::oneshot;

use crate::gateway::town::T0;
use crate::gateway::town::Town;
use crate::gateway::town::call;
use crate::gateway::town::create;

const WITHIN: Duration = Duration::from_secs(20);

/// A door that is open until this is dropped.
struct Open {
    dir: tempfile::TempDir,
    events: broadcast::Sender<Value>,
    close: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Open {
    fn new() -> Self {
        Self::with_clock(Arc::new(|| T0))
    }

    fn with_clock(clock: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("gt.sock")).unwrap();
        let (events, _) = broadcast::channel(64);
        let door = Door { desk: Arc::new(Town::new().desk), clock, events: events.clone() };
        let (tell, told) = mpsc::channel();
        let (close, closed) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let served = http::serve(listener, door).unwrap();
                tell.send(()).unwrap();
                drop(closed.await);
                served.close().await;
            });
        });
        told.recv_timeout(WITHIN).unwrap();
        Self { dir, events, close: Some(close), thread: Some(thread) }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("gt.sock")
    }

    /// What a plain HTTP client reads.
    fn raw(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn send(socket: &Path, request: Request) -> Result<Value, ClientError> {
    client::call(socket, &call(None, request), WITHIN).map(|answer| answer.result)
}

#[test]
fn a_call_goes_through_the_door_and_back() {
    let open = Open::new();
    let hello = send(&open.socket(), Request::Hello).unwrap();
    let hello: HelloView = serde_json::from_value(hello).unwrap();
    assert_eq!((hello.town.as_str(), hello.pid), ("t1", std::process::id()));
    let write = Request::Write { db: Db::from("shop"), ops: vec![create("sh-new")] };
    let answer = client::call(&open.socket(), &call(None, write.clone()), WITHIN).unwrap();
    assert_eq!(answer.facts.len(), 1);
    let again = client::call(&open.socket(), &call(None, write), WITHIN);
    let Err(ClientError::Door(error)) = again else { panic!("{again:?}") };
    assert_eq!((error.code.as_str(), error.hint.is_some()), ("exists", true));
    let filter = BeadFilter { limit: None, ..BeadFilter::list() };
    let dbs = vec![Db::from("shop")];
    let listed = send(&open.socket(), Request::Read(Query::Beads { dbs, filter })).unwrap();
    let listed: Vec<IssueView> = serde_json::from_value(listed).unwrap();
    assert!(listed.iter().any(|view| view.id.as_str() == "sh-new"));
}

#[test]
fn a_long_answer_arrives_whole() {
    let open = Open::new();
    let Op::Create(new) = create("sh-big") else { unreachable!() };
    let description = "long ".repeat(150_000);
    let op = Op::Create(gastown::model::ops::NewBead { description, ..new });
    let write = Request::Write { db: Db::from("shop"), ops: vec![op] };
    client::call(&open.socket(), &call(None, write), WITHIN).unwrap();
    let shown = send(&open.socket(), Request::Read(Query::Show { ids: vec!["sh-big".into()] }));
    assert_eq!(shown.unwrap()[0]["description"].as_str().unwrap().len(), 750_000);
}

#[test]
fn curl_can_knock_too() {
    let open = Open::new();
    let said = open.raw("GET /v1/hello HTTP/1.1\r\nHost: gt\r\nConnection: close\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 200 OK") && said.contains("\"town\":\"t1\""), "{said}");
    let said = open.raw("GET /nowhere HTTP/1.1\r\nHost: gt\r\nConnection: close\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 404") && said.contains("POST /v1/call"), "{said}");
    let post = |body: &str| {
        let head = "POST /v1/call HTTP/1.1\r\nHost: gt\r\nConnection: close\r\n";
        open.raw(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
    };
    let said = post("{\"protocol\": 1}");
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("this is no call"), "{said}");
    let whole = serde_json::to_string(&call(None, Request::Hello)).unwrap();
    assert!(post(&whole).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_call_that_is_too_long_is_refused() {
    let open = Open::new();
    let head = "POST /v1/call HTTP/1.1\r\nHost: gt\r\nConnection: close\r\n";
    let said = open.raw(&format!("{head}Content-Length: {}\r\n\r\n", BODY_MAX + 1));
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
}

#[test]
fn events_are_watched_as_they_happen() {
    let open = Open::new();
    let mut events = client::events(&open.socket()).unwrap();
    // The answer's head is sent when the watcher is registered.
    for n in 0..3 {
        open.events.send(json!({"n": n})).unwrap();
    }
    let seen: Vec<String> = events.by_ref().take(3).map(Result::unwrap).collect();
    assert_eq!(seen, [r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#]);
}

#[test]
fn a_closing_door_gives_the_answers_that_were_asked_for_and_waits_for_nothing_else() {
    let (arrived, arrival) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let mut open = Open::with_clock(Arc::new(move || {
        arrived.send(()).unwrap();
        // Once the other end is dropped everybody passes.
        let _ = released.lock().unwrap().recv();
        T0
    }));
    let mut events = client::events(&open.socket()).unwrap();
    let socket = open.socket();
    let caller = std::thread::spawn(move || send(&socket, Request::Hello));
    arrival.recv_timeout(WITHIN).unwrap();
    drop(open.close.take());
    assert!(events.next().is_none(), "a stream ends at once");
    drop(release);
    assert!(caller.join().unwrap().is_ok(), "the answer in flight goes out");
    let watch = Stopwatch::start();
    drop(open);
    assert!(watch.seconds() < 0.9, "no look once a second: {} s", watch.seconds());
}

#[test]
fn nobody_at_home_is_told_apart_from_a_lost_answer() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("gt.sock");
    assert!(matches!(send(&socket, Request::Hello), Err(ClientError::Closed(_))));
    let listener = UnixListener::bind(&socket).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut some = [0; 16];
        let read = stream.read(&mut some).unwrap();
        assert!(read > 0);
    });
    assert!(matches!(send(&socket, Request::Hello), Err(ClientError::Lost(_))));
    thread.join().unwrap();
    assert!(matches!(send(&socket, Request::Hello), Err(ClientError::Closed(_))));
}
