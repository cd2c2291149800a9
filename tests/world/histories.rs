//! Generated histories: the stack in the object store against the git command's own work in a
//! working tree. Same tree, or a conflict on both.
//!
//! `GT_HISTORIES=2000` runs more of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use gastown::adapters::git::history::History;
use gastown::adapters::git::stack::Replayed;
use gastown::adapters::git::stack::Stacker;
use gastown::adapters::git::three_way::Merged;
use gastown::model::merge::LandingStyle;
use git2::Oid;
use git2::Repository;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::Config;
use proptest::test_runner::RngAlgorithm;
use proptest::test_runner::TestRng;
use proptest::test_runner::TestRunner;

use super::TestTown;
use super::git;

const PATHS: [&str; 10] = ["a", "b", "d/a", "d/b", "d/e/a", "d/e/b", "f/a", "f/g/h", "x", "x/y"];
const DIRECTORIES: [&str; 4] = ["d", "d/e", "f", "f/g"];
const LINES: [&str; 8] = ["one", "two", "same", "}", "", "long line of text", "end", "zero\0"];

#[derive(Clone, Debug)]
enum Step {
    Text(&'static str, Vec<&'static str>),
    Line(&'static str, usize, &'static str),
    Insert(&'static str, usize, &'static str),
    Cut(&'static str, usize),
    Crlf(&'static str),
    Rename(&'static str, &'static str),
    RenameDirectory(&'static str, &'static str),
    Delete(&'static str),
    Executable(&'static str),
    Link(&'static str, &'static str),
    Submodule(&'static str, u8),
    Attributes(&'static str, &'static str),
    Nothing,
}

fn step() -> impl Strategy<Value = Step> {
    let path = || select(&PATHS[..]);
    let directory = || select(&DIRECTORIES[..]);
    let line = || select(&LINES[..]);
    prop_oneof![
        2 => (path(), vec(line(), 0..12)).prop_map(|(path, text)| Step::Text(path, text)),
        8 => (path(), 0..24_usize, line()).prop_map(|(path, at, line)| Step::Line(path, at, line)),
        4 => (path(), 0..24_usize, line()).prop_map(|(path, at, line)| Step::Insert(path, at, line)),
        3 => (path(), 0..24_usize).prop_map(|(path, at)| Step::Cut(path, at)),
        1 => path().prop_map(Step::Crlf),
        3 => (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (directory(), directory()).prop_map(|(from, to)| Step::RenameDirectory(from, to)),
        2 => path().prop_map(Step::Delete),
        1 => path().prop_map(Step::Executable),
        1 => (path(), line()).prop_map(|(path, to)| Step::Link(path, to)),
        1 => (path(), 1..4_u8).prop_map(|(path, at)| Step::Submodule(path, at)),
        1 => (select(&["", "d/"][..]), select(&["* merge=union", "* -merge", "* text=auto", "*.c x"][..]))
            .prop_map(|(at, line)| Step::Attributes(at, line)),
        1 => Just(Step::Nothing),
    ]
}

/// Mode and content by path.
type Files = BTreeMap<String, (u32, Vec<u8>)>;

fn put(files: &mut Files, path: &str, mode: u32, content: Vec<u8>) {
    let below = format!("{path}/");
    files.retain(|known, _| !known.starts_with(&below) && !path.starts_with(&format!("{known}/")));
    files.insert(path.to_owned(), (mode, content));
}

fn lines(content: &[u8]) -> Vec<Vec<u8>> {
    content.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn edit(files: &mut Files, path: &str, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let Some((mode, content)) = files.get(path).cloned() else { return };
    if mode & 0o170_000 != 0o100_000 {
        return;
    }
    let mut all = lines(&content);
    change(&mut all);
    put(files, path, mode, all.concat());
}

fn apply(files: &mut Files, step: &Step) {
    let line = |text: &str| format!("{text}\n").into_bytes();
    match step {
        Step::Text(path, text) => {
            put(files, path, 0o100_644, text.iter().flat_map(|l| line(l)).collect())
        }
        Step::Line(path, at, text) => edit(files, path, |all| {
            if let Some(found) = all.get_mut(*at) {
                *found = line(text);
            }
        }),
        Step::Insert(path, at, text) => {
            edit(files, path, |all| all.insert((*at).min(all.len()), line(text)))
        }
        Step::Cut(path, at) => edit(files, path, |all| {
            if *at < all.len() {
                all.remove(*at);
            }
        }),
        Step::Crlf(path) => edit(files, path, |all| {
            for found in all {
                if found.ends_with(b"\n") && !found.ends_with(b"\r\n") {
                    found.pop();
                    found.extend(b"\r\n");
                }
            }
        }),
        Step::Rename(from, to) => {
            if let Some((mode, content)) = files.remove(*from) {
                put(files, to, mode, content);
            }
        }
        Step::RenameDirectory(from, to) => {
            let below = format!("{from}/");
            let moved: Vec<String> =
                files.keys().filter(|p| p.starts_with(&below)).cloned().collect();
            for path in moved {
                let (mode, content) = files.remove(&path).unwrap();
                put(files, &format!("{to}2/{}", &path[below.len()..]), mode, content);
            }
        }
        Step::Delete(path) => drop(files.remove(*path)),
        Step::Executable(path) => {
            if let Some((mode @ (0o100_644 | 0o100_755), _)) = files.get_mut(*path) {
                *mode ^= 0o111;
            }
        }
        Step::Link(path, to) if !to.is_empty() && !to.contains('\0') => {
            put(files, path, 0o120_000, to.as_bytes().to_vec());
        }
        Step::Submodule(path, at) => {
            put(files, path, 0o160_000, at.to_string().repeat(40).into_bytes())
        }
        Step::Attributes(at, text) => {
            put(files, &format!("{at}.gitattributes"), 0o100_644, line(text))
        }
        Step::Link(..) | Step::Nothing => {}
    }
}

/// What the histories begin with: text that repeats itself, and every kind of file.
fn beginning() -> Files {
    let mut files = Files::new();
    for (number, path) in PATHS.iter().take(8).enumerate() {
        let text: String = (0..20)
            .map(|at| if at % 5 == 4 { "}\n".to_owned() } else { format!("{number} line {at}\n") })
            .collect();
        put(&mut files, path, 0o100_644, text.into_bytes());
    }
    put(&mut files, "f/a", 0o100_755, b"#!/bin/sh\nexit 0\n".to_vec());
    put(&mut files, "bin", 0o100_644, b"\0\x01\x02binary\n\0".to_vec());
    put(&mut files, "link", 0o120_000, b"a".to_vec());
    put(&mut files, "sub", 0o160_000, b"1".repeat(40));
    files
}

/// One case: the target's commits, the branch's, and whether the branch merged the target's
/// first commit in its middle.
#[derive(Clone, Debug)]
struct Case {
    target: Vec<Vec<Step>>,
    branch: Vec<Vec<Step>>,
    merge: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let side = |most: usize| vec(vec(step(), 1..4), 1..most);
    (side(3), side(4), proptest::bool::weighted(0.2)).prop_map(|(target, branch, merge)| Case {
        target,
        branch,
        merge,
    })
}

/// Commits for `git fast-import`.
#[derive(Default)]
struct Import {
    text: Vec<u8>,
    marks: usize,
}

impl Import {
    fn commit(&mut self, files: &Files, parents: &[usize]) -> usize {
        self.marks += 1;
        let mark = self.marks;
        let mut head = String::new();
        writeln!(head, "commit refs/heads/import\nmark :{mark}").unwrap();
        writeln!(head, "author ann <ann@example.org> {} +0130", 1_000_000 + mark).unwrap();
        writeln!(head, "committer ann <ann@example.org> {} +0130", 1_000_000 + mark).unwrap();
        write!(head, "data 6\nstep\u{20}\n\n").unwrap();
        for (at, parent) in parents.iter().enumerate() {
            writeln!(head, "{} :{parent}", if at == 0 { "from" } else { "merge" }).unwrap();
        }
        head.push_str("deleteall\n");
        self.text.extend(head.into_bytes());
        for (path, (mode, content)) in files {
            if *mode == 0o160_000 {
                let id = String::from_utf8_lossy(content);
                self.text.extend(format!("M 160000 {id} {path}\n").into_bytes());
                continue;
            }
            self.text.extend(format!("M {mode:o} inline {path}\n").into_bytes());
            self.text.extend(format!("data {}\n", content.len()).into_bytes());
            self.text.extend(content);
            self.text.push(b'\n');
        }
        self.text.push(b'\n');
        mark
    }

    /// The commits of the marks.
    fn run(&self, dir: &Path) -> Vec<Oid> {
        let marks = dir.join("marks");
        let mut child = Command::new("git")
            .args(["fast-import", "--quiet", "--force"])
            .arg(format!("--export-marks={}", marks.display()))
            .current_dir(dir)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&self.text).unwrap();
        assert!(child.wait().unwrap().success(), "{}", String::from_utf8_lossy(&self.text));
        let mut found: Vec<(usize, Oid)> = std::fs::read_to_string(marks)
            .unwrap()
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(mark, id)| (mark[1..].parse().unwrap(), Oid::from_str(id).unwrap()))
            .collect();
        found.sort();
        found.into_iter().map(|(_, id)| id).collect()
    }
}

/// Tip and head of a history.
fn write(dir: &Path, case: &Case) -> (Oid, Oid) {
    let mut import = Import::default();
    let start = beginning();
    let fork = import.commit(&start, &[]);
    let mut at = fork;
    let mut files = start.clone();
    let mut merged = None;
    for steps in &case.target {
        steps.iter().for_each(|step| apply(&mut files, step));
        at = import.commit(&files, &[at]);
        merged.get_or_insert((at, files.clone()));
    }
    let tip = at;
    at = fork;
    files = start;
    for (number, steps) in case.branch.iter().enumerate() {
        steps.iter().for_each(|step| apply(&mut files, step));
        let mut parents = vec![at];
        if case.merge && number == 1 {
            let (other, theirs) = merged.as_ref().unwrap();
            parents.push(*other);
            // As if the person had taken the target's side of every new file.
            for (path, (mode, content)) in theirs {
                if !files.contains_key(path) {
                    put(&mut files, path, *mode, content.clone());
                }
            }
        }
        at = import.commit(&files, &parents);
    }
    let ids = import.run(dir);
    (ids[tip - 1], ids[at - 1])
}

/// The command's own work in a working tree.
struct Reference {
    dir: PathBuf,
}

impl Reference {
    fn git(&self, arguments: &[&str]) -> bool {
        let output = Command::new("git")
            .args(["-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "gc.auto=0"])
            .args(arguments)
            .current_dir(&self.dir)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_EDITOR", "true")
            .output()
            .unwrap();
        output.status.success()
    }

    fn clean(&self, at: Oid) {
        for lost in ["rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD", "index.lock"]
        {
            let path = self.dir.join(git(&self.dir, &["rev-parse", "--git-path", lost]));
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else if path.exists() {
                std::fs::remove_file(path).unwrap();
            }
        }
        git(&self.dir, &["checkout", "--quiet", "--force", "--detach", &at.to_string()]);
        git(&self.dir, &["reset", "--quiet", "--hard", &at.to_string()]);
        git(&self.dir, &["clean", "--quiet", "-ffdx"]);
    }

    /// The tree, or `None` for a conflict.
    fn tree(&self, style: LandingStyle, merges: bool, tip: Oid, head: Oid) -> Option<String> {
        let (tip_text, head_text) = (tip.to_string(), head.to_string());
        let done = if style == LandingStyle::Rebase && !merges {
            self.clean(head);
            let rebase = ["rebase", "--quiet", "--reapply-cherry-picks", "--empty=drop"];
            self.git(&[&rebase[..], &[&tip_text]].concat())
        } else {
            self.clean(tip);
            self.git(&["merge", "--squash", "--quiet", &head_text])
        };
        if !done {
            let unmerged = git(&self.dir, &["ls-files", "--unmerged"]);
            assert_ne!(unmerged, "", "neither a tree nor a conflict");
            return None;
        }
        Some(git(&self.dir, &["write-tree"]))
    }
}

/// So many cases, the same ones each time, so that what they reach can be asked for; other ones
/// with a number in `GT_HISTORIES`.
fn runner(usual: u32) -> TestRunner {
    let wanted = std::env::var("GT_HISTORIES").ok().map(|text| text.parse().unwrap());
    let cases = wanted.unwrap_or(usual);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    match wanted {
        Some(_) => TestRunner::new(config),
        None => {
            let same = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            TestRunner::new_with_rng(config, same)
        }
    }
}

#[test]
fn the_stack_gives_the_trees_of_the_git_command() {
    let town = TestTown::new();
    let dir = town.dir.path().join("reference");
    git(&town.canonical(), &["worktree", "add", "--quiet", "--detach", dir.to_str().unwrap()]);
    let reference = Reference { dir };
    let mut runner = runner(40);
    let (mut ways, mut conflicts) = ([0_u64; 3], 0);
    let rig = town.world.rig(&town.rig).unwrap();
    let seen = std::cell::RefCell::new((&mut ways, &mut conflicts));
    let ran = runner.run(&case(), |case| {
        let (tip, head) = write(&town.canonical(), &case);
        let repo = Repository::open(town.canonical()).unwrap();
        let stacker = Stacker::new(&repo, &rig).unwrap();
        for style in LandingStyle::ALL {
            let merges = case.merge && case.branch.len() > 1;
            let wanted = reference.tree(*style, merges, tip, head);
            let mut on = History::new(&repo, tip);
            let made = match stacker.apply(&mut on, *style, head, "branch").unwrap() {
                Replayed::Applied(commit) => {
                    Some(repo.find_commit(commit).unwrap().tree_id().to_string())
                }
                Replayed::Conflict(files) => {
                    prop_assert!(!files.is_empty());
                    *seen.borrow_mut().1 += 1;
                    None
                }
            };
            prop_assert_eq!(made, wanted, "{} of {} on {}", style, head, tip);
        }
        let done = stacker.merger.ways();
        let mut seen = seen.borrow_mut();
        for (sum, more) in seen.0.iter_mut().zip([done.entries, done.files, done.command]) {
            *sum += more;
        }
        Ok(())
    });
    println!("entries, files, command: {ways:?}; conflicts: {conflicts}");
    ran.unwrap();
    assert!(ways.iter().all(|taken| *taken > 0) && conflicts > 0, "{ways:?} {conflicts}");
}

/// Changes of one text whose lines repeat themselves: where the ways of comparing differ most.
#[test]
fn a_text_that_repeats_itself_is_merged_as_the_git_command_merges_it() {
    let town = TestTown::new();
    let rig = town.world.rig(&town.rig).unwrap();
    let lines = || select(&LINES[..6]);
    let change = prop_oneof![
        (0..24_usize, lines()).prop_map(|(at, line)| Step::Line("a", at, line)),
        (0..24_usize, lines()).prop_map(|(at, line)| Step::Insert("a", at, line)),
        (0..24_usize).prop_map(|at| Step::Cut("a", at)),
    ];
    let side = || vec(change.clone(), 1..4);
    let texts = (vec((proptest::bool::ANY, lines()), 12..24), side(), side());
    let files = std::cell::Cell::new(0);
    let ran = runner(150).run(&texts, |(text, ours, theirs)| {
        let mut import = Import::default();
        let mut base = Files::new();
        let line = |(at, (own, text)): (usize, &(bool, &str))| match own {
            true => format!("line {at}\n"),
            false => format!("{text}\n"),
        };
        let text: String = text.iter().enumerate().map(line).collect();
        put(&mut base, "a", 0o100_644, text.into_bytes());
        let fork = import.commit(&base, &[]);
        for side in [ours, theirs] {
            let mut files = base.clone();
            side.iter().for_each(|step| apply(&mut files, step));
            import.commit(&files, &[fork]);
        }
        let ids = import.run(&town.canonical());
        let repo = Repository::open(town.canonical()).unwrap();
        let stacker = Stacker::new(&repo, &rig).unwrap();
        let made = stacker.merger.commits(ids[1], ids[2]).unwrap();
        files.set(files.get() + stacker.merger.ways().files);
        let (ours, theirs) = (ids[1].to_string(), ids[2].to_string());
        let command = Command::new("git")
            .args(["merge-tree", "--write-tree", "--name-only", "--no-messages", &ours, &theirs])
            .current_dir(town.canonical())
            .output()
            .unwrap();
        let said = String::from_utf8(command.stdout).unwrap();
        let tree = said.lines().next().unwrap();
        match made {
            Merged::Clean(made) => {
                prop_assert!(command.status.success());
                prop_assert_eq!(made.to_string(), tree);
            }
            Merged::Conflict(_) => prop_assert!(!command.status.success()),
        }
        Ok(())
    });
    ran.unwrap();
    println!("merged line by line: {}", files.get());
    assert!(files.get() > 10, "{}", files.get());
}
