//! The world that machines act on: one verb in, one answer out.
//!
//! [`RealWorld`] is the production one: git, hosts and files under a town's root. Every verb may
//! be repeated; none decides anything.

mod together;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::adapters::agent_env::agent_env;
use crate::adapters::gates;
use crate::adapters::gates::pool::Pools;
use crate::adapters::git::GitError;
use crate::adapters::git::Landing;
use crate::adapters::git::RigGit;
use crate::adapters::git::handle::Handles;
use crate::adapters::git::reap::Removal;
use crate::adapters::layout::BadName;
use crate::adapters::layout::Town;
use crate::adapters::layout::component;
use crate::adapters::sessions::Launch;
use crate::adapters::sessions::SessionError;
use crate::adapters::sessions::Sessions;
use crate::model::effect::Effect;
use crate::model::effect::Outcome;
use crate::model::effect::SessionSpec;
use crate::model::ids::RigName;
use together::Shared;

/// What performs effects.
pub trait World: Send + Sync + 'static {
    /// Performs one effect and says what the world looks like after it. Dropping the future
    /// leaves the effect half done, which a repetition completes.
    fn perform(&self, effect: Effect) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;
}

/// What is to be known of a rig to act on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RigSite {
    /// The prefix of its beads, without the dash.
    pub prefix: String,
    /// The target branch.
    pub target: String,
    /// How the target moves.
    pub landing: Landing,
}

/// What a world is told by the town's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorldSettings {
    /// The `gt` executable, for hosts.
    pub exe: PathBuf,
    /// Agent presets: name and command line.
    pub presets: BTreeMap<String, Vec<String>>,
    /// The preset where a session names none.
    pub default_preset: String,
    /// E-mail of every commit made in the town.
    pub owner_email: String,
    /// Environment of agents and, of `PATH`, `HOME`, `LANG` and `TERM`, of gates.
    pub base_env: BTreeMap<String, String>,
    /// More environment for agents.
    pub agent_env: BTreeMap<String, String>,
    /// More environment for gates; never secrets.
    pub gate_env: BTreeMap<String, String>,
    /// The rigs.
    pub rigs: BTreeMap<RigName, RigSite>,
    /// Bound of one log, in bytes.
    pub log_max_bytes: u64,
    /// Bound of one git command, in milliseconds.
    pub git_timeout_ms: u64,
    /// How many git jobs run at once.
    pub git_jobs: usize,
    /// Checkouts of a rig that wait for the next gate run.
    pub gate_checkouts: usize,
    /// Milliseconds that the rest of a tree is given after its program's end.
    pub grace_ms: u64,
}

impl Default for WorldSettings {
    fn default() -> Self {
        Self {
            exe: PathBuf::from("gt"),
            presets: BTreeMap::new(),
            default_preset: String::new(),
            owner_email: "owner@localhost".to_owned(),
            base_env: BTreeMap::new(),
            agent_env: BTreeMap::new(),
            gate_env: BTreeMap::new(),
            rigs: BTreeMap::new(),
            log_max_bytes: 8 << 20,
            git_timeout_ms: 120_000,
            git_jobs: 8,
            gate_checkouts: 4,
            grace_ms: 2000,
        }
    }
}

/// Why an effect could not be done.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// Git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A gate run.
    #[error(transparent)]
    Gate(#[from] gates::GateError),
    /// A name that cannot be part of a path.
    #[error(transparent)]
    Name(#[from] BadName),
    /// No such rig.
    #[error("unknown rig '{0}'; known rigs are listed by `gt rig list`")]
    UnknownRig(RigName),
    /// No such preset.
    #[error("unknown agent preset '{0}'; set it with `gt config agent set {0} COMMAND`")]
    UnknownPreset(String),
    /// The job that removes several branches together failed.
    #[error("the branches that were to be removed together are as they were")]
    Together,
    /// A job did not come to its end.
    #[error("the job was cut short: {0}")]
    Job(#[from] tokio::task::JoinError),
}

/// The production world.
#[derive(Clone, Debug)]
pub struct RealWorld {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    town: Town,
    settings: RwLock<Arc<WorldSettings>>,
    sessions: Sessions,
    worktrees: Mutex<HashMap<RigName, Arc<tokio::sync::Mutex<()>>>>,
    jobs: Arc<Semaphore>,
    pools: Arc<Pools>,
    handles: Handles,
    shared: Mutex<HashMap<RigName, Arc<Shared>>>,
    /// How much goes on that no answer waits for.
    later: tokio::sync::watch::Sender<usize>,
}

impl World for RealWorld {
    fn perform(&self, effect: Effect) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        let world = self.clone();
        Box::pin(async move {
            let key = effect.key();
            match world.act(effect).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    tracing::warn!(effect = %key, %error, "effect failed");
                    let away = matches!(&error, WorldError::Git(git) if git.is_away());
                    let error = error.to_string();
                    if away { Outcome::Unreachable { error } } else { Outcome::Failed { error } }
                }
            }
        })
    }
}

