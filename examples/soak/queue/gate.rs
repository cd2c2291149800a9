//! The gate of the queue's soak: what it looks at in a checkout, the moods that come over it, and
//! the log that it writes by itself, out of the town's reach.

use std::fs;
use std::fs::File;
use std::io::ErrorKind;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use super::Fallible;
use super::Seeded;
use super::world::image;

/// The gate's own log: a line for each run, its tree and what it did.
pub(crate) fn log_path(dir: &Path) -> PathBuf {
    dir.join("gate-runs")
}

/// The word of the log for a run that looked and found all well.
pub(crate) const GREEN: &str = "green";
/// The file that makes a target red by itself.
pub(crate) const POISON: &str = "outside/poison.txt";
/// Least tests that the rig demands.
pub(crate) const MIN_TESTS: u32 = 4;
/// Runs in a thousand that are red on a good tree.
pub(crate) const FLAKES: u64 = 10;
/// Runs in a thousand of each kind of lie.
pub(crate) const LIES: u64 = 3;

/// What comes over a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Honest,
    Flaky,
    /// Ends with 0 and says nothing.
    Silent,
    /// Ends with 0 and says that all is well.
    Boastful,
    /// Ends with 0 and says that there was nothing to run.
    Empty,
    /// As if its program were not there.
    Gone,
}

impl Mood {
    /// The mood of a run, the same whenever it is asked.
    fn of(seed: u64, run: &str) -> Self {
        let mixed =
            run.bytes().fold(seed, |sum, byte| Seeded(sum ^ u64::from(byte)).below(u64::MAX));
        match Seeded(mixed).below(1_000) {
            at if at < FLAKES => Self::Flaky,
            at if at < FLAKES + LIES => Self::Silent,
            at if at < FLAKES + 2 * LIES => Self::Boastful,
            at if at < FLAKES + 3 * LIES => Self::Empty,
            at if at < FLAKES + 4 * LIES => Self::Gone,
            _ => Self::Honest,
        }
    }
}

/// The process: DIR SEED, in a checkout. Gives its exit code.
pub(crate) fn run() -> Fallible<u8> {
    let args: Vec<String> = std::env::args().skip(2).collect();
    let [dir, seed] = args.try_into().map_err(|_| "gate DIR SEED")?;
    let tree = git2::Repository::open(".")?.head()?.peel_to_tree()?.id().to_string();
    // Of each run the name is in the path of its scratch directory.
    let run = std::env::var("TMPDIR")?;
    let (word, said, code) = match Mood::of(seed.parse()?, &run) {
        Mood::Silent => ("silent", String::new(), 0),
        Mood::Boastful => ("boastful", "everything is fine, all tests passed".to_owned(), 0),
        Mood::Empty => ("empty", "test result: ok. 0 passed; 0 failed".to_owned(), 0),
        Mood::Gone => ("gone", "sh: 1: run-tests: not found".to_owned(), 127),
        mood @ (Mood::Honest | Mood::Flaky) => match look(Path::new(".")) {
            Err(why) => ("red", format!("{why}\ntest result: FAILED. 0 passed; 1 failed"), 1),
            Ok(_) if mood == Mood::Flaky => ("flake", "a timer was late".to_owned(), 1),
            Ok(count) => (GREEN, format!("test result: ok. {count} passed; 0 failed"), 0),
        },
    };
    let mut log = File::options().create(true).append(true).open(log_path(Path::new(&dir)))?;
    log.write_all(format!("{tree} {word}\n").as_bytes())?;
    println!("{said}");
    Ok(code)
}

/// Looks at a checkout, and at nothing else: the number of its tests, or what is wrong.
pub(crate) fn look(dir: &Path) -> Result<u32, String> {
    let mut count = 0;
    for group in names(&dir.join("budget"))? {
        let mut sum = 0;
        for path in names(&group)? {
            let text = fs::read_to_string(&path).map_err(|error| said(&path, &error))?;
            let value: u32 = text.trim().parse().map_err(|_| said(&path, &"no number"))?;
            sum += value;
        }
        ensure(sum <= 10, &group, "its budgets together are over 10")?;
        count += 1;
    }
    for path in names(&dir.join("tools"))? {
        let meta = fs::symlink_metadata(&path).map_err(|error| said(&path, &error))?;
        ensure(meta.permissions().mode() & 0o111 == 0o111, &path, "not executable")?;
        count += 1;
    }
    for path in names(&dir.join("links"))? {
        fs::read_link(&path).map_err(|error| said(&path, &error))?;
        ensure(path.is_file(), &path, "it leads to no file")?;
        count += 1;
    }
    for path in names(&dir.join("images"))? {
        let stem = path.file_stem().and_then(|stem| stem.to_str()?.strip_prefix('i'));
        let number = stem.and_then(|stem| stem.parse().ok());
        let number = number.ok_or_else(|| said(&path, &"no number"))?;
        let bytes = fs::read(&path).map_err(|error| said(&path, &error))?;
        ensure(bytes == image(number), &path, "other bytes")?;
        count += 1;
    }
    ensure(!dir.join(POISON).exists(), Path::new(POISON), "somebody broke the target")?;
    Ok(count)
}

fn said(path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("{}: {why}", path.display())
}

fn ensure(good: bool, path: &Path, why: &str) -> Result<(), String> {
    if good { Ok(()) } else { Err(said(path, &why)) }
}

/// What is in a directory; nothing when it is not there.
fn names(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(said(dir, &error)),
    };
    let all: Result<Vec<PathBuf>, _> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect();
    all.map_err(|error| said(dir, &error))
}
