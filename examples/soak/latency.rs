//! How long a durable write takes: quiet, and while a backup, a flatten and a collection run. The
//! longest wait stands beside the engine's own collection of the same garbage, in the same run: the
//! median of three, one before each of them, since one alone varies by a half.
//!
//! `--mutations N` before it begins (20,000), `--seconds N` of quiet (10), `--engine WORD`.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::upkeep::Chore;
use gastown::model::upkeep::Plan;
use gastown::model::value::Value;
use gastown::store::conn::Conn;
use gastown::store::conn::ConnError;
use gastown::store::port::HeldLedger;
use gastown::store::port::Keep as _;
use gastown::store::port::Port as _;
use gastown::store::writer::Submission;

use crate::check;
use crate::tools::Fallible;
use crate::tools::flag;
use crate::tools::now_ms;
use crate::tools::number;
use crate::tools::quantile;
use crate::tools::row;
use crate::tools::run;
use crate::tools::scratch;
use crate::towns;
use crate::towns::Kind;

/// The longest wait may be so many times the engine's own collection.
const STALL_MAX: f64 = 1.5;
/// Between two writes: a writer that never rests leaves the embedded engine's lock to nobody else.
const PACE: Duration = Duration::from_millis(5);
/// Tries of a chore that the writer is too busy for; the dogs try again at their next round.
const TRIES: usize = 10;
/// Mutations in one commit while the database is filled.
const FILL_GROUP: u64 = 10;

/// Both engines.
pub(crate) fn latency() -> Fallible<bool> {
    let mutations = number("--mutations", 20_000)?;
    let quiet = Duration::from_secs(number("--seconds", 10)?);
    let wanted = flag("--engine");
    let dir = scratch("latency")?;
    let mut good = true;
    for kind in Kind::ALL {
        if wanted.as_ref().is_some_and(|word| word != kind.word()) {
            continue;
        }
        let home = dir.join(kind.word());
        fs::create_dir_all(&home)?;
        let root = towns::make(&home, kind)?;
        let held = Arc::new(HeldLedger::new(Arc::new(towns::of_town(&root)?), 5_000));
        good &= engine(kind, &held, mutations, quiet)?;
        drop(held);
        if kind == Kind::Server {
            run(&root, &["dolt", "stop"])?;
        }
    }
    fs::remove_dir_all(&dir)?;
    Ok(good)
}

fn engine(kind: Kind, held: &HeldLedger, mutations: u64, quiet: Duration) -> Fallible<bool> {
    let db = Db::from("busy");
    let twins = ["twin1", "twin2", "twin3"].map(Db::from);
    for db in twins.iter().chain([&db]) {
        check::prepare(held.ledger(), db)?;
        fill(held, db, mutations)?;
    }
    println!("\n{}: one writer, {mutations} mutations before it begins", kind.word());
    println!(
        "{:<12} {:>8} {:>10} {:>10} {:>12} {:>10}",
        "", "writes", "p50 ms", "p99 ms", "longest ms", "took s"
    );
    let (mut worst, mut raw, mut written) = (0.0_f64, Vec::new(), 0);
    let mut twins = twins.iter();
    let phases: [(&str, Option<Chore>); 4] = [
        ("quiet", None),
        ("backup", Some(Chore::Backup)),
        ("flatten", Some(Chore::Compact { plan: Plan::Flatten })),
        ("gc", Some(Chore::Collect)),
    ];
    for (name, chore) in phases {
        if chore.is_some() {
            let twin = twins.next().ok_or("there is a twin for each chore")?;
            // The same garbage: a commit for each write that the other one has had.
            for number in 0..written {
                write(held, twin, vec![remark(number)])?;
            }
            raw.push(raw_collection(&mut towns::raw(held.ledger(), kind, twin)?)?);
        }
        let (times, took) = under(held, &db, || match chore {
            None => {
                std::thread::sleep(quiet);
                Ok(())
            }
            Some(chore) => insist(held, &db, &chore),
        })?;
        written += times.len();
        let longest = times.iter().copied().fold(0.0, f64::max);
        let (p50, p99) = (quantile(&times, 0.5), quantile(&times, 0.99));
        let seconds = took.as_secs_f64();
        let count = times.len();
        println!("{name:<12} {count:>8} {p50:>10.2} {p99:>10.2} {longest:>12.1} {seconds:>10.2}");
        if name != "quiet" {
            worst = worst.max(longest);
        }
    }
    let raw_ms = quantile(&raw, 0.5);
    let each: Vec<String> = raw.iter().map(|ms| format!("{ms:.1}")).collect();
    let each = format!("of {} ms", each.join(", "));
    row("the engine's own collection, median", &format!("{raw_ms:.1} ms"), &each, true);
    let ratio = worst / raw_ms;
    let text = format!("{worst:.1} ms, {ratio:.2}x");
    Ok(row("the longest wait", &text, &format!("at most {STALL_MAX}x"), ratio <= STALL_MAX))
}

