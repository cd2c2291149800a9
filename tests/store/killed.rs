//! The server is killed under its clients: around a commit, while a database is made, and for good.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use std::time::Instant;

use gastown::model::bead::DepType;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::rows::Bead;
use gastown::model::rows::Dep;
use gastown::model::tx::TxExt;
use gastown::store::conn::ConnError;
use gastown::store::error::GroupError;
use gastown::store::error::StoreError;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::writer::Settled;
use gastown::store::writer::Submission;
use gastown::store::writer::Writer;

use super::home::DOWN_WITHIN;
use super::home::Home;
use super::home::server_only;
use super::hooked;
use super::hooked::Hooks;
use super::support::T0;
use super::support::bead;
use super::support::commit;
use super::support::create;
use super::support::one;
use super::support::writer;

server_only!(
    a_group_under_a_kill_stands_wholly_or_not_at_all_and_settling_tells_which,
    a_database_whose_making_is_killed_does_not_count_and_is_completed,
    without_its_server_every_call_says_so_in_time,
    a_server_that_comes_back_is_found_by_those_who_were_connected,
);

/// Rings a bell when a group is about to commit; one use each.
#[derive(Default)]
struct Bell(Mutex<Option<std::sync::mpsc::SyncSender<()>>>);

impl Hooks for Bell {
    fn before_commit(&self) -> Result<(), ConnError> {
        if let Some(bell) = self.0.lock().unwrap().take() {
            bell.send(()).ok();
        }
        Ok(())
    }
}

/// Kills the server a moment after the bell, while `body` runs on this thread.
fn killed<T>(home: &Home, bell: &Bell, moment: Duration, body: impl FnOnce() -> T) -> T {
    let (ring, rung) = sync_channel(1);
    *bell.0.lock().unwrap() = Some(ring);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            rung.recv().ok();
            after(moment);
            home.dolt().kill9();
        });
        body()
    })
}

/// Lets a moment pass: nothing is waited for, which is the point.
fn after(moment: Duration) {
    let (_open, never) = channel::<()>();
    never.recv_timeout(moment).ok();
}

/// A seeded moment below `max_us` microseconds.
fn moment(seed: u64, max_us: u64) -> Duration {
    let mixed = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Duration::from_micros((mixed >> 33) % max_us)
}

/// A group that writes many rows in two submissions: two beads, an edge, remarks, changes.
fn group(round: u64) -> [Submission; 2] {
    let (first, second) = (BeadId(format!("sh-{round}a")), BeadId(format!("sh-{round}b")));
    let waiting = NewBead {
        id: Some(second.clone()),
        title: "waits".to_owned(),
        deps: vec![(DepType::Blocks, first.clone())],
        ..NewBead::default()
    };
    let remark = Op::Comment { id: second, text: "well".to_owned() };
    let ops = vec![Op::Create(waiting), remark];
    [one("overseer", create(first.as_str())), Submission { actor: "mayor".to_owned(), ops }]
}

/// Whether the whole group is there; half of one is a failure.
fn stands(ledger: &Ledger, db: &Db, round: u64) -> bool {
    let (first, second) = (BeadId(format!("sh-{round}a")), BeadId(format!("sh-{round}b")));
    let found = ledger.read(db, |tx| {
        let waiting = tx.find::<Bead>("by_id", &second).unwrap();
        [
            tx.find::<Bead>("by_id", &first).unwrap().is_some(),
            tx.row2::<Dep>(&second, &first).unwrap().is_some(),
            waiting.is_some_and(|bead| bead.blocked),
        ]
    });
    let found = found.unwrap();
    assert!(found.iter().all(|one| *one == found[0]), "round {round} is torn: {found:?}");
    found[0]
}

fn a_group_under_a_kill_stands_wholly_or_not_at_all_and_settling_tells_which(home: &Home) {
    let (plain, db) = home.town();
    drop(writer(&plain, &db));
    let bell = Arc::new(Bell::default());
    let ledger = home.wrapped(Settings::default(), hooked::wrap(bell.clone()));
    let mut writer = ledger.writer(&db, "test", 0).unwrap();
    let (mut acknowledged, mut stood, mut absent, mut refused) = (Vec::new(), 0, 0, 0);
    for round in 0..30 {
        let group = group(round);
        let answer = killed(home, &bell, moment(round, 9_000), || writer.commit_group(&group, T0));
        home.dolt().restart();
        let must_stand = match answer {
            Ok(answers) => {
                assert!(answers.iter().all(Result::is_ok), "{answers:?}");
                true
            }
            Err(GroupError::Unknown(_)) => {
                let settled = writer.settle().unwrap();
                match settled {
                    Settled::Stands => stood += 1,
                    Settled::Absent => absent += 1,
                }
                settled == Settled::Stands
            }
            Err(GroupError::Down(_)) => {
                refused += 1;
                false
            }
            Err(other) => panic!("round {round}: {other:?}"),
        };
        assert_eq!(stands(&plain, &db, round), must_stand, "round {round}");
        if !must_stand {
            let again = writer.commit_group(&group, T0).unwrap();
            assert!(again.iter().all(Result::is_ok), "{again:?}");
        }
        acknowledged.push(round);
    }
    println!("unknown and stood {stood}, unknown and absent {absent}, known absent {refused}");
    assert!(stood + absent > 0, "no kill struck a commit");
    assert!(acknowledged.iter().all(|round| stands(&plain, &db, *round)));
}

