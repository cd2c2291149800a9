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

use super::support::bead;
use super::support::commit;
use super::support::create;
use super::support::town;
use super::support::writer;

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

/// The refusal that a reader and a writer both get, and that nothing on the disk was changed by it.
fn refused(dir: &Path, db: &Db) -> (&'static str, String) {
    let before = files(dir);
    let ledger = Ledger::open(dir, Settings { writer_wait_ms: 0, ..Settings::default() });
    let read = ledger.read(db, |_| ()).unwrap_err();
    let written = ledger.writer(db, "test", 0).map(|_| ()).unwrap_err();
    assert_eq!(read.to_string(), written.to_string());
    assert_eq!(files(dir), before, "{read}");
    (read.code(), read.to_string())
}

/// Commits a statement past the ledger.
fn by_hand(path: &Path, statements: &[&str]) {
    let mut conn = DoltLite::open(path, TUNING).unwrap();
    conn.begin(Intent::Write).unwrap();
    for sql in statements {
        conn.execute(sql, &[]).unwrap();
    }
    let info = CommitInfo { message: "by hand", author: "x <x@x>", date_ms: None };
    conn.commit(&info).unwrap();
}

/// A store as schema 1 had it: no column `work`, another index, dog runs in the history.
fn schema_one(path: &Path) {
    let runs = schema::definition(DoltLite::open(path, TUNING).unwrap().dialect(), DogRun::TABLE);
    let mut statements = vec![
        "DROP INDEX `beads_by_ready`",
        "ALTER TABLE `beads` DROP COLUMN `work`",
        "CREATE INDEX `beads_by_ready` ON `beads` (`status`, `blocked`, `priority`, `seq`)",
        "DROP TABLE `dog_runs`",
        "DELETE FROM dolt_ignore WHERE pattern = 'dog_runs'",
        "UPDATE metadata SET value = '1' WHERE name = 'store.schema'",
        "UPDATE metadata SET value = '0123456789abcdef' WHERE name = 'store.shape'",
    ];
    statements.extend(runs.iter().map(String::as_str));
    by_hand(path, &statements);
}

fn columns(ledger: &Ledger, db: &Db, table: &str) -> Vec<Value> {
    let asked = ledger
        .query(db, |conn| conn.query(conn.dialect().columns, &[Value::Text(table.to_owned())]));
    asked.unwrap().into_iter().flatten().collect()
}

#[test]
fn a_store_of_schema_one_is_kept_converted_once_and_the_same_for_ever_after() {
    let (dir, ledger, db) = town();
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
    schema_one(&path);
    let old = fs::read(&path).unwrap();

    let ledger = Ledger::open(dir.path(), Settings::default());
    assert_eq!(rows(&ledger), before, "every row is there, with what schema 2 has more");
    assert!(before.iter().all(|bead| bead.work));
    assert!(columns(&ledger, &db, "beads").contains(&Value::Text("work".to_owned())));
    let kept = path.with_extension("db.schema-1.backup");
    assert_eq!(fs::read(&kept).unwrap(), old, "a copy of what was there is kept");
    // The tables are as those of a new store, in the history and out of it.
    let fresh = Db::from("fresh");
    ledger.create_db(&fresh).unwrap();
    for table in TABLES {
        let (ours, new) = (columns(&ledger, &db, table.name), columns(&ledger, &fresh, table.name));
        let sorted = |mut names: Vec<Value>| {
            names.sort();
            names
        };
        assert_eq!(sorted(ours), sorted(new), "{}", table.name);
    }
    let ignored = ledger.query(&db, |conn| {
        conn.query("SELECT pattern FROM dolt_ignore WHERE pattern = 'dog_runs'", &[])
    });
    assert_eq!(ignored.unwrap().len(), 1);
    drop(ledger);

    let converted = files(dir.path());
    let again = Ledger::open(dir.path(), Settings::default());
    assert_eq!(rows(&again), before);
    let writer = again.writer(&db, "test", 0).unwrap();
    drop(writer);
    drop(again);
    assert_eq!(files(dir.path()), converted, "a current store is not written to");
    let ledger = Ledger::open(dir.path(), Settings::default());
    let mut writer = ledger.writer(&db, "test", 0).unwrap();
    commit(&mut writer, create("sh-c"));
    assert!(bead(&ledger, &db, "sh-c").is_some(), "and it is a ledger like any other");
}

