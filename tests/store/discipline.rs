//! One discipline on both engines: what others do is kept apart, one daemon owns a database, a
//! colliding commit is tried again within its bound, readers are bounded.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;

use gastown::model::bead::DepType;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::Edit;
use gastown::model::ops::Op;
use gastown::model::rows::Bead;
use gastown::model::rows::Dep;
use gastown::model::rows::Meta;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;
use gastown::model::value::Value;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Conn;
use gastown::store::conn::ConnError;
use gastown::store::conn::Intent;
use gastown::store::error::GroupError;
use gastown::store::error::StoreError;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::port::HeldLedger;
use gastown::store::port::Port;
use gastown::store::server::DoltServer;
use gastown::store::server::Server;
use gastown::store::sql_tx::SqlTx;

use super::home::Home;
use super::home::both_engines;
use super::home::server_only;
use super::hooked;
use super::hooked::Hooks;
use super::support::T0;
use super::support::bead;
use super::support::commit;
use super::support::create;
use super::support::one;
use super::support::writer;

both_engines!(
    rows_that_others_left_are_committed_first_and_by_themselves,
    a_commit_of_others_is_followed_by_what_is_derived,
    a_writer_that_starts_after_others_derives_again,
    a_daemon_that_starts_after_others_derives_again,
    another_town_is_refused_and_a_replaced_daemon_stops,
    readers_are_bounded_and_say_so,
);

server_only!(
    a_later_daemon_of_the_same_town_fences_the_earlier,
    a_real_collision_is_tried_again_within_its_bound,
    two_towns_may_have_databases_on_one_server,
);

fn outsider() -> CommitInfo<'static> {
    CommitInfo { message: "by hand", author: "someone <someone@x>", date_ms: None }
}

/// An edge that makes `sh-b` wait for `sh-a`, past every op: `blocked` is wrong then.
fn add_edge(conn: &mut dyn Conn) {
    let dep = Dep {
        bead: BeadId::from("sh-b"),
        target: BeadId::from("sh-a"),
        dep_type: DepType::Blocks,
        created_at: T0,
        created_by: Name::from("someone"),
    };
    let mut tx = SqlTx::new(conn);
    tx.add(&dep).unwrap();
    assert_eq!(tx.failure(), None);
}

/// Hash, author and first line of every commit, newest first.
fn log(home: &Home, db: &Db) -> Vec<[String; 3]> {
    let sql = "SELECT commit_hash, committer, message FROM dolt_log";
    let rows = home.conn(db).query(sql, &[]).unwrap();
    let text = |value: &Value| match value {
        Value::Text(text) => text.lines().next().unwrap_or_default().to_owned(),
        other => panic!("{other:?}"),
    };
    rows.iter().map(|row| [text(&row[0]), text(&row[1]), text(&row[2])]).collect()
}

/// Which of three rows stood at a commit: the edge, the waiting of `sh-b`, the bead `sh-c`.
fn stood(home: &Home, db: &Db, commit: &str) -> [bool; 3] {
    let mut conn = home.conn(db);
    let mut tx = SqlTx::reader_at(conn.as_mut(), commit).unwrap();
    let edge = tx.row2::<Dep>(&BeadId::from("sh-b"), &BeadId::from("sh-a")).unwrap();
    let waiting = tx.find::<Bead>("by_id", &BeadId::from("sh-b")).unwrap();
    let new = tx.find::<Bead>("by_id", &BeadId::from("sh-c")).unwrap();
    assert_eq!(tx.failure(), None);
    [edge.is_some(), waiting.is_some_and(|bead| bead.blocked), new.is_some()]
}

fn rows_that_others_left_are_committed_first_and_by_themselves(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    commit(&mut writer, create("sh-a"));
    commit(&mut writer, create("sh-b"));
    let mut conn = home.conn(&db);
    conn.begin(Intent::Write).unwrap();
    add_edge(conn.as_mut());
    // Published, but in no commit.
    conn.end(false).unwrap();
    commit(&mut writer, create("sh-c"));
    let log = log(home, &db);
    let newest: Vec<[&str; 2]> = log[..3].iter().map(|[_, a, m]| [a.as_str(), m]).collect();
    let words = [
        ["overseer", "create by overseer"],
        ["gt-store", "1 beads follow what was changed from outside"],
        ["outside", "rows found uncommitted in 1 tables"],
    ];
    assert_eq!(newest, words);
    let rows: Vec<[bool; 3]> = log[..4].iter().map(|[hash, ..]| stood(home, &db, hash)).collect();
    let [ours, derived, theirs, before] = rows.try_into().unwrap();
    assert_eq!(before, [false, false, false]);
    assert_eq!(theirs, [true, false, false], "their rows alone");
    assert_eq!(derived, [true, true, false]);
    assert_eq!(ours, [true, true, true]);
    // Nothing was left, so the next group is one commit.
    commit(&mut writer, create("sh-d"));
    assert_eq!(self::log(home, &db).len(), log.len() + 1);
}

