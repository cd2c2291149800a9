//! The refinery: stack, test, search, land, return; and the same machine over every bad set.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use gastown::machines::After;
use gastown::machines::Decision;
use gastown::machines::Input;
use gastown::machines::limits::Limits;
use gastown::machines::refinery::QueueSettings;
use gastown::machines::refinery::Refinery;
use gastown::messages::Message;
use gastown::messages::RefineryMessage;
use gastown::model::effect::Bounced;
use gastown::model::effect::Candidate;
use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::ids::BeadId;
use gastown::model::ids::Identity;
use gastown::model::merge::GateResult;
use gastown::model::merge::GateSpec;
use gastown::model::merge::LandingStyle;
use gastown::model::merge::MrState;
use gastown::model::merge::Stacked;
use gastown::model::merge::Verdict;
use gastown::model::ops::Op;
use gastown::model::rows::GateRun;
use gastown::model::rows::MergeRequest;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;
use proptest::prelude::ProptestConfig;
use proptest::prelude::any;
use proptest::prop_assert;
use proptest::prop_assert_eq;

use super::bench::Bench;
use super::bench::Step;
use super::bench::bead;
use super::bench::branch;
use super::bench::rig;
use super::bench::sha;
use super::bench::show;

pub fn settings() -> QueueSettings {
    let gate = GateSpec::new("test", "true", 1_000);
    QueueSettings {
        target: "main".to_owned(),
        gates: vec![gate],
        gates_none: false,
        environment: Name::default(),
        style: LandingStyle::default(),
        batch_max: 16,
        batch_wait_ms: 0,
        slots: 1,
        evict_error_ppm: 100,
        base_age_ms: 3_600_000,
        stuck_max: 3,
        rework_max: 3,
    }
}

/// A world whose tree is the list of its heads: those with an `x` are red, and with those with a `q`
/// the gates cannot run.
pub struct World {
    pub target: String,
    /// Where the targets beside the rig's own are.
    pub branches: BTreeMap<String, String>,
    /// The target itself is red.
    pub red: bool,
    /// Gates that give no answer from now on.
    pub stuck: usize,
    /// Runs that are red whatever is in them, from now on.
    pub flaky: usize,
    /// Landings that are refused, and effects that find nobody, from now on.
    pub refused: usize,
    pub away: usize,
    /// Somebody pushes before the next landing.
    pub overtaken: bool,
    pub log: String,
}

impl World {
    fn verdict(&mut self, tree: &str) -> Verdict {
        if self.stuck > 0 {
            self.stuck -= 1;
            return Verdict::CouldNotRun;
        }
        if tree.contains('q') {
            return Verdict::CouldNotRun;
        }
        let flaked = self.flaky > 0;
        self.flaky = self.flaky.saturating_sub(1);
        let red = flaked || self.red || tree.contains('x');
        if red { Verdict::Failed } else { Verdict::Passed }
    }

    fn at(&mut self, target: &str) -> &mut String {
        if target == "main" {
            return &mut self.target;
        }
        self.branches.entry(target.to_owned()).or_insert_with(|| self.target.clone())
    }

    fn stack(&mut self, target: &str, candidates: &[Candidate]) -> Outcome {
        let base = self.at(target).clone();
        let mut at = base.clone();
        let (mut items, mut bounced) = (Vec::new(), Vec::new());
        for Candidate { mr, head, whole, .. } in candidates {
            let (mr, head) = (mr.clone(), head.clone());
            if head.as_str().starts_with("clash") || head.as_str().starts_with("gone") {
                let clash = head.as_str().starts_with("clash");
                let files = if clash { vec!["src/lib.rs".to_owned()] } else { Vec::new() };
                bounced.push(Bounced { mr, files, onto: sha(&at) });
                continue;
            }
            // A branch that has all of the target is the tree that it would land as.
            let same = *whole && head.as_str().starts_with(&at);
            let tree = if same { head.clone() } else { sha(&format!("{at}+{head}")) };
            at = if *whole { format!("{at}*({head})") } else { tree.to_string() };
            let commit = sha(&at);
            items.push(Stacked { mr, head, commit, tree, empty: false });
        }
        let base = sha(&base);
        Outcome::Stack { base_tree: base.clone(), base, items, bounced }
    }

