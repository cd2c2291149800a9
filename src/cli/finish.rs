//! Handing in work: `gt done` and `bd update ID --mr-ready` are the same.

use crate::adapters::git::cli::Git;
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
/// # Errors
/// Something is not committed, the branch is another, or the town refuses.
pub fn done(context: &Context, hook: &HookView, no_change: Option<&str>) -> Result<Sha, DoorError> {
    let failed = |error: crate::adapters::git::GitError| {
        DoorError::new("git", error.to_string()).hint("run this in the worktree of your work")
    };
    let head = head::current_head(&context.cwd).map_err(failed)?;
    if no_change.is_none() {
        let dirty = head::uncommitted(&context.cwd).map_err(failed)?;
        if !dirty.is_empty() {
            let text = format!("the worktree has uncommitted changes:\n{}", dirty.join("\n"));
            return Err(DoorError::new("not_now", text).hint(
                "commit them ('git add -A && git commit'), or throw them away, then try again",
            ));
        }
        let branch = head::current_branch(&context.cwd).map_err(failed)?;
        if let Some(wanted) = hook.branch.as_ref().filter(|wanted| **wanted != branch) {
            let text = format!("the work is on branch {wanted}, this worktree is on {branch}");
            return Err(DoorError::new("not_now", text)
                .hint(format!("bring it there: 'git checkout {wanted} && git merge {branch}'")));
        }
        must_be_ahead(context, hook)?;
    }
    let no_change = no_change.map(str::to_owned);
    call::send(context, Request::Done { head: head.clone(), no_change })?;
    Ok(head)
}

/// Something to merge: a commit that the target does not have.
fn must_be_ahead(context: &Context, hook: &HookView) -> Result<(), DoorError> {
    let Place::Town { town, registry } = &context.place else { return Ok(()) };
    let who = Identity::parse(&hook.actor);
    let Some(rig) = who.as_ref().and_then(Identity::rig) else { return Ok(()) };
    let git = wiring::rig_git(town, &config::load(town)?, registry, rig)?;
    let range = format!("{}..HEAD", git.target_ref(&git.target));
    let ask = Git::new(&context.cwd, git.timeout).run(&["rev-list", "--count", &range]);
    let count = ask.map_err(|error| DoorError::new("git", error.to_string()))?;
    if count != "0" {
        return Ok(());
    }
    let text = format!("there is no commit on top of '{}'", git.target);
    Err(DoorError::new("not_now", text)
        .hint("commit your work; if nothing has to change: gt done --no-change 'REASON'"))
}
