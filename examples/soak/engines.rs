//! Durable mutations a second and bytes for each: the ledger on either engine, and beside each the
//! engine by itself with groups of the same mean size, in the same run.
//!
//! `--seconds N` for each cell of the table (5).

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use std::time::Instant;

use gastown::machines::limits::Limits;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::store::ledger::Ledger;
use gastown::store::port::HeldLedger;
use gastown::store::port::Port as _;
use gastown::store::server::Server;
use gastown::store::writer::Submission;
use sqlx::Connection as _;
use sqlx::Executor as _;

use crate::check;
use crate::dolt::Dolt;
use crate::tools::Fallible;
use crate::tools::bytes_below;
use crate::tools::now_ms;
use crate::tools::number;
use crate::tools::scratch;
use crate::towns;
use crate::towns::Kind;

/// So many writers at once.
const WRITERS: [usize; 3] = [1, 8, 32];

/// One cell of the table.
struct Speed {
    /// Mutations a second.
    rate: f64,
    /// Mutations in one commit, on average.
    group: f64,
    /// Bytes on the disk for each mutation.
    bytes: f64,
}

/// The table.
pub(crate) fn engines() -> Fallible<bool> {
    let time = Duration::from_secs(number("--seconds", 5)?);
    let dir = scratch("engines")?;
    let dolt = Dolt::start(&dir.join("dolt"));
    println!("a mutation is a remark: it and its change are two rows; {} s each\n", time.as_secs());
    println!("{:<34} {:>10} {:>10} {:>10}", "", "1 writer", "8 writers", "32 writers");
    for kind in Kind::ALL {
        let server = (kind == Kind::Server).then(|| dolt.address());
        let ledger = Arc::new(towns::ledger(&dir.join("town"), server));
        let (mut ours, mut raw) = (Vec::new(), Vec::new());
        for writers in WRITERS {
            let db = Db(format!("rig{writers}"));
            let place = match kind {
                Kind::Embedded => dir.join("town/.dolt-data").join(db.as_str()),
                Kind::Server => dolt.data().join(db.as_str()),
            };
            let speed = through_the_ledger(&ledger, &db, &place, writers, time)?;
            let group = speed.group.round().max(1.0) as usize;
            raw.push(match kind {
                Kind::Embedded => raw_doltlite(&dir.join(format!("raw{writers}")), group, time)?,
                Kind::Server => {
                    let name = format!("raw{writers}");
                    let data = dolt.data().join(&name);
                    raw_dolt(&dolt.address(), &name, &data, group, time)?
                }
            });
            ours.push(speed);
        }
        let raw_name = match kind {
            Kind::Embedded => "raw doltlite",
            Kind::Server => "raw sqlx to dolt",
        };
        print(&format!("{}, mutations a second", kind.word()), &ours, |speed| speed.rate);
        print(&format!("{raw_name}, the same groups"), &raw, |speed| speed.rate);
        let pairs = ours.iter().zip(&raw);
        let ratios = pairs.map(|(ours, raw)| format!(" {:>10.2}", ours.rate / raw.rate));
        println!("{:<34}{}", "  ratio", ratios.collect::<String>());
        print("  mutations in a commit", &ours, |speed| speed.group);
        print(&format!("{}, bytes a mutation", kind.word()), &ours, |speed| speed.bytes);
        print(&format!("{raw_name}, bytes a mutation"), &raw, |speed| speed.bytes);
        println!();
    }
    drop(dolt);
    fs::remove_dir_all(&dir)?;
    Ok(true)
}

fn print(what: &str, speeds: &[Speed], figure: fn(&Speed) -> f64) {
    let cells = speeds.iter().map(|speed| match figure(speed) {
        small if small < 100.0 => format!(" {small:>10.1}"),
        large => format!(" {large:>10.0}"),
    });
    println!("{what:<34}{}", cells.collect::<String>());
}

/// What a writer asks of the lane, and where the answer goes.
type Ask = (Submission, SyncSender<bool>);

/// Writers that each wait for their answer, over one lane: what waits while a commit runs is the
/// next group, as in the daemon.
fn through_the_ledger(
    ledger: &Arc<Ledger>,
    db: &Db,
    place: &Path,
    writers: usize,
    time: Duration,
) -> Fallible<Speed> {
    check::prepare(ledger, db)?;
    let held = HeldLedger::new(ledger.clone(), 5_000);
    for writer in 0..writers {
        let new = NewBead { id: Some(bead(writer)), title: "one".to_owned(), ..NewBead::default() };
        let one = Submission { actor: "soak".to_owned(), ops: vec![Op::Create(new)] };
        held.commit(db, &[one], now_ms())?;
    }
    let before = bytes_below(place)?;
    let (ask, asked) = sync_channel::<Ask>(writers);
    let began = Instant::now();
    let (done, groups) = std::thread::scope(|scope| {
        let lane = scope.spawn(|| lane(&held, db, asked));
        for writer in 0..writers {
            let ask = ask.clone();
            scope.spawn(move || remark(&ask, writer, began + time));
        }
        drop(ask);
        lane.join().unwrap_or((0, 0))
    });
    let seconds = began.elapsed().as_secs_f64();
    let grown = bytes_below(place)?.saturating_sub(before);
    let count = done.max(1) as f64;
    Ok(Speed {
        rate: done as f64 / seconds,
        group: count / groups.max(1) as f64,
        bytes: grown as f64 / count,
    })
}

