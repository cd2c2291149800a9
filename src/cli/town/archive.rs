//! The archive: what the ledger says, as lines of JSON in a git repository of the town's own.
//!
//! A commit per run, if anything changed. Secrets and the identities of processes are left out. A
//! row that decays is in the newest archive before it goes, and in git's history for ever. When far
//! more is gone than decay explains, nothing is written and a person is told.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::fs;
use std::fs::File;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::io::BufRead;
use std::io::BufReader;
use std::io::BufWriter;
use std::io::Write;
use std::marker::PhantomData;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::adapters::git::cli::Git;
use crate::cli::town::error::TownError;
use crate::messages::views::CommentView;
use crate::messages::views::IssueView;
use crate::messages::views::rfc3339;
use crate::model::bead::BeadType;
use crate::model::ids::Db;
use crate::model::rows::Bead;
use crate::model::rows::Change;
use crate::model::rows::Comment;
use crate::model::rows::Convoy;
use crate::model::rows::Dep;
use crate::model::rows::Escalation;
use crate::model::rows::GateRun;
use crate::model::rows::Integration;
use crate::model::rows::Label;
use crate::model::rows::Landing;
use crate::model::rows::Mail;
use crate::model::rows::Member;
use crate::model::rows::MergeRequest;
use crate::model::rows::Session;
use crate::model::table::Row;
use crate::model::table::Table;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::Walk;
use crate::model::value::Cell;
use crate::model::value::Value;

/// The directory, inside the town.
pub const ARCHIVE_DIR: &str = ".dolt-archive";
/// Who commits.
const AUTHOR: &str = "Gas Town archive";
/// Rows read at once.
const PAGE: usize = 500;
/// Of a hundred lines, how many may be gone without a reason.
const GONE_MAX: usize = 50;
/// Lines below which nothing is suspected.
const SMALL: usize = 10;
/// Git as the archive needs it, whatever the person's own settings are.
const SETTINGS: [&str; 4] = [
    "core.excludesFile=/dev/null",
    "core.hooksPath=/dev/null",
    "core.autocrlf=false",
    "commit.gpgSign=false",
];
/// Loose objects above which git packs them.
const LOOSE_MAX: &str = "gc.auto=500";
/// What stands for a secret.
const SCRUBBED: &str = "[scrubbed]";
/// A key that has one of these words has a secret.
const SECRET: [&str; 6] = ["token", "secret", "password", "passwd", "api_key", "credential"];

/// Tables beside the beads, whole but for what [`scrub`] takes.
const TABLES: &[&Table] = &[
    MergeRequest::TABLE,
    Landing::TABLE,
    GateRun::TABLE,
    Integration::TABLE,
    Convoy::TABLE,
    Member::TABLE,
    Mail::TABLE,
    Escalation::TABLE,
    Session::TABLE,
    Change::TABLE,
];

/// What a run of the archive gave.
#[derive(Debug)]
pub enum Archived {
    /// A commit was made; so many lines are in it.
    Committed(usize),
    /// Everything is there already.
    Unchanged,
    /// Nothing was written: more is gone than may be.
    Halted(String),
}

/// The archive of a town.
pub struct Archive {
    dir: PathBuf,
    git: Git,
    /// What ended longer ago may be gone, in milliseconds.
    keep_ms: i64,
}

impl Archive {
    /// The archive below a town's root. Each git command takes at most `timeout`.
    #[must_use]
    pub fn new(root: &Path, timeout: Duration, keep_ms: i64) -> Self {
        let dir = root.join(ARCHIVE_DIR);
        let git = Git::new(&dir, timeout)
            .with_settings(&SETTINGS)
            .with_env("GIT_AUTHOR_NAME", AUTHOR)
            .with_env("GIT_AUTHOR_EMAIL", "archive@gastown.local")
            .with_env("GIT_COMMITTER_NAME", AUTHOR)
            .with_env("GIT_COMMITTER_EMAIL", "archive@gastown.local");
        Self { dir, git, keep_ms }
    }

