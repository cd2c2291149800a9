//! Merge requests, gate verdicts and the one cycle of the queue, as data.

use serde::Deserialize;
use serde::Serialize;

use super::ids::BeadId;
use super::ids::RunId;
use super::ids::Sha;
use super::rows::GateRun;
use super::value::Name;
use super::value::json_cell;
use super::value::text_enum;

text_enum! {
    /// Where a merge request stands.
    MrState {
        /// Waits for a cycle, or is in one.
        Queued = "queued",
        /// Kept out of cycles by hand.
        Held = "held",
        /// On the target.
        Merged = "merged",
        /// Sent back with a verdict.
        Returned = "returned",
        /// Refused by hand.
        Rejected = "rejected",
    }
}

text_enum! {
    /// Where an integration branch stands.
    IntegrationState {
        /// What is below the epic lands on it.
        Open = "open",
        /// It waits to land as a whole; nothing else lands on it meanwhile.
        Landing = "landing",
        /// It is in its target.
        Landed = "landed",
        /// Given up when nothing was in it.
        Dropped = "dropped",
    }
}

impl IntegrationState {
    /// Neither landed nor dropped.
    #[must_use]
    pub fn lives(self) -> bool {
        matches!(self, Self::Open | Self::Landing)
    }
}

text_enum! {
    /// The three answers of a gate (I10).
    Verdict {
        /// It ran and agreed.
        Passed = "passed",
        /// It ran and disagreed.
        Failed = "failed",
        /// It did not run to an answer: nothing may be concluded.
        CouldNotRun = "could-not-run",
    }
}

text_enum! {
    /// How a merge request's commits come to the target.
    #[derive(Default)]
    LandingStyle {
        /// Each commit by itself, replayed on what is before it.
        #[default]
        Rebase = "rebase",
        /// One commit with all their changes.
        Squash = "squash",
        /// The commits as they are, joined by a merge commit.
        Merge = "merge",
    }
}

/// One gate as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateSpec {
    /// Its name.
    pub name: String,
    /// The shell command.
    pub cmd: String,
    /// Milliseconds until its whole process tree is ended.
    pub timeout_ms: i64,
    /// It prepares the checkout: it runs alone, before the gates, and without it none of them can
    /// run. It never says that a commit is bad.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub setup: bool,
    /// The tests that it must have run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestsWanted>,
}

impl GateSpec {
    /// A gate that is judged by how it ends alone.
    #[must_use]
    pub fn new(name: &str, cmd: &str, timeout_ms: i64) -> Self {
        let (name, cmd) = (name.to_owned(), cmd.to_owned());
        Self { name, cmd, timeout_ms, setup: false, tests: None }
    }
}

/// How many tests a gate must tell of: one that ran none ends as well as one whose tests passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestsWanted {
    /// At least so many.
    pub min: u64,
    /// Text of the summary with `{n}` for the number; `None` leaves it to what is known of the
    /// common test runners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// One gate's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateResult {
    /// The gate.
    pub name: String,
    /// The answer.
    pub verdict: Verdict,
    /// Why, in words: exit code, timeout, missing command.
    pub reason: String,
    /// Where its output is.
    pub log: String,
    /// The last lines of its output, bounded.
    pub tail: String,
}

/// The answer of a whole run: all passed, or the worst.
#[must_use]
pub fn overall(results: &[GateResult]) -> Verdict {
    if results.is_empty() || results.iter().any(|r| r.verdict == Verdict::CouldNotRun) {
        return Verdict::CouldNotRun;
    }
    if results.iter().all(|r| r.verdict == Verdict::Passed) {
        Verdict::Passed
    } else {
        Verdict::Failed
    }
}

/// Why a merge request came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Returned {
    /// It does not apply on what is before it.
    Conflict {
        /// The files.
        files: Vec<String>,
        /// The commit that it was applied to.
        onto: Sha,
    },
    /// A gate is red with it and green without it.
    Red {
        /// The red tree.
        tree: Sha,
        /// The green tree before it: the last green prefix, or the target.
        before: Sha,
        /// The run.
        run: RunId,
        /// The gates that failed.
        gates: Vec<GateResult>,
    },
    /// With it the gates cannot run, and without it they can.
    Unable {
        /// The tree on which they could not.
        tree: Sha,
        /// The tree before it, on which they could: the last green prefix, or the target.
        before: Sha,
        /// The run.
        run: RunId,
        /// The gates that could not run.
        gates: Vec<GateResult>,
    },
    /// The branch or commit is not there.
    Missing {
        /// What was looked for.
        what: String,
    },
    /// A person said no.
    Rejected {
        /// Their words.
        reason: String,
    },
}

json_cell!(Returned);

/// What a merge request touches, as far as it tells of its risk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touches {
    /// Files that differ from where it began.
    pub files: i64,
    /// Lines added and removed in them; those of binary files are not counted.
    pub lines: i64,
    /// The directory, at most two levels deep, that has most of those files; empty is the top.
    pub place: String,
}

