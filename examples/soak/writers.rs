//! One writer in a process of its own. What it was told stands, it writes to a file of its own,
//! and syncs it, before it writes on.

use std::fs::File;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gastown::model::bead::DepType;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::ops::Refused;
use gastown::model::value::Name;
use gastown::store::error::GroupError;
use gastown::store::server::Server;
use gastown::store::writer::Settled;
use gastown::store::writer::Submission;
use gastown::store::writer::Writer;

use crate::tools::Fallible;
use crate::tools::gt;
use crate::tools::now_ms;
use crate::towns;

/// The label of every bead that a soak's writer makes.
pub(crate) const LABEL: &str = "soak";
/// Between two writes of one writer: it is a busy town that is killed, not a full one.
const PACE: Duration = Duration::from_millis(60);
/// Before a write that failed is tried again.
const AGAIN: Duration = Duration::from_millis(25);

/// Line words of a writer's log.
pub(crate) const TRY: &str = "try";
pub(crate) const ACK: &str = "ack";
pub(crate) const LIE: &str = "lie";

/// The id of a writer's bead: the writer's number and its own count.
pub(crate) fn bead_id(prefix: &str, writer: usize, count: u64) -> BeadId {
    BeadId(format!("{prefix}-w{writer}x{count}"))
}

/// Where a writer logs.
pub(crate) fn log_path(dir: &Path, writer: usize) -> PathBuf {
    dir.join(format!("writer-{writer}.log"))
}

/// A writer's log, with what it tried last.
struct Log {
    file: File,
    next: u64,
}

impl Log {
    fn open(path: &Path) -> Fallible<Self> {
        let mut file = File::options().create(true).read(true).append(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // What was tried last may stand or not: it is tried again.
        let mut tried = text.lines().filter_map(|line| line.strip_prefix(TRY)?.trim().parse().ok());
        Ok(Self { file, next: tried.next_back().unwrap_or(0) })
    }

    fn tried(&mut self) -> Fallible<()> {
        Ok(writeln!(self.file, "{TRY} {}", self.next)?)
    }

    fn acknowledged(&mut self) -> Fallible<()> {
        writeln!(self.file, "{ACK} {}", self.next)?;
        self.file.sync_data()?;
        self.next += 1;
        Ok(())
    }

    fn lie(&mut self, words: &str) -> Fallible<()> {
        Ok(writeln!(self.file, "{LIE} {} {words}", self.next)?)
    }
}

/// A writer that was started, and the pipe whose end tells it to stop.
pub(crate) struct Started(Child);

impl Started {
    /// Starts a writer over commands (`None`) or over a server.
    pub(crate) fn start(dir: &Path, number: usize, server: Option<&Server>) -> Fallible<Self> {
        let port = server.map_or_else(|| "bd".to_owned(), |server| server.port.to_string());
        let child = Command::new(std::env::current_exe()?)
            .arg("writer")
            .args([dir.display().to_string(), number.to_string(), port])
            .stdin(Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }

    /// Tells it to finish what it does, and waits for it.
    pub(crate) fn stop(mut self) -> Fallible<()> {
        drop(self.0.stdin.take());
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { Err(format!("a writer ended with {status}").into()) }
    }
}

/// The process: DIR NUMBER (`bd` | PORT). It ends at the end of its standard input.
pub(crate) fn writer() -> Fallible<bool> {
    let args: Vec<String> = std::env::args().skip(2).collect();
    let [dir, number, port] = args.try_into().map_err(|_| "writer DIR NUMBER (bd | PORT)")?;
    let (dir, number) = (PathBuf::from(dir), number.parse()?);
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    std::thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        told.store(true, Ordering::SeqCst);
    });
    let log = Log::open(&log_path(&dir, number))?;
    if port == "bd" {
        by_command(&dir.join("town"), number, log, &stop)?;
    } else {
        let server = crate::dolt::address(port.parse()?);
        by_ledger(&dir, number, server, log, &stop)?;
    }
    Ok(true)
}

