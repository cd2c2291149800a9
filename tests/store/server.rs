//! What only a server does: it goes away under its clients, and comes back.

use std::time::Instant;

use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::Ctx;
use gastown::model::ops::Keys;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::ops::apply;
use gastown::model::rows::Bead;
use gastown::model::tx::TxExt;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Conn;
use gastown::store::conn::Intent;
use gastown::store::server::DoltServer;
use gastown::store::sql_tx::SqlTx;

use super::home::DOWN_WITHIN;
use super::home::Home;
use super::home::server_only;
use super::support::T0;
use super::support::set_prefix;

server_only!(a_real_server_is_a_conn_and_keeps_what_it_acknowledged);

fn op(conn: &mut dyn Conn, keys: &mut Keys, op: &Op) {
    let db = Db::hq();
    let mut tx = SqlTx::new(conn);
    let mut ctx = Ctx { now: T0, actor: "overseer", db: &db, keys };
    tx.attempt(|tx| apply(tx, &mut ctx, op)).unwrap().unwrap();
}

fn a_real_server_is_a_conn_and_keeps_what_it_acknowledged(home: &Home) {
    let (_ledger, db) = home.with_db("hq");
    let mut conn = home.conn(&db);
    let before = conn.head().unwrap();
    let mut keys = Keys::new(0, 0);
    conn.begin(Intent::Write).unwrap();
    op(conn.as_mut(), &mut keys, &set_prefix());
    let new = NewBead {
        id: Some("sh-real".into()),
        title: "kept \u{2603}".to_owned(),
        ..NewBead::default()
    };
    op(conn.as_mut(), &mut keys, &Op::Create(new.clone()));
    // What is refused inside its savepoint leaves the rest of the group standing.
    let mut tx = SqlTx::new(conn.as_mut());
    let mut ctx = Ctx { now: T0, actor: "overseer", db: &db, keys: &mut keys };
    let refused = tx.attempt(|tx| apply(tx, &mut ctx, &Op::Create(new.clone()))).unwrap();
    assert!(refused.is_err(), "{refused:?}");
    let info = CommitInfo { message: "a group", author: "a <a@localhost>", date_ms: Some(T0) };
    let hash = conn.commit(&info).unwrap().expect("something changed");
    assert_ne!(hash, before);
    home.dolt().restart();

    let mut conn = home.conn(&db);
    assert_eq!(conn.head().unwrap(), hash, "the acknowledged commit survived kill -9");
    conn.begin(Intent::Read).unwrap();
    let bead: Option<Bead> =
        SqlTx::reader(conn.as_mut()).find("by_id", &BeadId::from("sh-real")).unwrap();
    assert_eq!(bead.unwrap().title, "kept \u{2603}");
    conn.rollback().unwrap();

    // An empty group commits nothing; a server that is gone is told at once.
    conn.begin(Intent::Write).unwrap();
    assert_eq!(conn.commit(&info).unwrap(), None);
    home.dolt().kill9();
    let address = home.dolt().address().on("hq");
    let asked = Instant::now();
    assert!(DoltServer::connect(&address).is_err());
    assert!(asked.elapsed() < DOWN_WITHIN);
}
