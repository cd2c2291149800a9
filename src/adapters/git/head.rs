//! What a worktree is at: for the commands that hand work in.

use std::path::Path;
use std::time::Duration;

use crate::adapters::git::GitError;
use crate::adapters::git::cli::Git;
use crate::model::ids::Sha;

/// How long one question may take.
const WITHIN: Duration = Duration::from_secs(60);
/// Most lines of changes that are told.
const LINES: usize = 5;

fn ask(dir: &Path, arguments: &[&str]) -> Result<String, GitError> {
    Git::new(dir, WITHIN).run(arguments)
}

/// The commit that the worktree around `dir` is at.
///
/// # Errors
/// There is no worktree, or no commit.
pub fn current_head(dir: &Path) -> Result<Sha, GitError> {
    ask(dir, &["rev-parse", "--verify", "HEAD"]).map(Sha)
}

/// The branch that the worktree around `dir` is on; `HEAD` when it is on none.
///
/// # Errors
/// There is no worktree.
pub fn current_branch(dir: &Path) -> Result<String, GitError> {
    ask(dir, &["rev-parse", "--abbrev-ref", "HEAD"])
}

/// The first changes that are not committed, as git's short status shows them.
///
/// # Errors
/// There is no worktree.
pub fn uncommitted(dir: &Path) -> Result<Vec<String>, GitError> {
    let said = ask(dir, &["status", "--porcelain"])?;
    Ok(said.lines().take(LINES).map(str::to_owned).collect())
}

/// How many commits the worktree around `dir` has that `base` has not.
///
/// # Errors
/// There is no worktree, or no such commit.
pub fn commits_since(dir: &Path, base: &str) -> Result<u64, GitError> {
    let arguments = ["rev-list", "--count", &format!("{base}..HEAD")];
    let said = ask(dir, &arguments)?;
    said.trim().parse().map_err(|_| GitError::Cli {
        command: arguments.join(" "),
        code: "no number".to_owned(),
        stderr: said,
    })
}
