//! `gt done`.

use clap::Args;
use serde_json::json;

use crate::cli::context::Wanted;
use crate::cli::finish;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::HookView;

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
        let hook: HookView = here.ask(Query::Hook { actor: None })?;
        let head = finish::done(&here.context, &hook, self.no_change.as_deref())?;
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
