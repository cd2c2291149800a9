//! The stage: a bare remote with a small project, a town beside it, and its daemon.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::adapters::dolt;
use crate::adapters::interrupt;
use crate::adapters::layout::Town;
use crate::adapters::tool::Ended;
use crate::adapters::tool::Tool;
use crate::cli::demo::DemoArgs;
use crate::cli::demo::DemoError;
use crate::cli::demo::screen::Screen;
use crate::cli::gt::install::Engine;
use crate::cli::render;
use crate::cli::town::wiring;
use crate::config::env;
use crate::config::env::Env;

/// The rig's name.
pub(super) const RIG: &str = "demo";
/// The prefix of its ids.
pub(super) const PREFIX: &str = "dm";
/// Exit code of a program that was interrupted, as shells have it.
const INTERRUPTED: i32 = 130;
/// Within it, a step that was interrupted has ended.
const STEP_ENDS: Duration = Duration::from_millis(500);
/// Starts in a row that may fail.
const REVIVALS_MAX: usize = 50;
/// What every change is checked by: budgets must stay within ten, sources must end their lines.
const CHECK: &str = r#"#!/bin/sh
# The project's own gates: "sh check.sh test" and "sh check.sh lint".
case "$1" in
test)
    sum=0
    for file in budget/*.txt; do sum=$((sum + $(cat "$file"))); done
    echo "budget: $sum of 10"
    [ "$sum" -le 10 ] || { echo "the budgets together are over 10"; exit 1; }
    ;;
lint)
    for file in src/*.txt; do
        [ -s "$file" ] || { echo "$file is empty"; exit 1; }
        tail -c 1 "$file" | od -An -c | grep -q '\\n' || { echo "$file: last line is open"; exit 1; }
    done
    echo "sources are tidy"
    ;;
*) echo "usage: check.sh test|lint"; exit 2 ;;
esac
"#;

/// How far the demo is, for the one that ends it.
#[derive(Default)]
struct Ending {
    /// This process was asked to end.
    asked: AtomicBool,
    /// The daemon was started.
    up: AtomicBool,
}

/// Everything that the demo made.
pub(super) struct Stage {
    pub(super) dir: PathBuf,
    pub(super) origin: PathBuf,
    pub(super) town: PathBuf,
    pub(super) layout: Town,
    exe: String,
    tool: Tool,
    ending: Arc<Ending>,
    /// Times that one step of the making is tried.
    tries: usize,
}

impl Stage {
    /// Makes it all and starts the daemon.
    pub(super) fn build(args: &DemoArgs, out: &mut Screen) -> Result<Self, DemoError> {
        let stage = Self::open(args)?;
        stage.end_when_asked(args.keep.is_some())?;
        out.note(&format!("a town in {}", stage.town.display()));
        match stage.furnish(args) {
            Ok(()) => Ok(stage),
            Err(error) => {
                stage.unless_asked_to_end();
                Err(error)
            }
        }
    }

    fn furnish(&self, args: &DemoArgs) -> Result<(), DemoError> {
        let stage = self;
        stage.make_origin()?;
        stage.install(args)?;
        let origin = stage.origin.display().to_string();
        stage.make(&stage.town, &["rig", "add", RIG, &origin, "--prefix", PREFIX])?;
        let red = "echo 'this gate is always red'; exit 1";
        let test = if args.red_gate { red } else { "sh check.sh test" };
        let workers = args.workers.to_string();
        let settings = [
            (format!("rigs.{RIG}.gates.test.cmd"), test.to_owned()),
            (format!("rigs.{RIG}.gates.lint.cmd"), "sh check.sh lint".to_owned()),
            ("limits.polecats_max".to_owned(), workers),
            ("limits.session_backoff_ms".to_owned(), "200".to_owned()),
        ];
        // Deaths that are meant say nothing of the sessions or of the server.
        let patience = [
            ("limits.session_exits_max".to_owned(), "200".to_owned()),
            ("limits.server_crash_period_ms".to_owned(), "1000".to_owned()),
        ];
        let more = patience.into_iter().filter(|_| args.expects_deaths());
        for (key, value) in settings.into_iter().chain(more) {
            stage.gt(&["config", "set", &key, &value])?;
        }
        stage.make(&stage.town, &["up"])?;
        stage.ending.up.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn install(&self, args: &DemoArgs) -> Result<(), DemoError> {
        let town = self.town.display().to_string();
        if args.store == Engine::Embedded {
            return self.make(&self.dir, &["install", &town]);
        }
        let port = dolt::free_port().map_err(DemoError::io("127.0.0.1"))?.to_string();
        let mut words = vec!["install", &town, "--store", "server", "--port", &port];
        if let Some(program) = &args.dolt {
            words.extend(["--dolt", program]);
        }
        self.make(&self.dir, &words)?;
        // It outlives this command: the next one needs it, and the daemon finds it.
        self.make(&self.town, &["dolt", "start"])
    }

    fn open(args: &DemoArgs) -> Result<Self, DemoError> {
        let exe = env::exe().map_err(DemoError::io("gt"))?;
        let dir = match &args.keep {
            Some(dir) => dir.clone(),
            None => std::env::temp_dir().join(format!("gt-demo-{}", std::process::id())),
        };
        fs::create_dir_all(&dir).map_err(DemoError::io(&dir))?;
        let dir = dir.canonicalize().map_err(DemoError::io(&dir))?;
        let mut entries = fs::read_dir(&dir).map_err(DemoError::io(&dir))?;
        if entries.next().is_some() {
            return Err(DemoError::Odd(format!(
                "{} is not empty: name a directory that is, or none",
                dir.display()
            )));
        }
        let town = dir.join("town");
        let layout = wiring::town(&town, Env::read().runtime_dir.as_ref());
        // Nothing of a surrounding town or session may reach this one.
        let clear = ["GT_ROOT", "GT_TOKEN", "GT_ROLE", "GT_RIG", "BD_ACTOR", "BEADS_DIR"];
        let env: BTreeMap<String, String> =
            clear.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        Ok(Self {
            origin: dir.join("origin.git"),
            exe: exe.display().to_string(),
            ending: Arc::default(),
            tries: if args.expects_deaths() { REVIVALS_MAX } else { 1 },
            tool: Tool { cwd: town.clone(), env },
            town,
            layout,
            dir,
        })
    }

    /// `gt` anywhere; where deaths are expected it is repeated until it is done.
    fn make(&self, cwd: &Path, args: &[&str]) -> Result<(), DemoError> {
        let tool = self.tool(cwd);
        for _ in 1..self.tries {
            if tool.end(&self.exe, args)?.ok {
                return Ok(());
            }
        }
        tool.run(&self.exe, args)?;
        Ok(())
    }

    /// `gt` in the town's root.
    pub(super) fn gt(&self, args: &[&str]) -> Result<String, DemoError> {
        Ok(self.tool.run(&self.exe, args)?)
    }

    /// `bd` in the town's root.
    pub(super) fn bd(&self, args: &[&str]) -> Result<String, DemoError> {
        let bd = self.layout.bin().join("bd").display().to_string();
        Ok(self.tool.run(&bd, args)?)
    }

    /// `gt` in the town's root, whatever comes of it.
    pub(super) fn gt_end(&self, args: &[&str]) -> Result<Ended, DemoError> {
        Ok(self.tool.end(&self.exe, args)?)
    }

    /// `bd` in the town's root, whatever comes of it.
    pub(super) fn bd_end(&self, args: &[&str]) -> Result<Ended, DemoError> {
        let bd = self.layout.bin().join("bd").display().to_string();
        Ok(self.tool.end(&bd, args)?)
    }

    /// Starts the daemon, again and again if it dies at its start.
    pub(super) fn revive(&self) -> Result<(), DemoError> {
        let mut last = String::new();
        for _ in 0..REVIVALS_MAX {
            let ended = self.gt_end(&["up"])?;
            if ended.ok {
                return Ok(());
            }
            last = ended.stderr;
        }
        Err(DemoError::Odd(format!("the daemon does not stay up: {last}")))
    }

    /// Any program in a directory of the demo.
    pub(super) fn tool(&self, cwd: &Path) -> Tool {
        Tool { cwd: cwd.to_owned(), env: self.tool.env.clone() }
    }

    /// Git on the remote.
    pub(super) fn git(&self, args: &[&str]) -> Result<String, DemoError> {
        Ok(self.tool(&self.origin).run("git", args)?)
    }

    /// What `gt mq proof` says: `clean`, or what is wrong.
    pub(super) fn proof(&self) -> Result<String, DemoError> {
        let ended = self.tool.end(&self.exe, &["mq", "proof", RIG])?;
        Ok(if ended.ok { "clean".to_owned() } else { ended.stderr.trim().to_owned() })
    }

    fn make_origin(&self) -> Result<(), DemoError> {
        let work = self.dir.join("seed");
        let files = [
            ("README.md", "# A small project\n"),
            ("check.sh", CHECK),
            ("src/hello.txt", "hello\n"),
            ("budget/base.txt", "4\n"),
        ];
        for (name, text) in files {
            let path = work.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(DemoError::io(parent))?;
            }
            fs::write(&path, text).map_err(DemoError::io(&path))?;
        }
        let tool = self.tool(&work);
        let author = ["-c", "user.name=founder", "-c", "user.email=founder@localhost"];
        tool.run("git", &["init", "--quiet", "--initial-branch=main"])?;
        tool.run("git", &["add", "--all"])?;
        tool.run("git", &[&author[..], &["commit", "--quiet", "-m", "a project"]].concat())?;
        let origin = self.origin.display().to_string();
        tool.run("git", &["clone", "--quiet", "--bare", ".", &origin])?;
        // The remote's own record of every move of main, for the auditor.
        self.git(&["config", "core.logAllRefUpdates", "true"])?;
        fs::remove_dir_all(&work).map_err(DemoError::io(&work))
    }

    /// When this process is asked to end, the town goes down first and its files go with it.
    fn end_when_asked(&self, keep: bool) -> Result<(), DemoError> {
        let (tool, exe, dir) = (self.tool.clone(), self.exe.clone(), self.dir.clone());
        let (ending, town) = (self.ending.clone(), self.layout.clone());
        let then = move || {
            ending.asked.store(true, Ordering::SeqCst);
            if !ending.up.load(Ordering::SeqCst) {
                // The step that this ended too may have left something that is just starting.
                std::thread::park_timeout(STEP_ENDS);
            }
            let down = match town.town_json().exists() {
                true => tool.run(&exe, &["down"]).map(|_| ()),
                false => Ok(()),
            };
            if let Err(error) = &down {
                render::complain(&format!("gt: the demo's town may still run: {error}"));
            }
            match (down, keep) {
                (Ok(_), false) => match fs::remove_dir_all(&dir) {
                    Ok(()) => render::complain("gt: the demo was stopped; its town is gone"),
                    Err(error) => render::complain(&format!("gt: {}: {error}", dir.display())),
                },
                _ => render::complain(&format!("gt: stopped; its files are in {}", dir.display())),
            }
            std::process::exit(INTERRUPTED);
        };
        interrupt::on_request(then).map_err(DemoError::io("signals"))
    }

    /// Does not come back when this process is asked to end: what fails meanwhile is no news, and
    /// the one that ends it needs the time.
    pub(super) fn unless_asked_to_end(&self) {
        std::thread::park_timeout(STEP_ENDS);
        while self.ending.asked.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }

    /// Removes everything that the demo made.
    pub(super) fn remove(&self) -> Result<(), DemoError> {
        fs::remove_dir_all(&self.dir).map_err(DemoError::io(&self.dir))
    }
}