    /// Brings what stands in `tx` into the archive. `now_ms` is milliseconds since the epoch.
    ///
    /// # Errors
    /// The rows cannot be read, a file not be written, or git fails.
    pub fn run(&self, db: &Db, tx: &mut dyn Tx, now_ms: i64) -> Result<Archived, TownError> {
        self.prepare()?;
        let dir = self.dir.join(db.as_str());
        fs::create_dir_all(&dir).map_err(TownError::io(&dir))?;
        let over = now_ms - self.keep_ms;
        let mut drafts = Vec::new();
        let mut beads = Draft::begin(&dir, "beads")?;
        each_bead(tx, |bead, line| beads.add(bead.id.as_str(), line))?;
        drafts.push(beads);
        for table in TABLES {
            let mut draft = Draft::begin(&dir, table.name)?;
            let mut beads = Side::<Bead>::new();
            each(tx, table, |tx, row| {
                // What a mail says is a bead of its number.
                let of_mail = table.name == Mail::TABLE.name;
                let said = if of_mail { beads.of(tx, &row[0])?.pop() } else { None };
                let (key, line) = line(table, &row, said);
                draft.add(&key, &line)
            })?;
            drafts.push(draft);
        }
        let mut lines = 0;
        for draft in &mut drafts {
            if let Some(why) = draft.suspicious(over)? {
                for draft in &drafts {
                    fs::remove_file(&draft.fresh).map_err(TownError::io(&draft.fresh))?;
                }
                return Ok(Archived::Halted(why));
            }
            lines += draft.keys.len();
        }
        for draft in drafts {
            draft.finish()?;
        }
        self.commit(db, lines)
    }

    fn prepare(&self) -> Result<(), TownError> {
        fs::create_dir_all(&self.dir).map_err(TownError::io(&self.dir))?;
        if !self.dir.join(".git").is_dir() {
            self.git.run(&["init", "--quiet", "--initial-branch", "main"])?;
        }
        // Only this archive uses the repository, one run at a time: a lock is a dead run's.
        let lock = self.dir.join(".git/index.lock");
        match fs::remove_file(&lock) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(TownError::io(&lock)(error))
            }
            _ => Ok(()),
        }
    }

    fn commit(&self, db: &Db, lines: usize) -> Result<Archived, TownError> {
        self.git.run(&["add", "--all", "--force", "--", db.as_str()])?;
        if self.git.run(&["status", "--porcelain", "--", db.as_str()])?.is_empty() {
            return Ok(Archived::Unchanged);
        }
        let words = format!("{db}: {lines} lines");
        self.git.run(&["commit", "--quiet", "--no-verify", "-m", &words, "--", db.as_str()])?;
        let packing = self.git.clone().with_settings(&[LOOSE_MAX, "gc.autoDetach=false"]);
        packing.run(&["gc", "--auto", "--quiet"])?;
        Ok(Archived::Committed(lines))
    }
}

/// All but those whose words are in another file (mail) and those that describe the town as it
/// is: whatever decay may take is in here.
fn is_archived(kind: BeadType) -> bool {
    !matches!(kind, BeadType::Message | BeadType::Agent | BeadType::Role | BeadType::Rig)
}

/// Hands every row of a table to `body`, in the order of keys.
fn each(
    tx: &mut dyn Tx,
    table: &'static Table,
    mut body: impl FnMut(&mut dyn Tx, Vec<Value>) -> Result<(), TownError>,
) -> Result<(), TownError> {
    let mut walk = Walk::new(table, None, PAGE);
    while let Some(scan) = walk.scan() {
        let page = tx.scan(table, scan)?;
        walk.took(&page);
        for row in page {
            body(tx, row)?;
        }
    }
    Ok(())
}

/// Every bead that is archived, with what hangs on it: one walk over each table, side by side, all
/// in the order of the beads' ids.
fn each_bead(
    tx: &mut dyn Tx,
    mut body: impl FnMut(&Bead, &Json) -> Result<(), TownError>,
) -> Result<(), TownError> {
    let (mut labels, mut comments, mut deps) = (Side::new(), Side::new(), Side::new());
    let mut walk = Walk::new(Bead::TABLE, Some("by_id"), PAGE);
    while let Some(scan) = walk.scan() {
        let page = tx.scan(Bead::TABLE, scan)?;
        walk.took(&page);
        for row in page {
            let bead: Bead = read(row)?;
            if is_archived(bead.issue_type) {
                let id = bead.id.to_value();
                let hung = (labels.of(tx, &id)?, comments.of(tx, &id)?, deps.of(tx, &id)?);
                body(&bead, &bead_line(&bead, hung)?)?;
            }
        }
    }
    Ok(())
}

