//! The speed of commands beside an empty program, and of writers beside the raw engine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use gastown::adapters::layout::Town;
use gastown::model::bead::DepType;
use gastown::model::ids::BeadId;
use gastown::model::ops::Fact;
use gastown::model::ops::Op;

use crate::tools::Fallible;
use crate::tools::bytes_below;
use crate::tools::gt;
use crate::tools::make_repository;
use crate::tools::new_bead;
use crate::tools::quantile;
use crate::tools::run;
use crate::tools::scratch;
use crate::tools::write;

/// Ten thousand open beads; whole processes beside an empty program; thirty writers at once.
pub(crate) fn speed() -> Fallible<bool> {
    let dir = scratch("speed")?;
    let root = dir.join("town");
    let origin = dir.join("app");
    make_repository(&origin)?;
    run(&dir, &["install", &root.display().to_string()])?;
    run(&root, &["rig", "add", "app", &origin.display().to_string(), "--prefix", "ap"])?;
    run(&root, &["up"])?;
    let town = Town::new(&root);
    let ids = fill(&town, 10_000)?;
    println!("{} open beads, every third with a dependency", ids.len());
    let good = processes(&dir, &root, &ids)?;
    writers(&town, &root, &ids)?;
    run(&root, &["down"])?;
    fs::remove_dir_all(&dir)?;
    Ok(good)
}

fn fill(town: &Town, count: usize) -> Fallible<Vec<BeadId>> {
    let mut ids: Vec<BeadId> = Vec::new();
    while ids.len() < count {
        let chunk = 200.min(count - ids.len());
        let ops = (0..chunk).map(|at| {
            let number = ids.len() + at;
            let mut new = new_bead(format!("bead {number}"));
            if number.is_multiple_of(3)
                && let Some(target) = ids.last()
            {
                new.deps.push((DepType::Blocks, target.clone()));
            }
            Op::Create(new)
        });
        let facts = write(town, "app", ops.collect())?;
        let made = facts.into_iter().filter_map(|fact| match fact {
            Fact::Created { id } => Some(id),
            _ => None,
        });
        ids.extend(made);
    }
    Ok(ids)
}

/// Runs of one command, in the order taken: milliseconds.
type Times = BTreeMap<&'static str, Vec<f64>>;

