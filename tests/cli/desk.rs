//! A directory in which commands are called, with a home of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// What a command printed and how it ended.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    #[track_caller]
    pub fn refused(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self.err
    }
}

/// A directory with a home of its own, so that no person's git settings matter.
pub struct Desk {
    dir: TempDir,
}

impl Desk {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let desk = Self { dir };
        fs::create_dir(desk.path("home")).unwrap();
        desk.git(".", &["config", "--global", "user.name", "Ada"]);
        desk.git(".", &["config", "--global", "user.email", "ada@example.org"]);
        desk.git(".", &["config", "--global", "init.defaultBranch", "main"]);
        desk
    }

    /// With a town.
    pub fn town() -> Self {
        let desk = Self::new();
        desk.gt(".", &["install", "town"]).ok();
        desk
    }

    pub fn path(&self, below: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(below)
    }

    pub fn run(&self, program: &str, below: &str, args: &[&str]) -> Said {
        let output = Command::new(program)
            .args(args)
            .current_dir(self.path(below))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    pub fn gt(&self, below: &str, args: &[&str]) -> Said {
        self.run(env!("CARGO_BIN_EXE_gt"), below, args)
    }

    pub fn git(&self, below: &str, args: &[&str]) -> String {
        self.run("git", below, args).ok()
    }

    /// A repository with one commit on main.
    pub fn repository(&self, name: &str) {
        self.git(".", &["init", "--quiet", name]);
        fs::write(self.path(name).join("README.md"), "hello\n").unwrap();
        self.git(name, &["add", "."]);
        self.git(name, &["commit", "--quiet", "-m", "first"]);
    }

    /// A bare repository with one commit on main.
    pub fn bare(&self, name: &str) {
        self.repository("seed-of-bare");
        self.git(".", &["clone", "--quiet", "--bare", "seed-of-bare", name]);
    }

    pub fn json(&self, below: &str, args: &[&str]) -> Value {
        serde_json::from_str(&self.gt(below, args).ok()).unwrap()
    }

    pub fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }
}
