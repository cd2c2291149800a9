//! `bd init`: beads of a plain directory.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use serde_json::json;

use crate::adapters::files;
use crate::adapters::layout::Town;
use crate::cli::books::LedgerBooks;
use crate::cli::context::PREFIX_KEY;
use crate::cli::error;
use crate::cli::render;
use crate::config::DoltMode;
use crate::config::env::Env;
use crate::config::town::Metadata;
use crate::gateway::books::Books;
use crate::messages::door::DoorError;
use crate::model::ids::Db;
use crate::model::ops::Op;
use crate::model::value::Name;
use crate::store::error::StoreError;
use crate::store::ledger::Ledger;
use crate::store::ledger::Settings;

/// The database of a directory's own beads.
const DATABASE: &str = "beads";
/// Longest prefix.
const PREFIX_MAX: usize = 16;

/// Make a place for beads in a plain directory.
///
/// In a town there is one already: 'gt install' and 'gt rig add' make it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bd init\n  bd init --prefix notes")]
pub(super) struct Init {
    /// What ids begin with [default: the directory's name].
    #[arg(short, long)]
    prefix: Option<String>,
}

impl Init {
    pub(super) fn run(
        self,
        env: &Env,
        directory: Option<&Path>,
        actor: Option<&str>,
        (as_json, quiet): (bool, bool),
    ) -> Result<u8, DoorError> {
        let dir = directory.map_or_else(|| env.cwd.clone(), |dir| env.cwd.join(dir));
        let config = |text: String| DoorError::new("config", text);
        let dir =
            dir.canonicalize().map_err(|error| config(format!("{}: {error}", dir.display())))?;
        if let Some(town) = Town::discover(&dir) {
            let text = format!("{} is in the town at {}", dir.display(), town.root().display());
            return Err(DoorError::new("exists", text)
                .hint("its beads are there already: 'bd where' tells; 'gt rig add' makes a rig"));
        }
        let beads = dir.join(".beads");
        if beads.join("metadata.json").exists() || beads.join("redirect").exists() {
            let text = format!("{} is there already", beads.display());
            return Err(DoorError::new("exists", text).hint("'bd where' tells what it belongs to"));
        }
        let prefix = match self.prefix {
            Some(prefix) => checked(prefix.trim_end_matches('-'))?,
            None => suggested(&dir),
        };
        let db = make(&dir, &beads, &prefix, actor.unwrap_or("overseer"))?;
        if as_json {
            return render::json(&json!({"path": beads, "prefix": prefix, "database": db}));
        }
        if quiet {
            return Ok(error::OK);
        }
        render::line(&format!("beads are kept in {}; ids begin with '{prefix}-'", beads.display()))
    }
}

fn make(dir: &Path, beads: &Path, prefix: &str, actor: &str) -> Result<Db, DoorError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| DoorError::new("io", format!("{path}: {error}"))
    };
    files::private_dir(beads).map_err(failed(beads))?;
    let ignore = beads.join(".gitignore");
    files::write_atomic(&ignore, b".dolt-data/\n", 0o644).map_err(failed(&ignore))?;
    let db = Db::from(DATABASE);
    let ledger = Ledger::open(beads, Settings::default());
    match ledger.create_db(&db) {
        // An earlier try made the database and was cut short before it was written down.
        Ok(()) | Err(StoreError::Exists { .. }) => {}
        Err(error) => return Err(DoorError::new("unavailable", error.to_string())),
    }
    let books = LedgerBooks::new(ledger, vec![(db.clone(), prefix.to_owned())]);
    let op = Op::SetMeta { name: Name::from("prefix"), value: prefix.to_owned() };
    books
        .submit(&db, actor, vec![op])
        .map_err(|error| DoorError::new("unavailable", error.to_string()))?;
    let mut metadata = Metadata::new(DATABASE, DoltMode::Embedded);
    metadata.more = BTreeMap::from([(PREFIX_KEY.to_owned(), json!(prefix))]);
    // Last: by this file the place is known.
    files::write_json(&beads.join("metadata.json"), &metadata).map_err(failed(dir))?;
    Ok(db)
}

fn fits(prefix: &str) -> bool {
    prefix.len() <= PREFIX_MAX
        && prefix.starts_with(|c: char| c.is_ascii_lowercase())
        && prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !prefix.ends_with('-')
}

fn checked(prefix: &str) -> Result<String, DoorError> {
    if fits(prefix) && prefix != "hq" {
        return Ok(prefix.to_owned());
    }
    let text = format!("'{prefix}' cannot be a prefix");
    Err(DoorError::new("usage", text).hint(format!(
        "use 1 to {PREFIX_MAX} of a-z, 0-9 and '-', a letter first; 'hq' is a town's"
    )))
}

/// The directory's name as far as it can be a prefix.
fn suggested(dir: &Path) -> String {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let kept: String = name
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        .skip_while(|c| !c.is_ascii_lowercase())
        .take(PREFIX_MAX)
        .collect();
    if fits(&kept) && kept != "hq" { kept } else { "bd".to_owned() }
}