fn processes(dir: &Path, root: &Path, ids: &[BeadId]) -> Fallible<bool> {
    let empty = empty_program(dir)?;
    let bd = gt().with_file_name("bd");
    let mut times: Times = BTreeMap::new();
    for round in 0..200_usize {
        let id = ids[(round * 37) % ids.len()].as_str();
        let title = format!("one more {round}");
        let runs: [(&'static str, &Path, Vec<&str>); 5] = [
            ("empty program", &empty, vec![]),
            ("bd show", &bd, vec!["show", id, "--json"]),
            ("bd ready", &bd, vec!["ready", "--rig", "app", "--json"]),
            ("gt status", &gt(), vec!["status", "--json"]),
            ("bd create", &bd, vec!["create", &title, "--rig", "app", "--json"]),
        ];
        for (name, program, args) in runs {
            let start = Instant::now();
            let status = Command::new(program)
                .args(&args)
                .current_dir(root)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()?;
            let took = start.elapsed().as_secs_f64() * 1000.0;
            if !status.success() {
                return Err(format!("{name} failed").into());
            }
            times.entry(name).or_default().push(took);
        }
    }
    println!(
        "{:<16} {:>10} {:>10} {:>14}",
        "whole process", "median ms", "p99 ms", "over empty ms"
    );
    let base = quantile(&times["empty program"], 0.5);
    let mut good = true;
    for (name, list) in &times {
        let (median, p99) = (quantile(list, 0.5), quantile(list, 0.99));
        let over = median - base;
        let bound = if *name == "bd create" { 15.0 } else { 5.0 };
        let ok = over <= bound;
        good &= ok;
        let word = if ok { "ok" } else { "SHORT" };
        println!("{name:<16} {median:>10.2} {p99:>10.2} {over:>14.2}  (at most {bound}) {word}");
    }
    Ok(good)
}

fn empty_program(dir: &Path) -> Fallible<PathBuf> {
    let (source, program) = (dir.join("empty.rs"), dir.join("empty"));
    fs::write(&source, "fn main() {}\n")?;
    let status = Command::new("rustc").arg("-O").arg("-o").arg(&program).arg(&source).status()?;
    if status.success() {
        Ok(program)
    } else {
        Err("rustc could not build the empty program".into())
    }
}

/// Thirty writers through the door; then the raw engine with groups of the same mean size.
fn writers(town: &Town, root: &Path, ids: &[BeadId]) -> Fallible<()> {
    let data = root.join(".dolt-data/app");
    let (commits, bytes) = (commits(root)?, bytes_below(&data)?);
    let start = Instant::now();
    let end = start + Duration::from_secs(10);
    let threads: Vec<_> = (0..30_usize)
        .map(|number| {
            let (town, id) = (town.clone(), ids[number].clone());
            std::thread::spawn(move || {
                let mut done = 0_u64;
                while Instant::now() < end {
                    let text = format!("remark {done} of {number}");
                    let op = Op::Comment { id: id.clone(), text };
                    if write(&town, "app", vec![op]).is_ok() {
                        done += 1;
                    }
                }
                done
            })
        })
        .collect();
    let done: u64 = threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum();
    let seconds = start.elapsed().as_secs_f64();
    let groups = self::commits(root)? - commits;
    let grown = bytes_below(&data)? - bytes;
    let size = done as f64 / groups.max(1) as f64;
    let rate = done as f64 / seconds;
    println!("30 writers through the door: {rate:.0} mutations/s, mean group {size:.1}");
    println!("kB per mutation: {:.2}", grown as f64 / 1024.0 / done.max(1) as f64);
    let raw = raw_engine(root, size.round().max(1.0) as usize)?;
    println!("raw engine, same group size: {raw:.0} rows/s; ratio {:.2}", rate / raw);
    Ok(())
}

/// Commits of the rig's database so far.
fn commits(root: &Path) -> Fallible<u64> {
    let conn = doltlite::Connection::open(root.join(".dolt-data/app/app.db"))?;
    conn.busy_timeout(5_000)?;
    let rows = conn.query("SELECT count(*) FROM dolt_log", &[])?;
    match rows.first().and_then(|row| row.get(0)) {
        Some(doltlite::Value::Integer(count)) => Ok(u64::try_from(*count)?),
        other => Err(format!("dolt_log answered {other:?}").into()),
    }
}

/// Two inserts a row (a remark and its change), so many rows a commit, on an otherwise empty file.
fn raw_engine(root: &Path, group: usize) -> Fallible<f64> {
    let conn = doltlite::Connection::open(root.join("raw.db"))?;
    conn.execute_batch(
        "CREATE TABLE a (k INTEGER PRIMARY KEY, t TEXT); CREATE TABLE b (k INTEGER PRIMARY KEY, t TEXT);",
    )?;
    let start = Instant::now();
    let mut key = 0_i64;
    while start.elapsed() < Duration::from_secs(5) {
        conn.execute("BEGIN IMMEDIATE", &[])?;
        for _ in 0..group {
            key += 1;
            let values = [doltlite::Value::Integer(key), doltlite::Value::Text("a remark".into())];
            conn.execute("INSERT INTO a VALUES (?, ?)", &values)?;
            conn.execute("INSERT INTO b VALUES (?, ?)", &values)?;
        }
        conn.query("SELECT dolt_commit('-Am', 'raw', '--skip-empty')", &[])?;
        conn.execute("COMMIT", &[])?;
    }
    Ok(key as f64 / start.elapsed().as_secs_f64())
}
