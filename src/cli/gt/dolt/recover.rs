//! `gt dolt recover`.

use clap::Args;

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

/// Put what can be had in the place of damaged databases.
///
/// With a database: puts its newest backup in its place; the town must be down. Without one, in
/// server mode: looks at every database while the town and its server are down, and for each that is
/// damaged tries, on copies, Dolt's own repair and the newest native backup. Either way the first
/// call names what would be missing and prints the word that --confirm wants. What was there is moved
/// aside, not deleted.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gt down\n  gt dolt recover web\n  \
    gt dolt recover web --confirm TOKEN\n  gt up")]
pub struct Recover {
    /// The database whose newest backup is wanted.
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
            return super::upkeep::restore(&here, db, self.confirm.as_deref(), self.json);
        }
        if here.settings.store.dolt_mode == DoltMode::Embedded {
            return Err(DoorError::new("usage", "which database?")
                .hint("name it: 'gt dolt recover DB' ('gt dolt list' shows them)"));
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
