//! The life of stored data on real files: histories get shorter, rows stay, copies can be read.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::rows::Bead;
use gastown::model::tx::TxExt;
use gastown::model::upkeep::Chore;
use gastown::model::upkeep::Plan;
use gastown::store::conn::Conn;
use gastown::store::conn::Intent;
use gastown::store::conn::number;
use gastown::store::digest;
use gastown::store::digest::Digest;
use gastown::store::keep::Keep;
use gastown::store::keep::compact;
use gastown::store::keep::compact::Point;
use gastown::store::keep::history;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::port::HeldLedger;
use gastown::store::port::Port;
use gastown::store::sql_tx::SqlTx;
use gastown::store::writer::Submission;

use super::support::T0;
use super::support::create;
use super::support::one;
use super::support::set_prefix;

/// Who commits what others left behind.
const OUTSIDE: &str = "outside <outside@gastown.local>";
/// Milliseconds between two commits of these tests.
const STEP: i64 = 600_000;
/// A test's child process stops itself at this point.
const STOP_AT: &str = "GT_TEST_KEEP_STOP";
/// In this town.
const TOWN: &str = "GT_TEST_KEEP_TOWN";

fn shop() -> Db {
    Db::from("shop")
}

fn held(root: &Path) -> HeldLedger {
    HeldLedger::new(Arc::new(Ledger::open(root, Settings::default())), 0)
}

fn put(held: &HeldLedger, db: &Db, group: &[Submission], now: i64) {
    let answers = held.commit(db, group, now).unwrap();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

/// A database with so many commits, ten minutes apart; answers the time of the last.
fn filled(held: &HeldLedger, db: &Db, commits: i64) -> i64 {
    held.ledger().create_db(db).unwrap();
    put(held, db, &[one("overseer", set_prefix())], T0);
    for at in 1..commits {
        put(held, db, &[one("overseer", create(&format!("sh-b{at}")))], T0 + at * STEP);
    }
    T0 + commits * STEP
}

fn content(ledger: &Ledger, db: &Db) -> Digest {
    ledger.query(db, digest::digest).unwrap()
}

fn compact_it(held: &HeldLedger, db: &Db, plan: &Plan, now: i64) -> String {
    held.compact(db, plan, now, &mut |_| {}).unwrap().words
}

#[test]
fn a_flattened_history_has_every_row_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let held = held(dir.path());
    let db = shop();
    let now = filled(&held, &db, 120);
    let nudge = gastown::model::ops::Op::SendNudge { to: "mayor".into(), text: "hm".to_owned() };
    put(&held, &db, &[one("overseer", nudge)], now);
    let (before, size) = (content(held.ledger(), &db), held.measure(&db).unwrap());
    assert!(size.commits >= 120, "{size:?}");
    compact_it(&held, &db, &Plan::Flatten, now);
    let after = held.measure(&db).unwrap();
    assert_eq!(content(held.ledger(), &db), before);
    assert_eq!(after.commits, 2, "the root and one");
    assert!(after.bytes * 4 < size.bytes, "{size:?} {after:?}");
    // A backup of what was there stands beside it.
    let backup = held.ledger().backup(&db).unwrap().unwrap();
    assert_eq!((backup.head, backup.digest), (size.head, before));
    // Keys go on where they were, also for a writer that starts anew.
    put(&held, &db, &[one("overseer", create("sh-later"))], now);
    drop(held);
    let again = self::held(dir.path());
    put(&again, &db, &[one("overseer", create("sh-last"))], T0);
    let seqs = again
        .ledger()
        .read(&db, |tx| {
            let find = |tx: &mut dyn gastown::model::tx::Tx, id: &str| {
                tx.find::<Bead>("by_id", &BeadId::from(id)).unwrap().unwrap().seq
            };
            (find(tx, "sh-b119"), find(tx, "sh-later"), find(tx, "sh-last"))
        })
        .unwrap();
    assert!(seqs.0 < seqs.1 && seqs.1 < seqs.2, "{seqs:?}");
}

