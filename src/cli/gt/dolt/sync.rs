//! `gt dolt sync`: histories are pushed to remotes and pulled from them, by hand.

use clap::Args;
use clap::Subcommand;
use serde_json::json;

use super::database;
use super::told;
use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::model::ids::Db;
use crate::store::error::StoreError;
use crate::store::remote;
use crate::store::remote::Pulled;
use crate::store::remote::Remote;
use crate::store::remote::Stands;

/// Push to a remote, or pull from one.
///
/// A history that has gone two ways is refused, and nothing is ever merged, pushed or pulled by
/// itself. Without --push and --pull it says how both stand. A pull wants the town down.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  gt dolt sync remotes add web origin file:///backup/web\n  \
        gt dolt sync web --push\n  gt dolt sync web\n  gt dolt sync web --pull --remote other"
)]
pub struct Sync {
    #[command(subcommand)]
    remotes: Option<Which>,
    /// The database [default: this directory's].
    db: Option<String>,
    /// The remote.
    #[arg(long, value_name = "NAME", default_value = "origin")]
    remote: String,
    /// Send what the remote has not.
    #[arg(long, conflicts_with = "pull")]
    push: bool,
    /// Make the remote hold this history instead of its own, as after a compaction here. What
    /// only the remote has is lost there.
    #[arg(long, requires = "push")]
    replace: bool,
    /// Take what the remote has more.
    #[arg(long)]
    pull: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// The remotes of a database.
    #[command(subcommand)]
    Remotes(Remotes),
}

#[derive(Debug, Subcommand)]
enum Remotes {
    /// Show them.
    List {
        /// The database [default: this directory's].
        db: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remember one.
    ///
    /// A file:// remote of the embedded engine and one of a Dolt server are of different formats.
    Add {
        /// The database.
        db: String,
        /// Its name.
        name: String,
        /// file:///path, http://host/path or https://host/path.
        url: String,
    },
    /// Forget one; what is there stays.
    Remove {
        /// The database.
        db: String,
        /// Its name.
        name: String,
    },
}

impl Sync {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        if let Some(Which::Remotes(remotes)) = self.remotes {
            return remotes.run(&here);
        }
        let db = database(&here, self.db.as_deref())?;
        known(&here, &db, &self.remote)?;
        let (done, words) = match (self.push, self.pull) {
            (true, _) => push(&here, &db, &self.remote, self.replace)?,
            (_, true) => pull(&here, &db, &self.remote)?,
            _ => compare(&here, &db, &self.remote)?,
        };
        match self.json {
            true => render::json(&json!({"database": db, "remote": self.remote, "state": done})),
            false => render::line(&format!("{db}: {words}")),
        }
    }
}

