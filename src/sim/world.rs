//! The simulated world: git as patches on a target, gates as truth plus flakes, sessions as fates.
//!
//! Each verb changes the world at once and says what it found; the town delays, doubles or loses
//! the answer. Commits are real enough for stacking: a tree is the set of its patches, a patch
//! conflicts when a file it touches changed since its base.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::plan::Fault;
use super::plan::Plan;
use super::rng::Hash;
use super::rng::Stream;
use super::shelves::Shelves;
use crate::model::agent::Exit;
use crate::model::effect::Bounced;
use crate::model::effect::Candidate;
use crate::model::effect::Effect;
use crate::model::effect::HostIdentity;
use crate::model::effect::Outcome;
use crate::model::effect::Place;
use crate::model::effect::SessionSpec;
use crate::model::ids::RigName;
use crate::model::ids::SessionId;
use crate::model::ids::Sha;
use crate::model::merge::GateResult;
use crate::model::merge::GateSpec;
use crate::model::merge::Stacked;
use crate::model::merge::Touches;
use crate::model::merge::Verdict;

/// Files of a simulated repository.
const FILES: u64 = 400;

/// What one worker made.
#[derive(Clone, Debug)]
pub(super) struct Patch {
    files: Vec<u64>,
    base: u64,
    bad: bool,
    /// Red together with the other patch of this pair.
    pair: Option<u64>,
}

impl Patch {
    /// Eight directories, and twenty lines in each file.
    fn touches(&self) -> Touches {
        let files = self.files.len() as i64;
        let place = self.files.first().map_or_else(String::new, |file| format!("src/{}", file % 8));
        Touches { files, lines: files * 20, place }
    }
}

#[derive(Clone, Debug)]
struct Commit {
    tree: Sha,
    mark: u64,
    reds: u32,
    pairs: Rc<BTreeSet<u64>>,
    files: Vec<u64>,
    heads: Vec<Sha>,
}

#[derive(Clone, Debug)]
struct Worktree {
    incarnation: i64,
    branch: String,
    head: Option<Sha>,
}

/// One simulated repository with its remote.
#[derive(Clone, Debug)]
pub(super) struct Repo {
    target: Sha,
    version: u64,
    changed: BTreeMap<u64, u64>,
    commits: BTreeMap<Sha, Commit>,
    landed: BTreeSet<Sha>,
    history: BTreeSet<Sha>,
    passed: BTreeSet<Sha>,
    worktrees: BTreeMap<String, Worktree>,
    remote: BTreeMap<String, Sha>,
    rescued: BTreeSet<Sha>,
    patches: BTreeMap<Sha, Patch>,
}

/// A simulated session.
#[derive(Clone, Debug)]
pub(super) struct Sim {
    /// What was asked for.
    pub spec: SessionSpec,
    /// How it ended.
    pub exit: Option<Exit>,
}

/// What acting on a verb gave.
#[derive(Debug)]
pub(super) struct Acted {
    /// The answer; `None` comes later, when a session ends.
    pub outcome: Option<Outcome>,
    /// Milliseconds until it is told.
    pub delay: i64,
    /// A broken promise, by invariant number, found by the world itself.
    pub broken: Option<(u8, String)>,
}

impl Acted {
    fn told(outcome: Outcome, delay: i64) -> Self {
        Self { outcome: Some(outcome), delay, broken: None }
    }
}

/// Everything outside the ledger.
#[derive(Clone, Debug)]
pub(super) struct World {
    repos: BTreeMap<RigName, Repo>,
    /// Every session ever started.
    pub sessions: BTreeMap<SessionId, Sim>,
    stream: Stream,
    made: u64,
    /// Every stored database as a dog sees it.
    pub shelves: Shelves,
}

impl World {
    /// A world with empty repositories.
    #[must_use]
    pub(super) fn new(seed: u64, rigs: &[RigName]) -> Self {
        let repos = rigs.iter().map(|rig| (rig.clone(), Repo::new(rig))).collect();
        Self {
            repos,
            sessions: BTreeMap::new(),
            stream: Stream::new(seed, "world"),
            made: 0,
            shelves: Shelves::new(seed),
        }
    }

