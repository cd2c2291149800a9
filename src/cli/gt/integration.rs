//! `gt mq integration`.

use clap::Subcommand;
use serde::Serialize;
use serde_json::json;

use crate::adapters::git::GitError;
use crate::adapters::git::RigGit;
use crate::cli::gt::here::Here;
use crate::cli::gt::mq;
use crate::cli::render;
use crate::cli::town::wiring;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::IntegrationView;
use crate::messages::views::IssueView;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::ids::Sha;
use crate::model::merge::MrState;
use crate::model::ops::NewIntegration;
use crate::model::ops::Op;
use crate::model::ops::WholeLanding;

/// Integration branches: what is below an epic lands on a branch of its own, through the same gates,
/// and the branch lands as one merge request.
#[derive(Debug, Subcommand)]
pub enum Branches {
    /// Make the branch of an epic at the remote, from the target's present tip.
    ///
    /// From then on the work on every bead below the epic starts from it and lands on it.
    #[command(after_help = "Example:\n  bd create 'New parser' --type epic\n  \
        gt mq integration create we-1a2\n  bd create 'Tokens' --parent we-1a2\n  \
        gt sling we-1a2.1\n  gt mq integration land we-1a2")]
    Create {
        /// Which.
        epic: String,
        /// The branch's name; else integration/EPIC.
        #[arg(long, short)]
        branch: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the integration branches that have not ended.
    List {
        /// Of this rig only.
        rig: Option<String>,
        /// Ended ones too.
        #[arg(long, short)]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one with its merge requests, what is open below its epic, and whether it can land.
    Status {
        /// Whose.
        epic: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Queue the whole branch as one merge request to the rig's target.
    ///
    /// It lands as a merge commit. Then its branch is removed and the epic is closed.
    Land {
        /// Whose.
        epic: String,
        /// Although beads below the epic are open, and why.
        #[arg(long, value_name = "REASON")]
        force: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give up a branch that nothing has landed on and nothing waits for.
    Drop {
        /// Whose.
        epic: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Branches {
    pub(super) fn run(self, here: &Here) -> Result<u8, DoorError> {
        match self {
            Self::Create { epic, branch, json } => create(here, &epic, branch, json),
            Self::List { rig, all, json } => list(here, rig.map(RigName), all, json),
            Self::Status { epic, json } => status(here, &epic, json),
            Self::Land { epic, force, json } => land(here, &epic, force, json),
            Self::Drop { epic, json } => give_up(here, &epic, json),
        }
    }
}

/// One with where it stands at the remote.
#[derive(Serialize)]
struct Standing {
    #[serde(flatten)]
    row: IntegrationView,
    /// Its head at the remote; absent when it is not there.
    head: Option<Sha>,
    /// Commits that only it has.
    ahead: usize,
    /// Commits of its target that it lacks.
    behind: usize,
    /// Whether `land` would queue it.
    can_land: bool,
}

/// An epic with its rig and that rig's repository.
struct Epic {
    id: BeadId,
    db: Db,
    rig: RigName,
    git: RigGit,
}

fn find(here: &Here, epic: &str) -> Result<Epic, DoorError> {
    let id = here.context.id(epic)?;
    let db = here.db_of(&id)?;
    let Some(rig) = db.rig() else {
        return Err(DoorError::new("invalid", format!("{id} is no rig's bead"))
            .hint("make the epic in the rig where the work lands: 'bd create ... --rig RIG'"));
    };
    let git = wiring::rig_git(&here.town, &here.settings, &here.registry, &rig)?;
    Ok(Epic { id, db, rig, git })
}

fn failed(error: GitError) -> DoorError {
    let refused = matches!(error, GitError::Refused(_));
    let text = error.to_string();
    if refused { DoorError::new("not_now", text) } else { DoorError::new("git", text) }
}

fn row_of(here: &Here, epic: &Epic) -> Result<IntegrationView, DoorError> {
    let query = Query::Integrations { rig: Some(epic.rig.clone()), epic: Some(epic.id.clone()) };
    let mut found: Vec<IntegrationView> = here.ask(query)?;
    found.pop().ok_or_else(|| {
        DoorError::new("not_found", format!("{} has no integration branch", epic.id))
            .hint(format!("'gt mq integration create {}' makes one", epic.id))
    })
}

fn create(here: &Here, epic: &str, name: Option<String>, json: bool) -> Result<u8, DoorError> {
    here.persons_only("make an integration branch")?;
    let epic = find(here, epic)?;
    let branch = name.unwrap_or_else(|| format!("integration/{}", epic.id));
    // What would be refused is refused before there is a branch.
    let shown: Vec<IssueView> = here.ask(Query::Show { ids: vec![epic.id.clone()] })?;
    if shown.first().is_some_and(|bead| bead.status == Status::Closed) {
        let text = format!("{} is closed", epic.id);
        return Err(DoorError::new("not_now", text).hint(format!("'bd reopen {}' first", epic.id)));
    }
    let all: Vec<IntegrationView> =
        here.ask(Query::Integrations { rig: Some(epic.rig.clone()), epic: None })?;
    for row in all.iter().filter(|row| row.state.lives()) {
        if (row.epic == epic.id) != (row.branch == branch) {
            let text = format!("{} is the integration branch of {}", row.branch, row.epic);
            return Err(DoorError::new("not_now", text));
        }
        if row.epic == epic.id {
            return made(here, &row_of(here, &epic)?, json);
        }
    }
    let target: Option<String> = here.ask(Query::LandsOn { bead: epic.id.clone() })?;
    let target = target.unwrap_or_else(|| epic.git.target.clone());
    let base = epic.git.make_branch(&branch, &target).map_err(failed)?;
    let new = NewIntegration { epic: epic.id.clone(), branch, target, base };
    here.write(&epic.db, vec![Op::CreateIntegration(new)])?;
    made(here, &row_of(here, &epic)?, json)
}

fn made(here: &Here, row: &IntegrationView, json: bool) -> Result<u8, DoorError> {
    if json {
        return render::json(row);
    }
    render::line(&format!(
        "the work below {} lands on {}, made from {} at {}",
        row.epic, row.branch, row.target, row.tip
    ))?;
    mq::waits_for_up(here)
}

fn list(here: &Here, rig: Option<RigName>, all: bool, json: bool) -> Result<u8, DoorError> {
    if let Some(rig) = &rig {
        here.registry.rig(rig)?;
    }
    let mut rows: Vec<IntegrationView> = here.ask(Query::Integrations { rig, epic: None })?;
    rows.retain(|row| all || row.state.lives());
    if json {
        return render::json(&rows);
    }
    if rows.is_empty() {
        return render::line("there is no integration branch");
    }
    let lines = rows.into_iter().map(|row| {
        let below = format!("{} of {}", row.closed.len(), row.closed.len() + row.open.len());
        let (epic, state) = (row.epic.to_string(), row.state.to_string());
        vec![epic, state, row.branch, row.target, below, row.title]
    });
    render::table(&["EPIC", "STATE", "BRANCH", "TARGET", "CLOSED", "TITLE"], lines.collect())
}

fn standing(here: &Here, epic: &Epic) -> Result<Standing, DoorError> {
    let mut row = row_of(here, epic)?;
    let head = epic.git.branch_tip(&row.branch).map_err(failed)?;
    let mut apart = crate::adapters::git::integration::Apart::default();
    if head.is_some() {
        epic.git.refresh_target(&row.target).map_err(failed)?;
        apart = epic.git.apart(&row.branch, &row.target).map_err(failed)?;
    } else if row.state.lives() {
        row.why_not.push(format!("the remote has no branch {}", row.branch));
    }
    if let Some(head) = &head
        && row.state.lives()
        && !epic.git.is_ancestor(&row.tip, head).map_err(failed)?
    {
        row.why_not.push(format!(
            "{} was at {}, which is not in it any more: work that landed is missing",
            row.branch, row.tip
        ));
    }
    let can_land = row.why_not.is_empty();
    Ok(Standing { row, head, ahead: apart.ahead, behind: apart.behind, can_land })
}

fn status(here: &Here, epic: &str, json: bool) -> Result<u8, DoorError> {
    let epic = find(here, epic)?;
    let it = standing(here, &epic)?;
    if json {
        return render::json(&it);
    }
    let row = &it.row;
    let head = it.head.as_ref().map_or("not at the remote".to_owned(), |head| format!("at {head}"));
    render::line(&format!("{} {}: {}", row.epic, row.state, row.title))?;
    render::line(&format!("  {} {head}, to {}", row.branch, row.target))?;
    render::line(&format!("  {} commits ahead, {} behind", it.ahead, it.behind))?;
    let count = row.open.len() + row.closed.len();
    let open: Vec<&str> = row.open.iter().map(BeadId::as_str).collect();
    let open = if open.is_empty() { String::new() } else { format!("; open: {}", open.join(", ")) };
    render::line(&format!("  {} of {count} beads below it closed{open}", row.closed.len()))?;
    for state in MrState::ALL {
        let own: Vec<String> = row
            .mrs
            .iter()
            .filter(|mr| mr.state == *state)
            .map(|mr| format!("{} ({})", mr.id, mr.bead))
            .collect();
        if !own.is_empty() {
            render::line(&format!("  {state}: {}", own.join(", ")))?;
        }
    }
    if it.can_land {
        return render::line(&format!("  it can land: 'gt mq integration land {}'", row.epic));
    }
    for why in &row.why_not {
        render::line(&format!("  it cannot land: {why}"))?;
    }
    Ok(0)
}

fn land(here: &Here, epic: &str, force: Option<String>, json: bool) -> Result<u8, DoorError> {
    here.persons_only("land an integration branch")?;
    let epic = find(here, epic)?;
    let row = row_of(here, &epic)?;
    let head = epic.git.branch_tip(&row.branch).map_err(failed)?;
    let Some(head) = head.filter(|_| row.state.lives()) else {
        let text = match row.state.lives() {
            true => format!("the remote has no branch {}", row.branch),
            false => format!("{} is {}", row.branch, row.state),
        };
        return Err(DoorError::new("not_now", text));
    };
    if !epic.git.is_ancestor(&row.tip, &head).map_err(failed)? {
        let text = format!("{} was at {}, which is not in {head}", row.branch, row.tip);
        return Err(DoorError::new("not_now", text)
            .hint("work that landed on it is missing: push a head that contains it"));
    }
    let wanted = WholeLanding { epic: epic.id.clone(), head, tip: row.tip, force };
    here.write(&epic.db, vec![Op::LandIntegration(wanted)])?;
    let row = row_of(here, &epic)?;
    if json {
        return render::json(&row);
    }
    let mr = row.mr.as_ref().map_or("-", BeadId::as_str);
    render::line(&format!("{} at {} is queued to {} as {mr}", row.branch, row.tip, row.target))?;
    mq::waits_for_up(here)
}

fn give_up(here: &Here, epic: &str, json: bool) -> Result<u8, DoorError> {
    here.persons_only("drop an integration branch")?;
    let epic = find(here, epic)?;
    let row = row_of(here, &epic)?;
    let (branch, target) = (&row.branch, &row.target);
    if epic.git.branch_tip(branch).map_err(failed)?.is_some() {
        epic.git.refresh_target(target).map_err(failed)?;
        let apart = epic.git.apart(branch, target).map_err(failed)?;
        if row.state.lives() && apart.ahead > 0 {
            let mrs: Vec<&str> = row.mrs.iter().map(|mr| mr.id.as_str()).collect();
            let text = format!(
                "{branch} is not empty: it has {} commits that {target} lacks ({})",
                apart.ahead,
                mrs.join(", ")
            );
            return Err(DoorError::new("not_now", text)
                .hint(format!("'gt mq integration land {} --force REASON' lands it", epic.id)));
        }
    }
    here.write(&epic.db, vec![Op::DropIntegration { epic: epic.id.clone() }])?;
    let removed = epic.git.drop_branch(branch, target);
    if json {
        let removed = removed.is_ok();
        return render::json(&json!({"epic": epic.id, "branch": branch, "removed": removed}));
    }
    render::line(&format!("{branch} is given up: the work below {} lands on {target}", epic.id))?;
    match removed {
        Ok(_) => Ok(0),
        Err(error) => render::line(&format!("its branch stays at the remote: {error}")),
    }
}
