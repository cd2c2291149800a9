//! What the program itself can do for databases that do not open: look, revive, restore. It works
//! on directories while no server runs, and on copies: the damaged original is never touched.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use serde::Deserialize;
use serde::Serialize;

use crate::adapters::dolt::DoltError;
use crate::adapters::dolt::Site;
use crate::adapters::files;

/// What the program says of a database without a fault.
const SOUND: &str = "No problems found.";
/// A home for these runs: restoring wants an author.
const HOME: &str = "{\"metrics.disabled\":\"true\",\"versioncheck.disabled\":\"true\",\
    \"user.name\":\"gt-store\",\"user.email\":\"gt-store@gastown.local\"}\n";
/// Its history, newest first.
const HISTORY: &str = "SELECT commit_hash, date, message FROM dolt_log";

/// One commit as the program shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its hash.
    #[serde(rename(deserialize = "commit_hash"))]
    pub hash: String,
    /// When, in UTC.
    pub date: String,
    /// What was done, then the last key.
    pub message: String,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    rows: Vec<Commit>,
}

/// Makes the home that the program wants for its runs.
pub(super) fn make_home(home: &Path) -> Result<(), DoltError> {
    let inner = home.join(".dolt");
    files::private_dir(&inner).map_err(DoltError::io(&inner))?;
    let config = inner.join("config_global.json");
    fs::write(&config, HOME).map_err(DoltError::io(&config))
}

/// Runs the program in a directory, as the server runs, and waits for its end.
pub(super) fn run(
    site: &Site,
    home: &Path,
    dir: &Path,
    args: &[&str],
) -> Result<Output, DoltError> {
    let output = Command::new(&site.program)
        .args(args)
        .current_dir(dir)
        .env_clear()
        .envs(&site.env)
        .envs(site.own_env())
        .env("DOLT_ROOT_PATH", home)
        // One thread of it: the machine is its people's and its server's.
        .env("GOMAXPROCS", "1")
        .stdin(Stdio::null())
        .output();
    output.map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => DoltError::NoProgram(site.program.clone()),
        _ => DoltError::io(&site.program)(source),
    })
}

/// A program's own repairs, with a directory for copies.
pub struct Repair<'a> {
    site: &'a Site,
    work: PathBuf,
}

impl<'a> Repair<'a> {
    /// With an empty directory for copies.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn begin(site: &'a Site) -> Result<Self, DoltError> {
        let work = site.dir.join("recover");
        files::remove_all(&work).map_err(DoltError::io(&work))?;
        make_home(&work.join("home"))?;
        Ok(Self { site, work })
    }

    fn run(&self, dir: &Path, args: &[&str]) -> Result<String, DoltError> {
        let output = run(self.site, &self.work.join("home"), dir, args)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(text(&output.stdout) + &text(&output.stderr))
    }

    /// What is wrong with a database; `None` for one without a fault.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn fault(&self, database: &Path) -> Result<Option<String>, DoltError> {
        let said = self.run(database, &["fsck", "--quiet"])?;
        if said.contains(SOUND) {
            return Ok(None);
        }
        let first = said.lines().map(str::trim).find(|line| !line.is_empty());
        Ok(Some(first.unwrap_or("it says nothing").to_owned()))
    }

    /// The commits of a database, newest first; `None` when they cannot be read.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn commits(&self, database: &Path) -> Result<Option<Vec<Commit>>, DoltError> {
        let said = self.run(database, &["sql", "-r", "json", "-q", HISTORY])?;
        let found = said.lines().find_map(|line| serde_json::from_str::<Answer>(line).ok());
        Ok(found.map(|answer| answer.rows).filter(|rows| !rows.is_empty()))
    }

    /// A copy of a damaged database from which the program has taken what it cannot read; `None`
    /// when it is damaged still.
    ///
    /// # Errors
    /// The copy cannot be made, the program not be run.
    pub fn revived(&self, database: &Path) -> Result<Option<PathBuf>, DoltError> {
        let copy = self.place("revived", database);
        copy_all(database, &copy).map_err(DoltError::io(&copy))?;
        self.run(&copy, &["fsck", "--revive-journal-with-data-loss"])?;
        Ok(self.fault(&copy)?.is_none().then_some(copy))
    }

    /// A database made of a native backup; `None` when there is none, or it is damaged too.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn restored(&self, database: &Path, backup: &Path) -> Result<Option<PathBuf>, DoltError> {
        if !backup.join("manifest").is_file() {
            return Ok(None);
        }
        let copy = self.place("restored", database);
        let Some(parent) = copy.parent() else { return Ok(None) };
        files::private_dir(parent).map_err(DoltError::io(parent))?;
        let url = format!("file://{}", backup.display());
        let name = copy.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let said = self.run(parent, &["backup", "restore", &url, &name])?;
        if !copy.is_dir() {
            tracing::warn!(backup = %backup.display(), said, "a backup cannot be restored");
            return Ok(None);
        }
        Ok(self.fault(&copy)?.is_none().then_some(copy))
    }

    fn place(&self, kind: &str, database: &Path) -> PathBuf {
        self.work.join(kind).join(database.file_name().unwrap_or_default())
    }
}

impl Drop for Repair<'_> {
    /// The copies go, however it ended.
    fn drop(&mut self) {
        if let Err(error) = files::remove_all(&self.work) {
            tracing::warn!(path = %self.work.display(), %error, "copies stay");
        }
    }
}

impl Site {
    /// The directories of the databases, in the order of their names.
    ///
    /// # Errors
    /// The data directory cannot be read.
    pub fn databases(&self) -> Result<Vec<PathBuf>, DoltError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.data).map_err(DoltError::io(&self.data))? {
            let path = entry.map_err(DoltError::io(&self.data))?.path();
            if path.join(".dolt").join("noms").is_dir() {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }
}

/// When a database was last written, in milliseconds since the epoch; 0 when it is not known.
#[must_use]
pub fn written_at(database: &Path) -> i64 {
    let entries = fs::read_dir(database.join(".dolt").join("noms"));
    let times = entries.into_iter().flatten().flatten().filter_map(|entry| {
        let since = entry.metadata().ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH);
        i64::try_from(since.ok()?.as_millis()).ok()
    });
    times.max().unwrap_or(0)
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    files::private_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
