//! Databases on disk: what is refused, and what each refusal says.

use std::fs;
use std::path::Path;

use gastown::model::ids::Db;
use gastown::model::rows::Meta;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Conn;
use gastown::store::conn::Intent;
use gastown::store::doltlite::DoltLite;
use gastown::store::doltlite::Tuning;
use gastown::store::error::StoreError;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::schema;
use gastown::store::sql_tx::SqlTx;

use super::support::bead;
use super::support::commit;
use super::support::create;
use super::support::town;
use super::support::writer;

const TUNING: Tuning = Tuning { cache_mb: 4, busy_ms: 1000 };

/// A second look at the same town, as another process would have it.
fn again(dir: &tempfile::TempDir) -> Ledger {
    Ledger::open(dir.path(), Settings { writer_wait_ms: 0, ..Settings::default() })
}

fn refusal(ledger: &Ledger, db: &Db) -> StoreError {
    let written = ledger.writer(db, "test", 0).map(|_| ()).unwrap_err();
    let read = ledger.read(db, |_| ()).unwrap_err();
    assert_eq!(read.code(), written.code(), "{read} / {written}");
    read
}

fn set_schema(path: &Path, value: &str) {
    let mut conn = DoltLite::open(path, TUNING).unwrap();
    conn.begin(Intent::Write).unwrap();
    let mut tx = SqlTx::new(&mut conn);
    let row = Meta { name: Name::from(schema::VERSION_ROW), value: value.to_owned() };
    tx.set(&row).unwrap();
    let info = CommitInfo { message: "x", author: "x <x@x>", date_ms: None };
    conn.commit(&info).unwrap();
}

#[test]
fn databases_are_listed_made_once_and_named_well() {
    let (dir, ledger, shop) = town();
    let hq = Db::hq();
    ledger.create_db(&hq).unwrap();
    assert_eq!(ledger.databases().unwrap(), vec![hq.clone(), shop.clone()]);
    assert!(matches!(ledger.create_db(&hq), Err(StoreError::Exists { .. })));
    for name in ["", "../x", "a b", "1a", "a/b", ".a"] {
        assert!(matches!(ledger.create_db(&Db::from(name)), Err(StoreError::BadName(_))), "{name}");
    }
    assert_eq!(refusal(&ledger, &Db::from("nowhere")).code(), "no_database");
    let mut names: Vec<String> = fs::read_dir(dir.path().join(".dolt-data/shop"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["shop.db", "writer.lock"], "nothing half-made stays");
    let empty = tempfile::tempdir().unwrap();
    assert!(again(&empty).databases().unwrap().is_empty());
}

#[test]
fn a_half_made_database_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = again(&dir);
    let shop = Db::from("shop");
    let home = dir.path().join(".dolt-data/shop");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("draft"), b"CTLD half").unwrap();
    assert_eq!(refusal(&ledger, &shop).code(), "no_database");
    ledger.create_db(&shop).unwrap();
    commit(&mut writer(&ledger, &shop), create("sh-a"));
}

#[test]
fn the_writer_lock_names_its_holder() {
    let (dir, ledger, db) = town();
    let held = ledger.writer(&db, "the daemon", 0).unwrap();
    let error = again(&dir).writer(&db, "a command", 40).map(|_| ()).unwrap_err();
    let text = error.to_string();
    let me = format!("process {} (the daemon)", std::process::id());
    assert!(text.contains(&me) && text.contains("'shop'"), "{text}");
    assert!(again(&dir).read(&db, |_| ()).is_ok(), "readers need no lock");
    drop(held);
    again(&dir).writer(&db, "a command", 0).unwrap();
}

#[test]
fn a_newer_store_is_refused_unchanged() {
    let (dir, ledger, db) = town();
    drop(writer(&ledger, &db));
    set_schema(&ledger.path(&db), "99");
    let before = fs::read(ledger.path(&db)).unwrap();
    let error = refusal(&again(&dir), &db);
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    assert_eq!(fs::read(ledger.path(&db)).unwrap(), before);
}