    fn act(&mut self, effect: &Effect) -> Outcome {
        if self.away > 0 && !matches!(effect, Effect::RunGates { .. }) {
            self.away -= 1;
            return Outcome::Unreachable { error: "Connection refused".to_owned() };
        }
        let (line, outcome) = match effect {
            Effect::Land { .. } if self.refused > 0 => {
                self.refused -= 1;
                let error = "the branch is protected".to_owned();
                ("land: refused".to_owned(), Outcome::Failed { error })
            }
            Effect::BuildStack { target, candidates, .. } => {
                let heads: Vec<&str> = candidates.iter().map(|c| c.head.as_str()).collect();
                let line = format!("stack {}{}", heads.join(" "), beside(target));
                (line, self.stack(target, candidates))
            }
            Effect::RunGates { commit, .. } => {
                let verdict = self.verdict(commit.as_str());
                let (name, reason) = ("test".to_owned(), verdict.to_string());
                let (log, tail) = (String::new(), String::new());
                let results = vec![GateResult { name, verdict, reason, log, tail }];
                (format!("test {commit}: {verdict}"), Outcome::Gates { results })
            }
            Effect::Land { target, base, tip, .. } => {
                if std::mem::take(&mut self.overtaken) {
                    self.at(target).push_str("+other");
                }
                let line = format!("land {tip}{}", beside(target));
                let at = self.at(target);
                if at == base.as_str() {
                    *at = tip.to_string();
                    (line, Outcome::Landed)
                } else {
                    (format!("{line}: moved"), Outcome::Moved { at: sha(at) })
                }
            }
            Effect::RemoveBranch { branch, .. } => {
                (format!("remove {branch}"), Outcome::BranchRemoved)
            }
            other => panic!("a refinery does not {}", other.name()),
        };
        self.log.push_str(&format!("{line}\n"));
        outcome
    }
}

/// A target beside the rig's own.
fn beside(target: &str) -> String {
    if target == "main" { String::new() } else { format!(" onto {target}") }
}

pub struct Script {
    pub bench: Bench<Refinery>,
    pub world: World,
    pub waiting: usize,
    pub inputs: Vec<Input>,
}

impl Script {
    pub fn new(settings: QueueSettings) -> Self {
        let mut bench = Bench::new(Refinery::new(rig(), settings, Limits::default()));
        bench.commit("overseer", &Op::RegisterAgent { who: Identity::Refinery(rig()) }).unwrap();
        let log = String::new();
        let target = "m".to_owned();
        let (red, overtaken, stuck, flaky, refused, away) = (false, false, 0, 0, 0, 0);
        let branches = BTreeMap::new();
        let world = World { target, branches, red, stuck, flaky, refused, away, overtaken, log };
        Self { bench, world, waiting: 0, inputs: Vec::new() }
    }

    pub fn queue(&mut self, heads: &[&str]) {
        for head in heads {
            self.waiting += 1;
            let id = format!("sh-{}", self.waiting);
            self.bench.commit("overseer", &bead(&id)).unwrap();
            self.bench.commit("overseer", &branch(&id, head)).unwrap();
            self.bench.now += 1;
        }
    }

    /// Gives the machine the oldest answer of the world, or a wake-up; the world acts.
    pub fn turn(&mut self) -> Decision {
        let input = self.inputs.pop().unwrap_or(Input::Wake);
        let (decision, refused) = self.bench.take(&input);
        assert!(refused.is_none(), "{}", show(&decision, refused.as_ref(), self.bench.now));
        for after in &decision.after {
            let After::Do(effect) = after else { panic!("a refinery only acts") };
            let outcome = self.world.act(effect);
            self.inputs.push(Input::Report { key: effect.key(), outcome });
        }
        self.bench.now += 1;
        decision
    }

