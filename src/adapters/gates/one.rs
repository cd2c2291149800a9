//! One gate: its host, its output, its verdict.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::adapters::files;
use crate::adapters::gates::GateError;
use crate::adapters::gates::GateRun;
use crate::adapters::gates::at;
use crate::adapters::gates::could_not;
use crate::adapters::gates::count;
use crate::adapters::gates::disk::LOOK_EVERY;
use crate::adapters::gates::disk::Room;
use crate::adapters::gates::environment;
use crate::adapters::gates::file_name;
use crate::adapters::gates::log_name;
use crate::adapters::host::EndRecord;
use crate::adapters::host::HostCommand;
use crate::adapters::host::HostDir;
use crate::adapters::host::HostKind;
use crate::adapters::host::HostSpec;
use crate::adapters::host::log;
use crate::adapters::host::tree;
use crate::adapters::layout::Town;
use crate::adapters::world::WorldSettings;
use crate::model::agent::Exit;
use crate::model::merge::GateResult;
use crate::model::merge::GateSpec;
use crate::model::merge::TestsWanted;
use crate::model::merge::Verdict;

/// Most lines and bytes of output that a result carries.
const TAIL_LINES: usize = 40;
const TAIL_BYTES: u64 = 4096;

/// One gate of a run.
pub(super) struct One {
    exe: PathBuf,
    pub(super) gate: GateSpec,
    dir: HostDir,
    log: PathBuf,
    cwd: PathBuf,
    pub(super) shown: String,
    mark: String,
}

impl One {
    pub(super) fn prepare(
        town: &Town,
        settings: &WorldSettings,
        request: &GateRun,
        gate: &GateSpec,
    ) -> Result<Self, GateError> {
        let run = &request.run;
        let dir = HostDir(town.gate_hosts(run).join(file_name(&gate.name)));
        let tmp = dir.0.join("tmp");
        files::private_dir(&tmp).map_err(at(run, "gate directory"))?;
        let (log, shown) = log_name(town, request, gate);
        let mut env = environment(settings);
        env.insert("TMPDIR".to_owned(), tmp.display().to_string());
        let mark = format!("TMPDIR={}", tmp.display());
        let cwd = town.run(&request.rig, run);
        let spec = HostSpec {
            kind: HostKind::Gate,
            command: HostCommand::Shell(gate.cmd.clone()),
            cwd: cwd.clone(),
            env,
            mark: mark.clone(),
            log: log.clone(),
            log_max_bytes: settings.log_max_bytes,
            timeout_ms: Some(u64::try_from(gate.timeout_ms).unwrap_or(0).max(1)),
            grace_ms: settings.grace_ms,
            socket: None,
        };
        files::write_json_quick(&dir.spec(), &spec).map_err(at(run, "gate spec"))?;
        Ok(Self { exe: settings.exe.clone(), gate: gate.clone(), dir, log, cwd, shown, mark })
    }

    pub(super) async fn run(self) -> GateResult {
        let mut room = Room::new();
        let ended = self.host(&mut room).await;
        let (gate, shown) = (self.gate.clone(), self.shown.clone());
        let conclude = tokio::task::spawn_blocking(move || self.conclude(ended, room));
        conclude.await.unwrap_or_else(|error| could_not(&gate, &error.to_string(), shown))
    }

    /// The answer of a gate whose host has ended.
    fn conclude(self, ended: io::Result<()>, room: Room) -> GateResult {
        let tail = files::tail(&self.log, TAIL_LINES, TAIL_BYTES).unwrap_or_else(|error| {
            tracing::warn!(log = %self.shown, %error, "no tail of the log");
            String::new()
        });
        let (verdict, reason) = match ended.and_then(|()| self.dir.end_record()) {
            Ok(Some(end)) => {
                let full = room.was_none(&tail, &self.dir.0.join("tmp"));
                match (judge(&end, self.gate.timeout_ms, full, &tail), &self.gate.tests) {
                    ((Verdict::Passed, _), Some(wanted)) => enough(&self.log, wanted),
                    (judged, _) => judged,
                }
            }
            Ok(None) => {
                let left = tree::kill_marked(&self.mark);
                tracing::warn!(gate = %self.gate.name, left, "the gate's host vanished");
                (Verdict::CouldNotRun, "its host vanished".to_owned())
            }
            Err(error) => (Verdict::CouldNotRun, format!("its host did not run: {error}")),
        };
        let (verdict, reason) = match (self.gate.setup, verdict) {
            // Without what it prepares nothing can be said of the commit.
            (true, Verdict::Failed) => (Verdict::CouldNotRun, format!("the setup step: {reason}")),
            _ => (verdict, reason),
        };
        GateResult { name: self.gate.name, verdict, reason, log: self.shown, tail }
    }