fn read<R: Row>(row: Vec<Value>) -> Result<R, TownError> {
    R::from_values(row).map_err(|source| TxError::BadCell { table: R::TABLE.name, source }.into())
}

/// A walk over rows beside another one, in the order of the first column of their keys.
struct Side<R> {
    walk: Walk,
    page: VecDeque<Vec<Value>>,
    rows: PhantomData<R>,
}

impl<R: Row> Side<R> {
    fn new() -> Self {
        Self { walk: Walk::new(R::TABLE, None, PAGE), page: VecDeque::new(), rows: PhantomData }
    }

    /// The rows whose keys begin so; the ones before them are passed over.
    fn of(&mut self, tx: &mut dyn Tx, begin: &Value) -> Result<Vec<R>, TownError> {
        let first = R::TABLE.position(R::TABLE.key[0]);
        let mut found = Vec::new();
        loop {
            while let Some(row) = self.page.pop_front_if(|row| row[first] <= *begin) {
                if row[first] == *begin {
                    found.push(read(row)?);
                }
            }
            let Some(scan) = self.walk.scan().filter(|_| self.page.is_empty()) else {
                return Ok(found);
            };
            let page = tx.scan(R::TABLE, scan)?;
            self.walk.took(&page);
            self.page = page.into();
        }
    }
}

/// A bead as `bd show --json` prints it, its edges by id.
fn bead_line(
    bead: &Bead,
    (labels, comments, edges): (Vec<Label>, Vec<Comment>, Vec<Dep>),
) -> Result<Json, TownError> {
    let mut view = IssueView::of(bead);
    view.labels = labels.into_iter().map(|row| row.label.to_string()).collect();
    view.comments = comments.iter().map(CommentView::from).collect();
    let mut line = serde_json::to_value(view).map_err(unwritable)?;
    if let Json::Object(fields) = &mut line
        && !edges.is_empty()
    {
        let edges =
            edges.iter().map(|dep| json!({ "id": dep.target, "dependency_type": dep.dep_type }));
        fields.insert("dependencies".to_owned(), edges.collect());
    }
    scrub(&mut line);
    Ok(line)
}

/// A row by its columns; a mail with its words.
fn line(table: &Table, row: &[Value], said: Option<Bead>) -> (String, Json) {
    let mut fields = Map::new();
    for (column, cell) in table.columns.iter().zip(row) {
        let value = match cell {
            Value::Null => continue,
            Value::Int(n) => Json::from(*n),
            Value::Text(text) if text.starts_with(['{', '[']) => {
                serde_json::from_str(text).unwrap_or_else(|_| Json::from(text.as_str()))
            }
            Value::Text(text) => Json::from(text.as_str()),
        };
        // The process behind a session is nobody's business.
        if !(table.name == Session::TABLE.name && matches!(column.name, "host" | "token_hash")) {
            fields.insert(column.name.to_owned(), value);
        }
    }
    if let Some(bead) = said {
        fields.insert("subject".to_owned(), Json::from(bead.title));
        fields.insert("body".to_owned(), Json::from(bead.description));
    }
    let key: Vec<String> = table
        .key_of(row)
        .iter()
        .map(|cell| match cell {
            Value::Text(text) => text.clone(),
            Value::Int(n) => n.to_string(),
            Value::Null => String::new(),
        })
        .collect();
    let mut line = Json::Object(fields);
    scrub(&mut line);
    (key.join(" "), line)
}