fn bead(writer: usize) -> BeadId {
    BeadId(format!("ap-{writer}"))
}

/// One writer: asks, waits, asks again.
fn remark(ask: &SyncSender<Ask>, writer: usize, end: Instant) {
    let mut count = 0;
    while Instant::now() < end {
        count += 1;
        let op = Op::Comment { id: bead(writer), text: format!("remark {count} of {writer}") };
        let one = Submission { actor: format!("writer-{writer}"), ops: vec![op] };
        let (answer, answered) = sync_channel(1);
        if ask.send((one, answer)).is_err() || answered.recv().is_err() {
            return;
        }
    }
}

/// Commits until nobody asks any more; gives the mutations that stand and the commits.
fn lane(held: &HeldLedger, db: &Db, asked: Receiver<Ask>) -> (u64, u64) {
    let most = Limits::default().group_max;
    let (mut done, mut groups) = (0, 0);
    while let Ok(first) = asked.recv() {
        let mut group = vec![first];
        while group.len() < most
            && let Ok(next) = asked.try_recv()
        {
            group.push(next);
        }
        let submissions: Vec<Submission> = group.iter().map(|(one, _)| one.clone()).collect();
        let Ok(answers) = held.commit(db, &submissions, now_ms()) else { continue };
        groups += 1;
        for ((_, reply), answer) in group.into_iter().zip(answers) {
            done += u64::from(answer.is_ok());
            reply.send(answer.is_ok()).ok();
        }
    }
    (done, groups)
}

const TABLES: [&str; 2] = [
    "CREATE TABLE a (k BIGINT PRIMARY KEY, t TEXT)",
    "CREATE TABLE b (k BIGINT PRIMARY KEY, t TEXT)",
];
const ROWS: [&str; 2] = ["INSERT INTO a VALUES (?, ?)", "INSERT INTO b VALUES (?, ?)"];
const REMARK: &str = "a remark of the usual length of one";

fn raw_doltlite(dir: &Path, group: usize, time: Duration) -> Fallible<Speed> {
    fs::create_dir_all(dir)?;
    let conn = doltlite::Connection::open(dir.join("raw.db"))?;
    conn.execute_batch("PRAGMA synchronous = FULL")?;
    for table in TABLES {
        conn.execute_batch(table)?;
    }
    conn.query("SELECT dolt_commit('-Am', 'tables')", &[])?;
    let before = bytes_below(dir)?;
    let (began, mut key, mut commits) = (Instant::now(), 0_i64, 0_u64);
    while began.elapsed() < time {
        conn.execute("BEGIN IMMEDIATE", &[])?;
        for _ in 0..group {
            key += 1;
            let row = [doltlite::Value::Integer(key), doltlite::Value::Text(REMARK.into())];
            for insert in ROWS {
                conn.execute(insert, &row)?;
            }
        }
        conn.query("SELECT dolt_commit('-Am', 'raw', '--skip-empty')", &[])?;
        conn.execute("COMMIT", &[])?;
        commits += 1;
    }
    Ok(raw_speed(key, commits, began, bytes_below(dir)? - before))
}

fn raw_dolt(
    server: &Server,
    name: &str,
    data: &Path,
    group: usize,
    time: Duration,
) -> Fallible<Speed> {
    let options = sqlx::mysql::MySqlConnectOptions::new()
        .host(&server.host)
        .port(server.port)
        .username(&server.user)
        .password(&server.password)
        .ssl_mode(sqlx::mysql::MySqlSslMode::Disabled);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut conn = sqlx::mysql::MySqlConnection::connect_with(&options).await?;
        let make = format!("CREATE DATABASE {name}");
        conn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(make))).await?;
        conn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!("USE {name}")))).await?;
        for table in TABLES {
            conn.execute(sqlx::raw_sql(table)).await?;
        }
        conn.execute(sqlx::raw_sql("CALL DOLT_COMMIT('-Am', 'tables')")).await?;
        let before = bytes_below(data)?;
        let (began, mut key, mut commits) = (Instant::now(), 0_i64, 0_u64);
        while began.elapsed() < time {
            conn.execute(sqlx::raw_sql("START TRANSACTION")).await?;
            for _ in 0..group {
                key += 1;
                for insert in ROWS {
                    conn.execute(sqlx::query(insert).bind(key).bind(REMARK)).await?;
                }
            }
            conn.execute(sqlx::raw_sql("CALL DOLT_COMMIT('-Am', 'raw', '--skip-empty')")).await?;
            conn.execute(sqlx::raw_sql("COMMIT")).await?;
            commits += 1;
        }
        Ok(raw_speed(key, commits, began, bytes_below(data)? - before))
    })
}

fn raw_speed(mutations: i64, commits: u64, began: Instant, grown: u64) -> Speed {
    let count = mutations.max(1) as f64;
    Speed {
        rate: count / began.elapsed().as_secs_f64(),
        group: count / commits.max(1) as f64,
        bytes: grown as f64 / count,
    }
}