    /// Runs the host to its end. Its standard input is held open until then: should this process
    /// go, the host sees the end of it and ends the gate.
    async fn host(&self, room: &mut Room) -> io::Result<()> {
        let said = std::fs::File::create(self.dir.host_log())?;
        let mut child = Command::new(&self.exe)
            .arg("session-host")
            .arg(&self.dir.0)
            .env_clear()
            .current_dir(Path::new("/"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()?;
        let held = child.stdin.take();
        let status = loop {
            room.look(&self.cwd);
            room.look(&self.dir.0);
            if let Ok(status) = tokio::time::timeout(LOOK_EVERY, child.wait()).await {
                break status?;
            }
        };
        room.look(&self.cwd);
        room.look(&self.dir.0);
        drop(held);
        tracing::debug!(gate = %self.gate.name, %status, "gate host ended");
        Ok(())
    }
}

/// The verdict of an end.
fn judge(end: &EndRecord, timeout_ms: i64, full: bool, tail: &str) -> (Verdict, String) {
    if end.timed_out {
        return (Verdict::CouldNotRun, format!("no answer within {timeout_ms} ms"));
    }
    if let Some(why) = &end.log_lost {
        return (Verdict::CouldNotRun, format!("its output could not be written: {why}"));
    }
    match (&end.exit, full) {
        (Exit::Code(0), _) => (Verdict::Passed, "exit code 0".to_owned()),
        (Exit::Code(code), true) => {
            (Verdict::CouldNotRun, format!("the disk was full while it ran (exit code {code})"))
        }
        (Exit::Code(126), _) => (Verdict::CouldNotRun, "its command is not executable".to_owned()),
        (Exit::Code(127), _) => {
            let why = match tail.lines().rev().find(|line| line.contains("not found")) {
                Some(line) => format!("its command was not found: {}", line.trim()),
                None => "exit code 127, as of a command that is not found".to_owned(),
            };
            (Verdict::CouldNotRun, why)
        }
        // What a shell says of a program that somebody killed, most often for its memory.
        (Exit::Code(code @ (137 | 143)), _) => {
            (Verdict::CouldNotRun, format!("a program of it was killed (exit code {code})"))
        }
        (Exit::Code(code), _) => (Verdict::Failed, format!("exit code {code}")),
        (Exit::Signal(signal), _) => (Verdict::CouldNotRun, format!("ended by signal {signal}")),
        (Exit::Stopped, _) => (Verdict::CouldNotRun, "stopped".to_owned()),
        (Exit::Vanished, _) => (Verdict::CouldNotRun, "its host vanished".to_owned()),
        (Exit::NotStarted(why), _) => (Verdict::CouldNotRun, format!("not started: {why}")),
    }
}

/// The verdict of a gate that ended well, by the tests that it tells of.
fn enough(path: &Path, wanted: &TestsWanted) -> (Verdict, String) {
    let mut output = String::new();
    for half in [log::older(path), path.to_owned()] {
        match std::fs::read(&half) {
            Ok(bytes) => output.push_str(&String::from_utf8_lossy(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return (Verdict::CouldNotRun, format!("{}: {error}", half.display())),
        }
    }
    let min = wanted.min;
    match count::tests(&output, wanted.pattern.as_deref()) {
        Some(count) if count >= min => (Verdict::Passed, format!("exit code 0, {count} tests")),
        Some(count) => {
            let why = format!("exit code 0, but it ran {count} tests; at least {min} are demanded");
            (Verdict::CouldNotRun, why)
        }
        None => {
            let why = format!("exit code 0, but it tells of no tests; at least {min} are demanded");
            (Verdict::CouldNotRun, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EndRecord;
    use super::judge;
    use crate::model::agent::Exit;
    use crate::model::merge::Verdict;

    #[test]
    fn only_an_answer_of_the_program_is_a_verdict() {
        let of = |exit, timed_out, log_lost| {
            judge(&EndRecord { exit, ended_at: 0, timed_out, log_lost }, 10, false, "").0
        };
        let full = EndRecord { exit: Exit::Code(1), ended_at: 0, timed_out: false, log_lost: None };
        assert_eq!(judge(&full, 10, true, "").0, Verdict::CouldNotRun);
        assert_eq!(of(Exit::Code(0), false, None), Verdict::Passed);
        assert_eq!(of(Exit::Code(1), false, None), Verdict::Failed);
        assert_eq!(of(Exit::Code(0), true, None), Verdict::CouldNotRun);
        assert_eq!(of(Exit::Code(0), false, Some("full".to_owned())), Verdict::CouldNotRun);
        for exit in [
            Exit::Code(126),
            Exit::Code(127),
            Exit::Code(137),
            Exit::Signal(9),
            Exit::Stopped,
            Exit::Vanished,
            Exit::NotStarted(String::new()),
        ] {
            assert_eq!(of(exit.clone(), false, None), Verdict::CouldNotRun, "{exit:?}");
        }
    }
}
