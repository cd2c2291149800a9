//! Databases of a town: what is refused, and what each refusal says.

use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use gastown::model::ids::Db;
use gastown::model::rows::Bead;
use gastown::model::rows::Meta;
use gastown::model::table::Row;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;
use gastown::model::value::Value;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Conn;
use gastown::store::conn::Intent;
use gastown::store::conn::civil;
use gastown::store::doltlite::DoltLite;
use gastown::store::doltlite::Tuning;
use gastown::store::error::StoreError;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::schema;
use gastown::store::sql_tx::SqlTx;

use super::home::Home;
use super::home::both_engines;
use super::support::bead;
use super::support::commit;
use super::support::create;
use super::support::writer;

both_engines!(
    databases_are_listed_made_once_and_named_well,
    the_writer_lock_names_its_holder,
    a_newer_store_is_refused_unchanged,
    an_older_store_is_copied_and_brought_up_once,
    a_migration_goes_on_where_it_was_stopped,
    a_migration_needs_the_writer_lock,
    another_build_of_the_same_schema_is_refused,
    a_database_of_somebody_else_is_refused,
);

const TUNING: Tuning = Tuning { cache_mb: 4, busy_ms: 1000 };

/// A second look at the same town, as another process would have it.
fn again(home: &Home) -> Ledger {
    home.ledger(Settings { writer_wait_ms: 0, ..Settings::default() })
}

fn refusal(ledger: &Ledger, db: &Db) -> StoreError {
    let written = ledger.writer(db, "test", 0).map(|_| ()).unwrap_err();
    let read = ledger.read(db, |_| ()).unwrap_err();
    assert_eq!(read.code(), written.code(), "{read} / {written}");
    read
}

/// The newest commit, past the ledger.
fn head(home: &Home, db: &Db) -> String {
    home.conn(db).head().unwrap()
}

fn set_meta(home: &Home, db: &Db, name: &str, value: &str) {
    let mut conn = home.conn(db);
    conn.begin(Intent::Write).unwrap();
    let row = Meta { name: Name::from(name), value: value.to_owned() };
    SqlTx::new(conn.as_mut()).set(&row).unwrap();
    let info = CommitInfo { message: "x", author: "x <x@x>", date_ms: None };
    conn.commit(&info).unwrap();
}

fn databases_are_listed_made_once_and_named_well(home: &Home) {
    let empty = again(home).databases().unwrap();
    assert!(empty.is_empty(), "{empty:?}");
    let (ledger, shop) = home.town();
    let hq = Db::hq();
    ledger.create_db(&hq).unwrap();
    assert_eq!(ledger.databases().unwrap(), vec![hq.clone(), shop.clone()]);
    assert!(matches!(ledger.create_db(&hq), Err(StoreError::Exists { .. })));
    for name in ["", "../x", "a b", "1a", "a/b", ".a"] {
        assert!(matches!(ledger.create_db(&Db::from(name)), Err(StoreError::BadName(_))), "{name}");
    }
    assert_eq!(refusal(&ledger, &Db::from("nowhere")).code(), "no_database");
}

fn the_writer_lock_names_its_holder(home: &Home) {
    let (ledger, db) = home.town();
    let held = ledger.writer(&db, "the daemon", 0).unwrap();
    let error = again(home).writer(&db, "a command", 40).map(|_| ()).unwrap_err();
    let text = error.to_string();
    let me = format!("process {} (the daemon)", std::process::id());
    assert!(text.contains(&me) && text.contains("'shop'"), "{text}");
    assert!(again(home).read(&db, |_| ()).is_ok(), "readers need no lock");
    drop(held);
    again(home).writer(&db, "a command", 0).unwrap();
}

fn a_newer_store_is_refused_unchanged(home: &Home) {
    let (ledger, db) = home.town();
    drop(writer(&ledger, &db));
    set_meta(home, &db, schema::VERSION_ROW, "99");
    let before = (head(home, &db), home.bytes(&ledger, &db));
    let error = refusal(&again(home), &db);
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    assert_eq!((head(home, &db), home.bytes(&ledger, &db)), before);
}

