//! The past, SQL by hand and remotes, on both engines.

use gastown::model::bead::DepType;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::Edit;
use gastown::model::ops::Fact;
use gastown::model::ops::Op;
use gastown::model::ops::Refused;
use gastown::model::past::NoMoment;
use gastown::model::past::Point;
use gastown::model::rows::Bead;
use gastown::model::tx::TxExt;
use gastown::store::conn::Intent;
use gastown::store::conn::Most;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::past;
use gastown::store::past::STANDS_FOR;
use gastown::store::remote;
use gastown::store::remote::Pulled;
use gastown::store::remote::Remote;
use gastown::store::remote::Stands;
use gastown::store::writer::Single;

use super::home::Home;
use super::home::both_engines;
use super::support::LOCK_MS;
use super::support::T0;
use super::support::bead;
use super::support::commit;
use super::support::create;
use super::support::one;
use super::support::writer;

both_engines!(
    what_stood_at_a_time_is_read_again,
    a_flattened_history_says_so,
    sql_reads_whatever_a_statement_gives_and_stops_at_its_bounds,
    a_statement_by_hand_is_checked_recorded_and_derived,
    a_history_goes_to_a_remote_and_comes_back,
);

const MOST: Most = Most { rows: 100, bytes: 1 << 20 };

fn titles(ledger: &Ledger, db: &Db, at: &Point) -> Result<String, NoMoment> {
    let moment = ledger.query(db, |conn| past::resolve(conn, at)).unwrap()?;
    let id = BeadId::from("sh-a");
    let found = ledger.read_at(db, &moment.commit.hash, |tx| tx.find::<Bead>("by_id", &id));
    Ok(found.unwrap().unwrap().map_or_else(String::new, |bead| bead.title))
}

fn rename(title: &str) -> Op {
    let edit = Edit { title: Some(title.to_owned()), ..Edit::default() };
    Op::Edit { id: "sh-a".into(), edit }
}

fn what_stood_at_a_time_is_read_again(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    for (second, op) in [(1, create("sh-a")), (3, rename("Second")), (7, rename("Third"))] {
        writer.commit_group(&[one("ada", op)], T0 + second * 1000).unwrap();
    }
    let at = |second: i64| titles(&ledger, &db, &Point::Time(T0 + second * 1000 + 999));
    assert_eq!(at(0).unwrap(), "", "the database was there, the bead was not");
    assert_eq!(at(1).unwrap(), "Title of sh-a");
    assert_eq!(at(3).unwrap(), "Second");
    assert_eq!(at(6).unwrap(), "Second");
    assert_eq!(at(99).unwrap(), "Third");
    assert_eq!(titles(&ledger, &db, &Point::Head(1)).unwrap(), "Second");
    let log = ledger.query(&db, |conn| past::log(conn, Some(2))).unwrap();
    assert_eq!((log.len(), log[0].at, log[0].author.as_str()), (2, T0 + 7000, "ada"));
    assert!(log[0].message.starts_with("edit by ada"), "{}", log[0].message);
    let beginning = Point::Commit(log[1].hash[..10].to_owned());
    assert_eq!(titles(&ledger, &db, &beginning).unwrap(), "Second");
    assert!(matches!(
        titles(&ledger, &db, &Point::Commit("vvvv".to_owned())),
        Err(NoMoment::Unknown { .. })
    ));
    let early = titles(&ledger, &db, &Point::Time(0)).unwrap_err();
    assert!(matches!(early, NoMoment::TooEarly { flattened: false, .. }), "{early:?}");
}