#[test]
fn a_newer_store_and_one_of_another_build_say_what_to_install() {
    let cases = [
        (
            "UPDATE metadata SET value = '99' WHERE name = 'store.schema'",
            "store_newer",
            "install a newer gt",
        ),
        (
            "UPDATE metadata SET value = 'beef' WHERE name = 'store.shape'",
            "store_other_build",
            "use that build",
        ),
        ("DELETE FROM metadata WHERE name = 'store.shape'", "store_other_build", "no fingerprint"),
        (
            "UPDATE metadata SET value = 'two' WHERE name = 'store.schema'",
            "store_foreign",
            "move it away",
        ),
        ("DROP TABLE metadata", "store_foreign", "no metadata"),
    ];
    for (sql, code, words) in cases {
        let (dir, ledger, db) = town();
        let path = ledger.path(&db);
        drop(ledger);
        by_hand(&path, &[sql]);
        let (found, text) = refused(dir.path(), &db);
        assert_eq!(found, code, "{sql}: {text}");
        assert!(text.contains(words), "{sql}: {text}");
        assert!(text.contains(&path.display().to_string()), "it names the file: {text}");
    }
}

#[test]
fn what_is_no_ledger_is_refused_as_foreign() {
    let (dir, ledger, db) = town();
    let path = ledger.path(&db);
    drop(ledger);
    for (bytes, words) in [
        (&b"SQLite format 3\0 and more"[..], "a plain SQLite file"),
        (b"hello, I am a letter", "its first bytes are unknown"),
    ] {
        fs::write(&path, bytes).unwrap();
        let (code, text) = refused(dir.path(), &db);
        assert_eq!(code, "store_foreign", "{text}");
        assert!(text.contains(words) && text.contains("move it away"), "{text}");
    }
    fs::remove_file(&path).unwrap();
    let mut conn = DoltLite::create(&path, TUNING).unwrap();
    conn.execute("CREATE TABLE mine (x INTEGER PRIMARY KEY)", &[]).unwrap();
    drop(conn);
    let (code, text) = refused(dir.path(), &db);
    assert_eq!(code, "store_foreign", "{text}");
    assert!(text.contains("1 tables but no metadata"), "{text}");
}

#[test]
fn what_is_half_written_or_damaged_is_refused_and_never_made_anew() {
    let (dir, ledger, db) = town();
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
    let cases: [(&str, &[u8]); 5] = [
        ("empty", b""),
        ("its first bytes alone", b"CTLD"),
        ("cut short within its first commit", &whole[..600]),
        ("damaged at the beginning", &beginning),
        ("damaged in the middle", &damaged),
    ];
    for (what, bytes) in cases {
        fs::write(&path, bytes).unwrap();
        let (code, text) = refused(dir.path(), &db);
        assert_eq!(code, "store_damaged", "{what}: {text}");
        assert!(text.contains("restore the newest backup"), "{what}: {text}");
    }
    fs::write(&path, &whole).unwrap();
    let ledger = Ledger::open(dir.path(), Settings::default());
    assert!(
        bead(&ledger, &db, "sh-19").is_some(),
        "nothing was changed: the bytes put back are it"
    );
}

#[test]
fn a_draft_that_was_left_is_no_database() {
    let (dir, ledger, _) = town();
    let db = Db::from("half");
    let home = dir.path().join(".dolt-data/half");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("draft"), b"CTLD half").unwrap();
    let (code, text) = refused(dir.path(), &db);
    assert_eq!(code, "no_database", "{text}");
    assert!(text.contains("gt rig add"), "{text}");
    assert!(!ledger.databases().unwrap().contains(&db));
    ledger.create_db(&db).unwrap();
    assert!(ledger.read(&db, |_| ()).is_ok());
}