#[test]
fn a_squashed_history_answers_for_the_kept_time() {
    let dir = tempfile::tempdir().unwrap();
    let held = held(dir.path());
    let db = shop();
    // 600 commits, ten minutes apart: a bit over four days.
    let now = filled(&held, &db, 600);
    let keep_ms = 3 * 86_400_000;
    let plan = Plan::Keep { keep_ms, commits_max: 10_000, growth_max: 10_000 };
    let before = content(held.ledger(), &db);
    compact_it(&held, &db, &plan, now);
    assert_eq!(content(held.ledger(), &db), before);
    let log = held.ledger().query(&db, |conn| history::newest(conn, None)).unwrap();
    // The store's own beginning is dated by the engine's clock, later than these tests.
    let ages: Vec<i64> =
        log.iter().map(|entry| now - entry.date_ms).filter(|age| *age > 0).collect();
    assert!(log.len() < 400, "{} commits are left", log.len());
    // The newest seventh is whole, the rest in stretches, and one from before the kept time.
    let fine = keep_ms / 7;
    let whole = ages.iter().filter(|age| **age < fine).count();
    assert_eq!(i64::try_from(whole).unwrap(), fine / STEP);
    let oldest = ages.iter().max().unwrap();
    assert!(*oldest >= keep_ms && *oldest < keep_ms + 2 * STEP, "{oldest}");
    // Each kept commit has exactly the beads that were there at its time.
    for entry in [&log[0], &log[10], &log[150], &log[log.len() - 2]] {
        let beads = held
            .ledger()
            .query(&db, |conn| {
                let mut tx = SqlTx::reader_at(conn, &entry.hash)?;
                Ok(tx.with::<Bead>(None, Vec::new()).unwrap().len())
            })
            .unwrap();
        assert_eq!(i64::try_from(beads).unwrap(), (entry.date_ms - T0) / STEP);
    }
    // Doing it again changes nothing and says so.
    let again = compact_it(&held, &db, &plan, now);
    assert!(again.contains("short already"), "{again}");
    compact_it(&held, &db, &Plan::Last { commits: 5 }, now);
    assert_eq!(held.measure(&db).unwrap().commits, 6);
    assert_eq!(content(held.ledger(), &db), before);
}

#[test]
fn what_is_committed_meanwhile_is_added_and_readers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let held = Arc::new(held(dir.path()));
    let (db, hq) = (shop(), Db::hq());
    let now = filled(&held, &db, 80);
    filled(&held, &hq, 2);
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (held, stop, db) = (held.clone(), stop.clone(), db.clone());
        std::thread::spawn(move || {
            let mut reads = 0;
            while !stop.load(Ordering::Acquire) {
                let beads = |tx: &mut dyn gastown::model::tx::Tx| {
                    tx.with::<Bead>(None, Vec::new()).unwrap().len()
                };
                assert!(held.ledger().read(&db, beads).unwrap() >= 79);
                reads += 1;
            }
            reads
        })
    };
    let mut points = Vec::new();
    let words = held.compact(&db, &Plan::Flatten, now, &mut |point| {
        points.push(point);
        match point {
            // Somebody writes while the new history is being built.
            Point::Drafted => {
                for at in 0..20 {
                    put(&held, &db, &[one("mayor", create(&format!("sh-m{at}")))], now + at);
                }
            }
            // Other databases are written while this one's lane is held.
            Point::Ready => put(&held, &hq, &[one("mayor", create("sh-meanwhile"))], now),
            Point::Swapped | Point::Tidied => {}
        }
    });
    words.unwrap();
    stop.store(true, Ordering::Release);
    assert!(reader.join().unwrap() > 0);
    assert_eq!(points, [Point::Drafted, Point::Ready, Point::Swapped, Point::Tidied]);
    let log = held.ledger().query(&db, |conn| history::newest(conn, None)).unwrap();
    assert_eq!(log.len(), 22, "the root, one, and twenty that came meanwhile");
    assert_eq!(log[0].author, "mayor <mayor@gastown.local>");
    let beads = held.ledger().read(&db, |tx| tx.with::<Bead>(None, Vec::new()).unwrap().len());
    assert_eq!(beads.unwrap(), 99);
}

#[test]
fn a_group_that_waits_comes_before_the_next_turn_of_a_draft() {
    let dir = tempfile::tempdir().unwrap();
    let held = Arc::new(held(dir.path()));
    let db = shop();
    let now = filled(&held, &db, 260);
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = {
        let (held, db, stop, made) = (held.clone(), db.clone(), stop.clone(), made.clone());
        std::thread::spawn(move || {
            // It begins when the draft does: its branch is there then.
            let branches = "SELECT COUNT(*) FROM dolt_branches";
            let drafting = || held.ledger().query(&db, |conn| number(conn, branches)).unwrap() > 1;
            while !stop.load(Ordering::Acquire) && !drafting() {}
            while !stop.load(Ordering::Acquire) {
                let id = format!("sh-w{}", made.load(Ordering::Acquire));
                put(&held, &db, &[one("mayor", create(&id))], now);
                made.fetch_add(1, Ordering::AcqRel);
            }
        })
    };
    let mut beside = 0;
    let done = held.compact(&db, &Plan::Last { commits: 240 }, now, &mut |point| {
        if point == Point::Drafted {
            beside = made.load(Ordering::Acquire);
        }
    });
    stop.store(true, Ordering::Release);
    writer.join().unwrap();
    done.unwrap();
    assert!(beside >= 40, "{beside} groups beside 80 turns");
    let beads = held.ledger().read(&db, |tx| tx.with::<Bead>(None, Vec::new()).unwrap().len());
    assert_eq!(beads.unwrap(), 259 + made.load(Ordering::Acquire));
}

