//! Stores of another version, of somebody else, half-written or damaged: each is refused by a word
//! of its own, with what to do, and nothing on the disk is changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gastown::model::ids::Db;
use gastown::model::rows::Bead;
use gastown::model::rows::DogRun;
use gastown::model::rows::TABLES;
use gastown::model::table::Row;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;
use gastown::model::value::Value;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Conn;
use gastown::store::conn::Intent;
use gastown::store::doltlite::DoltLite;
use gastown::store::doltlite::Tuning;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::schema;

use super::home::Home;
use super::home::both_engines;
use super::support::LOCK_MS;
use super::support::bead;
use super::support::commit;
use super::support::create;
use super::support::writer;

both_engines!(
    a_store_of_schema_one_is_kept_converted_once_and_then_the_same,
    a_newer_store_and_one_of_another_build_say_what_to_do,
);

const TUNING: Tuning = Tuning { cache_mb: 4, busy_ms: 1000 };

/// Every file below a directory with its bytes; what a look may make beside them is left out.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let lock = name.ends_with("lock");
            if path.is_dir() {
                open.push(path);
            } else if !lock {
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// What of a database must not change: its bytes, or on a server its newest commit.
fn state(home: &Home, db: &Db) -> (BTreeMap<String, Vec<u8>>, String) {
    match home.is_server() {
        true => (BTreeMap::new(), home.conn(db).head().unwrap()),
        false => (files(home.root()), String::new()),
    }
}

/// The refusal that a reader and a writer both get, after which everything is as it was.
fn refused(home: &Home, db: &Db) -> (&'static str, String) {
    let before = state(home, db);
    let ledger = home.ledger(Settings::default());
    let read = ledger.read(db, |_| ()).unwrap_err();
    let written = ledger.writer(db, "test", LOCK_MS).map(|_| ()).unwrap_err();
    assert_eq!(read.to_string(), written.to_string());
    let after = state(home, db);
    let changed = |name: &&String| after.0.get(*name) != before.0.get(*name);
    let changed: Vec<&String> = before.0.keys().chain(after.0.keys()).filter(changed).collect();
    assert!(changed.is_empty() && after.1 == before.1, "{changed:?} changed: {read}");
    (read.code(), read.to_string())
}

/// Commits statements past the ledger.
fn by_hand(home: &Home, db: &Db, statements: &[String]) {
    let mut conn = home.conn(db);
    conn.begin(Intent::Write).unwrap();
    for sql in statements {
        conn.execute(sql, &[]).unwrap();
    }
    let info = CommitInfo { message: "by hand", author: "x <x@x>", date_ms: None };
    conn.commit(&info).unwrap();
}

/// A store as schema 1 had it: no column `work`, another index, dog runs in the history.
fn schema_one(home: &Home, db: &Db) {
    let dialect = home.conn(db).dialect();
    let texts = [
        &(dialect.drop_index)("beads", "beads_by_ready"),
        "ALTER TABLE `beads` DROP COLUMN `work`",
        "CREATE INDEX `beads_by_ready` ON `beads` (`status`, `blocked`, `priority`, `seq`)",
        "DROP TABLE `dog_runs`",
        "DELETE FROM dolt_ignore WHERE pattern = 'dog_runs'",
        "UPDATE metadata SET value = '1' WHERE name = 'store.schema'",
        "UPDATE metadata SET value = '0123456789abcdef' WHERE name = 'store.shape'",
    ];
    let mut statements: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    statements.extend(schema::definition(dialect, DogRun::TABLE));
    by_hand(home, db, &statements);
}

fn columns(ledger: &Ledger, db: &Db, table: &str) -> Vec<Value> {
    let asked = ledger
        .query(db, |conn| conn.query(conn.dialect().columns, &[Value::Text(table.to_owned())]));
    let mut names: Vec<Value> = asked.unwrap().into_iter().flatten().collect();
    names.sort();
    names
}

fn a_store_of_schema_one_is_kept_converted_once_and_then_the_same(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    commit(&mut writer, create("sh-a"));
    commit(&mut writer, create("sh-b"));
    drop(writer);
    let rows = |ledger: &Ledger| -> Vec<Bead> {
        ledger.read(&db, |tx| tx.rows::<Bead>(&Scan::default()).unwrap()).unwrap()
    };
    let before = rows(&ledger);
    let path = ledger.path(&db);
    drop(ledger);
    schema_one(home, &db);
    let (old, _) = state(home, &db);

    let ledger = home.ledger(Settings::default());
    assert_eq!(rows(&ledger), before, "every row is there, with what is new in it");
    assert!(before.iter().all(|bead| bead.work));
    if home.is_server() {
        assert!(home.root().join(".dolt-backup/shop.schema-1").is_dir());
    } else {
        let kept = fs::read(path.with_extension("db.schema-1.backup")).unwrap();
        assert_eq!(Some(&kept), old.get(".dolt-data/shop/shop.db"), "a copy of it is kept");
    }
    let fresh = Db::from("fresh");
    ledger.create_db(&fresh).unwrap();
    for table in TABLES {
        let (ours, new) = (columns(&ledger, &db, table.name), columns(&ledger, &fresh, table.name));
        assert_eq!(ours, new, "{}: as in a new store", table.name);
    }
    let sql = "SELECT pattern FROM dolt_ignore WHERE pattern = 'dog_runs'";
    assert_eq!(ledger.query(&db, |conn| conn.query(sql, &[])).unwrap().len(), 1);
    drop(ledger);

    let converted = state(home, &db);
    let again = home.ledger(Settings::default());
    assert_eq!(rows(&again), before);
    drop(again.writer(&db, "test", LOCK_MS).unwrap());
    drop(again);
    assert!(state(home, &db) == converted, "a current store is not written to");
    let ledger = home.ledger(Settings::default());
    let mut writer = ledger.writer(&db, "test", LOCK_MS).unwrap();
    commit(&mut writer, create("sh-c"));
    assert!(bead(&ledger, &db, "sh-c").is_some(), "and it is a ledger like any other");
}

fn a_newer_store_and_one_of_another_build_say_what_to_do(home: &Home) {
    let version = "UPDATE metadata SET value = '99' WHERE name = 'store.schema'";
    let no_version = "UPDATE metadata SET value = 'two' WHERE name = 'store.schema'";
    let shape = "UPDATE metadata SET value = 'beef' WHERE name = 'store.shape'";
    let no_shape = "DELETE FROM metadata WHERE name = 'store.shape'";
    let cases = [
        ("newer", version, "store_newer", "install a newer gt"),
        ("other", shape, "store_other_build", "use that build"),
        ("bare", no_shape, "store_other_build", "no fingerprint"),
        ("odd", no_version, "store_foreign", "move it away"),
        ("lost", "DROP TABLE metadata", "store_foreign", "no metadata"),
    ];
    for (name, sql, code, words) in cases {
        // Without its number a server's database is one that is still being made.
        if home.is_server() && code == "store_foreign" {
            continue;
        }
        let (ledger, db) = home.with_db(name);
        let path = ledger.path(&db);
        drop(ledger);
        by_hand(home, &db, &[sql.to_owned()]);
        let (found, text) = refused(home, &db);
        assert_eq!(found, code, "{sql}: {text}");
        assert!(text.contains(words), "{sql}: {text}");
        assert!(text.contains(&path.display().to_string()), "it names the place: {text}");
    }
}

#[test]
fn what_is_no_ledger_is_refused_as_foreign() {
    let home = Home::embedded();
    let (ledger, db) = home.town();
    let path = ledger.path(&db);
    drop(ledger);
    for (bytes, words) in [
        (&b"SQLite format 3\0 and more"[..], "a plain SQLite file"),
        (b"hello, I am a letter", "its first bytes are unknown"),
    ] {
        fs::write(&path, bytes).unwrap();
        let (code, text) = refused(&home, &db);
        assert_eq!(code, "store_foreign", "{text}");
        assert!(text.contains(words) && text.contains("move it away"), "{text}");
    }
    fs::remove_file(&path).unwrap();
    let mut conn = DoltLite::create(&path, TUNING).unwrap();
    conn.execute("CREATE TABLE mine (x INTEGER PRIMARY KEY)", &[]).unwrap();
    drop(conn);
    let (code, text) = refused(&home, &db);
    assert_eq!(code, "store_foreign", "{text}");
    assert!(text.contains("1 tables but no metadata"), "{text}");
}

#[test]
fn what_is_half_written_or_damaged_is_refused_and_never_made_anew() {
    let home = Home::embedded();
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    for n in 0..20 {
        commit(&mut writer, create(&format!("sh-{n}")));
    }
    drop(writer);
    let path = ledger.path(&db);
    drop(ledger);
    let whole = fs::read(&path).unwrap();
    let middle = whole.len() / 2;
    let mut damaged = whole.clone();
    damaged[middle - 64..middle].fill(0xa5);
    let mut beginning = whole.clone();
    beginning[400] ^= 0xff;
    let cases: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("its first bytes alone", b"CTLD"),
        ("cut short within what the engine writes first", &whole[..600]),
        ("cut short within its first commit", &whole[..5_000]),
        ("damaged at the beginning", &beginning),
        ("damaged in the middle", &damaged),
    ];
    for (what, bytes) in cases {
        fs::write(&path, bytes).unwrap();
        let (code, text) = refused(&home, &db);
        assert_eq!(code, "store_damaged", "{what}: {text}");
        assert!(text.contains("restore the newest backup"), "{what}: {text}");
    }
    fs::write(&path, &whole).unwrap();
    let ledger = home.ledger(Settings::default());
    assert!(
        bead(&ledger, &db, "sh-19").is_some(),
        "nothing was changed: the bytes put back are it"
    );
}

#[test]
fn a_draft_that_was_left_is_no_database() {
    let home = Home::embedded();
    let (ledger, _) = home.town();
    let db = Db::from("half");
    let dir = home.root().join(".dolt-data/half");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("draft"), b"CTLD half").unwrap();
    let (code, text) = refused(&home, &db);
    assert_eq!(code, "no_database", "{text}");
    assert!(text.contains("gt rig add"), "{text}");
    assert!(!ledger.databases().unwrap().contains(&db));
    ledger.create_db(&db).unwrap();
    assert!(ledger.read(&db, |_| ()).is_ok());
}
