//! What users of other merge queues complained about: one test per complaint.
//!
//! | complaint | test |
//! |---|---|
//! | *Lost work*: a branch removed before it was merged | `complaint_branch_nuked_before_it_was_merged` |
//! | work never pushed, lost with its worktree | `complaint_unpushed_work_lost_with_its_worktree` |
//! | a bead closed as merged with patches missing | `complaint_closed_as_merged_with_patches_missing` |
//! | changes reverted by a merge from an old base | `complaint_changes_silently_reverted_by_a_merge_from_an_old_base` |
//! | a branch merged whose bead is closed, after a reboot | `complaint_merged_although_its_bead_is_closed` |
//! | *Never finishes*: merged but never closed | `complaint_merged_but_never_closed` |
//! | closed, and stuck in the queue across a restart | `complaint_closed_and_stuck_in_the_queue_across_a_restart` |
//! | a dirty worktree after a conflict in the middle | `complaint_dirty_worktree_after_a_mid_stack_conflict` |
//! | minutes of heartbeat before anything happens | `complaint_minutes_before_anything_happens` |
//! | *Starvation*: the newest first, the oldest for days | `complaint_newest_first_starves_the_oldest` |
//! | *Gate lies*: the "failure was there before" excuse | `complaint_the_failure_was_there_before` |
//! | a gate that ran zero tests | `complaint_a_gate_that_ran_zero_tests_was_green` |
//! | exit code 127 | `complaint_exit_127_was_taken_for_an_answer` |
//! | no gates configured means pass | `complaint_no_gates_configured_means_pass` |
//! | a target that turns red merge by merge | `complaint_the_target_turned_red_merge_by_merge` |
//! | what landed is not what was tested | `complaint_what_landed_is_not_the_tree_that_was_tested` |
//! | an agent that judges merges for a day | `complaint_an_agent_judges_merges` |
//! | *Wrong blame*: a rebuild error makes all culprits | `complaint_a_rebuild_error_marked_everybody_a_culprit` |
//! | a later one that is red first pays for an earlier one | `complaint_a_later_one_pays_for_an_earlier_ones_fault` |
//! | old checks of a head that was pushed over | `complaint_stale_sha_after_a_force_push` |
//! | the target moved by somebody else | `complaint_an_outsider_moved_the_target_rebuild_never_blame` |
//! | *Queue dies*: a crash cancels everything | `complaint_a_crash_cancels_all_batches` |
//! | a train without a pipeline | `complaint_a_train_without_a_pipeline` |

use gastown::messages::Address;
use gastown::messages::wakes;
#[cfg(target_os = "linux")]
use gastown::model::bead::Status;
use gastown::model::effect::Candidate;
use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::effect::Place;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ids::RunId;
use gastown::model::ids::Sha;
use gastown::model::merge::GateSpec;
use gastown::model::merge::LandingStyle;
use gastown::model::merge::MrState;
use gastown::model::merge::Stacked;
use gastown::model::merge::TestsWanted;
use gastown::model::merge::Verdict;
use gastown::model::merge::overall;
use gastown::model::ops::Op;

use super::TestTown;
use super::commit;
use super::git;
#[cfg(target_os = "linux")]
use super::line::Line;
use crate::machines::bench::Step;
use crate::machines::bench::rig;
use crate::machines::refinery::Script;
use crate::machines::refinery::settings;

impl TestTown {
    async fn built(&self, candidates: Vec<Candidate>) -> (Sha, Vec<Stacked>, usize) {
        match self.stack(candidates).await {
            Outcome::Stack { base, items, bounced, .. } => (base, items, bounced.len()),
            other => panic!("{other:?}"),
        }
    }

    async fn remove(&self, candidate: &Candidate, landed: &Sha) -> Outcome {
        self.perform(Effect::RemoveBranch {
            rig: self.rig.clone(),
            target: "main".to_owned(),
            branch: candidate.branch.clone(),
            head: candidate.head.clone(),
            landed: landed.clone(),
        })
        .await
    }