json_cell!(Touches);

/// One merge request applied in a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stacked {
    /// The merge request.
    pub mr: BeadId,
    /// The submitted head.
    pub head: Sha,
    /// The last commit of it in the stack.
    pub commit: Sha,
    /// That commit's tree.
    pub tree: Sha,
    /// It changed nothing against what is before it.
    pub empty: bool,
}

/// A run in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Going {
    /// The run.
    pub run: RunId,
    /// Length of the prefix that it tests; 0 is the target itself.
    pub len: usize,
}

/// What the queue is doing (I4, I5). One row per rig.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Cycle {
    /// Nothing.
    #[default]
    Idle,
    /// A stack is being searched for its first culprit. What is known of it stands in the runs of
    /// its trees.
    Testing {
        /// The stack.
        stack: Stack,
        /// Each item's chance to be a culprit as it was when the stack was built, in millionths.
        risks: Vec<i64>,
        /// The runs in progress.
        runs: Vec<Going>,
        /// Runs that could not run in a row.
        stuck: i64,
    },
    /// The target should move from the stack's base to a green prefix's tip.
    Landing {
        /// The stack.
        stack: Stack,
        /// As in `Testing`.
        risks: Vec<i64>,
        /// Length of the prefix that lands.
        green: usize,
        /// The run that certifies the prefix's exact tree.
        proof: RunId,
        /// Set when the item behind the prefix goes back: its chance to be innocent, in
        /// millionths.
        culprit: Option<i64>,
    },
}

json_cell!(Cycle);

impl Cycle {
    /// What is stacked; nothing when no cycle runs.
    #[must_use]
    pub fn stack(&self) -> Option<&Stack> {
        match self {
            Self::Idle => None,
            Self::Testing { stack, .. } | Self::Landing { stack, .. } => Some(stack),
        }
    }
}

/// How a cycle ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CycleEnd {
    /// The target was moved, and verified.
    Landed,
    /// Nothing lands: the first item goes back, with this chance to be innocent in millionths.
    Returned(i64),
}

/// Merge requests applied one on another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// Number of the cycle, counting from 1.
    pub number: i64,
    /// The target's commit.
    pub base: Sha,
    /// The target's tree.
    pub base_tree: Sha,
    /// In order.
    pub items: Vec<Stacked>,
    /// The integration branch that is the target; `None` is the rig's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onto: Option<String>,
}

impl Stack {
    /// Commit of a prefix; length 0 is the base.
    #[must_use]
    pub fn commit(&self, len: usize) -> &Sha {
        len.checked_sub(1).map_or(&self.base, |at| &self.items[at].commit)
    }

    /// Tree of a prefix; length 0 is the base.
    #[must_use]
    pub fn tree(&self, len: usize) -> &Sha {
        len.checked_sub(1).map_or(&self.base_tree, |at| &self.items[at].tree)
    }

    /// What is left once a prefix has landed: the same commits, on it.
    #[must_use]
    pub fn behind(&self, len: usize, number: i64) -> Self {
        let (base, base_tree) = (self.commit(len).clone(), self.tree(len).clone());
        let (items, onto) = (self.items[len..].to_vec(), self.onto.clone());
        Self { number, base, base_tree, items, onto }
    }
}

/// What a verdict depends on beside the tree: a result counts only where both are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judge {
    /// Digest of the gates as configured.
    pub gates: Name,
    /// Digest of the environment that they run in.
    pub environment: Name,
}

impl Judge {
    /// Whether a run was of these gates in this environment.
    #[must_use]
    pub fn ran(&self, run: &GateRun) -> bool {
        run.gates == self.gates && run.environment.as_ref() == Some(&self.environment)
    }
}

/// A run of the gates ahead of the queue, on a commit as it would land.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The run.
    pub run: RunId,
    /// The commit.
    pub commit: Sha,
    /// Its tree.
    pub tree: Sha,
    /// What judged it.
    pub judge: Judge,
    /// Per gate.
    pub results: Vec<GateResult>,
    /// Who asked for it.
    pub asked_by: Name,
    /// When it began, in milliseconds since the epoch.
    pub started_at: i64,
}

/// A short digest of the gates as configured: a result counts only for the gates that gave it.
#[must_use]
pub fn gates_digest(gates: &[GateSpec], none: bool) -> Name {
    let mut hash: u64 = if none { 0x6a09_e667_f3bc_c908 } else { 0xcbf2_9ce4_8422_2325 };
    // FNV-1a: stable everywhere; collisions only matter between a rig's own settings.
    let mut add = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for gate in gates {
        add(&gate.name);
        add(&gate.cmd);
        if gate.setup {
            add("setup");
        }
        if let Some(tests) = &gate.tests {
            add(&format!("tests {} {:?}", tests.min, tests.pattern));
        }
    }
    Name(format!("{hash:016x}"))
}
