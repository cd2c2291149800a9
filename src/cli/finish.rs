//! Handing in work: `gt done` and `bd update ID --mr-ready` are the same.

use crate::adapters::git::GitError;
use crate::adapters::git::head;
use crate::cli::call;
use crate::cli::context::Context;
use crate::cli::context::Place;
use crate::cli::town::wiring;
use crate::config;
use crate::messages::door::DoorError;
use crate::messages::door::Request;
use crate::messages::views::HookView;
use crate::model::ids::Identity;
use crate::model::ids::Sha;

/// Records the tip of the worktree in the current directory as the work on the hook.
///
/// `no_change` says why there is nothing to merge; then nothing may be there to merge.
///
/// # Errors
/// Something is not committed, the branch is another, there is no commit, or the town refuses.
pub fn done(context: &Context, hook: &HookView, no_change: Option<&str>) -> Result<Sha, DoorError> {
    let head = head::current_head(&context.cwd).map_err(failed)?;
    check_finished(context, hook, no_change.is_some())?;
    let no_change = no_change.map(str::to_owned);
    call::send(context, Request::Done { head: head.clone(), no_change })?;
    Ok(head)
}

fn failed(error: GitError) -> DoorError {
    DoorError::new("git", error.to_string()).hint("run this in the worktree of your work")
}

/// Whether all is committed on the right branch, and whether there is something to merge, as said.
fn check_finished(context: &Context, hook: &HookView, no_change: bool) -> Result<(), DoorError> {
    let dirty = head::uncommitted(&context.cwd).map_err(failed)?;
    if !dirty.is_empty() {
        let text = format!("the worktree has uncommitted changes:\n{}", dirty.join("\n"));
        return Err(DoorError::new("not_now", text)
            .hint("commit them ('git add -A && git commit'), or throw them away, then try again"));
    }
    let branch = head::current_branch(&context.cwd).map_err(failed)?;
    if let Some(wanted) = hook.branch.as_ref().filter(|wanted| **wanted != branch) {
        let text = format!("the work is on branch {wanted}, this worktree is on {branch}");
        return Err(DoorError::new("not_now", text)
            .hint(format!("bring it there: 'git checkout {wanted} && git merge {branch}'")));
    }
    let who = Identity::parse(&hook.actor);
    let (Place::Town { town, registry }, Some(rig)) =
        (&context.place, who.as_ref().and_then(Identity::rig))
    else {
        return Ok(());
    };
    let rig_git = wiring::rig_git(town, &config::load(town)?, registry, rig)?;
    let target = hook.lands_on.as_ref().unwrap_or(&rig_git.target);
    let seen = rig_git.target_ref(target);
    let count = head::commits_since(&context.cwd, &seen).map_err(failed)?;
    if no_change && count > 0 {
        let text = format!("there are {count} commits on top of '{target}'");
        return Err(DoorError::new("not_now", text).hint(
            "hand them in with 'gt done', or remove them: 'git reset --hard' to the target",
        ));
    }
    if !no_change && count == 0 {
        let text = format!("there is no commit on top of '{target}'");
        return Err(DoorError::new("not_now", text)
            .hint("commit your work; if nothing has to change: gt done --no-change 'REASON'"));
    }
    Ok(())
}