fn a_commit_of_others_is_followed_by_what_is_derived(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    commit(&mut writer, create("sh-a"));
    commit(&mut writer, create("sh-b"));
    let mut conn = home.conn(&db);
    conn.begin(Intent::Write).unwrap();
    add_edge(conn.as_mut());
    conn.commit(&outsider()).unwrap().unwrap();
    assert!(!bead(&ledger, &db, "sh-b").unwrap().blocked, "nobody has derived it yet");
    commit(&mut writer, create("sh-c"));
    assert!(bead(&ledger, &db, "sh-b").unwrap().blocked);
    // And back: the edge is taken away by hand.
    conn.begin(Intent::Write).unwrap();
    conn.execute("DELETE FROM `dependencies`", &[]).unwrap();
    conn.commit(&outsider()).unwrap().unwrap();
    commit(&mut writer, create("sh-d"));
    assert!(!bead(&ledger, &db, "sh-b").unwrap().blocked);
}

fn a_writer_that_starts_after_others_derives_again(home: &Home) {
    let (ledger, db) = home.town();
    let mut first = writer(&ledger, &db);
    commit(&mut first, create("sh-a"));
    commit(&mut first, create("sh-b"));
    drop(first);
    let mut conn = home.conn(&db);
    conn.begin(Intent::Write).unwrap();
    add_edge(conn.as_mut());
    conn.commit(&outsider()).unwrap().unwrap();
    let mut second = home.ledger(Settings::default()).writer(&db, "test", 0).unwrap();
    commit(&mut second, create("sh-c"));
    assert!(bead(&ledger, &db, "sh-b").unwrap().blocked);
}

fn a_daemon_that_starts_after_others_derives_again(home: &Home) {
    let (ledger, db) = home.town();
    let mut first = writer(&ledger, &db);
    commit(&mut first, create("sh-a"));
    commit(&mut first, create("sh-b"));
    drop(first);
    let mut conn = home.conn(&db);
    conn.begin(Intent::Write).unwrap();
    add_edge(conn.as_mut());
    conn.commit(&outsider()).unwrap().unwrap();
    let ledger_of_daemon = Arc::new(home.ledger(Settings::default()));
    let daemon = HeldLedger::owned(ledger_of_daemon, 0, "town-1".to_owned());
    daemon.hold(&db).unwrap();
    assert!(bead(&ledger, &db, "sh-b").unwrap().blocked);
}

fn another_town_is_refused_and_a_replaced_daemon_stops(home: &Home) {
    let (ledger, db) = home.town();
    drop(writer(&ledger, &db));
    let daemon = |town: &str| {
        HeldLedger::owned(Arc::new(home.ledger(Settings::default())), 0, town.to_owned())
    };
    let first = daemon("town-1");
    first.hold(&db).unwrap();
    assert!(first.commit(&db, &[one("overseer", create("sh-a"))], T0).unwrap()[0].is_ok());
    drop(first);
    let stranger = daemon("town-2");
    let refused = stranger.hold(&db).unwrap_err();
    assert_eq!(refused.code(), "store_owned");
    let text = refused.to_string();
    assert!(text.contains("town-1") && text.contains("store.owner"), "{text}");
    let error = stranger.commit(&db, &[one("overseer", create("sh-b"))], T0).unwrap_err();
    assert!(error.to_string().contains("town-1"), "{error}");
    drop(stranger);
    // A command's writer claims nothing; a daemon finds the row of a later start and stops.
    let again = daemon("town-1");
    again.hold(&db).unwrap();
    let mut conn = home.conn(&db);
    conn.begin(Intent::Write).unwrap();
    let value = r#"{"town":"town-1","epoch":9,"process":1}"#.to_owned();
    SqlTx::new(conn.as_mut()).set(&Meta { name: Name::from("store.owner"), value }).unwrap();
    conn.commit(&outsider()).unwrap().unwrap();
    let fenced = again.commit(&db, &[one("overseer", create("sh-c"))], T0).unwrap_err();
    assert!(matches!(&fenced, GroupError::Fenced(by) if by.epoch == 9), "{fenced}");
    for id in ["sh-b", "sh-c"] {
        assert!(bead(&ledger, &db, id).is_none(), "{id}");
    }
}

fn a_later_daemon_of_the_same_town_fences_the_earlier(home: &Home) {
    let (ledger, db) = home.town();
    drop(writer(&ledger, &db));
    // Two directories, as on two machines: no lock of files is between them.
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let daemon = |root: &tempfile::TempDir| {
        let ledger = Ledger::open(root.path(), home.settings(Settings::default()));
        HeldLedger::owned(Arc::new(ledger), 0, "town-1".to_owned())
    };
    let (earlier, later) = (daemon(&here), daemon(&there));
    earlier.hold(&db).unwrap();
    assert!(earlier.commit(&db, &[one("overseer", create("sh-a"))], T0).unwrap()[0].is_ok());
    later.hold(&db).unwrap();
    let fenced = earlier.commit(&db, &[one("overseer", create("sh-b"))], T0).unwrap_err();
    assert!(matches!(&fenced, GroupError::Fenced(by) if by.epoch == 2), "{fenced}");
    assert!(fenced.to_string().contains("stop this daemon"), "{fenced}");
    assert!(later.commit(&db, &[one("overseer", create("sh-c"))], T0).unwrap()[0].is_ok());
    assert!(bead(&ledger, &db, "sh-b").is_none());
}

