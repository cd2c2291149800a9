//! `gt mq`.

use std::time::Duration;

use clap::Subcommand;

use crate::adapters::git::cli::Git;
use crate::adapters::git::touches;
use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::gt::hook;
use crate::cli::gt::integration::Branches;
use crate::cli::gt::mq_line;
use crate::cli::gt::mq_record;
use crate::cli::gt::proof;
use crate::cli::render;
use crate::cli::town::wiring;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::MrView;
use crate::messages::views::RigStatus;
use crate::messages::views::StatusView;
use crate::model::bead::DepType;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::ids::Sha;
use crate::model::merge::MrState;
use crate::model::ops::NewBranch;
use crate::model::ops::Op;

/// How long one git question may take.
const GIT_WITHIN: Duration = Duration::from_secs(60);

/// The merge queue.
///
/// What is handed in is stacked on the target and tested together; green lands, red is bisected,
/// and only the culprit goes back to its author.
#[derive(Debug, Subcommand)]
pub enum Mq {
    /// Show what waits.
    List {
        /// Of this rig only.
        rig: Option<String>,
        /// Decided ones too.
        #[arg(long, short)]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a rig's queue, or one merge request with its verdict.
    Status {
        /// RIG or MR.
        what: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Queue a branch that is on the remote, for a person's own work.
    #[command(after_help = "Example, in a clone:\n  git push -u origin mend-parser\n  \
        gt mq submit --bead we-1a2")]
    Submit {
        /// The bead that it is for; it is closed when the branch has landed.
        #[arg(long, short)]
        bead: String,
        /// The branch; else the one of this clone.
        #[arg(long)]
        branch: Option<String>,
        /// A merge request, or a bead, that has to land before it; it is stacked behind that and
        /// waits for it.
        #[arg(long, value_name = "MR")]
        after: Vec<String>,
        /// Put it ahead of everything.
        #[arg(long)]
        hotfix: bool,
    },
    /// Put a waiting merge request ahead of everything, from the next cycle on.
    ///
    /// Gates that run answer first, and what they show green lands; no run is thrown away.
    Hotfix {
        /// Which.
        mr: String,
        /// Why.
        #[arg(long, short, default_value = "put first by hand")]
        reason: String,
    },
    /// Keep work from landing on a rig until 'gt mq thaw'. Tests that run end, and count later.
    Freeze {
        /// Which rig.
        rig: String,
        /// Why: it is shown to whoever waits.
        #[arg(long, short, default_value = "frozen by hand")]
        reason: String,
        /// What still lands: classes 0 (highest) to N and hotfixes, or 'hotfix' alone.
        #[arg(long, value_name = "N", value_parser = mq_line::class)]
        allow_priority: Option<i64>,
    },
    /// Let work land again.
    Thaw {
        /// Which rig.
        rig: String,
    },
    /// Show what happened to a rig's queue, the newest last.
    Log {
        /// Which rig.
        rig: String,
        /// The newest only.
        #[arg(long, visible_alias = "lines", short = 'n', default_value_t = 50)]
        limit: usize,
        /// Go on with what comes.
        #[arg(long, short)]
        follow: bool,
        /// Print JSON; with --follow one object a line.
        #[arg(long)]
        json: bool,
    },
    /// Tell when those who wait will be decided, as the observed cycles let expect.
    Eta {
        /// RIG or MR.
        what: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Queue a returned merge request again, or let a rig's queue go on that waits for a person.
    Retry {
        /// RIG or MR.
        what: String,
    },
    /// Refuse a merge request; its bead is open again.
    Reject {
        /// Which.
        mr: String,
        /// Why: its author reads it.
        #[arg(long, short)]
        reason: String,
    },
    /// Keep a merge request out of the queue until 'gt mq retry'.
    Hold {
        /// Which.
        mr: String,
        /// Why.
        #[arg(long, short, default_value = "held by hand")]
        reason: String,
    },
    /// Show what the queue did and learnt: gate runs per landed merge request beside the least that
    /// theory allows, failures, flakes, waiting times.
    Stats {
        /// Of this rig only.
        rig: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show every run that a merge request was part of.
    Why {
        /// Which.
        mr: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Gather the work below an epic on a branch of its own, and land it as one.
    #[command(subcommand)]
    Integration(Branches),
    /// Check every landing against git and the gates' own records.
    ///
    /// Ends with 1 when a landed commit lacks its proof: another tree than the tested one, a gate
    /// that is not recorded as passed, or a commit of the town that no landing accounts for.
    Proof {
        /// Of this rig only.
        rig: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Mq {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        match self {
            Self::List { rig, all, json } => list(&here, rig.map(RigName), all, json),
            Self::Status { what, json } => status(&here, &what, json),
            Self::Submit { bead, branch, after, hotfix } => {
                submit(&here, BeadId(bead), branch, &after, hotfix)
            }
            Self::Hotfix { mr, reason } => mq_line::hotfix(&here, &mr, reason),
            Self::Freeze { rig, reason, allow_priority } => {
                mq_line::freeze(&here, &rig, reason, allow_priority)
            }
            Self::Thaw { rig } => mq_line::thaw(&here, &rig),
            Self::Log { rig, limit, follow, json } => {
                mq_line::log(&here, &rig, limit, json, follow)
            }
            Self::Eta { what, json } => mq_line::eta(&here, &what, json),
            Self::Retry { what } => retry(&here, &what),
            Self::Reject { mr, reason } => set(&here, &mr, MrState::Rejected, &reason),
            Self::Hold { mr, reason } => set(&here, &mr, MrState::Held, &reason),
            Self::Stats { rig, json } => mq_record::stats(&here, rig.map(RigName), json),
            Self::Why { mr, json } => mq_record::why(&here, &mr, json),
            Self::Integration(what) => what.run(&here),
            Self::Proof { rig, json } => proof::run(&here, rig.map(RigName), json),
        }
    }
}

fn list(here: &Here, rig: Option<RigName>, all: bool, json: bool) -> Result<u8, DoorError> {
    if let Some(rig) = &rig {
        here.registry.rig(rig)?;
    }
    let mrs: Vec<MrView> = here.ask(Query::Queue { rig, all })?;
    if json {
        return render::json(&mrs);
    }
    if mrs.is_empty() {
        return render::line("nothing waits to land");
    }
    let rows = mrs.iter().map(|mr| {
        let state = match &mr.waits {
            _ if mr.in_cycle => "in cycle".to_owned(),
            Some(why) => format!("{}, {why}", mr.state),
            None => mr.state.to_string(),
        };
        let head: String = mr.head.as_str().chars().take(10).collect();
        vec![
            mr.id.to_string(),
            class(mr),
            state,
            mr.bead.to_string(),
            head,
            mr.branch.clone(),
            mr.title.clone(),
        ]
    });
    render::table(&["MR", "CLASS", "STATE", "BEAD", "HEAD", "BRANCH", "TITLE"], rows.collect())
}

pub(super) fn find(here: &Here, id: &str) -> Result<MrView, DoorError> {
    let mrs: Vec<MrView> = here.ask(Query::Queue { rig: None, all: true })?;
    mrs.into_iter().find(|mr| mr.id.as_str() == id).ok_or_else(|| {
        DoorError::new("not_found", format!("'{id}' is neither a rig nor a merge request"))
            .hint("'gt rig list' and 'gt mq list --all' show them")
    })
}

fn status(here: &Here, what: &str, json: bool) -> Result<u8, DoorError> {
    let rig = RigName::from(what);
    if here.registry.rigs.contains_key(&rig) {
        let town: StatusView = here.ask(Query::Status)?;
        let Some(found) = town.rigs.iter().find(|found| found.name == rig) else {
            return Err(DoorError::new("not_found", format!("rig {rig} has no database yet")));
        };
        if json {
            return render::json(&found.queue);
        }
        return queue(here, found);
    }
    let mr = find(here, what)?;
    if json {
        return render::json(&mr);
    }
    render::line(&format!("{} {} for {}: {}", mr.id, mr.state, mr.bead, mr.title))?;
    render::line(&format!("  {} at {} to {}", mr.branch, mr.head, mr.target))?;
    render::line(&format!("  by {}, queued {}, {}", mr.author, mr.created_at, class(&mr)))?;
    if let Some(why) = &mr.waits {
        render::line(&format!("  it waits: {why}"))?;
    }
    if let Some(commit) = &mr.merge_commit {
        render::line(&format!("  landed as {commit}"))?;
    }
    if mr.verdict.is_some() {
        render::line(&hook::verdict(&mr))?;
    }
    Ok(0)
}

fn queue(here: &Here, rig: &RigStatus) -> Result<u8, DoorError> {
    let q = &rig.queue;
    render::line(&format!("{}: {}, {} waiting, {} held", rig.name, q.step, q.queued, q.held))?;
    for run in &q.runs {
        let logs = here.town.gate_logs(run);
        render::line(&format!("  run {run}: {}", logs.display()))?;
    }
    if let Some(frozen) = &q.frozen {
        render::line(&format!("  {}", frozen.words()))?;
        render::line(&format!("  'gt mq thaw {}' lets it land again", rig.name))?;
    }
    if let Some(why) = &q.parked {
        render::line(&format!("  it waits for you: {why}"))?;
        render::line(&format!("  'gt mq retry {}' lets it go on", rig.name))?;
    }
    list(here, Some(rig.name.clone()), false, false)
}

fn set(here: &Here, mr: &str, state: MrState, reason: &str) -> Result<u8, DoorError> {
    let mr = BeadId::from(mr);
    let db = here.db_of(&mr)?;
    here.write(&db, vec![Op::SetMr { mr: mr.clone(), state, reason: reason.to_owned() }])?;
    render::line(&format!("{mr} is {state}"))?;
    waits_for_up(here)
}

fn retry(here: &Here, what: &str) -> Result<u8, DoorError> {
    let rig = RigName::from(what);
    if !here.registry.rigs.contains_key(&rig) {
        return set(here, what, MrState::Queued, "queued again by hand");
    }
    here.write(&Db::from(&rig), vec![Op::ParkQueue { rig: rig.clone(), reason: None }])?;
    render::line(&format!("the queue of {rig} goes on"))?;
    waits_for_up(here)
}

pub(super) fn waits_for_up(here: &Here) -> Result<u8, DoorError> {
    if here.is_up() {
        return Ok(0);
    }
    render::line("the town is not running: it runs at 'gt up'")
}

/// Its class, and the one that it has by age.
fn class(mr: &MrView) -> String {
    match mr.class {
        _ if mr.hotfix => "hotfix".to_owned(),
        aged if aged < mr.priority => format!("P{aged} (P{})", mr.priority),
        class => format!("P{class}"),
    }
}

/// The bead that has to be closed first: of a merge request, or itself.
fn needed(here: &Here, id: &str) -> Result<BeadId, DoorError> {
    let mrs: Vec<MrView> = here.ask(Query::Queue { rig: None, all: true })?;
    let found = mrs.into_iter().find(|mr| mr.id.as_str() == id);
    Ok(found.map_or_else(|| BeadId::from(id), |mr| mr.bead))
}

/// Queues what the remote has, so that what is tested is what was meant.
fn submit(
    here: &Here,
    bead: BeadId,
    branch: Option<String>,
    after: &[String],
    hotfix: bool,
) -> Result<u8, DoorError> {
    let db = here.db_of(&bead)?;
    let Some(rig) = db.rig() else {
        return Err(DoorError::new("invalid", format!("{bead} is no rig's bead")));
    };
    let git = Git::new(here.cwd(), GIT_WITHIN);
    let failed = |error: crate::adapters::git::GitError| {
        DoorError::new("git", error.to_string()).hint("run this in a clone of the rig")
    };
    let branch = match branch {
        Some(branch) => branch,
        None => git.run(&["rev-parse", "--abbrev-ref", "HEAD"]).map_err(failed)?,
    };
    let head = Sha(git.run(&["rev-parse", "--verify", &branch]).map_err(failed)?);
    let rig_git = wiring::rig_git(&here.town, &here.settings, &here.registry, &rig)?;
    let there = rig_git.remote_branch(&branch).map_err(failed)?;
    if there.map(|oid| oid.to_string()).as_deref() != Some(head.as_str()) {
        let text = match there {
            None => format!("the remote of {rig} has no branch '{branch}'"),
            Some(oid) => format!("the remote has '{branch}' at {oid}, here it is {head}"),
        };
        return Err(DoorError::new("not_now", text)
            .hint(format!("push it: 'git push origin {branch}', then submit again")));
    }
    let target = rig_git.target.clone();
    let touches = touches::in_clone(here.cwd(), &target, &head);
    let op = Op::SubmitBranch(NewBranch {
        bead: bead.clone(),
        branch: branch.clone(),
        head,
        target,
        touches,
    });
    let mut ops = Vec::new();
    for id in after {
        let (bead, target) = (bead.clone(), needed(here, id)?);
        ops.push(Op::AddDep { bead, target, dep_type: DepType::Blocks });
    }
    ops.push(op);
    if hotfix {
        let reason = "submitted as a hotfix".to_owned();
        ops.push(Op::Hotfix { id: bead.clone(), reason });
    }
    here.write(&db, ops)?;
    render::line(&format!("{branch} is queued for {bead}"))?;
    waits_for_up(here)
}
