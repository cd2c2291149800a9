//! The long measurements behind `tools/soak`: an idle town, the speed of commands, seeded kills.
//!
//! Everything is measured from outside: whole processes, `/proc`, files. What a figure is compared
//! with runs beside it, on the same machine, in the same run.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a soak runs real processes for a while and prints what it measured"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use gastown::adapters::layout::Town;
use gastown::gateway::client;
use gastown::messages::door::Call;
use gastown::messages::door::PROTOCOL;
use gastown::messages::door::Request;
use gastown::model::bead::DepType;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::Fact;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let result = match name.as_str() {
        "idle" => idle(),
        "speed" => speed(),
        "kills" => kills(),
        other => Err(format!("no soak is called '{other}': idle, speed, kills").into()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("a figure falls short");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn gt() -> PathBuf {
    let exe = std::env::current_exe().expect("a program knows where it is");
    exe.parent().and_then(Path::parent).expect("examples are below the profile").join("gt")
}

fn run(cwd: &Path, args: &[&str]) -> Fallible<String> {
    let output = Command::new(gt()).args(args).current_dir(cwd).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("gt {}: {text}", args.join(" ")).into())
}

fn scratch(name: &str) -> Fallible<PathBuf> {
    let dir = std::env::temp_dir().join(format!("gt-soak-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

struct Usage {
    ticks: u64,
    rss_kb: u64,
}

fn usage(pid: u32) -> Fallible<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let rss_kb = rss.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    Ok(Usage { ticks: ticks(11) + ticks(12), rss_kb })
}

fn bytes_below(dir: &Path) -> Fallible<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() { bytes_below(&entry.path())? } else { meta.len() };
    }
    Ok(sum)
}

/// Processes whose parent is this one, by number.
fn children(pid: u32) -> Fallible<Vec<u32>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|text| text.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{child}/stat")) else { continue };
        let parent = stat.rsplit(')').next().unwrap_or_default().split_whitespace().nth(1);
        if parent == Some(pid.to_string().as_str()) {
            all.push(child);
        }
    }
    Ok(all)
}

fn daemon_pid(town: &Path) -> Fallible<u32> {
    Ok(fs::read_to_string(town.join("daemon/daemon.pid"))?.trim().parse()?)
}

fn row(what: &str, value: &str, bound: &str, ok: bool) -> bool {
    println!("{what:<44} {value:>16}   {bound:<22} {}", if ok { "ok" } else { "SHORT" });
    ok
}

/// A finished demo, all timers on, five minutes: nothing starts, nothing is written.
fn idle() -> Fallible<bool> {
    let minutes: u64 = std::env::args().nth(2).map_or(Ok(5), |text| text.parse())?;
    let dir = scratch("idle")?;
    let keep = dir.join("demo");
    run(&dir, &["demo", "--keep", &keep.display().to_string()])?;
    let town = keep.join("town");
    run(&town, &["up"])?;
    let pid = daemon_pid(&town)?;
    // The start's own work (recovery, first patrols) is over when its first minute is.
    std::thread::sleep(Duration::from_secs(60));
    let before = usage(pid)?;
    let bytes = bytes_below(&town.join(".dolt-data"))?;
    let forks = forks()?;
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    let mut seen = 0;
    while Instant::now() < end {
        seen = seen.max(children(pid)?.len());
        std::thread::sleep(Duration::from_millis(500));
    }
    let after = usage(pid)?;
    let grown = bytes_below(&town.join(".dolt-data"))? - bytes;
    let cpu = (after.ticks - before.ticks) as f64 / 100.0 / (minutes as f64 * 60.0) * 100.0;
    println!("an idle town, {minutes} minutes");
    let mut good = row("processes of the daemon seen", &seen.to_string(), "0", seen == 0);
    good &= row("bytes appended under .dolt-data", &grown.to_string(), "0", grown == 0);
    good &= row("share of one core", &format!("{cpu:.3} %"), "below 1 %", cpu < 1.0);
    let mb = after.rss_kb as f64 / 1024.0;
    good &= row("daemon, resident", &format!("{mb:.1} MB"), "below 80 MB", mb < 80.0);
    let started = self::forks()?.saturating_sub(forks);
    println!("(processes and threads started on the whole machine meanwhile: {started})");
    run(&town, &["down"])?;
    fs::remove_dir_all(&dir)?;
    Ok(good)
}

/// Processes and threads started since boot, machine-wide.
fn forks() -> Fallible<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("processes "));
    Ok(line.unwrap_or("0").trim().parse()?)
}

fn write(town: &Town, db: &str, ops: Vec<Op>) -> Fallible<Vec<Fact>> {
    let request = Request::Write { db: Db::from(db), ops };
    let call = Call { protocol: PROTOCOL, town: None, token: None, actor: None, request };
    Ok(client::call(&town.socket_path(), &call, Duration::from_secs(60))?.facts)
}

fn new_bead(title: String) -> NewBead {
    NewBead { title, ..NewBead::default() }
}

/// Ten thousand open beads; whole processes beside an empty program; thirty writers at once.
fn speed() -> Fallible<bool> {
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

fn make_repository(at: &Path) -> Fallible<()> {
    fs::create_dir_all(at)?;
    fs::write(at.join("README.md"), "app\n")?;
    let git = |args: &[&str]| -> Fallible<()> {
        let name = ["-c", "user.name=o", "-c", "user.email=o@localhost"];
        let status = Command::new("git").args(name).args(args).current_dir(at).status()?;
        if status.success() { Ok(()) } else { Err(format!("git {args:?}").into()) }
    };
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "-m", "first"])
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

fn quantile(list: &[f64], q: f64) -> f64 {
    let mut sorted = list.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() - 1) as f64 * q).round() as usize;
    sorted[at]
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

/// Ten demos, in each the daemon is killed at ten seeded moments.
fn kills() -> Fallible<bool> {
    let mut good = true;
    for seed in 1..=10_u64 {
        let dir = scratch(&format!("kills-{seed}"))?;
        let seed = seed.to_string();
        let text = run(&dir, &["demo", "--kills", "10", "--seed", &seed, "--json"]);
        let last = text.map(|text| text.lines().last().unwrap_or_default().to_owned());
        match last {
            Ok(line) => println!("seed {seed:<3} {line}"),
            Err(error) => {
                good = false;
                println!("seed {seed:<3} SHORT {error}");
            }
        }
        fs::remove_dir_all(&dir)?;
    }
    Ok(good)
}
