//! `gt verify`.

use clap::Args;

use crate::adapters::git::GitError;
use crate::adapters::git::head;
use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::messages::door::Answer;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::door::Request;
use crate::messages::door::Verify as Wish;
use crate::messages::views::HookView;
use crate::messages::views::VerifyView;
use crate::model::merge::Verdict;

/// Exit code of a red verdict.
const RED: u8 = 1;
/// Exit code of gates that could not run: trying again later may help.
const NO_ANSWER: u8 = 4;

/// Have the rig's gates run on your work as it would land.
///
/// The town puts what is committed here on the present target as the merge queue would, runs the
/// rig's gates there, and records what they say. When the very same tree is to land, with the same
/// gates and environment, the queue runs nothing. Ends with 1 when a gate is red, with 4 when one
/// could not run.
#[derive(Debug, Args)]
#[command(after_help = "Example, in the worktree of your work:\n  \
    git commit -am 'Mend the parser (we-1a2)' && gt verify && gt done")]
pub struct Verify {
    /// The rig; else the one of this directory.
    #[arg(long)]
    rig: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let rig = here.rig(self.rig)?;
        let dirty = head::uncommitted(here.cwd()).map_err(failed)?;
        if !dirty.is_empty() {
            let text = format!("there are uncommitted changes:\n{}", dirty.join("\n"));
            return Err(DoorError::new("not_now", text)
                .hint("only what is committed can land: commit or remove them, then try again"));
        }
        let head = head::current_head(here.cwd()).map_err(failed)?;
        let branch = head::current_branch(here.cwd()).map_err(failed)?;
        let hook: HookView = here.ask(Query::Hook { actor: None })?;
        let onto = hook.lands_on.filter(|_| hook.branch.as_ref() == Some(&branch));
        let wish = Wish { rig, branch, head, onto };
        let Answer { result, .. } = here.send(Request::Verify(wish))?;
        let view: VerifyView = serde_json::from_value(result).map_err(|error| {
            DoorError::new("mismatch", format!("the answer has another shape: {error}"))
                .hint("the running daemon may be of another version: 'gt down', then 'gt up'")
        })?;
        match self.json {
            true => render::json(&view)?,
            false => say(&view)?,
        };
        Ok(match view.verdict {
            Verdict::Passed => 0,
            Verdict::Failed => RED,
            Verdict::CouldNotRun => NO_ANSWER,
        })
    }
}

fn failed(error: GitError) -> DoorError {
    DoorError::new("git", error.to_string()).hint("run this in the worktree of your work")
}

fn say(view: &VerifyView) -> Result<u8, DoorError> {
    let VerifyView { tree, target, base, run, .. } = view;
    render::line(&format!("{}: tree {tree} on {target} at {base}, run {run}", view.verdict))?;
    for gate in &view.gates {
        render::line(&format!("  {} {}: {}", gate.name, gate.verdict, gate.reason))?;
        if gate.verdict == Verdict::Passed {
            continue;
        }
        for line in gate.tail.lines() {
            render::line(&format!("    {line}"))?;
        }
        if !gate.log.is_empty() {
            render::line(&format!("    all of it: {}", gate.log))?;
        }
    }
    match view.verdict {
        Verdict::Passed if view.known => {
            render::line("this was known: nothing ran. While this is what lands, nothing will")
        }
        Verdict::Passed => render::line("while this is what lands, the queue runs nothing"),
        Verdict::Failed => render::line("handed in like this it would come back"),
        Verdict::CouldNotRun => render::line("nothing can be said of it: mend the gates first"),
    }
}
