//! The merge queue's mechanics on real git with a gate that does nothing: a repository of 5,000
//! files, merge requests in batches and one by one, and the same work by the git command beside it
//! in the same run.
//!
//! `cargo run --release --example queue_git` prints merge requests per second and milliseconds per
//! merge request; it fails when a figure falls short of its target.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a bench runs real processes and prints what it measured"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use gastown::adapters::layout::Town;
use gastown::adapters::rig_setup::RigSetup;
use gastown::adapters::world::RealWorld;
use gastown::adapters::world::RigSite;
use gastown::adapters::world::World;
use gastown::adapters::world::WorldSettings;
use gastown::model::effect::Candidate;
use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::ids::RigName;
use gastown::model::ids::RunId;
use gastown::model::ids::Sha;
use gastown::model::merge::GateSpec;
use gastown::model::merge::LandingStyle;
use gastown::model::merge::Stacked;
use gastown::model::merge::Verdict;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

const FILES: usize = 5_000;
const PER_DIRECTORY: usize = 100;
const BATCH: usize = 100;
const BATCHES: usize = 2;
const SINGLE: usize = 40;
/// Merge requests per second that are wanted in batches and one by one.
const WANTED: [f64; 2] = [100.0, 20.0];

fn main() -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => match runtime.block_on(bench()) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => {
                println!("a figure falls short");
                ExitCode::FAILURE
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(2)
            }
        },
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn bench() -> Fallible<bool> {
    let dir = tempfile::tempdir()?;
    let count = BATCH * BATCHES + SINGLE;
    let (ours, theirs) = (Site::make(&dir.path().join("ours"), count)?, dir.path().join("theirs"));
    let theirs = Site::make(&theirs, count)?;
    println!("{FILES} files, a gate that does nothing; one column per way of merging");
    println!(
        "{:<12}{:>12}{:>14}{:>14}{:>14}{:>8}",
        "", "MRs", "MRs/s", "ms per MR", "git ms", "ratio"
    );
    let mut good = true;
    let (batched, single) = ours.mrs.split_at(BATCH * BATCHES);
    for (name, mrs, batch, wanted) in
        [("in batches", batched, BATCH, WANTED[0]), ("one by one", single, 1, WANTED[1])]
    {
        let town = ours.queue(mrs, batch).await?;
        let command = theirs.by_command(mrs, batch)?;
        let per = |time: Duration| time.as_secs_f64() * 1000.0 / mrs.len() as f64;
        let rate = mrs.len() as f64 / town.total().as_secs_f64();
        println!(
            "{name:<12}{:>12}{rate:>14.1}{:>14.2}{:>14.2}{:>8.1}",
            mrs.len(),
            per(town.total()),
            per(command),
            command.as_secs_f64() / town.total().as_secs_f64()
        );
        println!(
            "  of it: stack {:.2}, gate {:.2}, land {:.2}, last branches {:.2}; {:.2} ms of processors; wanted {wanted} MRs/s",
            per(town.stack),
            per(town.gates),
            per(town.land),
            per(town.rest),
            per(town.processors)
        );
        good &= rate >= wanted;
    }
    let (a, b) = (ours.origin_tree()?, theirs.origin_tree()?);
    println!("the trees on both targets: {}", if a == b { "equal" } else { "DIFFERENT" });
    Ok(good && a == b && ours.branches_left()? == 0)
}

/// Where the time went.
#[derive(Default)]
struct Times {
    stack: Duration,
    gates: Duration,
    land: Duration,
    rest: Duration,
    /// Of this process and of those it started, beside each other.
    processors: Duration,
}

impl Times {
    fn total(&self) -> Duration {
        self.stack + self.gates + self.land + self.rest
    }
}

/// A town with one rig and its merge requests.
struct Site {
    town: Town,
    rig: RigName,
    origin: PathBuf,
    world: RealWorld,
    mrs: Vec<Candidate>,
}