    fn repo(&mut self, rig: &RigName) -> &mut Repo {
        self.repos.get_mut(rig).expect("a rig of this town")
    }

    /// Whether a submitted head's patch is in the target.
    #[must_use]
    pub(super) fn is_landed(&self, rig: &RigName, head: &Sha) -> bool {
        self.repos.get(rig).is_some_and(|repo| repo.landed.contains(head))
    }

    /// Commits new work in a worker's worktree and returns its head.
    pub(super) fn work(&mut self, place: &Place, pair: Option<u64>) -> Sha {
        self.made += 1;
        let bad = self.stream.happens(80_000);
        let count = 1 + self.stream.below(3);
        let files = (0..count).map(|_| self.stream.below(FILES)).collect();
        let mut hash = Hash::default();
        hash.text("head");
        hash.number(self.made);
        let head = Sha(hash.object_id());
        let repo = self.repo(&place.rig);
        let base = repo.version;
        repo.patches.insert(head.clone(), Patch { files, base, bad, pair });
        if let Some(tree) = repo.worktrees.get_mut(&place.name) {
            tree.head = Some(head.clone());
        }
        head
    }

    /// Somebody else pushes to a target.
    pub(super) fn outsider(&mut self, rig: &RigName) {
        self.made += 1;
        let file = self.stream.below(FILES);
        let mut hash = Hash::default();
        hash.text("outsider");
        hash.number(self.made);
        let head = Sha(hash.object_id());
        let repo = self.repo(rig);
        let patch = Patch { files: vec![file], base: repo.version, bad: false, pair: None };
        repo.patches.insert(head.clone(), patch);
        let target = repo.target.clone();
        let tip = repo.apply(&target, &head);
        repo.passed.insert(repo.commits[&tip].tree.clone());
        repo.move_to(&tip);
    }

    /// Does a verb.
    pub(super) fn act(&mut self, effect: &Effect, plan: &mut Plan) -> Acted {
        let delay = self.stream.between(20, 3_000);
        let exempt = matches!(effect, Effect::Watch { .. } | Effect::Stop { .. });
        if !exempt && plan.strikes(Fault::EffectFailed) {
            return Acted::told(Outcome::Failed { error: "simulated failure".into() }, delay);
        }
        match effect {
            Effect::MakeWorktree { place, branch, start } => {
                let head = self.repo(&place.rig).worktree(place, branch, start.as_ref());
                Acted::told(Outcome::Worktree { head }, delay)
            }
            Effect::Spawn(spec) => {
                let sim = Sim { spec: spec.clone(), exit: None };
                self.sessions.entry(spec.id.clone()).or_insert(sim);
                let host = HostIdentity {
                    pid: 1,
                    start_time: 1,
                    boot_id: "sim".to_owned(),
                    token_hash: spec.id.to_string(),
                };
                Acted::told(Outcome::Started { host }, delay)
            }
            Effect::Watch { session } => match self.sessions.get(session) {
                None => Acted::told(Outcome::Exited { exit: Exit::Vanished }, 10),
                Some(Sim { exit: Some(exit), .. }) => {
                    Acted::told(Outcome::Exited { exit: exit.clone() }, 10)
                }
                Some(Sim { exit: None, .. }) => Acted { outcome: None, delay: 0, broken: None },
            },
            Effect::Stop { session, .. } => {
                if let Some(sim) = self.sessions.get_mut(session) {
                    sim.exit.get_or_insert(Exit::Stopped);
                }
                Acted::told(Outcome::Stopping, 10)
            }
            Effect::Push { place, branch, head } => self.push(place, branch, head, delay),
            Effect::Teardown { place, branch } => self.teardown(place, branch, delay),
            Effect::BuildStack { rig, candidates, .. } => {
                let outcome = self.repo(rig).stack(candidates);
                Acted::told(outcome, delay)
            }
            Effect::RunGates { rig, commit, tree, gates, .. } => {
                let took = self.stream.between(60_000, 600_000);
                let results = self.gates(rig, commit, tree, gates, plan);
                Acted::told(Outcome::Gates { results }, took)
            }
            Effect::Land { rig, base, tip, items, .. } => self.land(rig, base, tip, items, delay),
            Effect::RemoveBranch { rig, branch, .. } => {
                self.repo(rig).remote.remove(branch);
                Acted::told(Outcome::BranchRemoved, delay)
            }
            Effect::Upkeep { db, chore } => {
                let done = self.shelves.keep(db, chore);
                Acted::told(Outcome::Kept { done }, delay)
            }
        }
    }