    async fn verdict(&self, gates: Vec<GateSpec>) -> Verdict {
        let tree = Sha(git(&self.source, &["rev-parse", "refs/heads/main^{tree}"]));
        let run = RunId::from("run-complaint");
        let (rig, commit) = (self.rig.clone(), self.target());
        match self.perform(Effect::RunGates { rig, run, commit, tree, gates }).await {
            Outcome::Gates { results } => overall(&results),
            other => panic!("{other:?}"),
        }
    }

    /// Somebody pushes to the target past the town.
    pub fn outsider(&self, files: &[(&str, &str)]) -> Sha {
        let seed = self.dir.path().join("seed");
        git(&seed, &["pull", "--quiet", self.source.to_str().unwrap(), "main"]);
        let made = commit(&seed, "past the town", files);
        git(&seed, &["push", "--quiet", self.source.to_str().unwrap(), "main"]);
        made
    }

    fn there(&self, branch: &str) -> bool {
        !git(&self.source, &["branch", "--list", branch]).is_empty()
    }
}

#[tokio::test]
async fn complaint_dirty_worktree_after_a_mid_stack_conflict() {
    let town = TestTown::new();
    let ann = town.branch("ann", &[("README", "ann\n")]).await;
    let bob = town.branch("bob", &[("README", "bob\n")]).await;
    let eve = town.branch("eve", &[("e", "e\n")]).await;
    let (base, items, bounced) = town.built(vec![ann, bob, eve]).await;
    assert_eq!((items.len(), bounced), (2, 1));
    for dir in [town.canonical(), town.town.refinery_rig(&town.rig)] {
        assert_eq!(git(&dir, &["status", "--porcelain"]), "");
        assert_eq!(git(&dir, &["ls-files", "--unmerged"]), "");
        assert_eq!(git(&dir, &["rev-parse", "HEAD"]), base.0, "nobody was moved");
    }
    assert_eq!(town.land(&base, &items).await, Outcome::Landed, "those around it land");
}

#[tokio::test]
async fn complaint_stale_sha_after_a_force_push() {
    let town = TestTown::new();
    let ann = town.branch("ann", &[("a", "first\n")]).await;
    let dir = town.worktree("ann");
    std::fs::write(dir.join("a"), "second\n").unwrap();
    git(&dir, &["commit", "--quiet", "--all", "--amend", "-m", "again"]);
    let head = Sha(git(&dir, &["rev-parse", "HEAD"]));
    let (place, branch) = (town.place("ann", 1), ann.branch.clone());
    let push = Effect::Push { place, branch, head: head.clone() };
    let pushed = town.perform(push).await;
    assert!(matches!(pushed, Outcome::Pushed { .. }), "{pushed:?}");
    // What was submitted is what is stacked, whatever the branch has become.
    let (base, items, _) = town.built(vec![ann.clone()]).await;
    assert_eq!((&items[0].head, &items[0].commit), (&ann.head, &ann.head));
    assert_eq!(town.land(&base, &items).await, Outcome::Landed);
    let kept = town.remove(&ann, &items[0].commit).await;
    assert!(matches!(&kept, Outcome::Failed { error } if error.contains("stays")), "{kept:?}");
    assert_eq!(git(&town.source, &["rev-parse", &ann.branch]), head.0);
}

#[tokio::test]
async fn complaint_an_outsider_moved_the_target_rebuild_never_blame() {
    let town = TestTown::new();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let (base, items, _) = town.built(vec![ann.clone()]).await;
    let theirs = town.outsider(&[("x", "x\n")]);
    assert_eq!(town.land(&base, &items).await, Outcome::Moved { at: theirs.clone() });
    let (base, items, bounced) = town.built(vec![ann]).await;
    assert_eq!((&base, bounced), (&theirs, 0), "rebuilt on what came, nobody bounced");
    assert_eq!(town.land(&base, &items).await, Outcome::Landed);
    assert_eq!(git(&town.source, &["ls-tree", "--name-only", "main"]), "README\na\ntext\nx");
}