fn an_older_store_is_copied_and_brought_up_once(home: &Home) {
    let (ledger, db) = home.town();
    commit(&mut writer(&ledger, &db), create("sh-a"));
    set_meta(home, &db, schema::VERSION_ROW, "0");
    let path = ledger.path(&db);
    let old = (!home.is_server()).then(|| fs::read(&path).unwrap());
    drop(again(home).writer(&db, "x", 0).unwrap());
    if home.is_server() {
        let url = format!("file://{}/.dolt-backup/shop.schema-0", home.root().display());
        home.conn(&db).call("dolt_backup", &["restore", &url, "restored"]).unwrap();
        let mut copy = home.conn(&Db::from("restored"));
        assert_eq!(schema::version_of(copy.as_mut()).unwrap(), Some(0));
    } else {
        let backup = path.with_extension("db.schema-0.backup");
        assert_eq!(Some(fs::read(&backup).unwrap()), old);
    }
    assert!(bead(&again(home), &db, "sh-a").is_some());
    let now = (head(home, &db), home.bytes(&ledger, &db));
    again(home).read(&db, |_| ()).unwrap();
    assert_eq!((head(home, &db), home.bytes(&ledger, &db)), now, "a current store is not written");
}

fn a_migration_goes_on_where_it_was_stopped(home: &Home) {
    let (ledger, db) = home.town();
    commit(&mut writer(&ledger, &db), create("sh-a"));
    // The column of schema 2 was added, and nothing after it was done.
    let mut conn = home.conn(&db);
    let dialect = conn.dialect();
    conn.execute("UPDATE beads SET work = 0", &[]).unwrap();
    conn.execute(&(dialect.drop_index)("beads", "beads_by_ready"), &[]).unwrap();
    conn.execute("CREATE INDEX beads_by_ready ON beads (status)", &[]).unwrap();
    conn.execute("DELETE FROM dolt_ignore WHERE pattern = 'dog_runs'", &[]).unwrap();
    conn.begin(Intent::Write).unwrap();
    let info = CommitInfo { message: "x", author: "x <x@x>", date_ms: None };
    conn.commit(&info).unwrap();
    drop(conn);
    set_meta(home, &db, schema::VERSION_ROW, "1");
    drop(again(home).writer(&db, "x", 0).unwrap());
    let mut conn = home.conn(&db);
    let columns =
        conn.query(dialect.index_columns, &[Value::Text("beads_by_ready".to_owned())]).unwrap();
    assert_eq!(columns.len(), Bead::TABLE.index_named("by_ready").columns.len(), "{columns:?}");
    let work = conn.query("SELECT work FROM beads WHERE id = 'sh-a'", &[]).unwrap();
    assert_eq!(work, [[Value::Int(1)]]);
    let ignored = "SELECT COUNT(*) FROM dolt_ignore WHERE pattern = 'dog_runs'";
    assert_eq!(conn.query(ignored, &[]).unwrap(), [[Value::Int(1)]]);
}

fn a_migration_needs_the_writer_lock(home: &Home) {
    let (ledger, db) = home.town();
    let held = writer(&ledger, &db);
    set_meta(home, &db, schema::VERSION_ROW, "0");
    assert_eq!(refusal(&again(home), &db).code(), "writer_held");
    drop(held);
    again(home).read(&db, |_| ()).unwrap();
}

fn another_build_of_the_same_schema_is_refused(home: &Home) {
    let (_ledger, db) = home.town();
    set_meta(home, &db, "store.shape", "beef");
    assert_eq!(refusal(&again(home), &db).code(), "store_other_build");
}

fn a_database_of_somebody_else_is_refused(home: &Home) {
    let (_ledger, db) = home.town();
    let mut conn = home.conn(&db);
    let sql = format!("ALTER TABLE {} RENAME TO kept", Meta::TABLE.name);
    conn.execute(&sql, &[]).unwrap();
    conn.begin(Intent::Write).unwrap();
    let info = CommitInfo { message: "x", author: "x <x@x>", date_ms: None };
    conn.commit(&info).unwrap();
    assert_eq!(refusal(&again(home), &db).code(), "store_foreign");
    let kept = conn.query("SELECT COUNT(*) FROM kept", &[]).unwrap();
    assert!(matches!(kept[0][0], Value::Int(1..)), "{kept:?}");
}

// What follows is about the bytes of a file. A server's files are its own: it opens them, and says
// itself what it thinks of damaged ones.

