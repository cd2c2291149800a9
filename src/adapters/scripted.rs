//! An agent without a model: it follows instructions in the bead, by `gt`, `bd`, git and the shell.
//!
//! It knows no more than a real agent would: what `gt` and `bd` tell it, its worktree, and its
//! environment. Each step is a line in a log of its own, so that a reader who does not trust the
//! town can tell what was really done. Instructions stand in fenced blocks of the description:
//!
//! ```text
//! write PATH: TEXT      append PATH: TEXT      run: COMMAND      sleep: MILLISECONDS
//! crash-once            hang                   rework: any of these, for a later attempt
//! ```

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::adapters::clock;

/// Longest sleep that an instruction may ask for, in milliseconds.
const SLEEP_MAX_MS: u64 = 600_000;

/// Who and where this agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The town's root.
    pub root: PathBuf,
    /// The session, which names the log.
    pub session: String,
    /// Its address, as its commits carry it.
    pub actor: String,
    /// The worktree.
    pub cwd: PathBuf,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the file hold this text.
    Write(String, String),
    /// Add this text to the file.
    Append(String, String),
    /// Run a shell command; its failure is the agent's.
    Run(String),
    /// Wait, in milliseconds.
    Sleep(u64),
    /// Die by a signal, the first time that any agent comes here with this bead.
    CrashOnce,
    /// Never go on.
    Hang,
}

/// The steps of a first attempt, and those of a later one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// First attempt.
    pub first: Vec<Step>,
    /// After a verdict; empty means that the first ones are done again.
    pub rework: Vec<Step>,
}

/// Why the agent gave up.
#[derive(Debug, thiserror::Error)]
pub enum ScriptedError {
    /// An instruction that cannot be read.
    #[error("instruction '{line}': {why}")]
    Instruction {
        /// The line.
        line: String,
        /// What is wrong.
        why: String,
    },
    /// A program that failed.
    #[error("`{command}` failed ({status}): {said}")]
    Command {
        /// What was run.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it said.
        said: String,
    },
    /// A program that answered something else than JSON of the known shape.
    #[error("`{command}` answered {why}")]
    Answer {
        /// What was run.
        command: String,
        /// What was wrong with it.
        why: String,
    },
    /// A file or process.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> ScriptedError {
    let what = what.into();
    move |source| ScriptedError::Io { what, source }
}

/// Reads the instructions of a description. Lines of a block that are none are text for people,
/// unless the block is marked `script`: there each must be one.
///
/// # Errors
/// [`ScriptedError::Instruction`].
pub fn parse(description: &str) -> Result<Script, ScriptedError> {
    let mut script = Script::default();
    let mut strict = None;
    for line in description.lines() {
        let line = line.trim();
        if let Some(info) = line.strip_prefix("```") {
            strict = match strict {
                Some(_) => None,
                None => Some(info.trim() == "script"),
            };
            continue;
        }
        let Some(strict) = strict else { continue };
        let rework = line.strip_prefix("rework:").map(str::trim);
        match step(rework.unwrap_or(line))? {
            Some(step) if rework.is_some() => script.rework.push(step),
            Some(step) => script.first.push(step),
            None if strict && !line.is_empty() && !line.starts_with('#') => {
                let why = "known are write, append, run, sleep, crash-once, hang, rework";
                return Err(ScriptedError::Instruction { line: line.into(), why: why.into() });
            }
            None => {}
        }
    }
    Ok(script)
}

fn step(line: &str) -> Result<Option<Step>, ScriptedError> {
    let bad = |why: &str| ScriptedError::Instruction { line: line.into(), why: why.into() };
    let text = |text: &str| text.trim().replace("\\n", "\n");
    let (verb, rest) = match line.split_once(':') {
        Some((verb, rest)) => (verb.trim(), rest),
        None => (line, ""),
    };
    let words: Vec<&str> = verb.split_whitespace().collect();
    Ok(Some(match words.as_slice() {
        ["write", path] => Step::Write(inside(path).ok_or_else(|| bad(OUTSIDE))?, text(rest)),
        ["append", path] => Step::Append(inside(path).ok_or_else(|| bad(OUTSIDE))?, text(rest)),
        ["run"] => Step::Run(rest.trim().to_owned()),
        ["sleep"] => {
            let ms: u64 = rest.trim().parse().map_err(|_| bad("sleep: MILLISECONDS"))?;
            Step::Sleep(ms.min(SLEEP_MAX_MS))
        }
        ["crash-once"] => Step::CrashOnce,
        ["hang"] => Step::Hang,
        _ => return Ok(None),
    }))
}

const OUTSIDE: &str = "the path must stay inside the worktree";

