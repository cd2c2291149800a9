//! A busy rig over two months of compressed time: what is stored follows what lives.

use std::path::Path;
use std::sync::Arc;

use gastown::cli::town::keep::TownKeep;
use gastown::config::Settings;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::Edit;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::rows::Bead;
use gastown::model::rows::TABLES;
use gastown::model::tx::Scan;
use gastown::model::tx::Tx;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Conn;
use gastown::store::conn::Intent;
use gastown::store::doltlite::DoltLite;
use gastown::store::doltlite::Tuning;
use gastown::store::ledger;
use gastown::store::ledger::Ledger;
use gastown::store::port::HeldLedger;
use gastown::store::port::Port;
use gastown::store::schema;
use gastown::store::sql_tx::SqlTx;
use gastown::store::writer::Submission;

use super::super::support::kennel::Kennel;
use super::support::T0;

const DAY: i64 = 86_400_000;
/// Simulated days.
const DAYS: i64 = 60;
/// Beads made and closed each day; each has six mutations.
const BEADS: i64 = 14;

fn put(held: &HeldLedger, db: &Db, now: i64, ops: Vec<Op>) {
    let group = [Submission { actor: "overseer".to_owned(), ops }];
    held.commit(db, &group, now).unwrap()[0].as_ref().unwrap();
}

/// A bead's life in three commits and six mutations.
fn work(held: &HeldLedger, db: &Db, number: i64, now: i64) -> usize {
    let id = BeadId(format!("sh-b{number}"));
    let new = NewBead {
        id: Some(id.clone()),
        title: format!("Mend part {number} of the whole"),
        description: "What is wrong, what should be, and how one sees that it is. ".repeat(4),
        ..NewBead::default()
    };
    let label = Edit { add_labels: vec![Name::from("area:parts")], ..Edit::default() };
    let notes = Edit { append_notes: Some("looked at it".to_owned()), ..Edit::default() };
    let comment = |text: &str| Op::Comment { id: id.clone(), text: text.to_owned() };
    put(held, db, now, vec![Op::Create(new), Op::Edit { id: id.clone(), edit: label }]);
    put(held, db, now + 60_000, vec![comment("begun"), Op::Edit { id: id.clone(), edit: notes }]);
    let close = Op::Close { id: id.clone(), reason: "done".to_owned() };
    put(held, db, now + 120_000, vec![comment("ended"), close]);
    6
}

/// Bytes of the same rows in a database that was made for them at once.
fn fresh_import(ledger: &Ledger, db: &Db, dir: &Path) -> i64 {
    let path = dir.join("fresh.db");
    let mut conn = DoltLite::create(&path, Tuning { cache_mb: 32, busy_ms: 1_000 }).unwrap();
    schema::bring_up(&mut conn, 0).unwrap();
    conn.begin(Intent::Write).unwrap();
    let mut tx = SqlTx::new(&mut conn);
    for table in TABLES.iter().filter(|table| table.name != "metadata") {
        let rows = ledger.read(db, |tx| tx.scan(table, &Scan::default()).unwrap()).unwrap();
        for row in rows {
            tx.insert(table, row).unwrap();
        }
    }
    let info = CommitInfo { message: "import", author: "test <test@localhost>", date_ms: None };
    conn.commit(&info).unwrap();
    conn.call("dolt_gc", &[]).unwrap();
    drop(conn);
    i64::try_from(std::fs::metadata(&path).unwrap().len()).unwrap()
}

#[test]
fn two_busy_months_stay_within_ten_times_a_fresh_import() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger::open(dir.path(), ledger::Settings::default()));
    let held = Arc::new(HeldLedger::new(ledger.clone(), 0));
    let (db, mut settings) = (Db::from("shop"), Settings::default());
    settings.life.commits_max = 600;
    let prefix = |value: &str| Op::SetMeta { name: "prefix".into(), value: value.to_owned() };
    for (db, value) in [(&Db::hq(), "hq"), (&db, "sh")] {
        ledger.create_db(db).unwrap();
        put(&held, db, T0, vec![prefix(value)]);
    }
    let keep = TownKeep::new(dir.path().to_owned(), held.clone(), &settings);
    let mut kennel = Kennel::new(&held, &keep, "shop", &settings.life());
    let (mut mutations, mut most, mut number) = (0, 0, 0);
    for day in 0..DAYS {
        let morning = T0 + day * DAY;
        for at in 0..BEADS {
            number += 1;
            mutations += work(&held, &db, number, morning + at * DAY / (2 * BEADS));
        }
        most = most.max(held.measure(&db).unwrap().bytes);
        kennel.round(morning + DAY - 3_600_000);
    }
    let beads = ledger.read(&db, |tx| tx.with::<Bead>(None, Vec::new()).unwrap().len()).unwrap();
    let (now, fresh) = (held.measure(&db).unwrap(), fresh_import(&ledger, &db, dir.path()));
    let times = |word: &str| kennel.done.iter().filter(|done| *done == word).count();
    println!(
        "{mutations} mutations, {beads} of {number} beads live, {} commits: {} KB now, {} KB at \
         most, {} KB fresh; {} compactions, {} backups, {} archives",
        now.commits,
        now.bytes >> 10,
        most >> 10,
        fresh >> 10,
        times("compact"),
        times("backup"),
        times("archive")
    );
    assert!(mutations >= 5_000, "{mutations}");
    // A month of beads is kept, the rest is gone.
    let month = usize::try_from(31 * BEADS).unwrap();
    assert!(beads <= month && beads >= month - usize::try_from(3 * BEADS).unwrap(), "{beads}");
    assert!(times("compact") >= 2);
    assert!(now.bytes <= 10 * fresh, "{} bytes, a fresh import has {fresh}", now.bytes);
    // Nothing more happens while nothing happens.
    kennel.done.clear();
    kennel.round(T0 + DAYS * DAY);
    kennel.done.clear();
    kennel.round(T0 + DAYS * DAY + 1);
    assert_eq!(kennel.done, [""; 0]);
}