fn a_flattened_history_says_so(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    commit(&mut writer, create("sh-a"));
    let lost = writer.head().to_owned();
    drop(writer);
    let mut conn = home.conn(&db);
    let log = past::log(conn.as_mut(), None).unwrap();
    let root = &log.last().unwrap().hash;
    conn.call("dolt_reset", &["--soft", root]).unwrap();
    let message = format!("create\n\n{STANDS_FOR}{} commits", log.len() - 1);
    let date = "2026-01-01T00:00:00";
    conn.call("dolt_commit", &["-Am", &message, "--author", "x <x@x>", "--date", date]).unwrap();
    drop(conn);
    assert_eq!(titles(&ledger, &db, &Point::Head(0)).unwrap(), "Title of sh-a");
    for point in [Point::Time(T0 - 1000), Point::Head(1)] {
        let why = titles(&ledger, &db, &point).unwrap_err();
        let NoMoment::TooEarly { oldest, flattened: true } = why else { panic!("{why:?}") };
        assert_eq!(oldest.at, T0);
    }
    let why = titles(&ledger, &db, &Point::Commit(lost)).unwrap_err();
    assert!(matches!(why, NoMoment::Unknown { oldest: Some((_, true)), .. }), "{why:?}");
}

fn sql_reads_whatever_a_statement_gives_and_stops_at_its_bounds(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    for id in ["sh-a", "sh-b", "sh-c"] {
        commit(&mut writer, create(id));
    }
    let grid = |sql: &str, most: Most| ledger.query(&db, |conn| conn.grid(sql, most));
    let all = grid("SELECT id, priority, due_at FROM beads ORDER BY seq", MOST).unwrap();
    assert_eq!(all.columns, ["id", "priority", "due_at"]);
    assert_eq!(all.rows[0], [serde_json::json!("sh-a"), 2.into(), serde_json::Value::Null]);
    assert!(all.rows.len() == 3 && !all.cut);
    let none = grid("SELECT id, title FROM beads WHERE id = 'x'", MOST).unwrap();
    assert_eq!((none.columns.len(), none.rows.len()), (2, 0));
    let cut = grid("SELECT id FROM beads", Most { rows: 2, ..MOST }).unwrap();
    assert!(cut.rows.len() == 2 && cut.cut);
    let cut = grid("SELECT id FROM beads", Most { bytes: 6, ..MOST }).unwrap();
    assert!(cut.rows.len() == 1 && cut.cut);
    let mixed = grid("SELECT COUNT(*) AS n, 1.5 AS x, 'a' AS y FROM dolt_log", MOST).unwrap();
    assert!(mixed.rows[0][0].is_i64(), "{mixed:?}");
    assert!(grid("SHOW TABLES", MOST).unwrap().rows.iter().any(|row| row[0] == "beads"));
    assert!(!grid("DESCRIBE beads", MOST).unwrap().rows.is_empty());
    let dates = grid("SELECT * FROM dolt_log", MOST).unwrap();
    assert!(dates.rows.len() > 3);
    assert!(grid("SELECT * FROM nowhere", MOST).is_err());
    // Whatever else stops it or not, a snapshot of the server takes no change.
    if home.is_server() {
        let mut conn = home.conn(&db);
        conn.begin(Intent::Read).unwrap();
        assert!(conn.execute("DELETE FROM beads", &[]).is_err());
        conn.rollback().unwrap();
        assert!(grid("SELECT 1; DELETE FROM beads", MOST).is_err());
    }
    assert!(bead(&ledger, &db, "sh-a").is_some());
}

