//! Work of one rig that is done once for all that ask for it meanwhile: removed branches, checkouts
//! that follow the target, the packing of what was written.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::adapters::clock;
use crate::adapters::git::GitError;
use crate::adapters::git::reap::Removal;
use crate::adapters::world::RealWorld;
use crate::adapters::world::WorldError;
use crate::model::effect::Candidate;
use crate::model::effect::Outcome;
use crate::model::ids::RigName;
use crate::model::merge::LandingStyle;

/// From one time that branches are removed, or checkouts follow, to the next: what landings one by
/// one leave to be done costs more than a landing, and nobody waits for it.
const PAUSE: Duration = Duration::from_millis(150);

/// When something was done last. Whoever has it does it alone.
type Last = Arc<tokio::sync::Mutex<Option<Instant>>>;

/// Waits until it is some time ago.
async fn rest(last: Option<Instant>) {
    if let Some(last) = last {
        tokio::time::sleep(PAUSE.saturating_sub(last.elapsed())).await;
    }
}

/// What waits, of one rig.
#[derive(Debug, Default)]
pub(super) struct Shared {
    removing: Last,
    /// Branches to be removed.
    waiting: Mutex<Vec<(Removal, Told)>>,
    following: Last,
    /// The target has moved since its checkouts followed.
    behind: AtomicBool,
    /// Loose objects that the last packing left.
    packing: Arc<tokio::sync::Mutex<usize>>,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Vec<(Removal, Told)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Told = tokio::sync::oneshot::Sender<Result<Outcome, GitError>>;

impl RealWorld {
    /// Brings the checkouts that people look at to the target, once for all landings meanwhile.
    pub(super) fn follow(&self, rig: RigName) {
        let shared = self.shared(&rig);
        shared.behind.store(true, Ordering::SeqCst);
        let world = self.clone();
        self.later(async move {
            let mut last = shared.following.clone().lock_owned().await;
            if !shared.behind.load(Ordering::SeqCst) {
                return Ok(());
            }
            rest(*last).await;
            shared.behind.store(false, Ordering::SeqCst);
            world
                .job(&rig, move |git| {
                    let followed = git.follow_checkouts();
                    *last = Some(clock::instant());
                    followed
                })
                .await?;
            world.pack(&rig, &shared).await
        });
    }

    /// Does what a landing wanted and a death prevented.
    pub(super) fn catch_up(&self, rig: RigName) {
        let alone = self.shared(&rig).following.clone();
        let world = self.clone();
        self.later(async move {
            let alone = alone.lock_owned().await;
            world
                .job(&rig, move |git| {
                    let followed = git.catch_up();
                    drop(alone);
                    followed
                })
                .await
        });
    }

    /// Stacks candidates on the target beside the queue.
    ///
    /// # Errors
    /// As [`crate::adapters::git::RigGit::build_stack`], or an unknown rig.
    pub async fn stack_aside(
        &self,
        rig: &RigName,
        target: String,
        style: LandingStyle,
        candidates: Vec<Candidate>,
    ) -> Result<Outcome, WorldError> {
        self.job(rig, move |git| git.stack(&target, style, &candidates)).await
    }

    /// Packs what stacks and landings wrote, when it is much; one time at once.
    async fn pack(&self, rig: &RigName, shared: &Shared) -> Result<(), WorldError> {
        let Ok(mut left) = shared.packing.clone().try_lock_owned() else { return Ok(()) };
        self.job(rig, move |git| {
            if let Some(now) = git.pack(*left)? {
                *left = now;
            }
            Ok(())
        })
        .await
    }

    /// Removes a branch together with those of the same rig that wait meanwhile: whoever has the
    /// lock takes them all and tells the others.
    pub(super) async fn remove_branch(
        &self,
        rig: &RigName,
        removal: Removal,
    ) -> Result<Outcome, WorldError> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let queue = self.shared(rig);
        queue.waiting().push((removal, tell));
        let mut last = queue.removing.clone().lock_owned().await;
        // Another one may have had it done.
        if queue.waiting().is_empty() {
            drop(last);
        } else {
            rest(*last).await;
            let all = std::mem::take(&mut *queue.waiting());
            self.job(rig, move |git| {
                let (removals, tells): (Vec<Removal>, Vec<_>) = all.into_iter().unzip();
                for (tell, answer) in tells.into_iter().zip(git.remove_branches(&removals)?) {
                    // One whose effect was dropped does not wait any more.
                    drop(tell.send(answer));
                }
                *last = Some(clock::instant());
                Ok(())
            })
            .await?;
        }
        Ok(told.await.map_err(|_| WorldError::Together)??)
    }
}
