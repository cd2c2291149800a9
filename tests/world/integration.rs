//! Integration branches in real repositories: with a remote of their own, and without.

use gastown::adapters::git::GitError;
use gastown::adapters::git::integration::Apart;
use gastown::model::effect::Candidate;
use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::ids::Sha;
use gastown::model::merge::LandingStyle;
use gastown::model::merge::Stacked;

use super::TestTown;
use super::commit;
use super::git;

const BRANCH: &str = "integration/dm-e";

impl TestTown {
    /// Where the branch is, for people who look at the repository that has it.
    fn gathered(&self) -> String {
        let found = |dir: &std::path::Path, name: &str| {
            git(dir, &["for-each-ref", "--format=%(objectname)", name])
        };
        if super::is_canonical(&self.made) {
            found(&self.canonical(), &format!("refs/gt/branches/{BRANCH}"))
        } else {
            found(&self.source, &format!("refs/heads/{BRANCH}"))
        }
    }

    async fn stack_on(&self, target: &str, candidates: Vec<Candidate>) -> (Sha, Vec<Stacked>) {
        let build = Effect::BuildStack {
            rig: self.rig.clone(),
            number: 1,
            target: target.to_owned(),
            style: LandingStyle::Rebase,
            candidates,
        };
        match self.perform(build).await {
            Outcome::Stack { base, items, bounced, .. } if bounced.is_empty() => (base, items),
            other => panic!("{other:?}"),
        }
    }

    async fn land_on(&self, target: &str, base: Sha, items: &[Stacked]) -> Outcome {
        let (rig, target, items) = (self.rig.clone(), target.to_owned(), items.to_vec());
        let tip = items.last().unwrap().commit.clone();
        self.perform(Effect::Land { rig, target, base, tip, items }).await
    }

    async fn remove_from(&self, target: &str, one: &Candidate, landed: &Sha) -> Outcome {
        let (branch, head) = (one.branch.clone(), one.head.clone());
        let (rig, target) = (self.rig.clone(), target.to_owned());
        self.perform(Effect::RemoveBranch { rig, target, branch, head, landed: landed.clone() })
            .await
    }
}

async fn a_whole_life(town: TestTown) {
    let rig = town.world.rig(&town.rig).unwrap();
    let base = rig.make_branch(BRANCH, "main").unwrap();
    assert_eq!(town.gathered(), base.to_string());
    assert_eq!(rig.make_branch(BRANCH, "main").unwrap(), base, "it is there already");

    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let bob = town.branch("bob", &[("b", "b\n")]).await;
    let (from, items) = town.stack_on(BRANCH, vec![ann.clone(), bob.clone()]).await;
    assert_eq!(from, base);
    assert_eq!(town.land_on(BRANCH, from.clone(), &items).await, Outcome::Landed);
    assert_eq!(town.gathered(), items[1].commit.to_string());
    // It is the branch that has them, not the rig's own target.
    let before = rig.known_target(&rig.open().unwrap(), "main").unwrap().to_string();
    assert_eq!(before, base.to_string());
    let wrong = town.remove_from("main", &ann, &items[0].commit).await;
    assert!(matches!(wrong, Outcome::Failed { .. }), "{wrong:?}");
    let landed = &items[0].commit;
    assert_eq!(town.remove_from(BRANCH, &ann, landed).await, Outcome::BranchRemoved);
    let moved = town.land_on(BRANCH, from, &items).await;
    assert_eq!(moved, Outcome::Landed, "twice is once");
    let head = rig.branch_tip(BRANCH).unwrap().unwrap();
    assert_eq!(rig.apart(BRANCH, "main").unwrap(), Apart { ahead: 2, behind: 0 });
    let kept = rig.drop_branch(BRANCH, "main");
    assert!(matches!(kept, Err(GitError::Refused(_))), "work would be lost: {kept:?}");

    // As a whole it lands by a merge commit that keeps its commits, also where others are rebased.
    let eve = town.branch("eve", &[("e", "e\n")]).await;
    let whole = Candidate {
        mr: "dm-whole".into(),
        branch: BRANCH.to_owned(),
        head: head.clone(),
        whole: true,
    };
    let (from, both) = town.stack_on("main", vec![eve, whole.clone()]).await;
    let said = git(&town.canonical(), &["log", "-1", "--format=%P", both[1].commit.as_str()]);
    assert_eq!(said, format!("{} {head}", both[0].commit));
    assert_eq!(town.land_on("main", from, &both).await, Outcome::Landed);
    let tip = &both[1].commit;
    assert_eq!(town.remove_from("main", &whole, tip).await, Outcome::BranchRemoved);
    assert_eq!(town.gathered(), "");
    assert_eq!(rig.branch_tip(BRANCH).unwrap(), None);
    // What landed on it may go as well, although the branch is no more.
    let landed = &items[1].commit;
    assert_eq!(town.remove_from(BRANCH, &bob, landed).await, Outcome::BranchRemoved);
    town.world.settled().await;
}

#[tokio::test]
async fn a_branch_is_made_gathers_and_lands_at_a_remote() {
    a_whole_life(TestTown::new()).await;
}

#[tokio::test]
async fn a_branch_is_made_gathers_and_lands_where_the_remote_is_not_written_to() {
    a_whole_life(TestTown::with(false)).await;
}

#[test]
fn a_branch_with_work_in_it_is_not_taken_and_an_empty_one_goes() {
    let town = TestTown::new();
    let rig = town.world.rig(&town.rig).unwrap();
    for name in ["-x", "a..b", "", "a b"] {
        let refused = rig.make_branch(name, "main");
        assert!(matches!(refused, Err(GitError::Refused(_))), "{name:?}: {refused:?}");
    }
    let clone = town.dir.path().join("clone");
    let at = town.source.display().to_string();
    git(town.dir.path(), &["clone", "--quiet", &at, "clone"]);
    commit(&clone, "work", &[("w", "w\n")]);
    git(&clone, &["push", "--quiet", "origin", &format!("HEAD:{BRANCH}")]);
    let refused = rig.make_branch(BRANCH, "main").unwrap_err().to_string();
    assert!(refused.contains("with commits that main lacks"), "{refused}");
    git(&clone, &["push", "--quiet", "origin", &format!(":{BRANCH}")]);
    assert_eq!(rig.make_branch(BRANCH, "main").unwrap(), town.target());
    assert_eq!(rig.drop_branch(BRANCH, "main").unwrap(), Outcome::BranchRemoved);
    assert_eq!(rig.drop_branch(BRANCH, "main").unwrap(), Outcome::BranchRemoved);
    assert_eq!(town.gathered(), "");
}