type Done = Result<(&'static str, String), DoorError>;

fn diverged(remote: &str, common: &str) -> DoorError {
    let common = common.get(..12).unwrap_or(common);
    let text = format!("this history and that of {remote} have gone two ways since {common}");
    DoorError::new("diverged", text).hint(
        "nothing is merged here: keep one of them. A compaction here makes the history anew: then \
         'gt dolt sync DB --push --replace' gives the remote this one; else push it to a remote \
         of another name",
    )
}

/// Refuses a remote that nobody has added.
fn known(here: &Here, db: &Db, remote: &str) -> Result<(), DoorError> {
    let all = here.ledger()?.apart(db, remote::list).map_err(told)?;
    if all.iter().any(|one| one.name == remote) {
        return Ok(());
    }
    let text = format!("{db} knows no remote '{remote}'");
    Err(DoorError::new("not_found", text)
        .hint(format!("add it: 'gt dolt sync remotes add {db} {remote} URL'")))
}

fn compare(here: &Here, db: &Db, remote: &str) -> Done {
    let stands = here.ledger()?.apart(db, |conn| remote::stands(conn, remote)).map_err(told)?;
    Ok(match stands {
        Stands::Empty => ("empty", format!("{remote} has nothing yet")),
        Stands::Same => ("same", format!("{remote} has the same")),
        Stands::Ahead => ("ahead", format!("there is something to push to {remote}")),
        Stands::Behind(_) => ("behind", format!("there is something to pull from {remote}")),
        Stands::Diverged(common) => return Err(diverged(remote, &common)),
    })
}

fn push(here: &Here, db: &Db, remote: &str, replace: bool) -> Done {
    let ledger = here.ledger()?;
    // A remote that was never pushed to cannot be looked at; the engine itself refuses the rest.
    match ledger.apart(db, |conn| remote::stands(conn, remote)) {
        Ok(Stands::Same) => return Ok(("same", format!("{remote} has everything already"))),
        Ok(Stands::Diverged(_)) if replace => {
            ledger.apart(db, |conn| remote::replace(conn, remote)).map_err(told)?;
            return Ok(("replaced", format!("{remote} holds this history now")));
        }
        Ok(Stands::Diverged(common)) => return Err(diverged(remote, &common)),
        Ok(Stands::Behind(_)) => {
            return Err(DoorError::new("behind", format!("{remote} has more than this history"))
                .hint("pull first: 'gt dolt sync DB --pull'"));
        }
        Ok(Stands::Empty | Stands::Ahead) | Err(_) => {}
    }
    ledger
        .apart(db, |conn| remote::push(conn, remote))
        .map_err(|error| told(error).hint("'gt dolt sync remotes list DB' shows what is known"))?;
    Ok(("pushed", format!("pushed to {remote}")))
}

fn pull(here: &Here, db: &Db, remote: &str) -> Done {
    let ledger = here.ledger()?;
    let writer = ledger.writer(db, "a pull", ledger.writer_wait_ms()).map_err(|error| {
        let down = matches!(error, StoreError::Held { .. });
        let error = told(error);
        if down {
            error.hint("a pull wants the town down: 'gt down', pull, 'gt up'")
        } else {
            error
        }
    })?;
    let pulled = ledger.apart(db, |conn| remote::pull(conn, remote)).map_err(told)?;
    drop(writer);
    match pulled {
        Pulled::Nothing => Ok(("same", format!("{remote} has nothing more"))),
        Pulled::Forward(commit) => {
            let commit = commit.get(..12).unwrap_or(&commit).to_owned();
            Ok(("pulled", format!("pulled from {remote}, up to commit {commit}")))
        }
        Pulled::Diverged(common) => Err(diverged(remote, &common)),
        Pulled::OtherSchema(found) => {
            let text = format!("the tables of {remote} have schema {found}, not this program's");
            Err(DoorError::new("store_newer", text)
                .hint("use the same version of gt on both sides"))
        }
    }
}

impl Remotes {
    fn run(self, here: &Here) -> Result<u8, DoorError> {
        let ledger = here.ledger()?;
        match self {
            Self::List { db, json } => {
                let db = database(here, db.as_deref())?;
                let all = ledger.apart(&db, remote::list).map_err(told)?;
                if json {
                    return render::json(&all);
                }
                let rows = all.into_iter().map(|remote| vec![remote.name, remote.url]);
                render::table(&["REMOTE", "URL"], rows.collect())
            }
            Self::Add { db, name, url } => {
                let db = database(here, Some(&db))?;
                let known = ["file://", "http://", "https://"];
                if !known.iter().any(|scheme| url.starts_with(scheme)) {
                    let text = format!("'{url}' is no remote's address");
                    return Err(DoorError::new("usage", text)
                        .hint("use file:///path, http://host/path or https://host/path"));
                }
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                if name.is_empty() || !name.chars().all(plain) {
                    let text = format!("'{name}' cannot name a remote: use a-z A-Z 0-9 _ and -");
                    return Err(DoorError::new("usage", text));
                }
                let remote = Remote { name, url };
                ledger.apart(&db, |conn| remote::add(conn, &remote)).map_err(told)?;
                render::line(&format!("{db} knows {} at {}", remote.name, remote.url))
            }
            Self::Remove { db, name } => {
                let db = database(here, Some(&db))?;
                ledger.apart(&db, |conn| remote::remove(conn, &name)).map_err(told)?;
                render::line(&format!("{db} has forgotten {name}; what is there stays"))
            }
        }
    }
}
