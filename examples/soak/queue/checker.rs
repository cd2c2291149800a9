//! The separate checker of a queue's soak: it reads git and the gate's own log, and nothing of the
//! town. It checks out every commit that the target ever pointed to and looks at it as the gate
//! does; and it finds every submitted change on the target by what the change does.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Fallible;
use super::gate;
use super::git::git;
use super::git::git_with;
use super::git::read;

/// How changes are printed: without context, so that what stands around does not matter.
const DIFF: [&str; 7] =
    ["-p", "-U0", "-M", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv"];

/// One attempt of a merge request.
#[derive(Clone, Debug)]
pub(crate) struct Submitted {
    pub(crate) number: usize,
    /// Its own commits, the last one its head.
    pub(crate) commits: Vec<String>,
}

/// Where to look.
pub(crate) struct Places<'a> {
    /// The remote, a bare repository that records the moves of its branches.
    pub(crate) remote: &'a Path,
    /// A repository that has the submitted commits.
    pub(crate) authors: &'a Path,
    /// The gate's own log.
    pub(crate) gate_log: &'a Path,
    /// What others were about to push to the target, a commit a line.
    pub(crate) outside: &'a Path,
    /// An empty place for a checkout.
    pub(crate) scratch: &'a Path,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Moves of the target by the town.
    pub(crate) landings: usize,
    /// Moves by others.
    pub(crate) outside: usize,
    /// Landed tips that are red when the gate looks at them.
    pub(crate) red: Vec<String>,
    /// Landed tips of whose tree the gate never said that it is green.
    pub(crate) unproven: Vec<String>,
    /// Moves after which commits of the target are gone.
    pub(crate) dropped: Vec<String>,
    /// Commits on the target that are nobody's change, or not as it was submitted.
    pub(crate) strange: Vec<String>,
    /// Merge requests of which a part is there, or which are there more than once.
    pub(crate) doubled: BTreeSet<usize>,
    pub(crate) torn: BTreeSet<usize>,
    /// Merge requests whose change is there.
    pub(crate) there: BTreeSet<usize>,
}

impl Found {
    /// Looks everywhere.
    pub(crate) fn look(places: &Places<'_>, submitted: &[Submitted]) -> Fallible<Self> {
        let mut found = Self::default();
        let moves = moves(places.remote)?;
        let outside: BTreeSet<String> = read(places.outside)?.lines().map(str::to_owned).collect();
        found.look_at_moves(places, &moves, &outside)?;
        found.look_at_changes(places, &moves, &outside, submitted)?;
        Ok(found)
    }

    /// What the town says beside what is there: merged and not there, there and not merged.
    pub(crate) fn against(&self, merged: &BTreeSet<usize>) -> (Vec<usize>, Vec<usize>) {
        let lost = merged.difference(&self.there).copied().collect();
        (lost, self.there.difference(merged).copied().collect())
    }

