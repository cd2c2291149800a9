//! The repositories of a queue's soak and who works in them: the remote, the authors' own
//! repository, and the outsider who pushes to the target past the town.

use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use git2::Oid;
use git2::Repository;
use git2::Signature;
use git2::Time;
use git2::build::TreeUpdateBuilder;

use super::Fallible;
use super::checker::Submitted;
use super::gate::POISON;
use super::git::git;
use super::git::git_with;
use super::git::read;
use super::world::Change;
use super::world::Mr;
use super::world::Shape;
use super::world::World;

/// Times that an outsider whose push was overtaken pulls and pushes again.
const PUSHES: usize = 50;

/// The directory of a soak, with what stays there between two runs of it.
pub(crate) struct Site {
    pub(crate) dir: PathBuf,
    /// Commits of every merge request as first submitted; the last is its head.
    pub(crate) commits: Vec<Vec<String>>,
}

/// A branch's name.
pub(crate) fn branch(number: usize) -> String {
    format!("ann/change-{number}")
}

impl Site {
    /// Makes the remote and the authors' repository, unless they are there.
    pub(crate) fn make(dir: &Path, shape: Shape, world: &World) -> Fallible<Self> {
        let said = format!("{} {} {}\n", shape.seed, shape.mrs, shape.files);
        let site = |commits| Self { dir: dir.to_owned(), commits };
        match fs::read_to_string(dir.join("shape")) {
            Ok(text) if text == said => return Ok(site(read_commits(dir)?)),
            Ok(text) => {
                let text = text.trim();
                let dir = dir.display();
                return Err(format!("{dir} has another soak: seed, MRs, files are {text}").into());
            }
            Err(_) => {}
        }
        let (remote, authors) = (dir.join("remote.git"), dir.join("authors.git"));
        for repository in [&remote, &authors] {
            if repository.exists() {
                fs::remove_dir_all(repository)?;
            }
            fs::create_dir_all(repository)?;
            git(repository, &["init", "--quiet", "--bare", "-b", "main"])?;
            // What was submitted stays to be looked at; every move of a branch is on record.
            for (key, value) in
                [("gc.auto", "0"), ("receive.autogc", "false"), ("core.logAllRefUpdates", "always")]
            {
                git(repository, &["config", key, value])?;
            }
        }
        let (stream, marks) = world.history();
        let path = dir.join("marks");
        let export = format!("--export-marks={}", path.display());
        git_with(&authors, &["fast-import", "--quiet", "--force", &export], &stream)?;
        let mut known = vec![String::new(); marks.iter().flatten().max().unwrap_or(&0) + 1];
        for line in fs::read_to_string(path)?.lines() {
            let (mark, id) = line.split_once(' ').ok_or("no mark")?;
            if let Some(place) = known.get_mut(mark.trim_start_matches(':').parse::<usize>()?) {
                id.clone_into(place);
            }
        }
        let mut text = String::new();
        for own in &marks {
            let ids: Vec<&str> = own.iter().map(|mark| known[*mark].as_str()).collect();
            text.push_str(&ids.join(" "));
            text.push('\n');
        }
        fs::write(dir.join("commits"), text)?;
        git(&authors, &["remote", "add", "origin", &remote.display().to_string()])?;
        git(&authors, &["push", "--quiet", "origin", "main"])?;
        fs::write(dir.join("shape"), said)?;
        Ok(site(read_commits(dir)?))
    }

    pub(crate) fn remote(&self) -> PathBuf {
        self.dir.join("remote.git")
    }

    pub(crate) fn authors(&self) -> PathBuf {
        self.dir.join("authors.git")
    }