impl RealWorld {
    /// The world of a town. `settings.git_jobs` is taken once, here.
    #[must_use]
    pub fn new(town: Town, settings: WorldSettings) -> Self {
        let jobs = Arc::new(Semaphore::new(settings.git_jobs.max(1)));
        let sessions = Sessions::new(town.clone());
        let inner = Inner {
            town,
            settings: RwLock::new(Arc::new(settings)),
            sessions,
            worktrees: Mutex::default(),
            jobs,
            pools: Arc::default(),
            handles: Handles::default(),
            shared: Mutex::default(),
            later: tokio::sync::watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The town.
    #[must_use]
    pub fn town(&self) -> &Town {
        &self.inner.town
    }

    /// The checkouts of gate runs.
    pub(crate) fn pools(&self) -> &Arc<Pools> {
        &self.inner.pools
    }

    /// The sessions.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.inner.sessions
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Arc<WorldSettings> {
        self.inner.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other settings in force for every effect from now on.
    pub fn configure(&self, settings: WorldSettings) {
        *self.inner.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Clears what a daemon that was killed may have left locked, and brings after it what it left
    /// behind. Called once, before any effect.
    pub fn recover(&self) {
        for rig in self.settings().rigs.keys() {
            let swept = self.rig(rig).map(|git| git.sweep_own_locks());
            if let Ok(Err(error)) = swept {
                tracing::warn!(%rig, %error, "a lock stays");
            }
            self.catch_up(rig.clone());
        }
    }

    fn shared(&self, rig: &RigName) -> Arc<Shared> {
        let mut shared = self.inner.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.entry(rig.clone()).or_default().clone()
    }

    /// Does what an answer need not wait for. A death in the middle of it loses nothing.
    pub(crate) fn later(
        &self,
        work: impl Future<Output = Result<(), WorldError>> + Send + 'static,
    ) {
        let inner = self.inner.clone();
        inner.later.send_modify(|count| *count += 1);
        tokio::spawn(async move {
            if let Err(error) = work.await {
                tracing::warn!(%error, "work after an answer failed");
            }
            inner.later.send_modify(|count| *count -= 1);
        });
    }

    /// Waits until nothing goes on any more of what effects left to be done after their answers.
    pub async fn settled(&self) {
        let mut count = self.inner.later.subscribe();
        // The sender lives as long as the world.
        drop(count.wait_for(|count| *count == 0).await);
    }

    /// The repository of a rig.
    ///
    /// # Errors
    /// The settings do not name the rig.
    pub fn rig(&self, rig: &RigName) -> Result<RigGit, WorldError> {
        component(rig.as_str())?;
        let settings = self.settings();
        let site = settings.rigs.get(rig).ok_or_else(|| WorldError::UnknownRig(rig.clone()))?;
        Ok(RigGit {
            town: self.inner.town.clone(),
            rig: rig.clone(),
            landing: site.landing,
            target: site.target.clone(),
            owner_email: settings.owner_email.clone(),
            timeout: Duration::from_millis(settings.git_timeout_ms),
            handles: self.inner.handles.clone(),
        })
    }

    /// The lock of a rig's worktrees: git's own record of them is not made for two writers.
    fn worktree_lock(&self, rig: &RigName) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.inner.worktrees.lock().unwrap_or_else(PoisonError::into_inner);
        locks.entry(rig.clone()).or_default().clone()
    }

    /// Runs a git job on a blocking thread, at most `git_jobs` at a time.
    pub(crate) async fn job<T: Send + 'static>(
        &self,
        rig: &RigName,
        work: impl FnOnce(RigGit) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, WorldError> {
        let git = self.rig(rig)?;
        let same = git.clone();
        // The semaphore is never closed.
        let permit = self.inner.jobs.clone().acquire_owned().await.ok();
        let answer = tokio::task::spawn_blocking(move || {
            let answer = work(git);
            if answer.is_err() {
                same.handles.forget(&same.dir());
            }
            if answer.as_ref().is_err_and(GitError::is_locked)
                && let Err(error) = same.sweep_stale_locks()
            {
                tracing::warn!(%error, "a lock stays");
            }
            drop(permit);
            answer
        });
        Ok(answer.await??)
    }

    /// As [`RealWorld::job`], alone among the jobs that add or remove worktrees of the rig. The
    /// lock goes with the job, so that a dropped effect does not free it early.
    pub(crate) async fn worktree_job<T: Send + 'static>(
        &self,
        rig: &RigName,
        work: impl FnOnce(RigGit) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, WorldError> {
        let alone = self.worktree_lock(rig).lock_owned().await;
        self.job(rig, move |git| {
            let answer = work(git);
            drop(alone);
            answer
        })
        .await
    }

    async fn act(&self, effect: Effect) -> Result<Outcome, WorldError> {
        match effect {
            Effect::MakeWorktree { place, branch, start } => {
                let rig = place.rig.clone();
                let make = move |git: RigGit| git.make_worktree(&place, &branch, start.as_ref());
                self.worktree_job(&rig, make).await
            }
            Effect::Spawn(spec) => self.spawn(spec).await,
            Effect::Watch { session } => {
                Ok(Outcome::Exited { exit: self.inner.sessions.watch(&session).await? })
            }
            Effect::Stop { session, grace_ms } => {
                let grace = u64::try_from(grace_ms).unwrap_or(0);
                self.inner.sessions.stop(&session, grace).await?;
                Ok(Outcome::Stopping)
            }
            Effect::Push { place, branch, head } => {
                let rig = place.rig.clone();
                self.job(&rig, move |git| git.push(&place, &branch, &head)).await
            }
            Effect::Teardown { place, branch } => {
                let rig = place.rig.clone();
                self.worktree_job(&rig, move |git| git.teardown(&place, &branch)).await
            }
            Effect::BuildStack { rig, number: _, target, style, candidates } => {
                self.job(&rig, move |git| git.build_stack(&target, style, &candidates)).await
            }
            Effect::RunGates { rig, run, commit, tree, gates } => {
                let request = gates::GateRun { rig, run, commit, tree, gates };
                Ok(Outcome::Gates { results: gates::run(self, request).await? })
            }
            Effect::Land { rig, target, base, tip, items } => {
                let land = move |git: RigGit| git.land(&target, &base, &tip, &items);
                let outcome = self.job(&rig, land).await?;
                if outcome == Outcome::Landed {
                    self.follow(rig);
                }
                Ok(outcome)
            }
            Effect::RemoveBranch { rig, target, branch, head, landed } => {
                self.remove_branch(&rig, Removal { target, branch, head, landed }).await
            }
            Effect::Upkeep { db, chore } => {
                let error = format!("the world keeps no database: {} of {db}", chore.name());
                Ok(Outcome::Failed { error })
            }
        }
    }

    async fn spawn(&self, spec: SessionSpec) -> Result<Outcome, WorldError> {
        let settings = self.settings();
        let preset = spec.preset.clone().unwrap_or_else(|| settings.default_preset.clone());
        let argv = settings
            .presets
            .get(&preset)
            .cloned()
            .ok_or_else(|| WorldError::UnknownPreset(preset.clone()))?;
        let place = spec.place.clone();
        self.worktree_job(&spec.place.rig, move |git| git.occupy(&place)).await?;
        let launch = Launch {
            argv,
            cwd: self.inner.town.polecat_worktree(&spec.place.rig, &spec.place.name),
            env: agent_env(&self.inner.town, &settings, &spec, &preset),
            log_max_bytes: settings.log_max_bytes,
            grace_ms: settings.grace_ms,
        };
        let host = self.inner.sessions.spawn(&spec.id, &settings.exe, launch).await?;
        Ok(Outcome::Started { host })
    }
}
