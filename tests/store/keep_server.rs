//! The life of stored data on a real server: the same code, the other engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use gastown::adapters::dolt::Site;
use gastown::adapters::dolt::apart::back_up;
use gastown::model::ids::Db;
use gastown::model::rows::Bead;
use gastown::model::tx::TxExt;
use gastown::model::upkeep::Chore;
use gastown::model::upkeep::Plan;
use gastown::store::conn::Conn;
use gastown::store::digest;
use gastown::store::digest::Digest;
use gastown::store::keep::Keep;
use gastown::store::keep::compact::Point;
use gastown::store::keep::history;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::port::HeldLedger;
use gastown::store::port::Port;
use gastown::store::served::Apart;
use gastown::store::server::DoltServer;
use gastown::store::sql_tx::SqlTx;

use crate::support::dolt::program;

use super::home::Home;
use super::home::server_only;
use super::support::T0;
use super::support::create;
use super::support::one;
use super::support::set_prefix;

const STEP: i64 = 600_000;

fn content(ledger: &Ledger, db: &Db) -> Digest {
    ledger.query(db, digest::digest).unwrap()
}

fn put(held: &HeldLedger, db: &Db, id: &str, now: i64) {
    let answers = held.commit(db, &[one("overseer", create(id))], now).unwrap();
    assert!(answers[0].is_ok(), "{answers:?}");
}

/// Backups beside the server, and how many were made.
fn apart(home: &Home, made: Arc<AtomicUsize>) -> Apart {
    let at = |name: &str| home.root().join("site").join(name);
    let site = Site {
        dir: at("server"),
        data: home.dolt().data(),
        log: at("log"),
        pid_file: at("pid"),
        state_file: at("state"),
        port: 0,
        program: program().display().to_string(),
        env: BTreeMap::new(),
        log_max_bytes: 0,
    };
    Apart(Arc::new(move |database, url| {
        // A town's ledger knows where its server's data is; this server has it elsewhere.
        let name = database.file_name().unwrap();
        back_up(&site, &site.data.join(name), url).map_err(|error| error.to_string())?;
        made.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }))
}

server_only!(a_server_is_squashed_flattened_backed_up_and_restored_while_it_is_used);

fn a_server_is_squashed_flattened_backed_up_and_restored_while_it_is_used(home: &Home) {
    let made_apart = Arc::new(AtomicUsize::new(0));
    let apart = Some(apart(home, made_apart.clone()));
    let ledger =
        Arc::new(home.ledger(Settings { apart, collects_beside: true, ..Settings::default() }));
    let held = Arc::new(HeldLedger::new(ledger, 0));
    let (db, hq) = (Db::from("shop"), Db::hq());
    for db in [&db, &hq] {
        held.ledger().create_db(db).unwrap();
        held.commit(db, &[one("overseer", set_prefix())], T0).unwrap()[0].as_ref().unwrap();
    }
    for at in 1..150 {
        put(&held, &db, &format!("sh-b{at}"), T0 + at * STEP);
    }
    let now = T0 + 150 * STEP;
    let before = content(held.ledger(), &db);
    // hq is written all the while; nobody there waits for the other database's upkeep.
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (held, stop, hq) = (held.clone(), stop.clone(), hq.clone());
        std::thread::spawn(move || {
            let mut at = 0;
            while !stop.load(Ordering::Acquire) {
                put(&held, &hq, &format!("sh-hq{at}"), now + at);
                at += 1;
            }
            at
        })
    };
    let plan = Plan::Keep { keep_ms: 7 * 3_600_000, commits_max: 1_000, growth_max: 8 };
    held.compact(&db, &plan, now, &mut |_| {}).unwrap();
    let log = held.ledger().query(&db, |conn| history::newest(conn, None)).unwrap();
    assert!(log.len() < 60, "{} commits are left", log.len());
    let past = &log[5];
    let beads = held.ledger().query(&db, |conn| {
        let mut tx = SqlTx::reader_at(conn, &past.hash)?;
        Ok(tx.with::<Bead>(None, Vec::new()).unwrap().len())
    });
    assert_eq!(i64::try_from(beads.unwrap()).unwrap(), (past.date_ms - T0) / STEP);
    let mut points = Vec::new();
    let mut meanwhile = 0;
    let flat = held.compact(&db, &Plan::Flatten, now, &mut |point| {
        points.push(point);
        if point == Point::Drafted {
            put(&held, &db, "sh-meanwhile", now);
            meanwhile += 1;
        }
    });
    flat.unwrap();
    assert_eq!(points, [Point::Drafted, Point::Ready, Point::Swapped, Point::Tidied]);
    assert_eq!(held.measure(&db).unwrap().commits, 2 + meanwhile);
    let done = held.keep(&db, &Chore::Backup, now).unwrap();
    assert!(done.done, "{done:?}");
    // What was written since goes into the same backup.
    put(&held, &db, "sh-since", now);
    held.keep(&db, &Chore::Backup, now).unwrap();
    let made = made_apart.load(Ordering::Acquire);
    assert_eq!(made, 4, "each compaction begins with one, and the server made none itself");
    stop.store(true, Ordering::Release);
    assert!(writer.join().unwrap() > 0);

    // All rows are there, and one more; a database that is gone comes back from its backup.
    let after = content(held.ledger(), &db);
    assert_eq!(after.rows(), before.rows() + 4, "two beads and their changes");
    held.ledger().forget(&db);
    let mut admin = DoltServer::connect(&home.dolt().address()).unwrap();
    admin.execute("DROP DATABASE shop", &[]).unwrap();
    let again = home.ledger(Settings::default());
    drop(held);
    let restored = again.restore(&db).unwrap();
    assert_eq!(restored.aside, None);
    assert_eq!(content(&again, &db), after);
    assert_eq!(again.databases().unwrap(), [hq, db]);
}

