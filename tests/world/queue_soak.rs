//! The checker of `tools/soak queue` sees what it is there to see: planted by hand, each is found.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use super::git;

#[path = "../../examples/soak/queue/checker.rs"]
mod checker;
#[path = "../../examples/soak/queue/gate.rs"]
#[allow(dead_code, reason = "only what it looks at is wanted here, not the program")]
mod gate;
#[path = "../../examples/soak/queue/git.rs"]
mod git;
#[path = "../../examples/soak/seeded.rs"]
mod seeded;
#[path = "../../examples/soak/queue/world.rs"]
#[allow(dead_code, reason = "only its history is wanted here, not its authors")]
mod world;

use checker::Found;
use checker::Places;
use checker::Submitted;
use seeded::Seeded;
use world::Kind;
use world::Shape;
use world::World;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// A remote with a target, and somebody with a clone who lands what the test says.
struct Stage {
    dir: tempfile::TempDir,
    world: World,
    submitted: Vec<Submitted>,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world = World::new(Shape { seed: 3, mrs: 400, files: 60 });
        for name in ["remote.git", "authors.git"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            git(&dir.path().join(name), &["init", "--quiet", "--bare", "-b", "main"]);
        }
        let mut stage = Self { dir, world, submitted: Vec::new() };
        let (remote, authors) = (stage.path("remote.git"), stage.path("authors.git"));
        git(&remote, &["config", "core.logAllRefUpdates", "always"]);
        let (stream, marks) = stage.world.history();
        let stream_path = stage.path("stream");
        fs::write(&stream_path, stream).unwrap();
        let marks_path = stage.path("marks");
        let done = Command::new("git")
            .args(["fast-import", "--quiet", "--force"])
            .arg(format!("--export-marks={}", marks_path.display()))
            .current_dir(&authors)
            .stdin(Stdio::from(fs::File::open(stream_path).unwrap()))
            .status();
        assert!(done.unwrap().success());
        let text = fs::read_to_string(marks_path).unwrap();
        let commit = |mark: usize| {
            let start = format!(":{mark} ");
            text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().to_owned()
        };
        stage.submitted = (marks.into_iter().enumerate())
            .map(|(number, own)| Submitted {
                number,
                commits: own.into_iter().map(commit).collect(),
            })
            .collect();
        git(&authors, &["push", "--quiet", &remote.display().to_string(), "main"]);
        let work = stage.path("work").display().to_string();
        git(stage.dir.path(), &["clone", "--quiet", "remote.git", &work]);
        git(&stage.path("work"), &["fetch", "--quiet", "../authors.git", "scratch"]);
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The first merge request of this kind.
    fn one(&self, kind: impl Fn(Kind) -> bool) -> usize {
        self.world.mrs.iter().find(|mr| kind(mr.kind)).unwrap().number
    }

    /// Puts a merge request's commits on the target of the clone.
    fn pick(&self, number: usize) {
        // The commits of the others are in no branch that was fetched.
        let objects = self.path("authors.git/objects").display().to_string();
        let alternates = self.path("work/.git/objects/info/alternates");
        fs::write(alternates, format!("{objects}\n")).unwrap();
        for commit in &self.submitted[number].commits {
            git(&self.path("work"), &["cherry-pick", commit]);
        }
    }

    /// Pushes the clone's target; the gate's log has the tree as `word`.
    fn push(&self, word: &str) -> String {
        let work = self.path("work");
        git(&work, &["push", "--quiet", "--force", "origin", "main"]);
        let tree = git(&work, &["rev-parse", "HEAD^{tree}"]);
        let log = self.path("gate-runs");
        let before = fs::read_to_string(&log).unwrap_or_default();
        fs::write(log, format!("{before}{tree} {word}\n")).unwrap();
        git(&work, &["rev-parse", "HEAD"])
    }

    fn land(&self, number: usize) -> String {
        self.pick(number);
        self.push(gate::GREEN)
    }

    fn look(&self) -> Found {
        let path = |name| self.path(name);
        let places = Places {
            remote: &path("remote.git"),
            authors: &path("authors.git"),
            gate_log: &path("gate-runs"),
            outside: &path("outside"),
            scratch: &path("checkout"),
        };
        Found::look(&places, &self.submitted).unwrap()
    }
}

