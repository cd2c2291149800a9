//! `gt sling`, `gt unsling`, `gt release`.

use clap::Args;
use serde::Serialize;

use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::IssueView;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ops::Fact;
use crate::model::ops::Facts;
use crate::model::ops::Op;
use crate::model::value::Name;

/// Hand beads to a rig's workers.
///
/// More beads than workers, and beads that wait for other beads, are fine: each starts as soon as
/// it is ready and somebody is free. Without a running town the order is written down.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gt sling we-1a2 web\n  gt sling we-1a2 we-3b4 we-5c6 web\n  \
    gt sling we-1a2 web/alpha --agent claude\n  gt sling we-1a2 web --dry-run")]
pub struct Sling {
    /// Beads, then the rig, or RIG/NAME for one worker; the rig may be left out.
    #[arg(required = true, num_args = 1.., value_name = "BEAD... RIG")]
    what: Vec<String>,
    /// The agent that does it; else the default.
    #[arg(long)]
    agent: Option<String>,
    /// Add to this convoy; else a new one is made.
    #[arg(long)]
    convoy: Option<String>,
    /// Only say what would be done.
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Order {
    rig: RigName,
    worker: Option<Name>,
    beads: Vec<BeadId>,
}

#[derive(Serialize)]
struct Slung {
    rig: RigName,
    worker: Option<Name>,
    agent: String,
    /// Newly ordered.
    ordered: Vec<BeadId>,
    /// Ordered before.
    known: Vec<BeadId>,
    convoy: Option<BeadId>,
    running: bool,
    dry_run: bool,
    /// Waits for other beads.
    blocked: Vec<BeadId>,
}

impl Sling {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let order = read_order(&here, &self.what)?;
        if let Some(agent) = &self.agent
            && !here.settings.agents.contains_key(agent)
        {
            return Err(DoorError::new("not_found", format!("no agent '{agent}'"))
                .hint("'gt config agent list' shows them; 'gt config agent set' makes one"));
        }
        let shown: Vec<IssueView> = here.ask(Query::Show { ids: order.beads.clone() })?;
        let waits = |issue: &&IssueView| !issue.blocked_by.is_empty();
        let blocked = shown.iter().filter(waits).map(|issue| issue.id.clone()).collect();
        let facts = match self.dry_run {
            true => Facts::new(),
            false => {
                let op = Op::PlaceOrders {
                    beads: order.beads.clone(),
                    worker: order.worker.clone(),
                    preset: self.agent.clone().map(Name),
                    convoy: self.convoy.clone().map(BeadId),
                };
                here.write(&Db::from(&order.rig), vec![op])?
            }
        };
        let placed = |id: &BeadId| match self.dry_run {
            true => shown.iter().any(|issue| issue.id == *id && issue.status == Status::Open),
            false => facts.iter().any(|fact| matches!(fact, Fact::Ordered { id: f } if f == id)),
        };
        let (ordered, known) = order.beads.into_iter().partition(placed);
        let convoy = facts.iter().find_map(|fact| match fact {
            Fact::Convoyed { convoy } => Some(convoy.clone()),
            _ => None,
        });
        let slung = Slung {
            rig: order.rig,
            worker: order.worker,
            agent: self.agent.unwrap_or_else(|| here.settings.default_agent.clone()),
            ordered,
            known,
            convoy,
            running: here.is_up(),
            dry_run: self.dry_run,
            blocked,
        };
        if self.json { render::json(&slung) } else { say(&here, &slung) }
    }
}

fn say(here: &Here, slung: &Slung) -> Result<u8, DoorError> {
    let ids = |ids: &[BeadId]| ids.iter().map(BeadId::as_str).collect::<Vec<_>>().join(", ");
    let verb = if slung.dry_run { "would be slung" } else { "slung" };
    let to = match &slung.worker {
        Some(name) => format!("{}/{name}", slung.rig),
        None => slung.rig.to_string(),
    };
    if !slung.ordered.is_empty() {
        let convoy = slung.convoy.as_ref().map_or(String::new(), |id| format!(", convoy {id}"));
        let (beads, agent) = (ids(&slung.ordered), &slung.agent);
        render::line(&format!("{verb} to {to}: {beads} (agent {agent}{convoy})"))?;
    }
    if !slung.known.is_empty() && !slung.dry_run {
        render::line(&format!("slung before: {}", ids(&slung.known)))?;
    }
    if !slung.blocked.is_empty() {
        render::line(&format!("wait for other beads first: {}", ids(&slung.blocked)))?;
    }
    let queue = here.settings.queue_settings(&slung.rig, "");
    if queue.gates.is_empty() && !queue.gates_none {
        render::line(&format!(
            "note: rig {0} has no gates, so nothing will land: gt config set \
             rigs.{0}.gates.test.cmd 'COMMAND'",
            slung.rig
        ))?;
    }
    if !slung.running {
        render::line("the town is not running: it runs at 'gt up'")?;
    }
    Ok(0)
}

