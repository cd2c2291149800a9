//! The world of the queue's soak: a repository, and merge requests of every kind against it. The
//! same shape gives the same commits, byte for byte.

use std::fmt::Write as _;

use super::Seeded;

/// Commits of the project before the first merge request; each starts from one of them.
pub(crate) const BASES: usize = 20;
/// Lines of a source.
const LINES: usize = 40;
/// Lines of a source that merge requests change, far enough apart to be merged.
const PLACES: [usize; 9] = [1, 5, 9, 13, 17, 21, 25, 29, 33];
/// The line that the project's own commits change.
const OWN: usize = 38;
/// The line of a contested file that all want.
pub(crate) const CONTESTED: usize = 10;
const BY: &str = "ann <ann@example.org>";
const BEGAN: usize = 1_700_000_000;

/// How large a world is, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) mrs: usize,
    /// Files of the project, at least.
    pub(crate) files: usize,
}

/// What a merge request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Three lines in three files, in one commit or in three.
    Lines { first: usize, commits: bool },
    /// A file of its own.
    Add,
    /// A file goes elsewhere, with a changed line or without.
    Rename { edited: bool },
    /// A line of the file that another merge request renames.
    EditOfRenamed { of: usize },
    /// A file goes.
    Remove,
    /// A script becomes executable.
    Mode,
    /// A new executable.
    Tool,
    /// A symbolic link.
    Link,
    /// A binary file.
    Binary,
    /// A line that a second one of the same group changes otherwise.
    Contest { group: usize },
    /// Red by itself.
    Red,
    /// Red together with the other one of its group.
    Pair { group: usize },
}

/// One merge request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mr {
    pub(crate) number: usize,
    pub(crate) kind: Kind,
    /// The commit of the project that it starts from, from 1.
    base: usize,
    /// It belongs to the most urgent class.
    pub(crate) urgent: bool,
    /// Its author takes it back while it waits.
    pub(crate) cancelled: bool,
    /// Its author works on it again when it comes back.
    pub(crate) reworked: bool,
}

/// What a commit does to one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A file with this mode (octal) is there.
    Write(String, u32, Vec<u8>),
    Remove(String),
    Rename(String, String),
}

const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_000;

fn file(path: String, text: String) -> Change {
    Change::Write(path, FILE, text.into_bytes())
}

/// A project and its merge requests.
pub(crate) struct World {
    pub(crate) mrs: Vec<Mr>,
    /// Sources that many merge requests share.
    sources: usize,
}

impl World {
    pub(crate) fn new(shape: Shape) -> Self {
        let mut made = Self { mrs: Vec::new(), sources: 0 };
        let (mut places, mut groups, mut renamed) = (0, 0, None);
        let (mut contest, mut pair) = (None, None);
        let mut seeded = Seeded(shape.seed);
        for number in 0..shape.mrs {
            let mut grouped = |open: &mut Option<usize>| {
                open.take().unwrap_or_else(|| {
                    groups += 1;
                    *open = Some(groups);
                    groups
                })
            };
            let kind = match seeded.below(100) {
                0..50 => {
                    places += 3;
                    Kind::Lines { first: places - 3, commits: seeded.below(8) == 0 }
                }
                50..58 => Kind::Add,
                58..64 => {
                    renamed = Some(number);
                    Kind::Rename { edited: seeded.below(3) == 0 }
                }
                64..68 => renamed.take().map_or(Kind::Add, |of| Kind::EditOfRenamed { of }),
                68..72 => Kind::Remove,
                72..75 => Kind::Mode,
                75..78 => Kind::Tool,
                78..82 => Kind::Link,
                82..86 => Kind::Binary,
                86..94 => Kind::Contest { group: grouped(&mut contest) },
                94..97 => Kind::Red,
                _ => Kind::Pair { group: grouped(&mut pair) },
            };
            made.mrs.push(Mr {
                number,
                kind,
                base: 1 + usize::try_from(seeded.below(BASES as u64)).unwrap_or(0),
                urgent: seeded.below(40) == 0,
                cancelled: seeded.below(50) == 0,
                reworked: seeded.below(3) > 0,
            });
        }
        let own = made.mrs.iter().filter(|mr| mr.kind.own_file(0).is_some()).count() + groups;
        made.sources = shape.files.saturating_sub(own).max(places / PLACES.len() + 1).max(BASES);
        made
    }

