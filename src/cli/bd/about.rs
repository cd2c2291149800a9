//! `bd stats`, `where`, and what the program says of itself.

use clap::Args;
use clap::CommandFactory;
use clap_complete::Shell;
use serde::Serialize;
use serde_json::json;

use crate::cli::bd::Bd;
use crate::cli::bd::Run;
use crate::cli::call;
use crate::cli::context::Chosen;
use crate::cli::context::ChosenBy;
use crate::cli::context::Place;
use crate::cli::render;
use crate::cli::town::wiring;
use crate::messages::door::DoorError;
use crate::messages::door::PROTOCOL;
use crate::messages::door::Query;
use crate::messages::views::StatsView;
use crate::messages::views::Summary;
use crate::model::bead::BeadType;
use crate::model::bead::Status;

/// Numbers of a database.
#[derive(Debug, Args)]
pub(super) struct Stats {}

/// The numbers as upstream prints them.
#[derive(Serialize)]
struct Numbers<'a> {
    summary: &'a Summary,
}

impl Stats {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let db = run.context.default_db()?;
        let stats: StatsView = call::ask(&run.context, Query::Stats { db: db.clone() })?;
        let summary = &stats.summary;
        if run.json {
            return render::json(&Numbers { summary });
        }
        let rows = [
            ("total", summary.total_issues),
            ("open", summary.open_issues),
            ("in progress", summary.in_progress_issues),
            ("closed", summary.closed_issues),
            ("blocked", summary.blocked_issues),
            ("deferred", summary.deferred_issues),
            ("ready", summary.ready_issues),
        ];
        let rows = rows.map(|(name, count)| vec![name.to_owned(), count.to_string()]);
        render::table(&["BEADS", &format!("in {db}")], rows.to_vec())?;
        let lead = summary.average_lead_time_hours.unwrap_or(0.0);
        render::line(&format!("mean lead time: {lead} h"))
    }
}

/// Which database is meant here, and which rule says so.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bd where\n  bd where gt-a1b --json\n\n\
    The rules, in order: a full id, --rig, the redirects from the nearest .beads, the rig\n\
    whose directory it is, the town itself (docs/resolution.md).")]
pub(super) struct Where {
    /// A bead: where it lives.
    id: Option<String>,
}

impl Where {
    pub(super) fn run(self, run: &Run) -> Result<u8, DoorError> {
        let context = &run.context;
        let chosen = match &self.id {
            None => context.choose()?,
            Some(id) => {
                let db = context.db_of(&context.id(id)?)?;
                Chosen { db, by: ChosenBy::Id, chain: Vec::new() }
            }
        };
        let db = &chosen.db;
        let (beads, data) = match &context.place {
            Place::Alone { beads, .. } => (beads.clone(), beads.join(".dolt-data")),
            Place::Town { town, .. } => {
                let beads = match db.rig() {
                    Some(rig) => town.rig_beads(&rig),
                    None => town.beads(),
                };
                (beads, town.dolt_data())
            }
        };
        let database = match &context.place {
            Place::Town { town, .. } => wiring::database(town, db)?,
            Place::Alone { .. } => data.join(db.as_str()).join(format!("{db}.db")),
        };
        let databases = context.databases();
        let prefix = databases.iter().find(|(name, _)| name == db).map(|(_, prefix)| prefix);
        let redirected = chosen.chain.first().filter(|_| chosen.chain.len() > 1);
        if run.json {
            let mut told = json!({
                "path": beads, "database_path": database, "database": db,
                "found_by": context.found_by, "chosen_by": chosen.by, "chain": chosen.chain,
            });
            if let Some(prefix) = prefix {
                told["prefix"] = json!(prefix);
            }
            if let Some(from) = redirected {
                told["redirected_from"] = json!(from);
            }
            return render::json(&told);
        }
        render::line(&beads.display().to_string())?;
        if let Some(from) = redirected {
            render::line(&format!("  redirected from {}", from.display()))?;
        }
        if let Some(prefix) = prefix {
            render::line(&format!("  prefix {prefix}"))?;
        }
        render::line(&format!("  database {}", database.display()))?;
        let (found, by) = (context.found_by, chosen.by);
        render::line(&format!("  chosen by: {by}; the place is found by: {found}"))
    }
}

/// The types of beads.
#[derive(Debug, Args)]
pub(super) struct Types {}

impl Types {
    pub(super) fn run(self, as_json: bool) -> Result<u8, DoorError> {
        if as_json {
            let types =
                BeadType::ALL.iter().map(|kind| json!({"name": kind, "work": kind.is_work()}));
            return render::json(&json!({"types": types.collect::<Vec<_>>()}));
        }
        render::lines(&BeadType::ALL.iter().map(ToString::to_string).collect::<Vec<_>>())
    }
}

/// The statuses of beads.
#[derive(Debug, Args)]
pub(super) struct Statuses {}

impl Statuses {
    pub(super) fn run(self, as_json: bool) -> Result<u8, DoorError> {
        if as_json {
            let statuses = Status::ALL.iter().map(|status| json!({"name": status}));
            return render::json(&json!({"statuses": statuses.collect::<Vec<_>>()}));
        }
        render::lines(&Status::ALL.iter().map(ToString::to_string).collect::<Vec<_>>())
    }
}

/// The program's version.
#[derive(Debug, Args)]
pub(super) struct Version {}

impl Version {
    pub(super) fn run(self, as_json: bool) -> Result<u8, DoorError> {
        let version = env!("CARGO_PKG_VERSION");
        match as_json {
            true => render::json(&json!({"version": version, "protocol": PROTOCOL})),
            false => render::line(&format!("bd version {version}")),
        }
    }
}

/// A completion script for a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  bd completion bash > ~/.local/share/bash-completion/completions/bd"
)]
pub(super) struct Completion {
    /// Which.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completion {
    pub(super) fn run(self) -> Result<u8, DoorError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Bd::command(), "bd", &mut script);
        render::raw(&String::from_utf8_lossy(&script))
    }
}
