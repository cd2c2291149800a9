//! `gt verify` in the daemon: the gates run on a commit as it would land, beside the queue.
//!
//! The stack is the queue's, so is the run; what it says is recorded by whoever ran it, when it is
//! over. A verification has slots of its own, so that authors and the queue never wait for each
//! other. A daemon that dies in the middle leaves nothing behind: its gates end with it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::adapters::gates;
use crate::adapters::world::World as _;
use crate::cli::boot::live::Keeper;
use crate::cli::town::error::TownError;
use crate::cli::town::vault::Vault;
use crate::cli::town::wiring;
use crate::config;
use crate::config::registry::Registry;
use crate::messages::QueueSettings;
use crate::messages::door::DoorError;
use crate::messages::door::Verify;
use crate::messages::views::VerifyView;
use crate::model::effect::Candidate;
use crate::model::effect::Effect;
use crate::model::effect::Outcome;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::ids::Sha;
use crate::model::merge::GateResult;
use crate::model::merge::Judge;
use crate::model::merge::Stacked;
use crate::model::merge::Verification;
use crate::model::merge::overall;
use crate::model::ops;
use crate::model::ops::Op;
use crate::model::rows::GateRun;
use crate::model::tx::Tx;
use crate::model::value::Name;

/// Most verifications of the town at once, with those that wait: each has a thread of the door.
const AT_ONCE_MAX: usize = 64;

/// What is being verified.
pub(super) struct Verifier {
    line: Arc<Semaphore>,
    /// The slots of each rig.
    rigs: Mutex<HashMap<RigName, Arc<Semaphore>>>,
    /// Counts runs, so that no two have one name.
    count: AtomicU64,
}

/// A commit as it would land, and what judges it.
struct Built {
    queue: QueueSettings,
    judge: Judge,
    base: Sha,
    item: Stacked,
}

impl Default for Verifier {
    fn default() -> Self {
        let line = Arc::new(Semaphore::new(AT_ONCE_MAX));
        Self { line, rigs: Mutex::default(), count: AtomicU64::default() }
    }
}

impl Verifier {
    /// Verifies one commit.
    ///
    /// # Errors
    /// There is nothing to verify, it does not apply, or a part of the town fails: then nothing is
    /// recorded.
    pub(super) fn verify(
        &self,
        keeper: &Keeper,
        wanted: &Verify,
        actor: &str,
    ) -> Result<VerifyView, DoorError> {
        let Ok(_place) = self.line.try_acquire() else {
            let text = format!("{AT_ONCE_MAX} verifications are under way or wait already");
            return Err(DoorError::new("busy", text)
                .hint("try again later, or hand in: the queue runs the gates itself"));
        };
        let _slot = self.slot(keeper, &wanted.rig)?;
        let built = build(keeper, wanted)?;
        if let Some(known) = known(keeper, &wanted.rig, &built)? {
            return Ok(view(wanted, built, (known.id, true), known.results.0));
        }
        let started_at = keeper.parts.clock.now_ms();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let run = RunId(format!("{}-verify-{started_at}-{number}", wanted.rig));
        let results = run_gates(keeper, wanted, &built, &run)?;
        if judge(keeper, &wanted.rig)?.1 != built.judge {
            let text = "the gates, or their environment, were changed while they ran";
            return Err(DoorError::new("not_now", text).hint("verify again"));
        }
        let told = Verification {
            run: run.clone(),
            commit: built.item.commit.clone(),
            tree: built.item.tree.clone(),
            judge: built.judge.clone(),
            results: results.clone(),
            asked_by: Name::from(actor),
            started_at,
        };
        let op = Op::RecordVerification { rig: wanted.rig.clone(), told };
        keeper.write(&Db::from(&wanted.rig), actor, vec![op]).map_err(of_town)?;
        Ok(view(wanted, built, (run, false), results))
    }

    /// Waits for a slot of a rig. Their number is taken once.
    fn slot(&self, keeper: &Keeper, rig: &RigName) -> Result<OwnedSemaphorePermit, DoorError> {
        let settings = config::load(&keeper.town).map_err(|error| of_town(error.into()))?;
        let made = || Arc::new(Semaphore::new(settings.queue.verify_slots));
        let slots = {
            let mut rigs = self.rigs.lock().unwrap_or_else(PoisonError::into_inner);
            rigs.entry(rig.clone()).or_insert_with(made).clone()
        };
        let slot = waited(keeper, slots.acquire_owned())?;
        slot.map_err(|_| DoorError::new("unavailable", "the daemon is stopping"))
    }
}

fn of_town(error: TownError) -> DoorError {
    DoorError::from(error)
}