    fn look_at_moves(
        &mut self,
        places: &Places<'_>,
        moves: &[(String, String)],
        outside: &BTreeSet<String>,
    ) -> Fallible<()> {
        let log = read(places.gate_log)?;
        let green: BTreeSet<&str> = log
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(_, word)| *word == gate::GREEN)
            .map(|(tree, _)| tree)
            .collect();
        let work = places.scratch.display().to_string();
        if places.scratch.exists() {
            fs::remove_dir_all(places.scratch)?;
        }
        let remote = places.remote.display().to_string();
        git(places.authors, &["clone", "--quiet", "--shared", "--no-checkout", &remote, &work])?;
        let mut before = moves.first().map(|(_, to)| to.clone()).unwrap_or_default();
        for (from, to) in moves.iter().skip(1) {
            let kept = *from == before
                && git(places.remote, &["merge-base", "--is-ancestor", from, to]).is_ok();
            if !kept {
                self.dropped.push(to.clone());
            }
            before.clone_from(to);
            if outside.contains(to) {
                self.outside += 1;
                continue;
            }
            self.landings += 1;
            git(places.scratch, &["checkout", "--quiet", "--force", "--detach", to])?;
            if let Err(why) = gate::look(places.scratch) {
                self.red.push(format!("{to}: {why}"));
            }
            let tree = git(places.remote, &["rev-parse", &format!("{to}^{{tree}}")])?;
            if !green.contains(tree.as_str()) {
                self.unproven.push(to.clone());
            }
        }
        fs::remove_dir_all(places.scratch)?;
        Ok(())
    }

    /// Every change of every commit on the target belongs to one that was submitted, or to another
    /// person's push.
    fn look_at_changes(
        &mut self,
        places: &Places<'_>,
        moves: &[(String, String)],
        outside: &BTreeSet<String>,
        submitted: &[Submitted],
    ) -> Fallible<()> {
        let heads: Vec<String> = submitted.iter().flat_map(|one| one.commits.clone()).collect();
        let wanted = changes(places.authors, &["diff-tree", "--stdin"], &heads.join("\n"))?;
        let mut landed: BTreeMap<String, usize> = BTreeMap::new();
        let mut known: BTreeSet<&String> = wanted.values().collect();
        known.retain(|change| !change.is_empty());
        if let (Some((_, first)), Some((_, last))) = (moves.first(), moves.last()) {
            let list = git(places.remote, &["rev-list", "--reverse", &format!("{first}..{last}")])?;
            for (commit, change) in changes(places.remote, &["diff-tree", "--stdin"], &list)? {
                if outside.contains(&commit) {
                    continue;
                }
                if !known.contains(&change) {
                    self.strange.push(commit);
                }
                *landed.entry(change).or_default() += 1;
            }
        }
        for one in submitted {
            let times = |commit: &String| {
                let change = wanted.get(commit);
                change.and_then(|change| landed.get(change)).copied().unwrap_or(0)
            };
            let counts: Vec<usize> = one.commits.iter().map(times).collect();
            if counts.iter().any(|count| *count > 1) {
                self.doubled.insert(one.number);
            }
            if counts.iter().all(|count| *count > 0) {
                if !self.there.insert(one.number) {
                    // Two attempts of one piece of work.
                    self.doubled.insert(one.number);
                }
            } else if counts.iter().any(|count| *count > 0) {
                self.torn.insert(one.number);
            }
        }
        Ok(())
    }
}

/// Every move of the target by the remote's own record, oldest first: from where, and to where.
fn moves(remote: &Path) -> Fallible<Vec<(String, String)>> {
    let text = fs::read_to_string(remote.join("logs/refs/heads/main"))?;
    let mut all = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ').map(str::to_owned);
        all.push(words.next().zip(words.next()).ok_or("a move without its ends")?);
    }
    Ok(all)
}

/// What each of these commits changes, in words that are the same wherever it is applied.
fn changes(repository: &Path, verb: &[&str], commits: &str) -> Fallible<BTreeMap<String, String>> {
    let input = format!("{commits}\n");
    let text = git_with(repository, &[verb, &DIFF].concat(), input.as_bytes())?;
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let (mut commit, mut body, mut file, mut index) = (String::new(), false, "", "");
    for line in text.lines() {
        if line.len() == 40 && line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            commit = line.to_owned();
            all.entry(commit.clone()).or_default();
            body = false;
            continue;
        }
        let mut say = |words: &str| {
            let own = all.entry(commit.clone()).or_default();
            own.push_str(words);
            own.push('\n');
        };
        if line.starts_with("diff --git ") {
            (file, body) = (line, false);
        } else if line.starts_with("@@ ") {
            body = true;
        } else if body && line.starts_with(['+', '-']) {
            say(line);
        } else if line.starts_with("index ") {
            index = line;
        } else if line.starts_with("Binary files ") {
            say(index);
        } else if line.starts_with("rename ") {
            say(line);
        } else if line.starts_with("old mode ") || line.starts_with("new file mode ") {
            // The lines do not tell of which file.
            say(file);
            say(line);
        } else if line.starts_with("new mode ") || line.starts_with("deleted file mode ") {
            say(line);
        }
    }
    Ok(all)
}
