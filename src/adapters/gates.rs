//! Gates: a commit checked out, every gate run on it at once, three-valued answers (I10).
//!
//! `logs/gates/<run>/result.json` is the record of a finished run: a repetition answers from it,
//! and readers who do not trust the ledger read it. A run without it never happened.

pub mod count;
mod disk;
mod one;
pub mod pool;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::adapters::clock;
use crate::adapters::files;
use crate::adapters::gates::one::One;
use crate::adapters::git::RigGit;
use crate::adapters::git::file;
use crate::adapters::host::HostDir;
use crate::adapters::host::tree;
use crate::adapters::layout::Town;
use crate::adapters::layout::component;
use crate::adapters::token::sha256_hex;
use crate::adapters::token::short_hash;
use crate::adapters::world::RealWorld;
use crate::adapters::world::WorldError;
use crate::adapters::world::WorldSettings;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::ids::Sha;
use crate::model::merge::GateResult;
use crate::model::merge::GateSpec;
use crate::model::merge::Verdict;
use crate::model::value::Name;

/// How long the hosts of an abandoned run may take to end.
const ABANDONED_WITHIN: u32 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Where a person's files are says nothing of a verdict.
const HOME: &str = "HOME";
/// Digits of an environment's digest.
const DIGEST_DIGITS: usize = 16;

/// The environment of every gate, but for its own directory for temporary files.
fn environment(settings: &WorldSettings) -> BTreeMap<String, String> {
    let mut env = settings.base_env.clone();
    env.retain(|key, _| ["PATH", HOME, "LANG", "TERM"].contains(&key.as_str()));
    env.extend(settings.gate_env.clone());
    env.insert("CI".to_owned(), "true".to_owned());
    env
}

/// A digest of what a verdict may depend on beside the tree and the gates, as far as it is known:
/// the gates' variables except for the home directory, the system and its architecture. The setup
/// step is one of the gates.
#[must_use]
pub fn environment_digest(settings: &WorldSettings) -> Name {
    let mut env = environment(settings);
    env.remove(HOME);
    let mut text = format!("{}\0{}\0", std::env::consts::OS, std::env::consts::ARCH);
    for (key, value) in env {
        text.push_str(&format!("{key}={value}\0"));
    }
    let mut digest = sha256_hex(text.as_bytes());
    digest.truncate(DIGEST_DIGITS);
    Name(digest)
}

/// One run to do.
#[derive(Clone, Debug)]
pub struct GateRun {
    /// The rig.
    pub rig: RigName,
    /// The run.
    pub run: RunId,
    /// The commit to test.
    pub commit: Sha,
    /// The tree it must have.
    pub tree: Sha,
    /// The gates.
    pub gates: Vec<GateSpec>,
}

/// The record of a finished run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateRecord {
    /// The rig.
    pub rig: RigName,
    /// The run.
    pub run: RunId,
    /// The commit.
    pub commit: Sha,
    /// Its tree.
    pub tree: Sha,
    /// What ran.
    pub gates: Vec<GateSpec>,
    /// What it answered.
    pub results: Vec<GateResult>,
    /// Milliseconds since the epoch.
    pub started_at: i64,
    /// Milliseconds since the epoch.
    pub ended_at: i64,
}

/// Why a run could not be done at all; single gates that could not run are no error.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A file or process.
    #[error("gate run {run}: {what}: {source}")]
    Io {
        /// The run.
        run: RunId,
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The run's name was used for another commit.
    #[error("gate run {run} was recorded for commit {found}, not {wanted}")]
    OtherCommit {
        /// The run.
        run: RunId,
        /// In the record.
        found: Sha,
        /// Asked for.
        wanted: Sha,
    },
    /// The hosts of an earlier try of this run do not end.
    #[error("gate run {0}: processes of an earlier try still run")]
    Busy(RunId),
}

fn at(run: &RunId, what: &'static str) -> impl FnOnce(io::Error) -> GateError {
    let run = run.clone();
    move |source| GateError::Io { run, what, source }
}

/// Path of a run's record.
#[must_use]
pub fn record_path(town: &Town, run: &RunId) -> PathBuf {
    town.gate_logs(run).join("result.json")
}

/// The record of a run, if it finished.
///
/// # Errors
/// An unreadable record.
pub fn read_record(town: &Town, run: &RunId) -> io::Result<Option<GateRecord>> {
    files::read_json(&record_path(town, run))
}

/// Runs what reads or writes files on a blocking thread.
async fn off<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GateError> + Send + 'static,
) -> Result<T, WorldError> {
    Ok(tokio::task::spawn_blocking(work).await??)
}