/// Whole `bd` processes: through the daemon where it runs, by themselves where it does not.
fn by_command(root: &Path, number: usize, mut log: Log, stop: &AtomicBool) -> Fallible<()> {
    let bd = gt().with_file_name("bd");
    while !stop.load(Ordering::SeqCst) {
        let id = bead_id("ap", number, log.next);
        let mut command = Command::new(&bd);
        command.args(["create", &format!("bead of {id}"), "--id", id.as_str(), "-l", LABEL]);
        command.args(["-d", &words(number, log.next), "--rig", "app", "--json"]);
        if log.next > 0 {
            command.arg("--deps").arg(format!("related:{}", bead_id("ap", number, log.next - 1)));
        }
        log.tried()?;
        let output = command.current_dir(root).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || said.contains("already exists") {
            // It was the answer that was lost, not the bead.
            log.acknowledged()?;
            std::thread::sleep(PACE);
        } else {
            std::thread::sleep(AGAIN);
        }
    }
    Ok(())
}

/// A writer lane over the server, in a database of its own; it settles what it was not told.
fn by_ledger(
    dir: &Path,
    number: usize,
    server: Server,
    mut log: Log,
    stop: &AtomicBool,
) -> Fallible<()> {
    let ledger = towns::ledger(&dir.join("town"), Some(server));
    let db = database(number);
    let mut lane: Option<Writer> = None;
    // Whether the last try may stand although nobody said so: only across a restart of this process.
    let mut open = true;
    while !stop.load(Ordering::SeqCst) {
        let mut writer = match lane.take() {
            Some(writer) => writer,
            None => match ledger.writer(&db, "soak", 5_000) {
                Ok(writer) => writer,
                Err(_) => {
                    std::thread::sleep(AGAIN);
                    continue;
                }
            },
        };
        log.tried()?;
        match write(&mut writer, number, log.next, stop) {
            Ok(true) => log.acknowledged()?,
            Ok(false) => {}
            Err(Refused::Exists(_)) => {
                if !open {
                    log.lie("exists, though it was called absent")?;
                }
                log.acknowledged()?;
            }
            Err(other) => return Err(other.into()),
        }
        open = false;
        lane = Some(writer);
    }
    Ok(())
}

/// Each writer's database on the server.
pub(crate) fn database(number: usize) -> Db {
    Db(format!("w{number}"))
}

/// One transaction; whether it stands. An outcome that is not known is settled first.
fn write(
    writer: &mut Writer,
    number: usize,
    count: u64,
    stop: &AtomicBool,
) -> Result<bool, Refused> {
    let mut new = NewBead {
        id: Some(bead_id("ap", number, count)),
        title: format!("bead {count} of {number}"),
        description: words(number, count),
        labels: vec![Name::from(LABEL)],
        ..NewBead::default()
    };
    if count > 0 {
        new.deps.push((DepType::Related, bead_id("ap", number, count - 1)));
    }
    let one = Submission { actor: format!("writer-{number}"), ops: vec![Op::Create(new)] };
    match writer.commit_group(std::slice::from_ref(&one), now_ms()) {
        Ok(answers) => answers.into_iter().next().map_or(Ok(false), |answer| answer.map(|_| true)),
        Err(GroupError::Unknown(_)) => loop {
            match writer.settle() {
                Ok(settled) => return Ok(settled == Settled::Stands),
                Err(_) if stop.load(Ordering::SeqCst) => return Ok(false),
                Err(_) => std::thread::sleep(AGAIN),
            }
        },
        Err(_) => {
            std::thread::sleep(AGAIN);
            Ok(false)
        }
    }
}

/// A description of a usual size, the same for the same bead.
pub(crate) fn words(number: usize, count: u64) -> String {
    format!("what writer {number} wants done as its piece {count} of work; ").repeat(6)
}