/// Everything that is wrong but what is lost.
fn wrong(found: &Found) -> usize {
    let lists = [&found.red, &found.unproven, &found.dropped, &found.strange];
    let sets = [&found.doubled, &found.torn];
    lists.iter().map(|list| list.len()).sum::<usize>()
        + sets.iter().map(|set| set.len()).sum::<usize>()
}

fn plain(kind: Kind) -> bool {
    matches!(kind, Kind::Lines { commits: false, .. })
}

#[test]
fn a_sound_target_of_every_kind_of_change_is_found_sound() {
    let stage = Stage::new();
    let kinds: [fn(Kind) -> bool; 11] = [
        plain,
        |kind| matches!(kind, Kind::Lines { commits: true, .. }),
        |kind| kind == Kind::Add,
        |kind| kind == Kind::Rename { edited: false },
        |kind| kind == Kind::Rename { edited: true },
        |kind| kind == Kind::Remove,
        |kind| kind == Kind::Mode,
        |kind| kind == Kind::Tool,
        |kind| kind == Kind::Link,
        |kind| kind == Kind::Binary,
        |kind| matches!(kind, Kind::Contest { .. }),
    ];
    let landed: BTreeSet<usize> = kinds.into_iter().map(|kind| stage.one(kind)).collect();
    for number in &landed {
        stage.land(*number);
    }
    let found = stage.look();
    assert_eq!(wrong(&found), 0, "{found:?}");
    assert_eq!((found.landings, found.outside), (landed.len(), 0));
    assert_eq!(found.against(&landed), (vec![], vec![]));
}

#[test]
fn a_red_landing_and_one_without_a_green_run_are_found() {
    let stage = Stage::new();
    let red = stage.land(stage.one(|kind| kind == Kind::Red));
    stage.pick(stage.one(plain));
    let silent = stage.push("silent");
    let found = stage.look();
    assert!(found.red[0].starts_with(&red), "{found:?}");
    assert_eq!((found.red.len(), &found.unproven), (2, &vec![silent]), "red stays red");
}

#[test]
fn a_change_that_landed_twice_is_found() {
    let stage = Stage::new();
    let number = stage.one(plain);
    stage.land(number);
    // Somebody else takes it off the target, and it lands once more.
    git(&stage.path("work"), &["revert", "--no-edit", "HEAD"]);
    let revert = stage.push("by hand");
    fs::write(stage.path("outside"), format!("{revert}\n")).unwrap();
    assert_eq!(wrong(&stage.look()), 0);
    stage.land(number);
    let found = stage.look();
    assert_eq!(found.doubled, BTreeSet::from([number]), "{found:?}");
    assert_eq!((wrong(&found), found.outside), (1, 1));
}

#[test]
fn a_lost_change_is_found() {
    let stage = Stage::new();
    let number = stage.one(plain);
    stage.land(number);
    let other = stage.one(|kind| kind == Kind::Add);
    git(&stage.path("work"), &["reset", "--quiet", "--hard", "HEAD~1"]);
    let over = stage.land(other);
    let found = stage.look();
    assert_eq!(found.dropped, [over]);
    let never = stage.one(|kind| kind == Kind::Remove);
    let (lost, untold) = found.against(&BTreeSet::from([number, never]));
    assert_eq!(
        (lost, untold),
        (BTreeSet::from([number, never]).into_iter().collect(), vec![other])
    );
}

#[test]
fn a_change_that_is_not_what_was_submitted_is_found() {
    let stage = Stage::new();
    let number = stage.one(plain);
    stage.pick(number);
    let file = Path::new("README.md");
    fs::write(stage.path("work").join(file), "slipped in\n").unwrap();
    git(&stage.path("work"), &["commit", "--quiet", "--all", "--amend", "--no-edit"]);
    let commit = stage.push(gate::GREEN);
    let found = stage.look();
    assert_eq!(found.strange, [commit]);
    assert_eq!(found.against(&BTreeSet::from([number])), (vec![number], vec![]));
}