fn inside(path: &str) -> Option<String> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !path.is_empty()).then(|| path.to_owned())
}

/// One piece of work, as `gt hook` and `bd show` tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Job {
    id: String,
    title: String,
    description: String,
    /// The merge request of the earlier attempt that came back.
    returned: Option<String>,
}

impl Job {
    fn message(&self) -> String {
        match &self.returned {
            None => format!("{} ({})", self.title, self.id),
            Some(mr) => format!("{} ({}) after {mr}", self.title, self.id),
        }
    }
}

impl Agent {
    /// Does what is on the hook, from `gt prime` to `gt done`. Blocks.
    ///
    /// # Errors
    /// [`ScriptedError`]; the town starts the next session then.
    pub fn run(&self) -> Result<(), ScriptedError> {
        let told = self.work();
        match &told {
            Ok(()) => self.log("end", "ok"),
            Err(error) => self.log("failed", error.to_string()),
        }
        told
    }

    fn work(&self) -> Result<(), ScriptedError> {
        self.log("start", self.cwd.display().to_string());
        let primer = self.tool("gt", &["prime"])?;
        self.log("prime", format!("{} bytes", primer.len()));
        let Some(job) = self.job()? else {
            self.log("hook", "empty");
            return Ok(());
        };
        self.log("hook", &job.id);
        let message = job.message();
        if self.git(&["log", "-1", "--format=%s"])? != message {
            self.attempt(&job, &message)?;
        }
        if let Err(error) = self.tool("gt", &["done"]) {
            if !error.to_string().contains("there is no commit on top") {
                return Err(error);
            }
            self.tool("gt", &["done", "--no-change", "the instructions changed nothing"])?;
        }
        self.log("done", &job.id);
        Ok(())
    }

    /// The bead on the hook, read as a worker reads it.
    fn job(&self) -> Result<Option<Job>, ScriptedError> {
        let hook = self.json("gt", &["hook", "--json"])?;
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let id = text(&hook["bead"], "id");
        if id.is_empty() {
            return Ok(None);
        }
        let shown = self.json("bd", &["show", &id, "--json"])?;
        let bead = if shown.is_array() { shown[0].clone() } else { shown };
        let returned = hook["returned"]["id"].as_str().map(str::to_owned);
        let returned = match returned {
            None => self.verdict_by_mail(&id)?,
            known => known,
        };
        let (title, description) = (text(&bead, "title"), text(&bead, "description"));
        Ok(Some(Job { id, title, description, returned }))
    }

    /// The merge request of the newest verdict about this bead in the inbox.
    fn verdict_by_mail(&self, bead: &str) -> Result<Option<String>, ScriptedError> {
        let inbox = self.json("gt", &["mail", "inbox", "--json"])?;
        let issue = format!("Issue: {bead}");
        let mut verdicts = inbox.as_array().into_iter().flatten().filter(|mail| {
            let kind = mail["type"].as_str().unwrap_or_default();
            let body = mail["body"].as_str().unwrap_or_default();
            matches!(kind, "MERGE_FAILED" | "REWORK_REQUEST") && body.lines().any(|l| l == issue)
        });
        let mr = |mail: &Value| {
            let body = mail["body"].as_str().unwrap_or_default();
            body.lines().find_map(|line| line.strip_prefix("MR: ")).map(str::to_owned)
        };
        Ok(verdicts.next_back().and_then(mr))
    }

    fn attempt(&self, job: &Job, message: &str) -> Result<(), ScriptedError> {
        // What a session before this one left half-written is done again from the start.
        self.git(&["reset", "--hard", "--quiet"])?;
        self.git(&["clean", "-fdq"])?;
        let script = parse(&job.description)?;
        let steps = match (&job.returned, script.rework.is_empty()) {
            (Some(_), false) => script.rework,
            _ => script.first,
        };
        if steps.is_empty() {
            let path = format!("work/{}.md", job.id);
            self.step(job, &Step::Write(path, format!("{}\n\n{}", job.title, job.description)))?;
        }
        for step in &steps {
            self.step(job, step)?;
        }
        self.git(&["add", "--all"])?;
        if self.git(&["diff", "--cached", "--name-only"])?.is_empty() {
            self.log("commit", "nothing to commit");
            return Ok(());
        }
        self.git(&["commit", "--quiet", "-m", message])?;
        self.log("commit", self.git(&["rev-parse", "HEAD"])?);
        Ok(())
    }