    /// Turns until this op is decided.
    pub fn run_to(&mut self, op: &str) {
        for _ in 0..100 {
            if self.turn().ops.iter().any(|one| one.name() == op) {
                return;
            }
        }
        panic!("no {op} in a hundred turns");
    }

    /// Turns until the machine wants nothing more: what the world did, and how each request ended.
    pub fn run(&mut self) -> String {
        let mut quiet = 0;
        while quiet < 2 {
            let decision = self.turn();
            let idle = decision.ops.is_empty() && decision.after.is_empty();
            quiet = if idle { quiet + 1 } else { 0 };
        }
        let log = std::mem::take(&mut self.world.log);
        format!("{log}{}", self.ends())
    }

    pub fn requests(&mut self) -> Vec<MergeRequest> {
        self.bench.memory.rows::<MergeRequest>(&Scan::default()).unwrap()
    }

    pub fn ends(&mut self) -> String {
        let requests = self.requests();
        let lines = requests.iter().map(|mr| {
            let why = mr.verdict.as_ref().map(|verdict| {
                let value = serde_json::to_value(verdict).unwrap();
                format!(" {}", value["kind"].as_str().unwrap())
            });
            format!("{} is {}{}\n", mr.head, mr.state, why.unwrap_or_default())
        });
        lines.collect()
    }

    pub fn parked(&mut self) -> Option<String> {
        let queues = self.bench.memory.rows::<gastown::model::rows::Queue>(&Scan::default());
        queues.unwrap()[0].parked.clone()
    }
}

fn check(heads: &[&str], prepare: impl FnOnce(&mut World)) -> String {
    let mut script = Script::new(settings());
    script.queue(heads);
    prepare(&mut script.world);
    script.run()
}

#[test]
fn after_a_start_branches_of_the_last_landings_are_asked_for_once() {
    let mut script = Script::new(settings());
    script.queue(&["a", "b"]);
    script.run();
    script.bench.run(&[Step::Forget]);
    assert_eq!(script.run(), "remove b-sh-1\nremove b-sh-2\na is merged\nb is merged\n");
    assert_eq!(script.run(), "a is merged\nb is merged\n");
}