fn a_database_whose_making_is_killed_does_not_count_and_is_completed(home: &Home) {
    let (other, other_db) = home.town();
    commit(&mut writer(&other, &other_db), create("sh-a"));
    let mut interrupted = 0;
    for round in 0..8 {
        let db = Db(format!("rig{round}"));
        let ledger = home.ledger(Settings::default());
        let made = std::thread::scope(|scope| {
            scope.spawn(|| {
                after(Duration::from_millis(20 * round) + moment(round, 20_000));
                home.dolt().kill9();
            });
            ledger.create_db(&db)
        });
        home.dolt().restart();
        let ledger = home.ledger(Settings::default());
        let listed = ledger.databases().unwrap().contains(&db);
        let readable = ledger.read(&db, |_| ());
        // It is there when whoever made it was told so; when not, it may have become whole in the
        // last moment, and then it says so itself.
        match (&made, &readable) {
            (Ok(()), Ok(())) => assert!(listed),
            (Err(StoreError::Down { .. } | StoreError::Engine { .. }), Ok(())) => assert!(listed),
            (Err(_), Err(StoreError::NoDatabase { .. })) => {
                interrupted += 1;
                assert!(!listed, "a half-made database is listed");
                ledger.create_db(&db).unwrap();
            }
            other => panic!("round {round}: {other:?}"),
        }
        assert!(matches!(ledger.create_db(&db), Err(StoreError::Exists { .. })));
        commit(&mut writer(&ledger, &db), create("sh-b"));
    }
    assert!(interrupted > 0, "no kill struck the making of a database");
    assert!(bead(&other, &other_db, "sh-a").is_some(), "the others are as they were");
}

fn told_down<T>(what: &str, address: &str, body: impl FnOnce() -> Result<T, StoreError>) {
    let asked = Instant::now();
    let answer = body().map(|_| ());
    let took = asked.elapsed();
    let Err(error @ StoreError::Down { .. }) = answer else { panic!("{what}: {answer:?}") };
    let text = error.to_string();
    assert!(text.contains(address) && text.contains("gt dolt start"), "{what}: {text}");
    assert!(took < DOWN_WITHIN, "{what} took {took:?}");
}

fn files(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().path().display().to_string());
    names.collect()
}

fn without_its_server_every_call_says_so_in_time(home: &Home) {
    let (ledger, db) = home.town();
    let mut open: Writer = writer(&ledger, &db);
    home.dolt().kill9();
    let data = home.root().join(".dolt-data");
    let before = files(&data);
    let address = home.dolt().address().address();
    // One that was connected, and one that never was.
    for ledger in [&ledger, &home.ledger(Settings::default())] {
        told_down("databases", &address, || ledger.databases());
        told_down("create_db", &address, || ledger.create_db(&Db::from("new")));
        told_down("read", &address, || ledger.read(&db, |_| ()));
        told_down("query", &address, || ledger.query(&db, |conn| conn.head()));
    }
    let fresh = home.ledger(Settings::default());
    told_down("writer", &address, || fresh.writer(&Db::from("other"), "test", 0));
    let asked = Instant::now();
    let error = open.commit_group(&[one("overseer", create("sh-a"))], T0).unwrap_err();
    assert!(matches!(error, GroupError::Down(_)), "{error}");
    assert!(error.to_string().contains("gt dolt start"), "{error}");
    assert!(asked.elapsed() < DOWN_WITHIN);
    assert_eq!(files(&data), before, "nothing is written anywhere else");
    home.dolt().restart();
    assert_eq!(home.ledger(Settings::default()).databases().unwrap(), vec![db.clone()]);
    assert!(bead(&ledger, &db, "sh-a").is_none());
}

fn a_server_that_comes_back_is_found_by_those_who_were_connected(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    commit(&mut writer, create("sh-a"));
    for round in 0..3 {
        home.dolt().restart();
        let id = format!("sh-b{round}");
        // Neither the writer nor a reader is told to connect again.
        commit(&mut writer, create(&id));
        assert!(bead(&ledger, &db, &id).is_some());
    }
    home.dolt().restart();
    assert!(bead(&ledger, &db, "sh-a").is_some(), "a reader that comes first");
}