    /// Pushes branches to the remote; what was there before is replaced.
    pub(crate) fn push(&self, branches: &[(usize, String)]) -> Fallible<()> {
        let mut words = vec!["push".to_owned(), "--quiet".to_owned(), "origin".to_owned()];
        let names = branches.iter().map(|(number, id)| (id, branch(*number)));
        words.extend(names.map(|(id, branch)| format!("+{id}:refs/heads/{branch}")));
        git(&self.authors(), &words.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(())
    }

    /// Branches of merge requests that the remote still has.
    pub(crate) fn branches(&self) -> Fallible<Vec<usize>> {
        let text = git(&self.remote(), &["for-each-ref", "--format=%(refname)", "refs/heads/ann"])?;
        let number = |name: &str| name.rsplit('-').next()?.parse().ok();
        Ok(text.lines().filter_map(number).collect())
    }

    /// The target's tip, fetched.
    fn tip(&self) -> Fallible<String> {
        let authors = self.authors();
        git(&authors, &["fetch", "--quiet", "origin", "+main:refs/remotes/origin/main"])?;
        git(&authors, &["rev-parse", "refs/remotes/origin/main"])
    }

    /// A commit on another one; its time follows from the parent's.
    fn commit(&self, parent: &str, title: &str, changes: &[Change]) -> Fallible<String> {
        let repository = Repository::open(self.authors())?;
        let parent = repository.find_commit(Oid::from_str(parent)?)?;
        let mut update = TreeUpdateBuilder::new();
        for change in changes {
            match change {
                Change::Write(path, mode, bytes) => {
                    let mode = match mode {
                        0o100_755 => git2::FileMode::BlobExecutable,
                        0o120_000 => git2::FileMode::Link,
                        _ => git2::FileMode::Blob,
                    };
                    update.upsert(path.as_str(), repository.blob(bytes)?, mode);
                }
                Change::Remove(path) => drop(update.remove(path.as_str())),
                Change::Rename(from, to) => return Err(format!("{from} to {to}").into()),
            }
        }
        let tree = repository.find_tree(update.create_updated(&repository, &parent.tree()?)?)?;
        let time = Time::new(parent.time().seconds() + 1, 0);
        let ann = Signature::new("ann", "ann@example.org", &time)?;
        Ok(repository.commit(None, &ann, &ann, title, &tree, &[&parent])?.to_string())
    }

    /// The work of returned merge requests done again on the present target, and written down.
    pub(crate) fn rework(&self, world: &World, mrs: &[(&Mr, usize)]) -> Fallible<()> {
        if mrs.is_empty() {
            return Ok(());
        }
        let tip = self.tip()?;
        let mut log = File::options().create(true).append(true).open(self.reworks())?;
        for (mr, attempt) in mrs {
            let text = match mr.kind.contested() {
                Some(path) => Some(git(&self.authors(), &["show", &format!("{tip}:{path}")])?),
                None => None,
            };
            let changes = world.again(mr, *attempt, text.as_deref());
            let title = format!("change {} again, {attempt}", mr.number);
            let commit = self.commit(&tip, &title, &changes)?;
            log.write_all(format!("{} {commit}\n", mr.number).as_bytes())?;
        }
        Ok(())
    }

    fn reworks(&self) -> PathBuf {
        self.dir.join("reworks")
    }

    /// Where the outsider writes down what it is about to push.
    pub(crate) fn outside(&self) -> PathBuf {
        self.dir.join("outside")
    }

    /// Pushes a commit to the target past the town: `poison` makes it red, `cure` mends it.
    pub(crate) fn outsider(&self, what: Outside) -> Fallible<()> {
        let mut log = File::options().create(true).append(true).open(self.outside())?;
        for _ in 0..PUSHES {
            let tip = self.tip()?;
            let poisoned = || {
                let place = format!("{tip}:{POISON}");
                git(&self.authors(), &["cat-file", "-e", &place]).is_ok()
            };
            let change = match what {
                Outside::Aside(number) => Change::Write(
                    format!("outside/o{number}.txt"),
                    0o100_644,
                    format!("past the town, {number}\n").into_bytes(),
                ),
                Outside::Poison if poisoned() => return Ok(()),
                Outside::Poison => {
                    Change::Write(POISON.to_owned(), 0o100_644, format!("on {tip}\n").into_bytes())
                }
                Outside::Cure if !poisoned() => return Ok(()),
                Outside::Cure => Change::Remove(POISON.to_owned()),
            };
            let commit = self.commit(&tip, &format!("past the town: {what:?}"), &[change])?;
            log.write_all(format!("{commit}\n").as_bytes())?;
            let pushed = git(
                &self.authors(),
                &["push", "--quiet", "origin", &format!("{commit}:refs/heads/main")],
            );
            if pushed.is_ok() {
                return Ok(());
            }
        }
        Err("the outsider is always overtaken".into())
    }

    /// Every attempt of every merge request: its commits, the last one its head.
    pub(crate) fn attempts(&self) -> Fallible<Vec<Submitted>> {
        let mut all: Vec<Submitted> = (self.commits.iter().enumerate())
            .map(|(number, commits)| Submitted { number, commits: commits.clone() })
            .collect();
        for line in read(&self.reworks())?.lines() {
            let (number, commit) = line.split_once(' ').ok_or("no rework")?;
            all.push(Submitted { number: number.parse()?, commits: vec![commit.to_owned()] });
        }
        Ok(all)
    }
}

/// What an outsider does to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outside {
    Aside(usize),
    Poison,
    Cure,
}

fn read_commits(dir: &Path) -> Fallible<Vec<Vec<String>>> {
    let text = fs::read_to_string(dir.join("commits"))?;
    Ok(text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect())
}