#[test]
fn all_green_is_one_run() {
    insta::assert_snapshot!(check(&["a", "b", "c"], |_| ()), @r"
    stack a b c
    test m+a+b+c: passed
    land m+a+b+c
    remove b-sh-1
    remove b-sh-2
    remove b-sh-3
    a is merged
    b is merged
    c is merged
    ");
}

#[test]
fn a_culprit_is_found_on_prefixes_and_the_rest_goes_on() {
    insta::assert_snapshot!(check(&["a", "b", "x", "c", "d"], |_| ()), @r"
    stack a b x c d
    test m+a+b+x+c+d: failed
    test m+a+b: passed
    land m+a+b
    remove b-sh-1
    remove b-sh-2
    test m+a+b+x: failed
    test m+a+b+x: failed
    stack c d
    test m+a+b+c+d: passed
    land m+a+b+c+d
    remove b-sh-4
    remove b-sh-5
    a is merged
    b is merged
    x is returned red
    c is merged
    d is merged
    ");
}

#[test]
fn a_red_first_item_is_blamed_once_the_target_is_known_green() {
    insta::assert_snapshot!(check(&["x", "a"], |_| ()), @r"
    stack x a
    test m+x+a: failed
    test m+x: failed
    test m: passed
    test m+x: failed
    stack a
    test m+a: passed
    land m+a
    remove b-sh-2
    x is returned red
    a is merged
    ");
}

#[test]
fn a_red_target_blames_nobody_and_parks_until_a_person_says_retry() {
    let mut script = Script::new(settings());
    script.queue(&["a", "b"]);
    script.world.red = true;
    insta::assert_snapshot!(script.run(), @r"
    stack a b
    test m+a+b: failed
    test m+a: failed
    test m: failed
    test m: failed
    a is queued
    b is queued
    ");
    assert!(script.parked().unwrap().contains("main itself is red"));
    script.world.red = false;
    let retry = Op::ParkQueue { rig: rig(), reason: None };
    script.bench.commit("overseer", &retry).unwrap();
    insta::assert_snapshot!(script.run(), @r"
    stack a b
    test m+a+b: passed
    land m+a+b
    remove b-sh-1
    remove b-sh-2
    a is merged
    b is merged
    ");
}

#[test]
fn gates_that_cannot_run_land_nothing_and_park() {
    let text = check(&["a"], |world| world.stuck = 2);
    insta::assert_snapshot!(text, @r"
    stack a
    test m+a: could-not-run
    test m+a: could-not-run
    test m: passed
    test m+a: passed
    land m+a
    remove b-sh-1
    a is merged
    ");
    let mut script = Script::new(settings());
    script.queue(&["a"]);
    script.world.stuck = usize::MAX;
    insta::assert_snapshot!(script.run(), @r"
    stack a
    test m+a: could-not-run
    test m+a: could-not-run
    test m: could-not-run
    a is queued
    ");
    assert!(script.parked().unwrap().contains("could not run 3 times"));
}

#[test]
fn a_target_that_moved_is_tested_on_again() {
    insta::assert_snapshot!(check(&["a", "b"], |world| world.overtaken = true), @r"
    stack a b
    test m+a+b: passed
    land m+a+b: moved
    stack a b
    test m+other+a+b: passed
    land m+other+a+b
    remove b-sh-1
    remove b-sh-2
    a is merged
    b is merged
    ");
}

#[test]
fn conflicts_and_missing_commits_bounce_before_any_gate() {
    insta::assert_snapshot!(check(&["clash1", "a", "gone1"], |_| ()), @r"
    stack clash1 a gone1
    test m+a: passed
    land m+a
    remove b-sh-2
    clash1 is returned conflict
    a is merged
    gone1 is returned missing
    ");
    insta::assert_snapshot!(check(&["clash1"], |_| ()), @r"
    stack clash1
    clash1 is returned conflict
    ");
}

#[test]
fn a_tree_that_was_tested_is_not_tested_again() {
    let mut script = Script::new(settings());
    script.queue(&["a", "b"]);
    script.run_to("finish_run");
    let abandon = Op::AbandonCycle { rig: rig(), reason: "asked".to_owned() };
    script.bench.commit("overseer", &abandon).unwrap();
    insta::assert_snapshot!(script.run(), @r"
    stack a b
    test m+a+b: passed
    stack a b
    land m+a+b
    remove b-sh-1
    remove b-sh-2
    a is merged
    b is merged
    ");
}

#[test]
fn gates_none_is_said_by_the_rig_and_no_gates_at_all_lands_nothing() {
    let mut none = settings();
    none.gates.clear();
    none.gates_none = true;
    let mut script = Script::new(none.clone());
    script.queue(&["a"]);
    insta::assert_snapshot!(script.run(), @r"
    stack a
    land m+a
    remove b-sh-1
    a is merged
    ");
    none.gates_none = false;
    let mut script = Script::new(none);
    script.queue(&["a"]);
    script.world.stuck = usize::MAX;
    assert!(script.run().ends_with("a is queued\n"));
    assert!(script.parked().is_some());
}

#[test]
fn new_gates_make_old_runs_worthless() {
    let mut script = Script::new(settings());
    script.queue(&["x"]);
    script.run();
    let mut other = settings();
    other.gates[0].cmd = "false".to_owned();
    script.inputs.push(Input::Told(Message::Refinery(RefineryMessage::Configure(other))));
    assert!(script.turn().ops.is_empty());
    let (mr, reason) = (script.requests()[0].id.clone(), "other gates".to_owned());
    let again = Op::SetMr { mr, state: MrState::Queued, reason };
    script.bench.commit("overseer", &again).unwrap();
    let text = script.run();
    assert!(text.starts_with("stack x\ntest m+x: failed\n"), "{text}");
}

#[test]
fn a_proof_under_other_gates_is_no_proof() {
    let mut script = Script::new(settings());
    script.queue(&["a"]);
    script.run_to("finish_run");
    let mut other = settings();
    other.gates[0].cmd = "false".to_owned();
    script.inputs.push(Input::Told(Message::Refinery(RefineryMessage::Configure(other))));
    let text = script.run();
    assert!(text.starts_with("stack a\ntest m+a: passed\ntest m+a: passed\nland"), "{text}");
}

#[test]
fn gates_changed_while_others_run_start_over() {
    let mut script = Script::new(settings());
    script.queue(&["a"]);
    script.run_to("start_run");
    let mut none = settings();
    none.gates.clear();
    none.gates_none = true;
    script.inputs.push(Input::Told(Message::Refinery(RefineryMessage::Configure(none))));
    assert!(script.turn().ops.is_empty());
    let ops = script.turn().ops;
    assert!(matches!(ops.last(), Some(Op::AbandonCycle { .. })), "{ops:?}");
    let said = ops.iter().find_map(|op| match op {
        Op::FinishRun { results, .. } => Some(results[0].verdict),
        _ => None,
    });
    assert_eq!(said, Some(Verdict::CouldNotRun), "{ops:?}");
}

#[test]
fn answers_of_another_cycle_or_run_mean_nothing() {
    let mut script = Script::new(settings());
    script.queue(&["a"]);
    let stack = script.turn();
    assert_eq!(stack.after.len(), 1);
    let Some(Input::Report { outcome, .. }) = script.inputs.last().cloned() else { panic!("none") };
    script.inputs.push(Input::Report { key: "build_stack shop 7".to_owned(), outcome });
    assert!(script.turn().ops.is_empty());
    script.run_to("start_run");
    let (key, results) = ("run_gates shop-9-1-0".to_owned(), Vec::new());
    script.inputs.push(Input::Report { key, outcome: Outcome::Gates { results } });
    assert!(script.turn().ops.is_empty());
}

/// Bits of `mask` are the bad ones among `n`.
fn heads(n: usize, mask: u32) -> Vec<String> {
    (0..n).map(|at| format!("{}{at}", if mask & (1 << at) == 0 { 'a' } else { 'x' })).collect()
}

proptest::proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// The good ones land, the bad ones come back, and no culprit costs more than its search, runs of
    /// the target before it and after the last one and, as one of the first four, a second look.
    #[test]
    fn exactly_the_good_ones_land(n in 1_usize..=10, mask in any::<u32>()) {
        let mut script = Script::new(settings());
        let all = heads(n, mask);
        script.queue(&all.iter().map(String::as_str).collect::<Vec<_>>());
        script.run();
        let bad: BTreeSet<String> = all.iter().filter(|h| h.starts_with('x')).cloned().collect();
        for mr in script.requests() {
            let wanted = match bad.contains(mr.head.as_str()) {
                true => MrState::Returned,
                false => MrState::Merged,
            };
            prop_assert_eq!(mr.state, wanted, "{}", mr.head);
        }
        let runs = script.bench.memory.rows::<GateRun>(&Scan::default()).unwrap().len();
        let depth = n.next_power_of_two().ilog2() as usize;
        let most = bad.len() * (depth + 4) + bad.len().min(4) + n.div_ceil(7);
        prop_assert!(runs <= most, "{runs} runs for {bad:?} of {n}");
    }
}

#[test]
fn the_author_of_a_branch_is_told_what_it_was_tested_on() {
    let mut script = Script::new(settings());
    script.queue(&["a", "x"]);
    script.run();
    let returned = script.requests().into_iter().find(|mr| mr.state == MrState::Returned).unwrap();
    assert_eq!(returned.bead, BeadId::from("sh-2"));
    let verdict = serde_json::to_value(returned.verdict).unwrap();
    assert_eq!((&verdict["tree"], &verdict["before"]), (&"m+a+x".into(), &"m+a".into()));
}