/// Takes out whatever a key calls a secret, and the identities of hosts.
fn scrub(value: &mut Json) {
    match value {
        Json::Object(fields) => {
            for (key, value) in fields {
                let key = key.to_lowercase();
                if SECRET.iter().any(|word| key.contains(word)) || key == "boot_id" {
                    *value = Json::from(SCRUBBED);
                } else {
                    scrub(value);
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(scrub),
        // What somebody handed over as the text of an object is an object too.
        Json::String(text) if text.starts_with(['{', '[']) => {
            if let Ok(mut inner @ (Json::Object(_) | Json::Array(_))) = serde_json::from_str(text) {
                scrub(&mut inner);
                *text = inner.to_string();
            }
        }
        Json::String(_) | Json::Number(_) | Json::Bool(_) | Json::Null => {}
    }
}

fn unwritable(error: serde_json::Error) -> TownError {
    TownError::io("a line of the archive")(error.into())
}

/// A file that is being written beside the one of the last run.
struct Draft {
    path: PathBuf,
    fresh: PathBuf,
    out: BufWriter<File>,
    keys: HashSet<u64>,
}

impl Draft {
    fn begin(dir: &Path, name: &str) -> Result<Self, TownError> {
        let path = dir.join(format!("{name}.jsonl"));
        let fresh = dir.join(format!(".{name}.jsonl.new"));
        let out = BufWriter::new(File::create(&fresh).map_err(TownError::io(&fresh))?);
        Ok(Self { path, fresh, out, keys: HashSet::new() })
    }

    /// Adds a line; `key` first, so that it can be found again.
    fn add(&mut self, key: &str, line: &Json) -> Result<(), TownError> {
        let text = serde_json::to_string(line).map_err(unwritable)?;
        writeln!(self.out, "{text}").map_err(TownError::io(&self.fresh))?;
        self.keys.insert(short(key));
        Ok(())
    }

    /// Why the new file cannot be right: too many lines of the old one are gone that had not ended
    /// before `over`.
    fn suspicious(&mut self, over: i64) -> Result<Option<String>, TownError> {
        self.out.flush().map_err(TownError::io(&self.fresh))?;
        let old = match File::open(&self.path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TownError::io(&self.path)(error)),
        };
        let name = self.path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let table = TABLES.iter().find(|table| table.name == name);
        let (mut lines, mut gone) = (0, 0);
        for line in old.lines() {
            let line = line.map_err(TownError::io(&self.path))?;
            let Ok(Json::Object(fields)) = serde_json::from_str(&line) else { continue };
            lines += 1;
            if !self.keys.contains(&short(&key_of(table.copied(), &fields)))
                && !is_over(&fields, over)
            {
                gone += 1;
            }
        }
        let suspicious = lines >= SMALL && gone * 100 > lines * GONE_MAX;
        Ok(suspicious.then(|| {
            format!("{}: {gone} of {lines} lines are gone and had not ended", self.path.display())
        }))
    }

    fn finish(self) -> Result<(), TownError> {
        let out = self
            .out
            .into_inner()
            .map_err(|error| TownError::io(&self.fresh)(error.into_error()))?;
        out.sync_all().map_err(TownError::io(&self.fresh))?;
        fs::rename(&self.fresh, &self.path).map_err(TownError::io(&self.path))
    }
}

fn short(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// The key of a line that was written by an earlier run.
fn key_of(table: Option<&Table>, fields: &Map<String, Json>) -> String {
    let names = table.map_or(&["id"][..], |table| table.key);
    let part = |name: &&str| match fields.get(*name) {
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    names.iter().map(part).collect::<Vec<_>>().join(" ")
}

/// Whether the last thing that a line tells of was before a time: decay may have taken it. A line
/// that has no times goes with another's.
fn is_over(fields: &Map<String, Json>, over: i64) -> bool {
    let text = rfc3339(over);
    let times: BTreeMap<&String, &Json> =
        fields.iter().filter(|(name, _)| name.ends_with("_at") || *name == "at").collect();
    times.values().all(|value| match value {
        Json::Number(ms) => ms.as_i64().is_some_and(|ms| ms < over),
        Json::String(time) => *time < text,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::scrub;
    use serde_json::json;

    #[test]
    fn secrets_are_taken_out_wherever_they_stand() {
        let mut line = json!({
            "a": [{"API_KEY": 1, "kept": 2}], "my_token": {"x": 1}, "text": "{\"password\":\"p\"}"
        });
        scrub(&mut line);
        let clean = json!({
            "a": [{"API_KEY": "[scrubbed]", "kept": 2}],
            "my_token": "[scrubbed]",
            "text": "{\"password\":\"[scrubbed]\"}"
        });
        assert_eq!(line, clean);
    }
}