#[tokio::test]
async fn complaint_changes_silently_reverted_by_a_merge_from_an_old_base() {
    let text = |change: &[(usize, &str)]| {
        (1..=20)
            .map(|n| {
                let changed = change.iter().find(|(at, _)| *at == n);
                changed.map_or(format!("line {n}\n"), |(_, text)| format!("{text}\n"))
            })
            .collect::<String>()
    };
    for style in LandingStyle::ALL {
        let town = TestTown::new();
        let ann = town.branch("ann", &[("text", &text(&[(2, "ann")]))]).await;
        town.outsider(&[("text", &text(&[(18, "newer")])), ("README", "newer\n")]);
        let Outcome::Stack { base, items, .. } = town.stack_as(*style, vec![ann]).await else {
            panic!()
        };
        assert_eq!(town.land(&base, &items).await, Outcome::Landed);
        let show = |what: &str| git(&town.source, &["show", &format!("main:{what}")]) + "\n";
        assert_eq!(show("text"), text(&[(2, "ann"), (18, "newer")]), "{style}");
        assert_eq!(show("README"), "newer\n", "{style}");
    }
}

#[tokio::test]
async fn complaint_what_landed_is_not_the_tree_that_was_tested() {
    let town = TestTown::new();
    let base = town.target();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let (_, mut items, _) = town.built(vec![ann]).await;
    items[0].tree = Sha(git(&town.source, &["rev-parse", "main^{tree}"]));
    let refused = town.land(&base, &items).await;
    assert!(
        matches!(&refused, Outcome::Failed { error } if error.contains("tested")),
        "{refused:?}"
    );
    assert_eq!(town.target(), base);
}

#[tokio::test]
async fn complaint_a_rebuild_error_marked_everybody_a_culprit() {
    let town = TestTown::new();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let bob = town.branch("bob", &[("b", "b\n")]).await;
    let aside = town.source.with_extension("aside");
    std::fs::rename(&town.source, &aside).unwrap();
    let failed = town.stack(vec![ann.clone(), bob.clone()]).await;
    assert!(matches!(failed, Outcome::Failed { .. }), "the remote's fault: {failed:?}");
    std::fs::rename(&aside, &town.source).unwrap();
    let (_, items, bounced) = town.built(vec![ann, bob]).await;
    assert_eq!((items.len(), bounced), (2, 0));
}

#[tokio::test]
async fn complaint_branch_nuked_before_it_was_merged() {
    let town = TestTown::new();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let bob = town.branch("bob", &[("b", "b\n")]).await;
    let (base, items, _) = town.built(vec![ann.clone(), bob.clone()]).await;
    // Both are asked for while only one has landed.
    assert_eq!(town.land(&base, &items[..1]).await, Outcome::Landed);
    let (one, other) =
        tokio::join!(town.remove(&ann, &items[0].commit), town.remove(&bob, &items[1].commit));
    assert_eq!(one, Outcome::BranchRemoved);
    assert!(matches!(&other, Outcome::Failed { error } if error.contains("stays")), "{other:?}");
    assert_eq!((town.there(&ann.branch), town.there(&bob.branch)), (false, true));
}

#[tokio::test]
async fn complaint_unpushed_work_lost_with_its_worktree() {
    let town = TestTown::new();
    town.make("ann", "polecat/ann-1", 1).await;
    let head = commit(&town.worktree("ann"), "never pushed", &[("a", "a\n")]);
    let place: Place = town.place("ann", 1);
    let branch = "polecat/ann-1".to_owned();
    let Outcome::TornDown { rescued } = town.perform(Effect::Teardown { place, branch }).await
    else {
        panic!()
    };
    assert_eq!(git(&town.canonical(), &["rev-parse", &rescued.unwrap()]), head.0);
}