impl Site {
    fn make(dir: &Path, count: usize) -> Fallible<Self> {
        let origin = dir.join("origin.git");
        std::fs::create_dir_all(&origin)?;
        git(&origin, &["init", "--quiet", "--bare", "-b", "main"])?;
        let marks = import(&origin, &history(count)?)?;
        let town = Town::new(dir.join("gt")).with_runtime_dir(dir);
        let rig = RigName::from("demo");
        let made = RigSetup {
            town: town.clone(),
            rig: rig.clone(),
            source: origin.display().to_string(),
            target: None,
            owner_email: "ann@example.org".to_owned(),
            timeout: Duration::from_secs(60),
        }
        .make()?;
        // A worker's branch is in the town's clone already: its worktree belongs to it.
        git(
            &town.canonical(&rig),
            &["fetch", "--quiet", "origin", "+refs/heads/polecat/*:refs/remotes/origin/polecat/*"],
        )?;
        let exe = std::env::current_exe()?;
        let exe = exe.parent().and_then(Path::parent).ok_or("no profile directory")?.join("gt");
        if !exe.exists() {
            return Err(format!("{} is not built: cargo build --release", exe.display()).into());
        }
        let path = std::env::var("PATH")?;
        let mut settings = WorldSettings {
            exe,
            owner_email: "ann@example.org".to_owned(),
            base_env: BTreeMap::from([("PATH".to_owned(), path)]),
            ..WorldSettings::default()
        };
        let site = RigSite { prefix: "dm".to_owned(), target: made.target, landing: made.landing };
        settings.rigs.insert(rig.clone(), site);
        let world = RealWorld::new(town.clone(), settings);
        let mrs = (0..count)
            .map(|number| Candidate {
                mr: format!("dm-{number}").as_str().into(),
                branch: format!("polecat/w{number}-1"),
                head: marks[number + 1].clone(),
                whole: false,
            })
            .collect();
        Ok(Self { town, rig, origin, world, mrs })
    }

    fn origin_tree(&self) -> Fallible<String> {
        git(&self.origin, &["rev-parse", "main^{tree}"])
    }

    fn branches_left(&self) -> Fallible<usize> {
        let left = git(&self.origin, &["for-each-ref", "refs/heads/polecat"])?;
        Ok(left.lines().count())
    }

    /// The town's own way: the effects that the refinery wants, in its order.
    async fn queue(&self, mrs: &[Candidate], batch: usize) -> Fallible<Times> {
        let mut times = Times::default();
        let before = processors()?;
        let mut removals = Vec::new();
        for (number, candidates) in mrs.chunks(batch).enumerate() {
            let began = Instant::now();
            let (base, items) = self.stack(candidates).await?;
            times.stack += began.elapsed();
            let began = Instant::now();
            self.gate(&format!("run-{batch}-{number}"), items.last().ok_or("no item")?).await?;
            times.gates += began.elapsed();
            let began = Instant::now();
            let tip = items.last().ok_or("no item")?.commit.clone();
            let (rig, target) = (self.rig.clone(), "main".to_owned());
            let land = Effect::Land { rig, target, base, tip, items: items.clone() };
            match self.world.perform(land).await {
                Outcome::Landed => {}
                other => return Err(format!("{other:?}").into()),
            }
            times.land += began.elapsed();
            for (candidate, item) in candidates.iter().zip(items) {
                removals.push(tokio::spawn(self.world.perform(Effect::RemoveBranch {
                    rig: self.rig.clone(),
                    target: "main".to_owned(),
                    branch: candidate.branch.clone(),
                    head: item.head,
                    landed: item.commit,
                })));
            }
        }
        let began = Instant::now();
        for removal in removals {
            match removal.await? {
                Outcome::BranchRemoved => {}
                other => return Err(format!("{other:?}").into()),
            }
        }
        self.world.settled().await;
        times.rest = began.elapsed();
        times.processors = processors()?.saturating_sub(before);
        Ok(times)
    }

    async fn stack(&self, candidates: &[Candidate]) -> Fallible<(Sha, Vec<Stacked>)> {
        let build = Effect::BuildStack {
            rig: self.rig.clone(),
            number: 1,
            target: "main".to_owned(),
            style: LandingStyle::Rebase,
            candidates: candidates.to_vec(),
        };
        match self.world.perform(build).await {
            Outcome::Stack { base, items, bounced, .. } if bounced.is_empty() => Ok((base, items)),
            other => Err(format!("{other:?}").into()),
        }
    }

