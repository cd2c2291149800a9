//! Handing in work: `gt done` and `bd update ID --mr-ready` are the same.

use crate::adapters::git::head;
use crate::cli::call;
use crate::cli::context::Context;
use crate::messages::door::DoorError;
use crate::messages::door::Request;
use crate::messages::views::HookView;
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
    }
    let no_change = no_change.map(str::to_owned);
    call::send(context, Request::Done { head: head.clone(), no_change })?;
    Ok(head)
}