#[tokio::test]
async fn complaint_closed_as_merged_with_patches_missing() {
    let town = TestTown::new();
    let base = town.target();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let head = commit(&town.worktree("ann"), "and more", &[("more", "more\n")]);
    let (_, mut items, _) = town.built(vec![ann]).await;
    items[0].head = head;
    let refused = town.land(&base, &items).await;
    assert!(
        matches!(&refused, Outcome::Failed { error } if error.contains("patches")),
        "{refused:?}"
    );
    assert_eq!(town.target(), base);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn complaint_a_gate_that_ran_zero_tests_was_green() {
    let town = TestTown::new();
    let gate = GateSpec {
        tests: Some(TestsWanted { min: 1, pattern: None }),
        ..GateSpec::new("test", "echo '=== no tests ran in 0.01s ==='", 20_000)
    };
    assert_eq!(town.verdict(vec![gate]).await, Verdict::CouldNotRun);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn complaint_exit_127_was_taken_for_an_answer() {
    let town = TestTown::new();
    let gate = GateSpec::new("test", "npm-that-is-not-installed test", 20_000);
    assert_eq!(town.verdict(vec![gate]).await, Verdict::CouldNotRun);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn complaint_no_gates_configured_means_pass() {
    let town = TestTown::new();
    assert_eq!(town.verdict(Vec::new()).await, Verdict::CouldNotRun);
}

#[cfg(target_os = "linux")]
fn gate(cmd: &str) -> Vec<GateSpec> {
    vec![GateSpec::new("test", cmd, 20_000)]
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn complaint_merged_although_its_bead_is_closed() {
    let mut line = Line::new(gate("true"));
    let ann = line.submit("ann", &[("a", "a\n")]).await;
    line.turn().await;
    let close = Op::Close { id: ann.clone(), reason: "not wanted".to_owned() };
    let closed = line.bench.commit("overseer", &close).is_ok();
    line.forget();
    line.settle().await;
    let merged = line.state(&ann) == "merged";
    assert_ne!(closed, merged, "either it is wanted and lands, or neither");
    let there = git(&line.town.source, &["ls-tree", "--name-only", "main", "a"]);
    assert_eq!(there == "a", merged);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn complaint_merged_but_never_closed() {
    let mut line = Line::new(gate("true"));
    let ann = line.submit("ann", &[("a", "a\n")]).await;
    // It has landed, and the answer is lost with all that was remembered.
    line.settle_until(|line| line.done.contains(&"land")).await;
    assert_eq!(git(&line.town.source, &["ls-tree", "--name-only", "main", "a"]), "a");
    assert_eq!((line.state(&ann).as_str(), line.bead(&ann).status), ("queued", Status::InProgress));
    line.forget();
    line.settle().await;
    assert_eq!((line.state(&ann).as_str(), line.bead(&ann).status), ("merged", Status::Closed));
    assert_eq!(line.landings(), 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn complaint_closed_and_stuck_in_the_queue_across_a_restart() {
    let mut line = Line::new(gate("true"));
    line.submit("ann", &[("a", "a\n")]).await;
    line.settle().await;
    line.forget();
    line.done.clear();
    line.settle().await;
    assert!(!line.done.contains(&"build_stack"), "it is taken up again: {:?}", line.done);
    let bob = line.submit("bob", &[("b", "b\n")]).await;
    line.settle().await;
    assert_eq!(line.state(&bob), "merged");
}

#[test]
fn complaint_minutes_before_anything_happens() {
    let mut script = Script::new(settings());
    let open = crate::machines::bench::bead("sh-1");
    script.bench.commit("overseer", &open).unwrap();
    let branch = crate::machines::bench::branch("sh-1", "a");
    let facts = script.bench.commit("overseer", &branch).unwrap();
    let db = Db::from(&rig());
    let woken: Vec<Address> = facts.iter().flat_map(|fact| wakes(&db, fact)).collect();
    assert!(woken.contains(&Address::Refinery(rig())), "{woken:?}");
    let first = script.turn();
    assert_eq!(first.after.len(), 1, "the first look stacks it");
}

#[test]
fn complaint_newest_first_starves_the_oldest() {
    let mut few = settings();
    few.batch_max = 5;
    let mut script = Script::new(few);
    let names: Vec<String> = (0..60).map(|at| format!("a{at}")).collect();
    let mut names = names.iter().map(String::as_str);
    let first: Vec<&str> = names.by_ref().take(36).collect();
    script.queue(&first);
    // For each that has landed a newer one comes.
    let mut landed = 0;
    while landed < 36 {
        let _ = script.turn();
        let merged = script.requests().iter().filter(|mr| mr.state == MrState::Merged).count();
        for _ in landed..merged {
            script.queue(&names.by_ref().take(1).collect::<Vec<_>>());
        }
        landed = merged;
    }
    let mut requests = script.requests();
    requests.sort_by_key(|mr| mr.created_at);
    assert!(requests[..36].iter().all(|mr| mr.state == MrState::Merged), "the oldest are first");
    assert!(requests.iter().all(|mr| mr.overtaken == 0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn complaint_the_failure_was_there_before() {
    let mut line = Line::new(gate("test ! -f broken"));
    line.town.outsider(&[("broken", "broken\n")]);
    let before = line.target();
    let ann = line.submit("ann", &[("a", "a\n")]).await;
    line.settle().await;
    assert_eq!(
        (line.target(), line.state(&ann).as_str()),
        (before, "queued"),
        "nothing lands on red"
    );
    // Only what mends it, or a person, lets the queue go on.
    git(&line.town.dir.path().join("seed"), &["rm", "--quiet", "broken"]);
    line.town.outsider(&[]);
    line.retry();
    line.settle().await;
    assert_eq!(line.state(&ann), "merged");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn complaint_the_target_turned_red_merge_by_merge() {
    // Each alone is green; both together are not.
    let mut line = Line::new(gate("test ! -f a || test ! -f b"));
    let ann = line.submit("ann", &[("a", "a\n")]).await;
    let bob = line.submit("bob", &[("b", "b\n")]).await;
    let eve = line.submit("eve", &[("e", "e\n")]).await;
    line.settle().await;
    assert_eq!([&ann, &bob, &eve].map(|bead| line.state(bead)), ["merged", "returned", "merged"]);
    assert_eq!(line.verdict_of_target().await, Verdict::Passed);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn complaint_an_agent_judges_merges() {
    let mut line = Line::new(gate("test ! -f bad"));
    line.submit("ann", &[("bad", "bad\n")]).await;
    line.submit("bob", &[("b", "b\n")]).await;
    line.settle().await;
    let kinds: std::collections::BTreeSet<_> = line.done.iter().copied().collect();
    let wanted = ["build_stack", "land", "remove_branch", "run_gates"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), wanted, "no session is ever started");
}

#[cfg(target_os = "linux")]
impl Line {
    async fn verdict_of_target(&self) -> Verdict {
        self.town.verdict(gate("test ! -f a || test ! -f b")).await
    }
}

#[test]
fn complaint_a_later_one_pays_for_an_earlier_ones_fault() {
    // Both prefixes run at once, and whichever answer comes first, only the culprit goes back.
    for turned in [false, true] {
        let mut two = settings();
        two.slots = 2;
        let mut script = Script::new(two);
        script.queue(&["x", "a", "b"]);
        for _ in 0..60 {
            let _ = script.turn();
            if turned {
                script.inputs.reverse();
            }
        }
        assert_eq!(script.ends(), "x is returned red\na is merged\nb is merged\n", "{turned}");
    }
}

#[test]
fn complaint_a_crash_cancels_all_batches() {
    for turns in 0..24 {
        let mut script = Script::new(settings());
        script.queue(&["a", "x", "b"]);
        for _ in 0..turns {
            let _ = script.turn();
        }
        script.inputs.clear();
        script.bench.run(&[Step::Forget]);
        let text = script.run();
        let ends = "a is merged\nx is returned red\nb is merged\n";
        assert!(text.ends_with(ends), "after {turns} turns: {text}");
    }
}

#[test]
fn complaint_a_train_without_a_pipeline() {
    let mut script = Script::new(settings());
    script.queue(&["a"]);
    script.run_to("start_run");
    let asked = script.turn();
    assert_eq!(asked.after.len(), 1);
    // The answer never comes: when its time is up it is asked again.
    script.inputs.clear();
    let waits = script.turn();
    script.bench.now = waits.wake_at.expect("a wait with an end");
    assert!(script.run().ends_with("a is merged\n"));
    assert_eq!(script.requests()[0].bead, BeadId::from("sh-1"));
}