    async fn gate(&self, run: &str, item: &Stacked) -> Fallible<()> {
        let gate = GateSpec::new("nothing", "true", 60_000);
        let gates = Effect::RunGates {
            rig: self.rig.clone(),
            run: RunId::from(run),
            commit: item.commit.clone(),
            tree: item.tree.clone(),
            gates: vec![gate],
        };
        match self.world.perform(gates).await {
            Outcome::Gates { results } if results[0].verdict == Verdict::Passed => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    }

    /// The same work by the git command, as a careful script does it: rebase in a worktree, the
    /// gate in a fresh one, a push with lease, the branches removed.
    fn by_command(&self, mrs: &[Candidate], batch: usize) -> Fallible<Duration> {
        let clone = self.town.canonical(&self.rig);
        let work = clone.with_file_name("work");
        let at = work.display().to_string();
        git(&clone, &["worktree", "add", "--quiet", "--detach", &at, "origin/main"])?;
        let began = Instant::now();
        for candidates in mrs.chunks(batch) {
            git(&clone, &["fetch", "--quiet", "origin", "main"])?;
            let base = git(&clone, &["rev-parse", "origin/main"])?;
            let mut tip = base.clone();
            for candidate in candidates {
                git(&work, &["checkout", "--quiet", "--detach", candidate.head.as_str()])?;
                git(&work, &["rebase", "--quiet", "--reapply-cherry-picks", &tip])?;
                tip = git(&work, &["rev-parse", "HEAD"])?;
            }
            let gate = clone.with_file_name("gate");
            let at = gate.display().to_string();
            git(&clone, &["worktree", "add", "--quiet", "--detach", &at, &tip])?;
            if !Command::new("sh").args(["-c", "true"]).current_dir(&gate).status()?.success() {
                return Err("the gate failed".into());
            }
            git(&clone, &["worktree", "remove", "--force", &at])?;
            let lease = format!("--force-with-lease=main:{base}");
            git(&clone, &["push", "--quiet", &lease, "origin", &format!("{tip}:main")])?;
            let gone: Vec<String> = candidates.iter().map(|c| format!(":{}", c.branch)).collect();
            let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
            git(&clone, &[&["push", "--quiet", "origin"][..], &gone].concat())?;
        }
        let took = began.elapsed();
        git(&clone, &["worktree", "remove", "--force", &at])?;
        Ok(took)
    }
}

/// Processor time of this process and its children so far; zero where the system does not tell.
fn processors() -> Fallible<Duration> {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return Ok(Duration::ZERO) };
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let mut ticks = 0;
    for field in fields.skip(11).take(4) {
        ticks += field.parse::<u64>()?;
    }
    Ok(Duration::from_millis(ticks * 10))
}

fn git(dir: &Path, arguments: &[&str]) -> Fallible<String> {
    let output = Command::new("git")
        .args(["-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "gc.auto=0"])
        .args(arguments)
        .current_dir(dir)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git {arguments:?} in {}: {said}", dir.display()).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn path(file: usize) -> String {
    format!("src/part{:02}/file{:03}.rs", file / PER_DIRECTORY, file % PER_DIRECTORY)
}

fn text(file: usize, change: Option<(usize, usize)>) -> String {
    let mut text = String::new();
    for line in 0..40 {
        match change {
            Some((at, mr)) if at == line => writeln!(text, "changed by {mr}").expect("memory"),
            Some(_) | None => writeln!(text, "line {line} of {file}").expect("memory"),
        }
    }
    text
}

/// A repository and its branches for `git fast-import`. Most merge requests change files of their
/// own; of ten one adds, one renames, and two change one file in different places.
fn history(count: usize) -> Result<String, std::fmt::Error> {
    let by = "ann <ann@example.org> 1700000000 +0000";
    let mut all =
        format!("commit refs/heads/main\nmark :1\nauthor {by}\ncommitter {by}\ndata 5\nfirst\n");
    let file = |all: &mut String, path: &str, text: &str| {
        writeln!(all, "M 100644 inline {path}\ndata {}\n{text}", text.len())
    };
    for number in 0..FILES {
        file(&mut all, &path(number), &text(number, None))?;
    }
    for mr in 0..count {
        writeln!(all, "\ncommit refs/heads/polecat/w{mr}-1\nmark :{}", mr + 2)?;
        let title = format!("Change {mr}");
        writeln!(all, "author {by}\ncommitter {by}\ndata {}\n{title}\nfrom :1", title.len())?;
        let own = mr * 3;
        match mr % 10 {
            0 => file(&mut all, &format!("src/new/file{mr}.rs"), &text(mr, None))?,
            1 => writeln!(all, "R {} {}", path(own), path(own).replace(".rs", "_renamed.rs"))?,
            2 => file(&mut all, &path(own), &text(own, Some((5, mr))))?,
            3 => file(&mut all, &path(own - 3), &text(own - 3, Some((30, mr))))?,
            _ => {
                for number in own..own + 3 {
                    file(&mut all, &path(number), &text(number, Some((7, mr))))?;
                }
            }
        }
    }
    Ok(all)
}

/// The commits, by mark.
fn import(dir: &Path, text: &str) -> Fallible<Vec<Sha>> {
    let marks = dir.join("marks");
    let mut child = Command::new("git")
        .args(["fast-import", "--quiet"])
        .arg(format!("--export-marks={}", marks.display()))
        .current_dir(dir)
        .stdin(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no standard input")?.write_all(text.as_bytes())?;
    if !child.wait()?.success() {
        return Err("git fast-import failed".into());
    }
    let mut found: Vec<(usize, Sha)> = Vec::new();
    for line in std::fs::read_to_string(marks)?.lines() {
        let (mark, id) = line.split_once(' ').ok_or("no mark")?;
        found.push((mark.trim_start_matches(':').parse()?, Sha::from(id)));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, id)| id).collect())
}