fn a_statement_by_hand_is_checked_recorded_and_derived(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    commit(&mut writer, create("sh-a"));
    commit(&mut writer, create("sh-b"));
    let sql = |text: &str| one("ada", Op::Sql { text: text.to_owned() });
    let edge = "INSERT INTO dependencies (bead, target, dep_type, created_at, created_by) \
                VALUES ('sh-b', 'sh-a', 'blocks', 0, 'ada')";
    let answer = writer.commit_one(&sql(edge), T0).unwrap();
    let Single::Done(facts) = answer else { panic!("{answer:?}") };
    let done = Fact::Statement { table: "dependencies".to_owned(), rows: 1 };
    assert_eq!(facts[0], done);
    assert!(bead(&ledger, &db, "sh-b").unwrap().blocked, "{:?}", DepType::Blocks);
    // A wrong one leaves nothing, and the others of its group stand.
    let head = writer.head().to_owned();
    for wrong in ["UPDATE beads SET nothing = 1", "UPDATE beads SET priority = NULL", edge] {
        let answer = writer.commit_one(&sql(wrong), T0).unwrap();
        assert!(matches!(answer, Single::Refused(Refused::Invalid(_))), "{wrong}: {answer:?}");
    }
    assert_eq!(writer.head(), head);
    let group = [sql("UPDATE beads SET nothing = 1"), one("ada", create("sh-c"))];
    let answers = writer.commit_group(&group, T0).unwrap();
    assert!(answers[0].is_err() && answers[1].is_ok(), "{answers:?}");
    assert!(bead(&ledger, &db, "sh-c").is_some());
}

fn push(ledger: &Ledger, db: &Db) {
    ledger.apart(db, |conn| remote::push(conn, "origin")).unwrap();
}

/// A second database with all that the first has, rows without history too.
fn twin(home: &Home, db: &Db) -> Db {
    let twin = Db::from("twin");
    if home.is_server() {
        let backup = format!("file://{}", home.root().join("backup").display());
        let mut conn = home.conn(db);
        conn.call("dolt_backup", &["sync-url", &backup]).unwrap();
        conn.call("dolt_backup", &["restore", &backup, "twin"]).unwrap();
    } else {
        let data = home.root().join(".dolt-data");
        std::fs::create_dir(data.join("twin")).unwrap();
        std::fs::copy(data.join("shop/shop.db"), data.join("twin/twin.db")).unwrap();
    }
    twin
}

fn a_history_goes_to_a_remote_and_comes_back(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    commit(&mut writer, create("sh-a"));
    let place = home.root().join("remote");
    if home.is_server() {
        std::fs::create_dir(&place).unwrap();
    }
    let url = format!("file://{}", place.display());
    let origin = Remote { name: "origin".to_owned(), url };
    ledger.apart(&db, |conn| remote::add(conn, &origin)).unwrap();
    assert_eq!(ledger.apart(&db, remote::list).unwrap(), std::slice::from_ref(&origin));
    push(&ledger, &db);
    let stands = |db: &Db| ledger.apart(db, |conn| remote::stands(conn, "origin")).unwrap();
    assert_eq!(stands(&db), Stands::Same);

    let other = twin(home, &db);
    if ledger.apart(&other, remote::list).unwrap().is_empty() {
        ledger.apart(&other, |conn| remote::add(conn, &origin)).unwrap();
    }
    assert_eq!(stands(&other), Stands::Same);
    commit(&mut writer, create("sh-b"));
    assert_eq!(stands(&db), Stands::Ahead);
    push(&ledger, &db);
    assert!(matches!(stands(&other), Stands::Behind(_)));
    let pull = |db: &Db| ledger.apart(db, |conn| remote::pull(conn, "origin")).unwrap();
    assert!(matches!(pull(&other), Pulled::Forward(hash) if hash == writer.head()));
    assert_eq!(pull(&other), Pulled::Nothing);
    assert!(bead(&ledger, &other, "sh-b").is_some());

    let again = home.ledger(Settings::default());
    commit(&mut again.writer(&other, "test", LOCK_MS).unwrap(), create("sh-there"));
    push(&again, &other);
    commit(&mut writer, create("sh-here"));
    assert!(matches!(stands(&db), Stands::Diverged(_)));
    assert!(matches!(pull(&db), Pulled::Diverged(_)));
    assert!(ledger.apart(&db, |conn| remote::push(conn, "origin")).is_err());
    assert!(bead(&ledger, &db, "sh-here").is_some() && bead(&ledger, &db, "sh-there").is_none());
    ledger.apart(&db, |conn| remote::remove(conn, "origin")).unwrap();
    assert_eq!(ledger.apart(&db, remote::list).unwrap(), []);
}
