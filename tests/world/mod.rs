//! The production world against real repositories and real processes.

mod complaints;
// These follow processes by pidfd.
#[cfg(target_os = "linux")]
mod gates;
mod git_place;
mod git_stack;
mod histories;
#[cfg(target_os = "linux")]
mod host;
mod integration;
#[cfg(target_os = "linux")]
mod line;
mod neighbour;
mod queue_soak;
mod rig;
#[cfg(target_os = "linux")]
mod verdicts;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use gastown::adapters::git::Landing;
use gastown::adapters::layout::Town;
use gastown::adapters::rig_setup::RigMade;
use gastown::adapters::rig_setup::RigSetup;
use gastown::adapters::world::RealWorld;
use gastown::adapters::world::RigSite;
use gastown::adapters::world::World;
use gastown::adapters::world::WorldSettings;
use gastown::model::effect::Candidate;
use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::effect::Place;
use gastown::model::ids::RigName;
use gastown::model::ids::Sha;
use gastown::model::merge::LandingStyle;
use gastown::model::merge::Stacked;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::process::Pid;
use rustix::process::PidfdFlags;

/// The longest that anything here may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs git and gives what it printed.
fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=ann", "-c", "user.email=ann@example.org"])
        .args(arguments)
        .current_dir(dir)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?} in {}: {said}", dir.display());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Writes files and commits them; gives the commit.
fn commit(dir: &Path, message: &str, files: &[(&str, &str)]) -> Sha {
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        git(dir, &["add", name]);
    }
    git(dir, &["commit", "--quiet", "--allow-empty", "-m", message]);
    Sha(git(dir, &["rev-parse", "HEAD"]))
}

/// A town with one rig, cloned from a repository with one commit.
struct TestTown {
    dir: tempfile::TempDir,
    town: Town,
    rig: RigName,
    source: PathBuf,
    world: RealWorld,
    made: RigMade,
}

impl TestTown {
    /// With a bare remote, which can be pushed to.
    fn new() -> Self {
        Self::with(true)
    }

    fn with(bare: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let seed = dir.path().join("seed");
        std::fs::create_dir(&seed).unwrap();
        git(&seed, &["init", "--quiet", "-b", "main"]);
        let lines = (1..=20).map(|n| format!("line {n}\n")).collect::<String>();
        commit(&seed, "first", &[("README", "hello\n"), ("text", &lines)]);
        let source = if bare {
            git(dir.path(), &["clone", "--quiet", "--bare", "seed", "origin.git"]);
            dir.path().join("origin.git")
        } else {
            seed
        };
        let town = Town::new(dir.path().join("gt")).with_runtime_dir(dir.path());
        let rig = RigName::from("demo");
        let made = setup(&town, &rig, &source).make().unwrap();
        let mut settings = settings();
        let (target, landing) = (made.target.clone(), made.landing);
        let site = RigSite { prefix: "dm".to_owned(), target, landing };
        settings.rigs.insert(rig.clone(), site);
        let world = RealWorld::new(town.clone(), settings);
        Self { dir, town, rig, source, world, made }
    }

    async fn perform(&self, effect: Effect) -> Outcome {
        tokio::time::timeout(DEADLINE, self.world.perform(effect)).await.expect("in time")
    }

    fn place(&self, name: &str, incarnation: i64) -> Place {
        Place { rig: self.rig.clone(), name: name.to_owned(), incarnation }
    }

    fn worktree(&self, name: &str) -> PathBuf {
        self.town.polecat_worktree(&self.rig, name)
    }

    fn canonical(&self) -> PathBuf {
        self.town.canonical(&self.rig)
    }

    /// The target's commit in the remote.
    fn target(&self) -> Sha {
        Sha(git(&self.source, &["rev-parse", "refs/heads/main"]))
    }

    async fn make(&self, name: &str, branch: &str, incarnation: i64) -> Sha {
        let place = self.place(name, incarnation);
        let branch = branch.to_owned();
        match self.perform(Effect::MakeWorktree { place, branch, start: None }).await {
            Outcome::Worktree { head } => head,
            other => panic!("{other:?}"),
        }
    }

    /// A worker's whole branch: worktree, one commit, pushed.
    async fn branch(&self, name: &str, files: &[(&str, &str)]) -> Candidate {
        let branch = format!("polecat/{name}-1");
        self.make(name, &branch, 1).await;
        let head = commit(&self.worktree(name), name, files);
        let place = self.place(name, 1);
        let push = Effect::Push { place, branch: branch.clone(), head: head.clone() };
        let pushed = self.perform(push).await;
        assert!(matches!(pushed, Outcome::Pushed { .. }), "{pushed:?}");
        Candidate { mr: format!("dm-{name}").as_str().into(), branch, head, whole: false }
    }

    async fn stack(&self, candidates: Vec<Candidate>) -> Outcome {
        self.stack_as(LandingStyle::Rebase, candidates).await
    }

    async fn stack_as(&self, style: LandingStyle, candidates: Vec<Candidate>) -> Outcome {
        let (rig, target) = (self.rig.clone(), "main".to_owned());
        self.perform(Effect::BuildStack { rig, number: 1, target, style, candidates }).await
    }

    async fn land(&self, base: &Sha, items: &[Stacked]) -> Outcome {
        let tip = items.last().map_or(base, |item| &item.commit).clone();
        self.perform(Effect::Land {
            rig: self.rig.clone(),
            target: "main".to_owned(),
            base: base.clone(),
            tip,
            items: items.to_vec(),
        })
        .await
    }
}

fn setup(town: &Town, rig: &RigName, source: &Path) -> RigSetup {
    RigSetup {
        town: town.clone(),
        rig: rig.clone(),
        source: source.display().to_string(),
        target: None,
        owner_email: "ann@example.org".to_owned(),
        timeout: DEADLINE,
    }
}

fn settings() -> WorldSettings {
    let path = std::env::var("PATH").unwrap();
    WorldSettings {
        exe: PathBuf::from(env!("CARGO_BIN_EXE_gt")),
        owner_email: "ann@example.org".to_owned(),
        base_env: BTreeMap::from([("PATH".to_owned(), path)]),
        grace_ms: 200,
        ..WorldSettings::default()
    }
}

/// A pipe with a name, by which a script says one thing to the test.
struct Fifo {
    path: PathBuf,
    heard: mpsc::Receiver<String>,
}

impl Fifo {
    fn new(dir: &Path, name: &str) -> Self {
        let path = dir.join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (say, heard) = mpsc::channel();
        let of = path.clone();
        std::thread::spawn(move || {
            let mut text = String::new();
            std::fs::File::open(of).unwrap().read_to_string(&mut text).unwrap();
            say.send(text.trim().to_owned())
        });
        Self { path, heard }
    }

    fn hear(&self) -> String {
        self.heard.recv_timeout(DEADLINE).expect("the script says something in time")
    }
}

/// A process that is known by a handle, so that its end can be waited for.
struct Process(rustix::fd::OwnedFd);

impl Process {
    fn of(pid: &str) -> Self {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        Self(rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap())
    }

    /// Whether it ends before the deadline.
    fn ends(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let tv_sec = DEADLINE.as_secs().try_into().unwrap();
        let deadline = Timespec { tv_sec, tv_nsec: 0 };
        loop {
            match rustix::event::poll(&mut fds, Some(&deadline)) {
                // Some child of this process has ended.
                Err(rustix::io::Errno::INTR) => {}
                found => return found.unwrap() == 1,
            }
        }
    }
}

fn is_canonical(made: &RigMade) -> bool {
    made.landing == Landing::Canonical
}