#[test]
fn a_new_database_is_one_file_and_its_lock() {
    let home = Home::embedded();
    let (_ledger, _db) = home.town();
    let mut names: Vec<String> = fs::read_dir(home.root().join(".dolt-data/shop"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["shop.db", "writer.lock"], "nothing half-made stays");
}

#[test]
fn a_half_made_file_is_made_again() {
    let home = Home::embedded();
    let ledger = again(&home);
    let shop = Db::from("shop");
    let dir = home.root().join(".dolt-data/shop");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("draft"), b"CTLD half").unwrap();
    assert_eq!(refusal(&ledger, &shop).code(), "no_database");
    ledger.create_db(&shop).unwrap();
    commit(&mut writer(&ledger, &shop), create("sh-a"));
}

#[test]
fn foreign_files_are_refused() {
    let home = Home::embedded();
    let (ledger, db) = home.town();
    let path = ledger.path(&db);
    let cases: [(&[u8], &str); 3] = [
        (b"", "store_damaged"),
        (b"SQLite format 3\0 and more", "store_foreign"),
        (b"hello, I am a letter", "store_foreign"),
    ];
    for (bytes, code) in cases {
        fs::write(&path, bytes).unwrap();
        assert_eq!(refusal(&again(&home), &db).code(), code);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    fs::remove_file(&path).unwrap();
    let mut conn = DoltLite::create(&path, TUNING).unwrap();
    conn.execute("CREATE TABLE mine (x INTEGER PRIMARY KEY)", &[]).unwrap();
    drop(conn);
    assert_eq!(refusal(&again(&home), &db).code(), "store_foreign");
}

#[test]
fn a_store_without_its_beginning_is_refused_and_not_made_anew() {
    let home = Home::embedded();
    let (ledger, db) = home.town();
    drop(writer(&ledger, &db));
    let path = ledger.path(&db);
    let whole = fs::read(&path).unwrap();
    // The engine shows each of these as an empty database, or fails at its first query.
    for at in [168, 400, 1000] {
        let mut torn = whole.clone();
        torn[at] ^= 0xff;
        fs::write(&path, &torn).unwrap();
        let code = refusal(&again(&home), &db).code();
        assert!(matches!(code, "store_damaged" | "store_foreign"), "byte {at}: {code}");
        assert_eq!(fs::read(&path).unwrap(), torn, "byte {at}");
    }
    fs::write(&path, &whole[..600]).unwrap();
    assert_eq!(refusal(&again(&home), &db).code(), "store_damaged");
}

#[test]
fn a_torn_tail_opens_at_the_last_whole_commit() {
    let home = Home::embedded();
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    commit(&mut writer, create("sh-a"));
    let path = ledger.path(&db);
    let whole = fs::metadata(&path).unwrap().len();
    commit(&mut writer, create("sh-b"));
    drop(writer);
    let full = fs::read(&path).unwrap();
    fs::write(&path, &full[..usize::try_from(whole).unwrap() + 50]).unwrap();
    let ledger = again(&home);
    assert!(bead(&ledger, &db, "sh-a").is_some());
    assert!(bead(&ledger, &db, "sh-b").is_none());
    commit(&mut ledger.writer(&db, "test", 0).unwrap(), create("sh-c"));
    assert!(bead(&ledger, &db, "sh-c").is_some());
}

#[test]
fn dates_of_one_database_do_not_spoil_those_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| DoltLite::create(&dir.path().join(name), TUNING).unwrap();
    let (mut busy, mut conn) = (open("busy.db"), open("conn.db"));
    let over = AtomicBool::new(false);
    let refused = thread::scope(|scope| {
        // The engine reads the date, then refuses for want of a message: nothing is as quick.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let why = busy.call("dolt_commit", &["--date", "1999-12-31T23:59:59"]);
                assert!(why.unwrap_err().to_string().contains("requires a message"));
            }
        });
        let refused = (0..20_000).find_map(|x| {
            let date = civil(1_767_225_600_000 + x * 1000);
            let why = conn.call("dolt_commit", &["--date", &date]).unwrap_err().to_string();
            (!why.contains("requires a message")).then_some(why)
        });
        over.store(true, Ordering::Relaxed);
        refused
    });
    assert_eq!(refused, None);
}
