//! What the soaks share: a scratch place, whole processes, what the system says of them, a table.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use gastown::adapters::layout::Town;
use gastown::gateway::client;
use gastown::messages::door::Call;
use gastown::messages::door::PROTOCOL;
use gastown::messages::door::Request;
use gastown::model::ids::Db;
use gastown::model::ops::Fact;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;

use crate::flags;

pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

pub(crate) fn gt() -> PathBuf {
    let exe = std::env::current_exe().expect("a program knows where it is");
    exe.parent().and_then(Path::parent).expect("examples are below the profile").join("gt")
}

pub(crate) fn run(cwd: &Path, args: &[&str]) -> Fallible<String> {
    let output = Command::new(gt()).args(args).current_dir(cwd).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("gt {}: {text}", args.join(" ")).into())
}

pub(crate) fn scratch(name: &str) -> Fallible<PathBuf> {
    let dir = std::env::temp_dir().join(format!("gt-soak-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

pub(crate) struct Usage {
    pub(crate) ticks: u64,
    pub(crate) rss_kb: u64,
}

pub(crate) fn usage(pid: u32) -> Fallible<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let rss_kb = rss.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    Ok(Usage { ticks: ticks(11) + ticks(12), rss_kb })
}

pub(crate) fn bytes_below(dir: &Path) -> Fallible<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() { bytes_below(&entry.path())? } else { meta.len() };
    }
    Ok(sum)
}

/// Processes whose parent is this one, by number.
pub(crate) fn children(pid: u32) -> Fallible<Vec<u32>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|text| text.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{child}/stat")) else { continue };
        let parent = stat.rsplit(')').next().unwrap_or_default().split_whitespace().nth(1);
        if parent == Some(pid.to_string().as_str()) {
            all.push(child);
        }
    }
    Ok(all)
}

pub(crate) fn daemon_pid(town: &Path) -> Fallible<u32> {
    Ok(fs::read_to_string(town.join("daemon/daemon.pid"))?.trim().parse()?)
}

pub(crate) fn row(what: &str, value: &str, bound: &str, ok: bool) -> bool {
    println!("{what:<44} {value:>16}   {bound:<22} {}", if ok { "ok" } else { "SHORT" });
    ok
}

/// Processes and threads started since boot, machine-wide.
pub(crate) fn forks() -> Fallible<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("processes "));
    Ok(line.unwrap_or("0").trim().parse()?)
}

pub(crate) fn make_repository(at: &Path) -> Fallible<()> {
    fs::create_dir_all(at)?;
    fs::write(at.join("README.md"), "app\n")?;
    let git = |args: &[&str]| -> Fallible<()> {
        let name = ["-c", "user.name=o", "-c", "user.email=o@localhost"];
        let status = Command::new("git").args(name).args(args).current_dir(at).status()?;
        if status.success() { Ok(()) } else { Err(format!("git {args:?}").into()) }
    };
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "-m", "first"])
}

pub(crate) fn quantile(list: &[f64], q: f64) -> f64 {
    let mut sorted = list.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() - 1) as f64 * q).round() as usize;
    sorted[at]
}

pub(crate) fn write(town: &Town, db: &str, ops: Vec<Op>) -> Fallible<Vec<Fact>> {
    let request = Request::Write { db: Db::from(db), ops };
    let call = Call { protocol: PROTOCOL, town: None, token: None, actor: None, request };
    Ok(client::call(&town.socket_path(), &call, Duration::from_secs(60))?.facts)
}

pub(crate) fn new_bead(title: String) -> NewBead {
    NewBead { title, ..NewBead::default() }
}

/// The word after a flag of this soak, `--kills 10`.
pub(crate) fn flag(name: &str) -> Option<String> {
    let mut args = std::env::args().skip(2).skip_while(|arg| arg != name);
    args.next().and_then(|_| args.next())
}

/// A flag's number.
pub(crate) fn number(name: &str, default: u64) -> Fallible<u64> {
    flag(name).map_or(Ok(default), |text| flags::number(name, &text))
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