/// A town's ledger sees its server's files; this server has them elsewhere.
fn see_files(home: &Home, ledger: &Ledger) {
    let data = ledger.path(&Db::from("shop")).parent().unwrap().to_owned();
    std::fs::create_dir_all(data.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(home.dolt().data(), data).unwrap();
}

server_only!(what_the_rows_alone_take_is_tried_on_a_copy);

fn what_the_rows_alone_take_is_tried_on_a_copy(home: &Home) {
    let ledger = Arc::new(home.ledger(Settings::default()));
    let held = Arc::new(HeldLedger::new(ledger, 0));
    let db = Db::from("shop");
    held.ledger().create_db(&db).unwrap();
    held.commit(&db, &[one("overseer", set_prefix())], T0).unwrap()[0].as_ref().unwrap();
    for at in 0..60 {
        put(&held, &db, &format!("sh-b{at}"), T0 + at * STEP);
    }
    see_files(home, held.ledger());
    let before = content(held.ledger(), &db);
    let done = held.keep(&db, &Chore::Compact { plan: Plan::Flatten }, T0 + 60 * STEP).unwrap();
    let (after, was) = (&done.after, done.before.bytes);
    assert!(after.live > 0 && was > 2 * after.live, "{done:?}");
    // What is left is the rows alone.
    assert!(after.bytes < 2 * after.live && after.live < 2 * after.bytes, "{done:?}");
    assert_eq!(content(held.ledger(), &db), before);
    let names = std::fs::read_dir(home.dolt().data()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!names.into_iter().any(|name| name.starts_with("gt_verify_")));
}

server_only!(a_backup_that_holds_far_more_than_the_database_is_made_anew);

fn a_backup_that_holds_far_more_than_the_database_is_made_anew(home: &Home) {
    let ledger = Arc::new(home.ledger(Settings::default()));
    let held = Arc::new(HeldLedger::new(ledger, 0));
    let db = Db::from("shop");
    held.ledger().create_db(&db).unwrap();
    held.commit(&db, &[one("overseer", set_prefix())], T0).unwrap()[0].as_ref().unwrap();
    see_files(home, held.ledger());
    let dir = held.ledger().backup_dir(&db);
    let (kept, prev) = (dir.join("shop"), dir.join("shop.prev"));
    held.keep(&db, &Chore::Backup, T0).unwrap();
    // What no database needs any more.
    let old = kept.join("let-go");
    std::fs::write(&old, vec![7; 7 << 20]).unwrap();
    put(&held, &db, "sh-first", T0 + STEP);
    held.keep(&db, &Chore::Backup, T0 + STEP).unwrap();
    assert!(old.exists(), "a small one is only added to");
    std::fs::write(&old, vec![7; 9 << 20]).unwrap();
    put(&held, &db, "sh-second", T0 + 2 * STEP);
    let done = held.keep(&db, &Chore::Backup, T0 + 2 * STEP).unwrap();
    assert!(done.done, "{done:?}");
    assert!(!old.exists());
    assert!(!prev.exists() && !dir.join("fresh").exists());
    let (after, head) = (content(held.ledger(), &db), done.after.head);
    assert_eq!(held.ledger().backup(&db).unwrap().map(|backup| backup.head), Some(head));
    // A stop while the two change places: the old one counts.
    std::fs::rename(&kept, &prev).unwrap();
    held.ledger().forget(&db);
    let mut admin = DoltServer::connect(&home.dolt().address()).unwrap();
    admin.execute("DROP DATABASE shop", &[]).unwrap();
    let again = home.ledger(Settings::default());
    drop(held);
    again.restore(&db).unwrap();
    assert_eq!(content(&again, &db), after);
}
