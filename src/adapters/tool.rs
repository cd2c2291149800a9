//! Runs a program to its end and gives its output: for the demo, which uses the town from outside.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// How programs are run.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Where.
    pub cwd: PathBuf,
    /// Environment beside the caller's.
    pub env: BTreeMap<String, String>,
}

/// Why a program gave no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It could not be started.
    #[error("{program} cannot be started: {source}; is it installed?")]
    Start {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// It said no.
    #[error("{command} ended with {code}: {stderr}")]
    Failed {
        /// The command.
        command: String,
        /// The exit code, or the signal in words.
        code: String,
        /// What it said.
        stderr: String,
    },
}

/// A program's end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Whether it said yes.
    pub ok: bool,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Tool {
    /// Runs a program and gives whatever came of it.
    ///
    /// # Errors
    /// [`ToolError::Start`].
    pub fn end(&self, program: &str, args: &[&str]) -> Result<Ended, ToolError> {
        let output = Command::new(program)
            .args(args)
            .current_dir(&self.cwd)
            .envs(&self.env)
            .stdin(Stdio::null())
            .output()
            .map_err(|source| ToolError::Start { program: program.to_owned(), source })?;
        Ok(Ended {
            ok: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: format!(
                "{}{}",
                String::from_utf8_lossy(&output.stderr),
                if output.status.code().is_none() {
                    format!("({})", output.status)
                } else {
                    String::new()
                }
            ),
        })
    }

    /// Runs a program that should say yes, and gives what it printed.
    ///
    /// # Errors
    /// [`ToolError`].
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String, ToolError> {
        let ended = self.end(program, args)?;
        if ended.ok {
            return Ok(ended.stdout);
        }
        let name = program.rsplit('/').next().unwrap_or(program);
        Err(ToolError::Failed {
            command: format!("{name} {}", args.join(" ")),
            code: "an error".to_owned(),
            stderr: ended.stderr.trim().to_owned(),
        })
    }
}