#[test]
fn an_older_store_is_copied_and_brought_up_once() {
    let (dir, ledger, db) = town();
    commit(&mut writer(&ledger, &db), create("sh-a"));
    let path = ledger.path(&db);
    set_schema(&path, "0");
    let old = fs::read(&path).unwrap();
    let held = again(&dir).writer(&Db::from("shop"), "x", 0).unwrap();
    drop(held);
    let backup = path.with_extension("db.schema-0.backup");
    assert_eq!(fs::read(&backup).unwrap(), old);
    assert!(bead(&again(&dir), &db, "sh-a").is_some());
    let now = fs::read(&path).unwrap();
    again(&dir).read(&db, |_| ()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), now, "a current store is not written to");
}

#[test]
fn a_migration_needs_the_writer_lock() {
    let (dir, ledger, db) = town();
    let held = writer(&ledger, &db);
    set_schema(&ledger.path(&db), "0");
    assert_eq!(refusal(&again(&dir), &db).code(), "writer_held");
    drop(held);
    again(&dir).read(&db, |_| ()).unwrap();
}

#[test]
fn another_build_of_the_same_schema_is_refused() {
    let (dir, ledger, db) = town();
    let mut conn = DoltLite::open(&ledger.path(&db), TUNING).unwrap();
    conn.begin(Intent::Write).unwrap();
    let sql = "UPDATE metadata SET value = 'beef' WHERE name = 'store.shape'";
    assert_eq!(conn.execute(sql, &[]).unwrap(), 1);
    let info = CommitInfo { message: "x", author: "x <x@x>", date_ms: None };
    conn.commit(&info).unwrap();
    assert_eq!(refusal(&again(&dir), &db).code(), "store_other_build");
}

#[test]
fn foreign_files_are_refused() {
    let (dir, ledger, db) = town();
    let path = ledger.path(&db);
    let cases: [(&[u8], &str); 3] = [
        (b"", "store_damaged"),
        (b"SQLite format 3\0 and more", "store_foreign"),
        (b"hello, I am a letter", "store_foreign"),
    ];
    for (bytes, code) in cases {
        fs::write(&path, bytes).unwrap();
        assert_eq!(refusal(&again(&dir), &db).code(), code);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    fs::remove_file(&path).unwrap();
    let mut conn = DoltLite::create(&path, TUNING).unwrap();
    conn.execute("CREATE TABLE mine (x INTEGER PRIMARY KEY)", &[]).unwrap();
    drop(conn);
    assert_eq!(refusal(&again(&dir), &db).code(), "store_foreign");
}

#[test]
fn a_store_without_its_beginning_is_refused_and_not_made_anew() {
    let (dir, ledger, db) = town();
    drop(writer(&ledger, &db));
    let path = ledger.path(&db);
    let whole = fs::read(&path).unwrap();
    // The engine shows each of these as an empty database, or fails at its first query.
    for at in [168, 400, 1000] {
        let mut torn = whole.clone();
        torn[at] ^= 0xff;
        fs::write(&path, &torn).unwrap();
        let code = refusal(&again(&dir), &db).code();
        assert!(matches!(code, "store_damaged" | "store_foreign"), "byte {at}: {code}");
        assert_eq!(fs::read(&path).unwrap(), torn, "byte {at}");
    }
    fs::write(&path, &whole[..600]).unwrap();
    assert_eq!(refusal(&again(&dir), &db).code(), "store_damaged");
}

#[test]
fn a_torn_tail_opens_at_the_last_whole_commit() {
    let (dir, ledger, db) = town();
    let mut writer = writer(&ledger, &db);
    commit(&mut writer, create("sh-a"));
    let path = ledger.path(&db);
    let whole = fs::metadata(&path).unwrap().len();
    commit(&mut writer, create("sh-b"));
    drop(writer);
    let full = fs::read(&path).unwrap();
    fs::write(&path, &full[..usize::try_from(whole).unwrap() + 50]).unwrap();
    let ledger = again(&dir);
    assert!(bead(&ledger, &db, "sh-a").is_some());
    assert!(bead(&ledger, &db, "sh-b").is_none());
    commit(&mut ledger.writer(&db, "test", 0).unwrap(), create("sh-c"));
    assert!(bead(&ledger, &db, "sh-c").is_some());
}