    fn push(&mut self, place: &Place, branch: &str, head: &Sha, delay: i64) -> Acted {
        let repo = self.repo(&place.rig);
        let Some(patch) = repo.patches.get(head) else {
            return Acted::told(Outcome::Failed { error: format!("no commit {head}") }, delay);
        };
        let touches = Some(patch.touches());
        repo.remote.insert(branch.to_owned(), head.clone());
        Acted::told(Outcome::Pushed { touches }, delay)
    }

    fn teardown(&mut self, place: &Place, branch: &str, delay: i64) -> Acted {
        let repo = self.repo(&place.rig);
        let owned = repo
            .worktrees
            .get(&place.name)
            .filter(|tree| tree.branch == branch && tree.incarnation <= place.incarnation)
            .cloned();
        let Some(tree) = owned else {
            return Acted::told(Outcome::TornDown { rescued: None }, delay);
        };
        let unsaved = tree.head.filter(|head| repo.remote.get(branch) != Some(head));
        let rescued = unsaved.map(|head| {
            let name = format!("refs/gt/rescue/{}/{head}", place.name);
            repo.rescued.insert(head);
            name
        });
        repo.worktrees.remove(&place.name);
        Acted::told(Outcome::TornDown { rescued }, delay)
    }

    fn gates(
        &mut self,
        rig: &RigName,
        commit: &Sha,
        tree: &Sha,
        gates: &[GateSpec],
        plan: &mut Plan,
    ) -> Vec<GateResult> {
        let repo = self.repo(rig);
        let green = repo.commits.get(commit).is_some_and(|c| c.reds == 0 && c.tree == *tree);
        let mut results = Vec::new();
        for gate in gates {
            let verdict = if plan.strikes(Fault::GateStuck) {
                Verdict::CouldNotRun
            } else if !green || plan.strikes(Fault::GateFlaked) {
                Verdict::Failed
            } else {
                Verdict::Passed
            };
            results.push(GateResult {
                name: gate.name.clone(),
                verdict,
                reason: verdict.to_string(),
                log: String::new(),
                tail: String::new(),
            });
        }
        if results.iter().all(|result| result.verdict == Verdict::Passed) {
            self.repo(rig).passed.insert(tree.clone());
        }
        results
    }

    fn land(
        &mut self,
        rig: &RigName,
        base: &Sha,
        tip: &Sha,
        items: &[Stacked],
        delay: i64,
    ) -> Acted {
        let repo = self.repo(rig);
        if repo.history.contains(tip) {
            return Acted::told(Outcome::Landed, delay);
        }
        if repo.target != *base {
            return Acted::told(Outcome::Moved { at: repo.target.clone() }, delay);
        }
        let Some(commit) = repo.commits.get(tip) else {
            return Acted::told(Outcome::Failed { error: format!("no commit {tip}") }, delay);
        };
        let proven = repo.passed.contains(&commit.tree);
        let broken =
            (!proven).then(|| (4, format!("{tip} landed without a green run of its tree")));
        repo.move_to(tip);
        let missing = items.iter().find(|item| !repo.landed.contains(&item.head));
        let broken = broken
            .or_else(|| missing.map(|item| (6, format!("{} landed without its patch", item.mr))));
        Acted { outcome: Some(Outcome::Landed), delay, broken }
    }
}