/// Runs the gates, or answers from the record of the same run with the same gates.
///
/// # Errors
/// Git, files, or a record of the same run for another commit.
pub async fn run(world: &RealWorld, request: GateRun) -> Result<Vec<GateResult>, WorldError> {
    component(request.run.as_str())?;
    if request.gates.is_empty() {
        return Ok(Vec::new());
    }
    let (town, asked) = (world.town().clone(), request.clone());
    if let Some(results) = off(move || begin(&town, &asked)).await? {
        return Ok(results);
    }
    let started_at = clock::now_ms();
    let (of, commit, pools) = (request.run.clone(), request.commit.clone(), world.pools().clone());
    let check_out = move |git: RigGit| pools.check_out(&git, &of, &commit);
    let checkout = world.worktree_job(&request.rig, check_out);
    let tree = checkout.await?;
    let results = if tree == request.tree {
        run_all(world, &request).await?
    } else {
        let why = format!("the checkout has tree {tree}, not {}", request.tree);
        let log = |gate: &GateSpec| log_name(world.town(), &request, gate).1;
        request.gates.iter().map(|gate| could_not(gate, &why, log(gate))).collect()
    };
    let record = GateRecord {
        rig: request.rig.clone(),
        run: request.run.clone(),
        commit: request.commit,
        tree: request.tree,
        gates: request.gates,
        results: results.clone(),
        started_at,
        ended_at: clock::now_ms(),
    };
    let pools = world.pools().clone();
    let finish = move |git: RigGit| {
        let path = record_path(&git.town, &record.run);
        files::write_json(&path, &record).map_err(file(path.display().to_string()))?;
        files::remove_all(&git.town.gate_hosts(&record.run)).map_err(file("gate hosts"))?;
        pools.give_back(&git, &record.run)
    };
    if let Some(used) = world.worktree_job(&request.rig, finish).await? {
        // It is made fit for another run while the answer is on its way already.
        let (same, rig) = (world.clone(), request.rig);
        let (pools, most) = (world.pools().clone(), world.settings().gate_checkouts);
        world.later(async move {
            same.worktree_job(&rig, move |git| pools.clean(&git, used, most)).await
        });
    }
    Ok(results)
}

/// The results of a run that was done before; else clears what an earlier try left.
fn begin(town: &Town, request: &GateRun) -> Result<Option<Vec<GateResult>>, GateError> {
    let run = &request.run;
    if let Some(record) = read_record(town, run).map_err(at(run, "result.json"))? {
        if record.commit != request.commit || record.tree != request.tree {
            let (found, wanted) = (record.commit, request.commit.clone());
            return Err(GateError::OtherCommit { run: run.clone(), found, wanted });
        }
        if record.gates == request.gates {
            return Ok(Some(record.results));
        }
        tracing::info!(%run, "the gates are other ones now; the run is done again");
    }
    end_abandoned(town, run)?;
    files::private_dir(&town.gate_logs(run)).map_err(at(run, "logs"))?;
    Ok(None)
}

/// Waits until no host of an earlier try of this run lives, then removes their directories. The
/// hosts know already that nobody waits for them.
fn end_abandoned(town: &Town, run: &RunId) -> Result<(), GateError> {
    let dir = town.gate_hosts(run);
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(run, "gate hosts")(error)),
    };
    for entry in entries {
        let host = HostDir(entry.map_err(at(run, "gate hosts"))?.path());
        let mut looks = 0;
        while whole(host.is_live()).map_err(at(run, "gate host"))?.unwrap_or(false) {
            looks += 1;
            if looks > ABANDONED_WITHIN {
                return Err(GateError::Busy(run.clone()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        if let Some(spec) = whole(host.read_spec()).map_err(at(run, "gate spec"))?.flatten() {
            let left = tree::kill_marked(&spec.mark);
            tracing::info!(%run, left, "ended an earlier try");
        }
    }
    files::remove_all(&dir).map_err(at(run, "gate hosts"))
}

/// Nothing where a record of a gate's host is torn: the machine died then, and every process with it.
fn whole<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        read => read.map(Some),
    }
}

/// Runs the setup step, then every gate of a run at once.
async fn run_all(world: &RealWorld, request: &GateRun) -> Result<Vec<GateResult>, WorldError> {
    let (town, settings, asked) = (world.town().clone(), world.settings(), request.clone());
    let prepared = off(move || {
        let prepare = |gate| One::prepare(&town, &settings, &asked, gate);
        asked.gates.iter().map(prepare).collect::<Result<Vec<_>, _>>()
    });
    let mut results: Vec<Option<GateResult>> = vec![None; request.gates.len()];
    let (setup, gates): (Vec<_>, Vec<_>) =
        prepared.await?.into_iter().enumerate().partition(|(_, one)| one.gate.setup);
    let mut unprepared = None;
    for (at, one) in setup {
        let result = one.run().await;
        if result.verdict != Verdict::Passed {
            unprepared = Some(result.reason.clone());
        }
        results[at] = Some(result);
    }
    let mut running = JoinSet::new();
    for (at, one) in gates {
        match &unprepared {
            Some(why) => results[at] = Some(could_not(&one.gate, why, one.shown)),
            None => drop(running.spawn(async move { (at, one.run().await) })),
        }
    }
    while let Some(done) = running.join_next().await {
        match done {
            Ok((at, result)) => results[at] = Some(result),
            Err(error) => tracing::error!(run = %request.run, %error, "a gate was cut short"),
        }
    }
    let answered = results.into_iter().zip(&request.gates).map(|(result, gate)| {
        let log = log_name(world.town(), request, gate).1;
        result.unwrap_or_else(|| could_not(gate, "it was cut short", log))
    });
    Ok(answered.collect())
}

fn could_not(gate: &GateSpec, why: &str, log: String) -> GateResult {
    GateResult {
        name: gate.name.clone(),
        verdict: Verdict::CouldNotRun,
        reason: why.to_owned(),
        log,
        tail: String::new(),
    }
}

/// A gate's name as a file name; one that is none is made one, with its hash.
fn file_name(gate: &str) -> String {
    match component(gate) {
        Ok(name) => name.to_owned(),
        Err(_) => format!("gate-{}", short_hash(gate.as_bytes())),
    }
}

/// Where a gate's output goes: the path, and the same relative to the town's root.
fn log_name(town: &Town, request: &GateRun, gate: &GateSpec) -> (PathBuf, String) {
    let path = town.gate_logs(&request.run).join(format!("{}.log", file_name(&gate.name)));
    let shown = path.strip_prefix(town.root()).unwrap_or(&path).display().to_string();
    (path, shown)
}
