//! The real server behind `Conn`: connect, make the schema, write a group, kill it, read it back.

use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use gastown::model::ids::Db;
use gastown::model::ops::Ctx;
use gastown::model::ops::Keys;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::ops::apply;
use gastown::model::rows::Bead;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Conn;
use gastown::store::conn::Intent;
use gastown::store::schema;
use gastown::store::server::DoltServer;
use gastown::store::server::Server;
use gastown::store::sql_tx::SqlTx;

struct Running {
    child: Child,
    port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only this child, which this test started.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn dolt() -> PathBuf {
    let path =
        std::env::var_os("GT_TEST_DOLT").expect("GT_TEST_DOLT names dolt: tools/dolt/build.sh");
    PathBuf::from(path)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts a server on a data directory and waits for its door.
fn start(dir: &Path) -> Running {
    let port = free_port();
    let root = dir.join("root");
    std::fs::create_dir_all(root.join(".dolt")).unwrap();
    let quiet = r#"{"versioncheck.disabled":"true","metrics.disabled":"true"}"#;
    std::fs::write(root.join(".dolt/config_global.json"), quiet).unwrap();
    std::fs::create_dir_all(dir.join("data")).unwrap();
    let child = Command::new(dolt())
        .args(["sql-server", "-H", "127.0.0.1", "-P", &port.to_string(), "--data-dir"])
        .arg(dir.join("data"))
        .env("DOLT_ROOT_PATH", &root)
        .env("DOLT_DISABLE_EVENT_FLUSH", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = Running { child, port };
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "the server does not listen");
        std::thread::yield_now();
    }
    running
}

fn server(port: u16, database: &str) -> Server {
    Server {
        host: "127.0.0.1".to_owned(),
        port,
        user: "root".to_owned(),
        password: String::new(),
        database: database.to_owned(),
        tls: false,
    }
}

fn op(conn: &mut dyn Conn, keys: &mut Keys, now: i64, op: &Op) {
    let db = Db::hq();
    let mut tx = SqlTx::new(conn);
    let mut ctx = Ctx { now, actor: "overseer", db: &db, keys };
    tx.attempt(|tx| apply(tx, &mut ctx, op)).unwrap().unwrap();
}

#[test]
#[ignore = "needs dolt: GT_TEST_DOLT=$(tools/dolt/build.sh)"]
fn a_real_server_is_a_conn_and_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let mut admin = DoltServer::connect(&server(running.port, "")).unwrap();
    admin.execute("CREATE DATABASE hq", &[]).unwrap();
    drop(admin);
    let mut conn = DoltServer::connect(&server(running.port, "hq")).unwrap();
    schema::bring_up(&mut conn, 0).unwrap();
    let before = conn.head().unwrap();
    let mut keys = Keys::new(0, 0);
    let now = 1_780_000_000_000;
    conn.begin(Intent::Write).unwrap();
    let prefix = Op::SetMeta { name: Name::from("prefix"), value: "hq".to_owned() };
    op(&mut conn, &mut keys, now, &prefix);
    let new = NewBead {
        id: Some("hq-real".into()),
        title: "kept \u{2603}".to_owned(),
        ..NewBead::default()
    };
    op(&mut conn, &mut keys, now, &Op::Create(new.clone()));
    // What is refused inside its savepoint leaves the rest of the group standing.
    let db = Db::hq();
    let mut tx = SqlTx::new(&mut conn);
    let mut ctx = Ctx { now, actor: "overseer", db: &db, keys: &mut keys };
    let refused = tx.attempt(|tx| apply(tx, &mut ctx, &Op::Create(new.clone()))).unwrap();
    assert!(refused.is_err(), "{refused:?}");
    let info = CommitInfo { message: "a group", author: "a <a@localhost>", date_ms: Some(now) };
    let hash = conn.commit(&info).unwrap().expect("something changed");
    assert_ne!(hash, before);
    drop(running);

    let running = start(dir.path());
    let mut conn = DoltServer::connect(&server(running.port, "hq")).unwrap();
    assert_eq!(conn.head().unwrap(), hash, "the acknowledged commit survived kill -9");
    conn.begin(Intent::Read).unwrap();
    let bead: Option<Bead> = SqlTx::reader(&mut conn)
        .find("by_id", &gastown::model::ids::BeadId::from("hq-real"))
        .unwrap();
    assert_eq!(bead.unwrap().title, "kept \u{2603}");
    conn.rollback().unwrap();

    // An empty group commits nothing; a server that is gone is told at once.
    conn.begin(Intent::Write).unwrap();
    assert_eq!(conn.commit(&info).unwrap(), None);
    let port = running.port;
    drop(running);
    let asked = Instant::now();
    assert!(DoltServer::connect(&server(port, "hq")).is_err());
    assert!(asked.elapsed() < Duration::from_secs(2));
}