/// The last word is the target if it names a rig; else the beads themselves tell the rig.
fn read_order(here: &Here, what: &[String]) -> Result<Order, DoorError> {
    let (last, before) = what.split_last().expect("clap wants one word at least");
    let rig_of = |word: &str| RigName::from(word.split('/').next().unwrap_or(word));
    let names_rig = here.registry.rigs.contains_key(&rig_of(last));
    let (target, words) = match (names_rig, before.is_empty()) {
        (true, false) => (Some(last.as_str()), before),
        (true, true) => {
            return Err(DoorError::new("usage", format!("'{last}' is a rig: which beads?"))
                .hint(format!("'bd ready --rig {last}' shows what could start")));
        }
        // A word that is no bead's id was meant as a rig.
        (false, _) if !before.is_empty() && here.db_of(&BeadId(last.clone())).is_err() => {
            here.registry.rig(&rig_of(last))?;
            (None, what)
        }
        (false, _) => (None, what),
    };
    let beads: Vec<BeadId> = words.iter().map(|word| BeadId(word.clone())).collect();
    let first = here.db_of(&beads[0])?;
    let (rig, worker) = match target {
        Some(target) => {
            let rig = rig_of(target);
            let worker = match target.contains('/') {
                true => Some(worker_of(target)?),
                false => None,
            };
            (rig, worker)
        }
        None => match first.rig() {
            Some(rig) => (rig, None),
            None => return Err(no_town_work(&beads[0])),
        },
    };
    for bead in &beads {
        let home = here.db_of(bead)?;
        if home != Db::from(&rig) {
            return Err(foreign(here, bead, &home, &rig));
        }
    }
    Ok(Order { rig, worker, beads })
}

fn worker_of(target: &str) -> Result<Name, DoorError> {
    match Identity::parse(target) {
        Some(Identity::Polecat(_, name)) => Ok(Name(name)),
        _ => Err(DoorError::new("usage", format!("'{target}' is no worker: RIG/NAME"))
            .hint("'gt polecat list' shows the workers")),
    }
}

fn no_town_work(bead: &BeadId) -> DoorError {
    DoorError::new("invalid", format!("{bead} is the town's own bead, and no worker's"))
        .hint("make a bead in the rig: 'bd create TITLE --rig RIG'")
}

/// A bead lives where its prefix says; the hint makes it anew where it is wanted.
fn foreign(here: &Here, bead: &BeadId, home: &Db, rig: &RigName) -> DoorError {
    let prefix = here.registry.rigs.get(rig).map_or("", |entry| entry.beads.prefix.as_str());
    let text = format!("{bead} belongs to {home}; rig {rig} has beads {prefix}-...");
    let there = match home.rig() {
        Some(home) => format!("sling it at home: 'gt sling {bead} {home}', or move it: "),
        None => "move it: ".to_owned(),
    };
    DoorError::new("invalid", text)
        .hint(format!("{there}'bd create TITLE --rig {rig}', then 'bd close {bead} -r \"moved\"'"))
}

/// Take beads back that were slung.
#[derive(Debug, Args)]
pub struct Unsling {
    /// Which.
    #[arg(required = true)]
    beads: Vec<String>,
}

impl Unsling {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        release(at, &self.beads, "unslung")
    }
}

/// Free a bead from whoever has it.
///
/// Its worker's session is ended, unsaved work is kept under refs/gt/rescue/, and the bead is open
/// again. It is not slung anew.
#[derive(Debug, Args)]
pub struct Release {
    /// Which.
    #[arg(required = true)]
    beads: Vec<String>,
    /// Why.
    #[arg(long, short, default_value = "released by hand")]
    reason: String,
}

impl Release {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        release(at, &self.beads, &self.reason)
    }
}

fn release(at: &Wanted, beads: &[String], reason: &str) -> Result<u8, DoorError> {
    let here = Here::find(at)?;
    for bead in beads {
        let bead = BeadId(bead.clone());
        let db = here.db_of(&bead)?;
        let op = Op::Release { bead: bead.clone(), reason: reason.to_owned() };
        here.write(&db, vec![op])?;
        render::line(&format!("{bead} is free"))?;
    }
    if !here.is_up() {
        render::line("the town is not running: a session of it ends at 'gt up'")?;
    }
    Ok(0)
}
