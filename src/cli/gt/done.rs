//! `gt done`.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::adapters::git::cli::Git;
use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::cli::town::wiring;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::door::Request;
use crate::messages::views::HookView;
use crate::model::ids::Identity;
use crate::model::ids::Sha;

/// How long one git question may take.
const GIT_WITHIN: Duration = Duration::from_secs(60);

/// Hand in the work of this session.
///
/// Records the tip of the worktree's branch. The town then pushes it, queues it for the gates, and
/// ends this session; the bead is closed when it has landed. What is not committed is refused.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  git commit -am 'Mend the parser (we-1a2)' && gt done\n  \
    gt done --no-change 'the parser was mended by we-9f8 already'")]
pub struct Done {
    /// There is nothing to merge, and why: closes the bead.
    #[arg(long, value_name = "REASON")]
    no_change: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Done {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let head = match self.no_change {
            Some(_) => read_head(&here)?,
            None => finished_head(&here)?,
        };
        let request = Request::Done { head: head.clone(), no_change: self.no_change.clone() };
        here.send(request)?;
        let running = here.is_up();
        if self.json {
            return render::json(&json!({"head": head, "no_change": self.no_change,
                "running": running}));
        }
        render::line(&match &self.no_change {
            None => format!("handed in {head}: the town takes it from here, this session is over"),
            Some(_) => "closed without a change: this session is over".to_owned(),
        })?;
        if !running {
            render::line("the town is not running: it runs at 'gt up'")?;
        }
        Ok(0)
    }
}

fn git(here: &Here) -> Git {
    Git::new(here.cwd(), GIT_WITHIN)
}

fn failed(error: &dyn std::fmt::Display) -> DoorError {
    DoorError::new("git", error.to_string()).hint("run this in the worktree of your work")
}

fn read_head(here: &Here) -> Result<Sha, DoorError> {
    let head = git(here).run(&["rev-parse", "--verify", "HEAD"]);
    head.map(Sha).map_err(|error| failed(&error))
}

/// The tip, if all is committed on the right branch and there is something to merge.
fn finished_head(here: &Here) -> Result<Sha, DoorError> {
    let hook: HookView = here.ask(Query::Hook { actor: None })?;
    let git = git(here);
    let ask = |arguments: &[&str]| git.run(arguments).map_err(|error| failed(&error));
    let dirty = ask(&["status", "--porcelain"])?;
    if !dirty.is_empty() {
        let files: Vec<&str> = dirty.lines().take(5).collect();
        return Err(DoorError::new(
            "not_now",
            format!("the worktree has uncommitted changes:\n{}", files.join("\n")),
        )
        .hint("commit them ('git add -A && git commit'), or throw them away, then 'gt done'"));
    }
    let branch = ask(&["rev-parse", "--abbrev-ref", "HEAD"])?;
    if let Some(wanted) = &hook.branch
        && *wanted != branch
    {
        let text = format!("the work is on branch {wanted}, this worktree is on {branch}");
        return Err(DoorError::new("not_now", text)
            .hint(format!("bring it there: 'git checkout {wanted} && git merge {branch}'")));
    }
    let head = read_head(here)?;
    let who = Identity::parse(&hook.actor);
    if let Some(rig) = who.as_ref().and_then(Identity::rig) {
        let rig_git = wiring::rig_git(&here.town, &here.settings, &here.registry, rig)?;
        let range = format!("{}..HEAD", rig_git.target_ref(&rig_git.target));
        if ask(&["rev-list", "--count", &range])? == "0" {
            let text = format!("there is no commit on top of '{}'", rig_git.target);
            return Err(DoorError::new("not_now", text)
                .hint("commit your work; if nothing has to change: gt done --no-change 'REASON'"));
        }
    }
    Ok(head)
}