#[test]
fn what_an_outsider_leaves_at_the_swap_stays_and_the_swap_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let held = held(dir.path());
    let db = shop();
    let now = filled(&held, &db, 30);
    let before = held.measure(&db).unwrap();
    let refused = held.compact(&db, &Plan::Flatten, now, &mut |point| {
        if point == Point::Ready {
            let by_hand = "UPDATE beads SET title = 'by hand' WHERE id = 'sh-b1'";
            assert_eq!(open(&held, &db).execute(by_hand, &[]).unwrap(), 1);
        }
    });
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("taken back"), "{refused}");
    // The old history goes on with what was left, in a commit of its own.
    let log = held.ledger().query(&db, |conn| history::newest(conn, None)).unwrap();
    assert_eq!((log[0].author.as_str(), &log[1].hash), (OUTSIDE, &before.head));
    let title = || {
        let read = |tx: &mut dyn gastown::model::tx::Tx| {
            tx.find::<Bead>("by_id", &BeadId::from("sh-b1")).unwrap().unwrap().title
        };
        held.ledger().read(&db, read).unwrap()
    };
    assert_eq!(title(), "by hand");
    compact_it(&held, &db, &Plan::Flatten, now);
    assert_eq!(title(), "by hand");
    assert_eq!(held.measure(&db).unwrap().commits, 2);
}

#[test]
fn a_history_that_moves_too_far_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let held = held(dir.path());
    let db = shop();
    let now = filled(&held, &db, 30);
    let refused = held.compact(&db, &Plan::Flatten, now, &mut |point| {
        if point == Point::Drafted {
            for at in 0..450 {
                put(&held, &db, &[one("mayor", create(&format!("sh-m{at}")))], now + at);
            }
        }
    });
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("moved too fast"), "{refused}");
    assert!(held.measure(&db).unwrap().commits > 470);
    let branches =
        held.ledger().query(&db, |conn| conn.query("SELECT COUNT(*) FROM dolt_branches", &[]));
    assert_eq!(branches.unwrap(), [[gastown::model::value::Value::Int(1)]]);
}

/// What an interrupted process would do: it is started by the test below and stops itself.
#[test]
#[ignore = "needs GT_TEST_KEEP_STOP: a child process of a_stop_at_any_point_leaves_a_whole_store"]
fn stops_itself_while_it_compacts() {
    let (Ok(stop_at), Ok(town)) = (std::env::var(STOP_AT), std::env::var(TOWN)) else { return };
    let held = held(Path::new(&town));
    let now = T0 + 1_000 * STEP;
    let done = held.compact(&shop(), &Plan::Flatten, now, &mut |point| {
        if format!("{point:?}") == stop_at {
            // As a kill: nothing is unwound, nothing is flushed.
            std::process::abort();
        }
    });
    done.unwrap();
}

#[test]
fn a_stop_at_any_point_leaves_a_whole_store() {
    for point in [Point::Drafted, Point::Ready, Point::Swapped, Point::Tidied] {
        let dir = tempfile::tempdir().unwrap();
        let before = {
            let held = held(dir.path());
            filled(&held, &shop(), 60);
            content(held.ledger(), &shop())
        };
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::keep::stops_itself_while_it_compacts", "--ignored"])
            .env(STOP_AT, format!("{point:?}"))
            .env(TOWN, dir.path())
            .output()
            .unwrap();
        assert!(!child.status.success(), "{point:?}: it did not stop itself");
        let held = held(dir.path());
        assert_eq!(content(held.ledger(), &shop()), before, "{point:?}");
        // It can be written, and the next compaction does what is left.
        let now = T0 + 2_000 * STEP;
        put(&held, &shop(), &[one("overseer", create("sh-after"))], now);
        let after = content(held.ledger(), &shop());
        compact_it(&held, &shop(), &Plan::Flatten, now);
        assert_eq!(content(held.ledger(), &shop()), after, "{point:?}");
        assert_eq!(held.measure(&shop()).unwrap().commits, 2, "{point:?}");
    }
}

