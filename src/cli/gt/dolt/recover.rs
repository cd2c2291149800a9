//! `gt dolt recover`.

use clap::Args;

use super::upkeep;
use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::cli::town::recover;
use crate::cli::town::recover::Damaged;
use crate::cli::town::recover::Plan;
use crate::cli::town::recover::Source;
use crate::config::DoltMode;
use crate::messages::door::DoorError;
use crate::messages::views::rfc3339;

/// Mend databases that do not open, or put the newest backup back.
///
/// With DB, on either engine, the newest backup takes that database's place while the town is down. The
/// first call names the acknowledged commits that it does not have.
///
/// Without DB, on a server, looks at every database while the town and its server are down. For each that is damaged it
/// tries, on copies, Dolt's own repair and the newest native backup, and prints what would be
/// missing. Nothing is changed until you confirm with the word that it prints; the damaged
/// databases are then moved aside, not deleted. The town stays down until then.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gt down\n  gt dolt recover web\n  \
    gt dolt recover web --confirm TOKEN\n  gt up")]
pub struct Recover {
    /// Put this database's newest backup in its place.
    db: Option<String>,
    /// Do what was printed with this word.
    #[arg(long, value_name = "TOKEN")]
    confirm: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Recover {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        if let Some(db) = &self.db {
            return upkeep::recover(&here, db, self.confirm.as_deref(), self.json);
        }
        if here.settings.store.dolt_mode == DoltMode::Embedded {
            return Err(DoorError::new("usage", "which database?").hint(
                "'gt dolt list' tells which is damaged; 'gt dolt recover DB' puts its newest backup back",
            ));
        }
        let own = super::server::own(&here, "mend")?;
        if let Some(word) = &self.confirm {
            let done = recover::confirm(&here.town, &own, word)?;
            if self.json {
                return render::json(&done);
            }
            for damaged in &done.plan.damaged {
                render::line(&format!("{} is whole again", damaged.db))?;
            }
            let aside = done.aside.display();
            return render::line(&format!("the damaged ones are kept in {aside}; next: gt up"));
        }
        let plan = recover::plan(&here.town, &own)?;
        let code = u8::from(!plan.damaged.is_empty());
        if self.json {
            return render::json(&plan).map(|_| code);
        }
        show(&plan)?;
        Ok(code)
    }
}

fn show(plan: &Plan) -> Result<u8, DoorError> {
    for db in &plan.sound {
        render::line(&format!("{db}: no problem found"))?;
    }
    for damaged in &plan.damaged {
        show_damaged(damaged)?;
    }
    match (&plan.token, plan.damaged.is_empty()) {
        (_, true) => render::line("nothing is to be mended"),
        (Some(token), false) => {
            render::line(&format!("if you agree: gt dolt recover --confirm {token}"))
        }
        (None, false) => render::line(
            "not every database can be mended: restore its directory below .dolt-data by hand",
        ),
    }
}

fn show_damaged(damaged: &Damaged) -> Result<u8, DoorError> {
    let Damaged { db, fault, .. } = damaged;
    render::line(&format!("{db}: {fault}"))?;
    let (Some(source), Some(newest)) = (damaged.source, &damaged.newest) else {
        return render::line("  neither Dolt's own repair nor a backup gives a whole database");
    };
    let from = match source {
        Source::Repair => "Dolt's own repair",
        Source::Backup => "the newest backup",
    };
    render::line(&format!(
        "  {from} gives everything up to {} ({})",
        newest.date,
        first_line(&newest.message)
    ))?;
    if !damaged.missing.is_empty() {
        let count = damaged.missing.len();
        render::line(&format!("  {count} commits that are known would be missing:"))?;
    }
    for commit in &damaged.missing {
        let words = first_line(&commit.message);
        render::line(&format!("    {}  {}  {words}", commit.date, commit.hash))?;
    }
    render::line(&format!(
        "  it was last written at {}: what was acknowledged between these times and is not listed \
         would be missing too",
        rfc3339(damaged.written_at)
    ))
}

fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}
