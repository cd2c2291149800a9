//! What users of other merge queues complained about, on real git: one test per complaint.

use gastown::model::effect::Candidate;
use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::effect::Place;
use gastown::model::ids::RunId;
use gastown::model::ids::Sha;
use gastown::model::merge::GateSpec;
use gastown::model::merge::LandingStyle;
use gastown::model::merge::Stacked;
use gastown::model::merge::TestsWanted;
use gastown::model::merge::Verdict;
use gastown::model::merge::overall;

use super::TestTown;
use super::commit;
use super::git;

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
    fn outsider(&self, files: &[(&str, &str)]) -> Sha {
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
    assert_eq!(town.perform(push).await, Outcome::Pushed);
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