#[test]
fn a_backup_is_read_back_and_takes_the_place_of_a_damaged_store() {
    let dir = tempfile::tempdir().unwrap();
    let db = shop();
    let (now, saved) = {
        let held = Arc::new(held(dir.path()));
        let now = filled(&held, &db, 40);
        // Somebody writes while it is copied.
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let (held, stop, db) = (held.clone(), stop.clone(), db.clone());
            std::thread::spawn(move || {
                let mut at = 0;
                while !stop.load(Ordering::Acquire) {
                    put(&held, &db, &[one("mayor", create(&format!("sh-w{at}")))], now + at);
                    at += 1;
                }
            })
        };
        for _ in 0..3 {
            let done = held.keep(&db, &Chore::Backup, now).unwrap();
            assert!(done.done, "{done:?}");
        }
        stop.store(true, Ordering::Release);
        writer.join().unwrap();
        held.keep(&db, &Chore::Backup, now).unwrap();
        (now, content(held.ledger(), &db))
    };
    // Lost since: one more commit, and then the beginning of the file.
    {
        let held = held(dir.path());
        put(&held, &db, &[one("overseer", create("sh-lost"))], now);
    }
    let file = Ledger::open(dir.path(), Settings::default()).path(&db);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[..4096].fill(0);
    std::fs::write(&file, &bytes).unwrap();
    let ledger = Ledger::open(dir.path(), Settings::default());
    let damaged = ledger.read(&db, |_| ()).unwrap_err();
    assert!(matches!(damaged.code(), "store_damaged" | "store_foreign"), "{damaged}");
    let restored = ledger.restore(&db).unwrap();
    assert_eq!(std::fs::read(restored.aside.unwrap()).unwrap(), bytes, "kept aside as it was");
    assert_eq!(content(&ledger, &db), saved);
    let held = held(dir.path());
    put(&held, &db, &[one("overseer", create("sh-after"))], now + 1);
}

#[test]
fn a_backup_that_cannot_be_read_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let held = held(dir.path());
    let db = shop();
    let now = filled(&held, &db, 10);
    held.keep(&db, &Chore::Backup, now).unwrap();
    let first = content(held.ledger(), &db);
    put(&held, &db, &[one("overseer", create("sh-more"))], now);
    held.keep(&db, &Chore::Backup, now).unwrap();
    drop(held);
    let ledger = Ledger::open(dir.path(), Settings::default());
    let newest = ledger.backup_dir(&db).join("shop.db");
    std::fs::write(&newest, b"CTLD and nothing else").unwrap();
    let restored = ledger.restore(&db).unwrap();
    assert!(restored.from.ends_with("shop.db.prev"), "{restored:?}");
    assert_eq!(content(&ledger, &db), first);
    // Nothing to restore from is told, and changes nothing.
    std::fs::remove_dir_all(ledger.backup_dir(&db)).unwrap();
    let none = ledger.restore(&db).unwrap_err();
    assert_eq!(none.code(), "store_upkeep");
    assert_eq!(content(&ledger, &db), first);
}

#[test]
fn a_digest_tells_one_changed_cell_and_the_past() {
    let dir = tempfile::tempdir().unwrap();
    let held = held(dir.path());
    let db = shop();
    let now = filled(&held, &db, 5);
    let (then, head) = (content(held.ledger(), &db), held.measure(&db).unwrap().head);
    let edit = gastown::model::ops::Edit { title: Some("other".into()), ..Default::default() };
    let op = gastown::model::ops::Op::Edit { id: "sh-b1".into(), edit };
    put(&held, &db, &[one("overseer", op)], now);
    let told = content(held.ledger(), &db).difference(&then).unwrap();
    assert!(told.contains("beads: 4 and 4 rows") && told.contains("changes"), "{told}");
    let past = held.ledger().query(&db, |conn| digest::digest_at(conn, &head)).unwrap();
    assert_eq!(past.difference(&then.versioned()), None);
}

#[test]
fn chores_wait_for_each_other_but_not_for_other_databases() {
    let dir = tempfile::tempdir().unwrap();
    let held = held(dir.path());
    let now = filled(&held, &shop(), 3);
    filled(&held, &Db::hq(), 3);
    let working = held.busy().begin(&shop()).unwrap();
    let refused = held.keep(&shop(), &Chore::Collect, now).unwrap_err();
    assert!(refused.contains("already"), "{refused}");
    assert!(held.keep(&shop(), &Chore::Look, now).unwrap().done);
    assert!(held.keep(&Db::hq(), &Chore::Collect, now).unwrap().done);
    drop(working);
    assert!(held.keep(&shop(), &Chore::Collect, now).unwrap().done);
}

#[test]
fn a_leftover_branch_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let held = held(dir.path());
    let now = filled(&held, &shop(), 3);
    let mut conn = open(&held, &shop());
    conn.call("dolt_branch", &["gt_compact"]).unwrap();
    compact::remove_branch(conn.as_mut()).unwrap();
    compact::remove_branch(conn.as_mut()).unwrap();
    conn.begin(Intent::Read).unwrap();
    let rows = conn.query("SELECT name FROM dolt_branches", &[]).unwrap();
    assert_eq!(rows.len(), 1, "{rows:?} at {now}");
}

fn open(held: &HeldLedger, db: &Db) -> Box<dyn Conn> {
    let tuning = gastown::store::doltlite::Tuning { cache_mb: 8, busy_ms: 5_000 };
    Box::new(gastown::store::doltlite::DoltLite::open(&held.ledger().path(db), tuning).unwrap())
}