/// Waits for what goes on in the daemon's runtime; when that ends first, it is cut off.
fn waited<T: Send + 'static>(
    keeper: &Keeper,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, DoorError> {
    let task = keeper.runtime.spawn(work);
    keeper.runtime.block_on(task).map_err(|error| {
        let text = format!("the verification was cut off: {error}");
        DoorError::new("unavailable", text).hint("nothing is recorded of it: verify again")
    })
}

/// How the rig's queue runs now, and what its verdicts depend on.
fn judge(keeper: &Keeper, rig: &RigName) -> Result<(QueueSettings, Judge), DoorError> {
    let settings = config::load(&keeper.town).map_err(|error| of_town(error.into()))?;
    let registry = Registry::read(&keeper.town).map_err(|error| of_town(error.into()))?;
    let entry = registry.rig(rig).map_err(|error| of_town(error.into()))?;
    let target = wiring::target(&settings, rig, entry);
    let environment = gates::environment_digest(&keeper.world.settings());
    let queue = QueueSettings { environment, ..settings.queue_settings(rig, &target) };
    let judge = queue.judge();
    Ok((queue, judge))
}

/// The commit on the present target.
fn build(keeper: &Keeper, wanted: &Verify) -> Result<Built, DoorError> {
    let (mut queue, judge) = judge(keeper, &wanted.rig)?;
    if let Some(onto) = &wanted.onto {
        queue.target.clone_from(onto);
    }
    let not_now = |text: String| DoorError::new("not_now", text);
    if queue.gates.is_empty() {
        let rig = &wanted.rig;
        return Err(not_now(format!("rig {rig} has no gates: nothing can be verified"))
            .hint(format!("gt config set rigs.{rig}.gates.test.cmd 'COMMAND'")));
    }
    // There is no merge request yet; the name only stands beside the answer.
    let mr = BeadId::from("verify");
    let (branch, head) = (wanted.branch.clone(), wanted.head.clone());
    let candidate = Candidate { mr, branch, head, whole: false };
    let (world, rig) = (keeper.world.clone(), wanted.rig.clone());
    let (target, style) = (queue.target.clone(), queue.style);
    let stacking = async move { world.stack_aside(&rig, target, style, vec![candidate]).await };
    let built = waited(keeper, stacking)?;
    let Outcome::Stack { base, mut items, mut bounced, .. } =
        built.map_err(|error| DoorError::new("git", error.to_string()))?
    else {
        return Err(DoorError::new("internal", "a stack was no stack"));
    };
    if let Some(lost) = bounced.pop() {
        let (target, onto) = (&queue.target, &lost.onto);
        if lost.files.is_empty() {
            let text = format!("{} is not in the rig's repository", wanted.head);
            let push = format!("push it first: 'git push -u origin {}'", wanted.branch);
            return Err(not_now(text).hint(push));
        }
        let text = format!("it conflicts with {target} at {onto} in {}", lost.files.join(", "));
        return Err(DoorError::new("conflict", text)
            .hint(format!("'git rebase {onto}', settle them, then verify again")));
    }
    match items.pop() {
        Some(item) if !item.empty => Ok(Built { queue, judge, base, item }),
        Some(_) | None => {
            let text = format!("'{}' has all of it: nothing would land", queue.target);
            Err(not_now(text).hint("commit your work first"))
        }
    }
}

/// A green run of that tree by the same judge: a known tree is not tested again.
fn known(keeper: &Keeper, rig: &RigName, built: &Built) -> Result<Option<GateRun>, DoorError> {
    let read = |tx: &mut dyn Tx| ops::passed(tx, &built.item.tree, &built.judge);
    Vault::read(keeper, &Db::from(rig), read).map_err(of_town)
}

fn run_gates(
    keeper: &Keeper,
    wanted: &Verify,
    built: &Built,
    run: &RunId,
) -> Result<Vec<GateResult>, DoorError> {
    let effect = Effect::RunGates {
        rig: wanted.rig.clone(),
        run: run.clone(),
        commit: built.item.commit.clone(),
        tree: built.item.tree.clone(),
        gates: built.queue.gates.clone(),
    };
    match waited(keeper, keeper.world.perform(effect))? {
        Outcome::Gates { results } => Ok(results),
        Outcome::Failed { error } => Err(DoorError::new("unavailable", error)
            .hint("nothing is recorded of it: verify again when it is mended")),
        other => Err(DoorError::new("internal", format!("gates answered {other:?}"))),
    }
}

fn view(
    wanted: &Verify,
    built: Built,
    (run, known): (RunId, bool),
    gates: Vec<GateResult>,
) -> VerifyView {
    VerifyView {
        rig: wanted.rig.clone(),
        target: built.queue.target,
        base: built.base,
        head: wanted.head.clone(),
        commit: built.item.commit,
        tree: built.item.tree,
        run,
        verdict: overall(&gates),
        known,
        gates_digest: built.judge.gates.to_string(),
        environment: built.judge.environment.to_string(),
        gates,
    }
}