    fn step(&self, job: &Job, step: &Step) -> Result<(), ScriptedError> {
        match step {
            Step::Write(path, text) => {
                let at = self.made(path)?;
                fs::write(at, with_end(text)).map_err(io_error(path))?;
                self.log("write", path);
            }
            Step::Append(path, text) => {
                let at = self.made(path)?;
                let opened = OpenOptions::new().create(true).append(true).open(at);
                opened
                    .and_then(|mut file| file.write_all(with_end(text).as_bytes()))
                    .map_err(io_error(path))?;
                self.log("append", path);
            }
            Step::Run(command) => {
                self.tool("/bin/sh", &["-c", command])?;
                self.log("run", command);
            }
            Step::Sleep(ms) => {
                self.log("sleep", ms.to_string());
                std::thread::sleep(Duration::from_millis(*ms));
            }
            Step::CrashOnce => self.crash_once(&job.id)?,
            Step::Hang => {
                self.log("hang", "");
                loop {
                    std::thread::park();
                }
            }
        }
        Ok(())
    }

    fn made(&self, path: &str) -> Result<PathBuf, ScriptedError> {
        let at = self.cwd.join(path);
        if let Some(dir) = at.parent() {
            fs::create_dir_all(dir).map_err(io_error(path))?;
        }
        Ok(at)
    }

    fn crash_once(&self, bead: &str) -> Result<(), ScriptedError> {
        let mark = self.logs().join(format!("{bead}.crashed"));
        match OpenOptions::new().write(true).create_new(true).open(&mark) {
            Ok(_) => {
                self.log("crash", bead);
                let me = rustix::process::getpid();
                rustix::process::kill_process(me, rustix::process::Signal::KILL)
                    .map_err(|error| io_error("die")(error.into()))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.log("no crash", bead);
                Ok(())
            }
            Err(error) => Err(io_error(mark.display().to_string())(error)),
        }
    }

    fn git(&self, arguments: &[&str]) -> Result<String, ScriptedError> {
        self.tool("git", arguments)
    }

    fn json(&self, program: &str, arguments: &[&str]) -> Result<Value, ScriptedError> {
        let text = self.tool(program, arguments)?;
        serde_json::from_str(&text).map_err(|error| ScriptedError::Answer {
            command: format!("{program} {}", arguments.join(" ")),
            why: error.to_string(),
        })
    }

    fn tool(&self, program: &str, arguments: &[&str]) -> Result<String, ScriptedError> {
        let command = format!("{program} {}", arguments.join(" "));
        let output = Command::new(program)
            .args(arguments)
            .current_dir(&self.cwd)
            .stdin(Stdio::null())
            .output()
            .map_err(io_error(&command))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        let from = said.char_indices().rev().nth(999).map_or(0, |(at, _)| at);
        let said = said[from..].trim().to_owned();
        Err(ScriptedError::Command { command, status: output.status.to_string(), said })
    }

    fn logs(&self) -> PathBuf {
        self.root.join("logs").join("agents")
    }

    /// One line of JSON. A log that cannot be written does not stop the work.
    fn log(&self, step: &str, detail: impl AsRef<str>) {
        let line = json!({
            "at_ms": clock::now_ms(),
            "session": self.session,
            "actor": self.actor,
            "step": step,
            "detail": detail.as_ref(),
        });
        let path = self.logs().join(format!("{}.log", self.session));
        let written = fs::create_dir_all(self.logs()).and_then(|()| {
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            file.write_all(format!("{line}\n").as_bytes())
        });
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "the agent's log cannot be written");
        }
    }
}

fn with_end(text: &str) -> String {
    if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

#[cfg(test)]
mod tests {
    use super::Script;
    use super::Step;
    use super::parse;

    #[test]
    fn instructions_stand_in_fences() {
        let text = "Please do.\nwrite out.txt: not fenced\n```\nwrite a/b.txt: one: two\\nthree\n\
             append log: x\nrun: echo hi\nsleep: 20\nsome prose\ncrash-once\n\
             rework: write a/b.txt: mended\n```\nhang\n";
        let wanted = Script {
            first: vec![
                Step::Write("a/b.txt".into(), "one: two\nthree".into()),
                Step::Append("log".into(), "x".into()),
                Step::Run("echo hi".into()),
                Step::Sleep(20),
                Step::CrashOnce,
            ],
            rework: vec![Step::Write("a/b.txt".into(), "mended".into())],
        };
        assert_eq!(parse(text).unwrap(), wanted);
        assert_eq!(parse("no fence at all").unwrap(), Script::default());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in ["write ../x: y", "write /etc/x: y", "sleep: long", "```script\nwriet a: b"] {
            let text =
                if line.starts_with("```") { line.to_owned() } else { format!("```\n{line}") };
            assert!(parse(&text).is_err(), "{line}");
        }
    }
}