fn readers_are_bounded_and_say_so(home: &Home) {
    let (ledger, db) = home.town();
    drop(writer(&ledger, &db));
    let settings = Settings { readers: 2, reader_wait_ms: 50, ..Settings::default() };
    let ledger = Arc::new(home.ledger(settings));
    let (inside, seen) = channel();
    let mut held = Vec::new();
    for _ in 0..2 {
        let (ledger, db, inside) = (ledger.clone(), db.clone(), inside.clone());
        let (free, freed) = channel::<()>();
        let reader = std::thread::spawn(move || {
            let read = ledger.read(&db, |tx| {
                inside.send(()).unwrap();
                freed.recv().ok();
                bead_count(tx)
            });
            read.unwrap()
        });
        seen.recv().unwrap();
        held.push((free, reader));
    }
    let refused = ledger.read(&db, |_| ()).unwrap_err();
    assert!(matches!(refused, StoreError::NoReader { size: 2, .. }), "{refused}");
    for (free, reader) in held {
        drop(free);
        assert_eq!(reader.join().unwrap(), 0);
    }
    assert_eq!(ledger.read(&db, bead_count).unwrap(), 0);
}

fn bead_count(tx: &mut dyn gastown::model::tx::Tx) -> usize {
    tx.rows::<Bead>(&gastown::model::tx::Scan::default()).unwrap().len()
}

/// Somebody who changes the same cell whenever a group is about to commit.
struct Rival {
    server: Server,
    /// So many times, the first ones.
    times: usize,
    tries: AtomicUsize,
}

impl Hooks for Rival {
    fn before_commit(&self) -> Result<(), ConnError> {
        let round = self.tries.fetch_add(1, Ordering::SeqCst);
        if round < self.times {
            let mut conn = DoltServer::connect(&self.server)?;
            conn.begin(Intent::Write)?;
            let title = Value::Text(format!("theirs {round}"));
            let sql = "UPDATE `beads` SET `title` = ? WHERE `id` = 'sh-a'";
            assert_eq!(conn.execute(sql, &[title])?, 1);
            // Without a commit in the history: it stands all the same, and collides.
            conn.end(false)?;
        }
        Ok(())
    }
}

fn a_real_collision_is_tried_again_within_its_bound(home: &Home) {
    let (ledger, db) = home.town();
    commit(&mut writer(&ledger, &db), create("sh-a"));
    let edit = Edit { title: Some("ours".to_owned()), ..Edit::default() };
    let group = [
        one("overseer", create("sh-b")),
        one("overseer", Op::Edit { id: BeadId::from("sh-a"), edit }),
    ];
    let server = home.dolt().address().on(db.as_str());
    let attempt = |times| {
        let rival = Rival { server: server.clone(), times, tries: AtomicUsize::new(0) };
        let rival = Arc::new(rival);
        let settings = Settings { retries: 3, ..Settings::default() };
        let ledger = home.wrapped(settings, hooked::wrap(rival.clone()));
        let mut writer = ledger.writer(&db, "test", 0).unwrap();
        let answers = writer.commit_group(&group, T0 + 1);
        (answers, rival.tries.load(Ordering::SeqCst))
    };
    let (answers, _) = attempt(usize::MAX);
    let error = answers.unwrap_err();
    assert!(matches!(error, GroupError::Busy(_)), "{error}");
    assert!(bead(&ledger, &db, "sh-b").is_none(), "nothing of the group stands");
    assert!(bead(&ledger, &db, "sh-a").unwrap().title.starts_with("theirs"));
    let (answers, tries) = attempt(2);
    assert!(answers.unwrap().iter().all(Result::is_ok));
    assert!(tries > 2, "it was tried again: {tries}");
    assert!(bead(&ledger, &db, "sh-b").is_some());
    assert_eq!(bead(&ledger, &db, "sh-a").unwrap().title, "ours");
}

fn two_towns_may_have_databases_on_one_server(home: &Home) {
    let roots = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (n, root) in roots.iter().enumerate() {
        let ledger = Ledger::open(root.path(), home.settings(Settings::default()));
        let db = Db(format!("shop{n}"));
        ledger.create_db(&db).unwrap();
        drop(writer(&ledger, &db));
        let held = HeldLedger::owned(Arc::new(ledger), 0, format!("town-{n}"));
        held.hold(&db).unwrap();
        assert!(held.commit(&db, &[one("overseer", create("sh-a"))], T0).unwrap()[0].is_ok());
    }
}