    /// The project's first commit: all files.
    fn first(&self) -> Vec<Change> {
        let mut all = vec![
            file("README.md".to_owned(), "A project.\n".to_owned()),
            Change::Write("tools/base.sh".to_owned(), PROGRAM, b"#!/bin/sh\n".to_vec()),
            Change::Write("links/base".to_owned(), LINK, b"../README.md".to_vec()),
            Change::Write("images/i0.bin".to_owned(), FILE, image(0)),
            file("budget/base/base.txt".to_owned(), "1\n".to_owned()),
        ];
        all.extend((0..self.sources).map(|at| file(source(at), self.text(at, 1, &[]))));
        for mr in &self.mrs {
            if let Some(path) = mr.kind.own_file(mr.number) {
                all.push(file(path.clone(), plain(&path, &[])));
            }
            if let Kind::Contest { group } = mr.kind {
                let path = contested(group);
                all.push(file(path.clone(), plain(&path, &[])));
            }
        }
        all
    }

    /// A source as it is at a commit of the project, with some lines changed.
    fn text(&self, at: usize, base: usize, changes: &[(usize, String)]) -> String {
        let by = (2..=base).rev().find(|base| self.touched(*base) == at);
        let own = by.map(|base| (OWN, format!("the project's own commit {base}")));
        let all: Vec<_> = own.into_iter().chain(changes.iter().cloned()).collect();
        plain(&source(at), &all)
    }

    /// The source that one of the project's own commits changes.
    fn touched(&self, base: usize) -> usize {
        base * 37 % self.sources
    }

    /// The commits of a merge request as first submitted.
    pub(crate) fn commits(&self, mr: &Mr) -> Vec<Vec<Change>> {
        let Mr { number, base, .. } = *mr;
        let path = mr.kind.own_file(number).unwrap_or_default();
        let by = |what: &str| format!("{what} by {number}");
        let one = match mr.kind {
            Kind::Lines { first, commits } => {
                let edits = (first..first + 3).map(|place| {
                    let (at, line) = (place % self.sources, PLACES[place / self.sources]);
                    file(source(at), self.text(at, base, &[(line, by("changed"))]))
                });
                if commits {
                    return edits.map(|edit| vec![edit]).collect();
                }
                edits.collect()
            }
            Kind::Add => vec![file(format!("src/new/file{number}.rs"), plain(&by("new"), &[]))],
            Kind::Rename { edited } => {
                let to = path.replacen("lib/", "moved/", 1);
                let edit = file(to.clone(), plain(&path, &[(5, by("renamed"))]));
                let renamed = Change::Rename(path, to);
                if edited { vec![renamed, edit] } else { vec![renamed] }
            }
            Kind::EditOfRenamed { of } => {
                let path = own("lib", of);
                vec![file(path.clone(), plain(&path, &[(30, by("edited"))]))]
            }
            Kind::Remove => vec![Change::Remove(path)],
            Kind::Mode => {
                vec![Change::Write(path.clone(), PROGRAM, plain(&path, &[]).into_bytes())]
            }
            Kind::Tool => {
                let text = format!("#!/bin/sh\n# {number}\n").into_bytes();
                vec![Change::Write(format!("tools/t{number}.sh"), PROGRAM, text)]
            }
            Kind::Link => {
                let to = format!("../{}", source(number % self.sources)).into_bytes();
                vec![Change::Write(format!("links/l{number}"), LINK, to)]
            }
            Kind::Binary => {
                vec![Change::Write(format!("images/i{number}.bin"), FILE, image(number))]
            }
            Kind::Contest { group } => {
                let path = contested(group);
                vec![file(path.clone(), plain(&path, &[(CONTESTED, by("contested"))]))]
            }
            Kind::Red => vec![budget(&format!("r{number}"), number, 11)],
            Kind::Pair { group } => vec![budget(&format!("p{group}"), number, 6)],
        };
        vec![one]
    }

    /// The same work again, on a target where `contested` is the text of the file in question.
    pub(crate) fn again(
        &self,
        mr: &Mr,
        attempt: usize,
        contested_now: Option<&str>,
    ) -> Vec<Change> {
        let number = mr.number;
        match (mr.kind, contested_now) {
            (Kind::Contest { group }, Some(text)) => {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                if let Some(line) = lines.get_mut(CONTESTED) {
                    *line = format!("contested by {number} again, {attempt}");
                }
                vec![file(contested(group), lines.join("\n") + "\n")]
            }
            (Kind::Red, _) => vec![budget(&format!("r{number}"), number, 4)],
            (Kind::Pair { group }, _) => vec![budget(&format!("p{group}"), number, 3)],
            _ => {
                let path = format!("src/new/again{number}-{attempt}.rs");
                vec![file(path.clone(), plain(&path, &[]))]
            }
        }
    }

