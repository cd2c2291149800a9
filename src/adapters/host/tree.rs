//! Processes by identity: who is alive, who descends from us, and signals to exactly those.
//!
//! A process id alone is no identity: ids are reused. Every signal is sent to a process that was
//! just seen to be ours, through a pidfd where the system has them (I11).

use std::fs;
use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::process::Signal;
use serde::Deserialize;
use serde::Serialize;

/// Time between two looks at a process whose end is no event on this system.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One process, never mistaken for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its id.
    pub pid: i32,
    /// When it started, in clock ticks since boot; 0 where the system does not say.
    pub start_time: u64,
    /// The boot that it started in; empty where the system does not say.
    pub boot_id: String,
}

/// What `/proc/<pid>/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    ppid: i32,
    start_time: u64,
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name in parentheses may hold anything, also parentheses.
    let rest = &text[text.rfind(')')? + 1..];
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        ppid: fields.get(1)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The identity of this boot; empty where the system does not say.
#[must_use]
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |text| text.trim().to_owned())
}

impl ProcessId {
    /// The calling process.
    #[must_use]
    pub fn own() -> Self {
        Self::of(rustix::process::getpid().as_raw_nonzero().get())
    }

    /// The process that has this id now.
    #[must_use]
    pub fn of(pid: i32) -> Self {
        let start_time = stat(pid).map_or(0, |stat| stat.start_time);
        Self { pid, start_time, boot_id: boot_id() }
    }

    /// Whether it still runs. A zombie does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        if self.boot_id != boot_id() {
            return false;
        }
        if self.start_time == 0 {
            return Pid::from_raw(self.pid)
                .is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(Errno::SRCH));
        }
        stat(self.pid)
            .is_some_and(|stat| stat.start_time == self.start_time && !"ZX".contains(stat.state))
    }

    /// Sends it a signal. A process that has ended, or another one that has its id now, gets none.
    pub fn signal(&self, signal: Signal) {
        if !self.is_alive() {
            return;
        }
        signal_one(self.pid, self.start_time, signal);
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        #[cfg(target_os = "linux")]
        if let Some(fd) = self.pin() {
            match watched(fd) {
                Ok(fd) => match fd.readable().await {
                    Ok(_) => return,
                    Err(error) => tracing::debug!(%error, "a process is looked at by the clock"),
                },
                Err(error) => tracing::debug!(%error, "a process is looked at by the clock"),
            }
        }
        while self.is_alive() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A descriptor that tells of its end; `None` when it has ended already.
    #[cfg(target_os = "linux")]
    fn pin(&self) -> Option<std::os::fd::OwnedFd> {
        let raw = Pid::from_raw(self.pid)?;
        let fd = rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty()).ok()?;
        self.is_alive().then_some(fd)
    }
}

/// A descriptor whose readiness is an event.
#[cfg(target_os = "linux")]
#[expect(
    deprecated,
    reason = "its successor is unsafe, for types that give up their descriptor early; this one owns it"
)]
fn watched(fd: std::os::fd::OwnedFd) -> io::Result<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>> {
    tokio::io::unix::AsyncFd::with_interest(fd, tokio::io::Interest::READABLE)
}

/// Takes over the orphans of our descendants, so that no part of the tree can leave it.
///
/// # Errors
/// What the system says; systems without subreapers answer `Ok`.
pub fn become_subreaper() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// The process whose standard input is the file with this device and inode, if the system tells.
#[must_use]
pub fn reader_of(device: u64, inode: u64) -> Option<ProcessId> {
    use std::os::unix::fs::MetadataExt;

    let processes = all_processes().ok()?;
    let has = |pid: i32| {
        fs::metadata(format!("/proc/{pid}/fd/0"))
            .is_ok_and(|meta| meta.dev() == device && meta.ino() == inode)
    };
    let found = processes.into_iter().find(|(pid, stat)| !"ZX".contains(stat.state) && has(*pid));
    found.map(|(pid, _)| ProcessId::of(pid))
}

/// Every process on the machine: (pid, stat).
fn all_processes() -> io::Result<Vec<(i32, Stat)>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect())
}

/// Sends a signal to a process if it is still the one that started at `start_time`.
#[cfg(target_os = "linux")]
fn signal_one(pid: i32, start_time: u64, signal: Signal) {
    use rustix::process::PidfdFlags;
    use rustix::process::pidfd_open;
    use rustix::process::pidfd_send_signal;

    let Some(raw) = Pid::from_raw(pid) else { return };
    let Ok(fd) = pidfd_open(raw, PidfdFlags::empty()) else { return };
    // The fd pins the process; only now is it certain whom the id means.
    if stat(pid).is_some_and(|stat| stat.start_time == start_time)
        && let Err(error) = pidfd_send_signal(&fd, signal)
        && error != Errno::SRCH
    {
        tracing::warn!(pid, %error, "signal not sent");
    }
}

#[cfg(not(target_os = "linux"))]
fn signal_one(pid: i32, _start_time: u64, signal: Signal) {
    if let Some(raw) = Pid::from_raw(pid)
        && let Err(error) = rustix::process::kill_process(raw, signal)
        && error != Errno::SRCH
    {
        tracing::warn!(pid, %error, "signal not sent");
    }
}

/// Signals every descendant of this process; `main` leads the group of the started program,
/// which is all that can be reached where the system has no `/proc`.
pub fn signal_descendants(main: Option<i32>, signal: Signal) {
    let processes = match all_processes() {
        Ok(processes) => processes,
        Err(error) => {
            tracing::debug!(%error, "no /proc; signalling the group");
            if let Some(group) = main.and_then(Pid::from_raw)
                && let Err(error) = rustix::process::kill_process_group(group, signal)
            {
                tracing::debug!(%error, "the group is gone");
            }
            return;
        }
    };
    let mut ours = vec![rustix::process::getpid().as_raw_nonzero().get()];
    let mut at = 0;
    while at < ours.len() {
        let parent = ours[at];
        at += 1;
        for (pid, stat) in processes.iter().filter(|(_, stat)| stat.ppid == parent) {
            ours.push(*pid);
            if !"ZX".contains(stat.state) {
                signal_one(*pid, stat.start_time, signal);
            }
        }
    }
}

/// Kills what a dead host left: every process of ours whose environment has the entry `mark`.
///
/// Gives the number of processes found. On systems without `/proc` nothing is found.
#[must_use]
pub fn kill_marked(mark: &str) -> usize {
    let Ok(processes) = all_processes() else { return 0 };
    let marked: Vec<_> = processes
        .into_iter()
        .filter(|(_, stat)| !"ZX".contains(stat.state))
        .filter(|(pid, _)| {
            // Only the processes of this user are readable, which are the only ones meant.
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|env| env.split(|b| *b == 0).any(|entry| entry == mark.as_bytes()))
        })
        .collect();
    for (pid, stat) in &marked {
        tracing::warn!(pid, "ends a process that a dead host left");
        signal_one(*pid, stat.start_time, Signal::KILL);
    }
    marked.len()
}

#[cfg(test)]
mod tests {
    use super::ProcessId;
    use super::parse_stat;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let text = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 998877 1 2 3";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.state, stat.ppid, stat.start_time), ('S', 7, 998_877));
        assert_eq!(parse_stat("42 (half"), None);
    }

    #[test]
    fn another_start_time_is_another_process() {
        let own = ProcessId::own();
        assert!(own.is_alive());
        let reused = ProcessId { start_time: own.start_time + 1, ..own.clone() };
        assert!(own.start_time == 0 || !reused.is_alive());
        assert!(!ProcessId { boot_id: "another".to_owned(), ..own }.is_alive());
    }
}