impl Repo {
    fn new(rig: &RigName) -> Self {
        let mut hash = Hash::default();
        hash.text(rig.as_str());
        let root = Sha(hash.object_id());
        let commit = Commit {
            tree: root.clone(),
            mark: 0,
            reds: 0,
            pairs: Rc::default(),
            files: Vec::new(),
            heads: Vec::new(),
        };
        Self {
            target: root.clone(),
            version: 0,
            changed: BTreeMap::new(),
            commits: BTreeMap::from([(root.clone(), commit)]),
            landed: BTreeSet::new(),
            history: BTreeSet::from([root]),
            passed: BTreeSet::new(),
            worktrees: BTreeMap::new(),
            remote: BTreeMap::new(),
            rescued: BTreeSet::new(),
            patches: BTreeMap::new(),
        }
    }

    fn worktree(&mut self, place: &Place, branch: &str, start: Option<&Sha>) -> Sha {
        let target = self.target.clone();
        let tree = self.worktrees.entry(place.name.clone()).or_insert_with(|| Worktree {
            incarnation: place.incarnation,
            branch: branch.to_owned(),
            head: start.cloned(),
        });
        tree.incarnation = place.incarnation;
        if tree.branch != branch {
            branch.clone_into(&mut tree.branch);
            tree.head = start.cloned();
        }
        tree.head.clone().unwrap_or(target)
    }

    /// Applies a patch on a commit in the object store.
    fn apply(&mut self, onto: &Sha, head: &Sha) -> Sha {
        let below = self.commits[onto].clone();
        let patch = self.patches[head].clone();
        let mut hash = Hash::default();
        hash.text(head.as_str());
        let mark = below.mark ^ hash.0;
        let mut tree = Hash(mark);
        tree.text("tree");
        let mut id = Hash::default();
        id.text(onto.as_str());
        id.text(head.as_str());
        let mut reds = below.reds + u32::from(patch.bad);
        let mut pairs = below.pairs.clone();
        if let Some(pair) = patch.pair {
            let mut set = (*pairs).clone();
            reds += u32::from(!set.insert(pair));
            pairs = Rc::new(set);
        }
        let commit = Commit {
            tree: Sha(tree.object_id()),
            mark,
            reds,
            pairs,
            files: below.files.iter().chain(&patch.files).copied().collect(),
            heads: below.heads.iter().cloned().chain([head.clone()]).collect(),
        };
        let sha = Sha(id.object_id());
        self.commits.insert(sha.clone(), commit);
        sha
    }

    fn move_to(&mut self, tip: &Sha) {
        let commit = self.commits[tip].clone();
        self.version += 1;
        for file in &commit.files {
            self.changed.insert(*file, self.version);
        }
        self.landed.extend(commit.heads);
        self.history.insert(tip.clone());
        self.target = tip.clone();
        // The tip is the new base: what is in it is no longer news, and nothing else can land.
        let base = self.commits.get_mut(tip).expect("just read");
        base.files.clear();
        base.heads.clear();
    }

    fn conflicts(&self, patch: &Patch, newer: &[u64]) -> Vec<String> {
        let clashes = |file: &&u64| {
            let landed = self.changed.get(file).is_some_and(|version| *version > patch.base);
            landed || newer.contains(file)
        };
        patch.files.iter().filter(clashes).map(|file| format!("src/file_{file}.txt")).collect()
    }

    fn stack(&mut self, candidates: &[Candidate]) -> Outcome {
        let base = self.target.clone();
        let mut at = base.clone();
        let (mut items, mut bounced) = (Vec::new(), Vec::new());
        for candidate in candidates {
            let bounce =
                |files: Vec<String>| Bounced { mr: candidate.mr.clone(), files, onto: at.clone() };
            let Some(patch) = self.patches.get(&candidate.head).cloned() else {
                bounced.push(bounce(Vec::new()));
                continue;
            };
            let files = self.conflicts(&patch, &self.commits[&at].files);
            if !files.is_empty() {
                bounced.push(bounce(files));
                continue;
            }
            at = self.apply(&at, &candidate.head);
            items.push(Stacked {
                mr: candidate.mr.clone(),
                head: candidate.head.clone(),
                commit: at.clone(),
                tree: self.commits[&at].tree.clone(),
                empty: false,
            });
        }
        Outcome::Stack { base_tree: self.commits[&base].tree.clone(), base, items, bounced }
    }
}