    /// The whole history for `git fast-import`: the project on `main`, then each merge request's
    /// commits; and the mark of every commit, by merge request.
    pub(crate) fn history(&self) -> (Vec<u8>, Vec<Vec<usize>>) {
        let mut out = Vec::new();
        let mut mark = 0;
        for base in 1..=BASES {
            mark += 1;
            let changes = match base {
                1 => self.first(),
                _ => {
                    let at = self.touched(base);
                    vec![file(source(at), self.text(at, base, &[]))]
                }
            };
            let from = (base > 1).then_some(mark - 1);
            commit(&mut out, "main", mark, from, &format!("the project, {base}"), &changes);
        }
        let mut marks = Vec::new();
        for mr in &self.mrs {
            let (mut own, mut from) = (Vec::new(), mr.base);
            for changes in self.commits(mr) {
                mark += 1;
                let title = format!("change {}", mr.number);
                commit(&mut out, "scratch", mark, Some(from), &title, &changes);
                own.push(mark);
                from = mark;
            }
            marks.push(own);
        }
        (out, marks)
    }
}

impl Kind {
    /// The file of the project that it has for itself.
    fn own_file(self, number: usize) -> Option<String> {
        match self {
            Self::Rename { .. } | Self::Remove => Some(own("lib", number)),
            Self::Mode => Some(own("scripts", number)),
            _ => None,
        }
    }

    /// Whether it may come back as a conflict.
    pub(crate) fn may_conflict(self) -> bool {
        matches!(self, Self::Contest { .. })
    }

    /// Whether it may come back as red.
    pub(crate) fn may_be_red(self) -> bool {
        matches!(self, Self::Red | Self::Pair { .. })
    }

    /// The file that it contests.
    pub(crate) fn contested(self) -> Option<String> {
        match self {
            Self::Contest { group } => Some(contested(group)),
            _ => None,
        }
    }
}

fn source(at: usize) -> String {
    format!("src/part{:02}/file{:02}.rs", at / 100, at % 100)
}

fn own(room: &str, number: usize) -> String {
    format!("{room}/{:02}/f{number}.rs", number / 100)
}

fn contested(group: usize) -> String {
    format!("src/contested/c{group}.rs")
}

fn budget(group: &str, number: usize, value: u32) -> Change {
    file(format!("budget/{group}/b{number}.txt"), format!("{value}\n"))
}

/// A text whose every line is its own, with some lines changed.
fn plain(name: &str, changes: &[(usize, String)]) -> String {
    let mut text = String::new();
    for line in 0..LINES {
        match changes.iter().find(|(at, _)| *at == line) {
            Some((_, changed)) => text.push_str(changed),
            None => write!(text, "line {line} of {name}").unwrap_or_default(),
        }
        text.push('\n');
    }
    text
}

/// The bytes of a binary file, by its number.
pub(crate) fn image(number: usize) -> Vec<u8> {
    let mut seeded = Seeded(number as u64);
    let noise = (0..600).map(|_| u8::try_from(seeded.below(256)).unwrap_or(0));
    b"\0IMAGE\0".iter().copied().chain(noise).collect()
}

/// One commit in the words of `git fast-import`.
fn commit(
    out: &mut Vec<u8>,
    branch: &str,
    mark: usize,
    from: Option<usize>,
    title: &str,
    changes: &[Change],
) {
    let when = BEGAN + mark;
    let mut head = format!("commit refs/heads/{branch}\nmark :{mark}\n");
    for role in ["author", "committer"] {
        head.push_str(&format!("{role} {BY} {when} +0000\n"));
    }
    head.push_str(&format!("data {}\n{title}\n", title.len()));
    if let Some(from) = from {
        head.push_str(&format!("from :{from}\n"));
    }
    out.extend(head.bytes());
    for change in changes {
        match change {
            Change::Write(path, mode, bytes) => {
                out.extend(format!("M {mode:o} inline {path}\ndata {}\n", bytes.len()).bytes());
                out.extend(bytes);
                out.push(b'\n');
            }
            Change::Remove(path) => out.extend(format!("D {path}\n").bytes()),
            Change::Rename(from, to) => out.extend(format!("R {from} {to}\n").bytes()),
        }
    }
    out.push(b'\n');
}