/// A bead and remarks on it, in groups.
fn fill(held: &HeldLedger, db: &Db, mutations: u64) -> Fallible<()> {
    let mut count = 0;
    while count < mutations {
        let id = BeadId(format!("ap-f{count}"));
        let new =
            NewBead { id: Some(id.clone()), title: "filled".to_owned(), ..NewBead::default() };
        let mut ops = vec![Op::Create(new)];
        ops.extend((1..FILL_GROUP).map(|n| Op::Comment { id: id.clone(), text: words(n) }));
        count += FILL_GROUP;
        write(held, db, ops)?;
    }
    write(held, db, vec![Op::Create(one())])
}

fn one() -> NewBead {
    NewBead { id: Some(BeadId::from("ap-one")), title: "one".to_owned(), ..NewBead::default() }
}

fn remark(number: usize) -> Op {
    Op::Comment { id: BeadId::from("ap-one"), text: words(number) }
}

fn words(number: impl std::fmt::Display) -> String {
    format!("remark {number}, as long as such remarks usually are, which is about two lines")
}

fn write(held: &HeldLedger, db: &Db, ops: Vec<Op>) -> Fallible<()> {
    let one = Submission { actor: "soak".to_owned(), ops };
    match held.commit(db, &[one], now_ms())?.into_iter().next() {
        Some(Ok(_)) => Ok(()),
        other => Err(format!("a write was refused: {other:?}").into()),
    }
}

/// Does a chore, again where the writer was too busy for it; that is told.
fn insist(held: &HeldLedger, db: &Db, chore: &Chore) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match held.keep(db, chore, now_ms()) {
            Ok(done) if done.done => return Ok(()),
            Ok(done) => last = done.words,
            Err(error) => last = error,
        }
        println!("({} is tried again: {last})", chore.name());
    }
    Err(last)
}

/// Times of single durable writes in milliseconds, one after the other, while `chore` runs.
fn under(
    held: &HeldLedger,
    db: &Db,
    chore: impl FnOnce() -> Result<(), String> + Send,
) -> Fallible<(Vec<f64>, Duration)> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let chore = scope.spawn(|| {
            let began = Instant::now();
            let done = chore();
            over.store(true, Ordering::SeqCst);
            (done, began.elapsed())
        });
        let mut times = Vec::new();
        let mut number = 0;
        // One more at the end, so that a short chore has one too.
        loop {
            let last = over.load(Ordering::SeqCst);
            number += 1;
            let began = Instant::now();
            write(held, db, vec![remark(number)])?;
            times.push(began.elapsed().as_secs_f64() * 1_000.0);
            if last {
                break;
            }
            std::thread::sleep(PACE);
        }
        let (done, took) = chore.join().map_err(|_| "the chore panicked")?;
        done?;
        Ok((times, took))
    })
}

/// Drops the history of a database by the engine's own means, and times its collection alone, in
/// milliseconds.
fn raw_collection(conn: &mut Box<dyn Conn>) -> Fallible<f64> {
    let log = conn.query("SELECT commit_hash FROM dolt_log", &[])?;
    let Some([Value::Text(root)]) = log.last().map(Vec::as_slice) else {
        return Err("the history has no first commit".into());
    };
    conn.call("dolt_reset", &["--soft", root])?;
    conn.call("dolt_commit", &["-Am", "all of it", "--author", "soak <soak@localhost>"])?;
    let began = Instant::now();
    match conn.call("dolt_gc", &[]) {
        Ok(_) => {}
        // A server ends the connection that collected.
        Err(ConnError::Down(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(began.elapsed().as_secs_f64() * 1_000.0)
}
