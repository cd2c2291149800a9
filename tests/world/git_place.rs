//! Worktrees made, kept, rescued and taken down.

use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::merge::Touches;

use super::TestTown;
use super::commit;
use super::git;

impl TestTown {
    async fn teardown(&self, name: &str, branch: &str, incarnation: i64) -> Option<String> {
        let (place, branch) = (self.place(name, incarnation), branch.to_owned());
        match self.perform(Effect::Teardown { place, branch }).await {
            Outcome::TornDown { rescued } => rescued,
            other => panic!("{other:?}"),
        }
    }

    fn show(&self, what: &str) -> String {
        git(&self.canonical(), &["show", what])
    }
}

#[tokio::test]
async fn a_worktree_is_made_once_and_kept() {
    let town = TestTown::new();
    let head = town.make("ann", "polecat/ann-1", 1).await;
    let dir = town.worktree("ann");
    std::fs::write(dir.join("draft"), "draft\n").unwrap();
    assert_eq!(town.make("ann", "polecat/ann-1", 2).await, head);
    assert!(dir.join("draft").exists());
    let redirect = std::fs::read_to_string(dir.join(".beads/redirect")).unwrap();
    let beads = dir.join(redirect.trim()).canonicalize().unwrap();
    assert_eq!(beads, town.town.rig_beads(&town.rig).canonicalize().unwrap());
    assert_eq!(git(&dir, &["status", "--porcelain"]), "?? draft");
    assert_eq!(git(&dir, &["branch", "--show-current"]), "polecat/ann-1");
}

#[tokio::test]
async fn a_dirty_worktree_is_rescued_whole() {
    let town = TestTown::new();
    let base = town.make("ann", "polecat/ann-1", 1).await;
    let dir = town.worktree("ann");
    let done = commit(&dir, "done", &[("done", "done\n")]);
    std::fs::write(dir.join("README"), "changed\n").unwrap();
    std::fs::write(dir.join("staged"), "staged\n").unwrap();
    git(&dir, &["add", "staged"]);
    std::fs::create_dir(dir.join("new")).unwrap();
    std::fs::write(dir.join("new/file"), "untracked\n").unwrap();
    let rescued = town.teardown("ann", "polecat/ann-1", 1).await.unwrap();
    assert!(rescued.starts_with("refs/gt/rescue/ann/1-"), "{rescued}");
    assert!(!dir.exists());
    assert_eq!(git(&town.canonical(), &["branch", "--list", "polecat/*"]), "");
    for (file, text) in
        [("README", "changed"), ("staged", "staged"), ("new/file", "untracked"), ("done", "done")]
    {
        assert_eq!(town.show(&format!("{rescued}:{file}")), text);
    }
    let parent = git(&town.canonical(), &["rev-parse", &format!("{rescued}^")]);
    assert_eq!(parent, done.0);
    assert_ne!(base, done);
    assert_eq!(town.teardown("ann", "polecat/ann-1", 1).await, None, "nothing is left to do");
}

#[tokio::test]
async fn pushed_work_is_kept_by_a_ref_until_it_has_landed() {
    let town = TestTown::new();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    assert_eq!(town.teardown("ann", &ann.branch, 1).await, None, "nothing was unsaved");
    let kept = || git(&town.canonical(), &["for-each-ref", "refs/gt/rescue"]);
    assert!(kept().contains(ann.head.as_str()));
    let Outcome::Stack { base, items, .. } = town.stack(vec![ann.clone()]).await else { panic!() };
    assert_eq!(town.land(&base, &items).await, Outcome::Landed);
    let landed = items[0].commit.clone();
    let (rig, branch, head) = (town.rig.clone(), ann.branch, ann.head);
    let target = "main".to_owned();
    town.perform(Effect::RemoveBranch { rig, target, branch, head, landed }).await;
    assert_eq!(kept(), "");
}

#[tokio::test]
async fn a_teardown_for_another_does_nothing() {
    let town = TestTown::new();
    town.make("ann", "polecat/ann-2", 2).await;
    let dir = town.worktree("ann");
    std::fs::write(dir.join("draft"), "draft\n").unwrap();
    assert_eq!(town.teardown("ann", "polecat/ann-1", 1).await, None);
    assert_eq!(town.teardown("ann", "polecat/ann-2", 1).await, None);
    assert_eq!(town.teardown("ann", "polecat/ann-1", 2).await, None);
    assert!(dir.join("draft").exists());
    let (place, branch) = (town.place("ann", 1), "polecat/ann-1".to_owned());
    let stale = town.perform(Effect::MakeWorktree { place, branch, start: None }).await;
    assert!(matches!(stale, Outcome::Failed { .. }), "{stale:?}");
    assert!(dir.join("draft").exists());
}

#[tokio::test]
async fn a_worktree_of_other_work_is_rescued_before_the_new_one() {
    let town = TestTown::new();
    town.make("ann", "polecat/ann-1", 1).await;
    std::fs::write(town.worktree("ann").join("draft"), "draft\n").unwrap();
    town.make("ann", "polecat/ann-2", 2).await;
    assert!(!town.worktree("ann").join("draft").exists());
    let refs = git(&town.canonical(), &["for-each-ref", "--format=%(refname)", "refs/gt/rescue"]);
    assert_eq!(town.show(&format!("{refs}:draft")), "draft");
}

#[tokio::test]
async fn many_places_are_made_and_cleared_at_once() {
    let town = TestTown::new();
    let names: Vec<String> = (0..8).map(|n| format!("w{n}")).collect();
    let made = names.iter().map(async |name| town.branch(name, &[(name, "x\n")]).await);
    let made = futures_util::future::join_all(made).await;
    let Outcome::Stack { base, items, .. } = town.stack(made).await else { panic!() };
    assert_eq!(items.len(), 8);
    let cleared =
        names.iter().map(async |name| town.teardown(name, &format!("polecat/{name}-1"), 1).await);
    let land = town.land(&base, &items);
    let (landed, cleared) = tokio::join!(land, futures_util::future::join_all(cleared));
    assert_eq!(landed, Outcome::Landed);
    assert!(cleared.iter().all(Option::is_none), "{cleared:?}");
    let left = git(&town.canonical(), &["worktree", "list"]);
    assert_eq!(left.lines().count(), 2, "{left}");
}

#[tokio::test]
async fn a_checkout_that_was_cut_short_is_made_again() {
    let town = TestTown::new();
    town.make("ann", "polecat/ann-1", 1).await;
    let dir = town.worktree("ann");
    let marker = town.town.place_marker(&town.rig, "ann");
    let half = std::fs::read_to_string(&marker).unwrap().replace("true", "false");
    std::fs::write(&marker, half).unwrap();
    std::fs::remove_file(dir.join("README")).unwrap();
    town.make("ann", "polecat/ann-1", 1).await;
    assert!(dir.join("README").exists());
    std::fs::remove_dir_all(&dir).unwrap();
    town.make("ann", "polecat/ann-1", 1).await;
    assert!(dir.join("README").exists(), "git's record of a lost worktree is no obstacle");
}

#[tokio::test]
async fn what_git_cannot_read_is_moved_aside_as_it_is() {
    let town = TestTown::new();
    town.make("ann", "polecat/ann-1", 1).await;
    let dir = town.worktree("ann");
    std::fs::write(dir.join("draft"), "draft\n").unwrap();
    std::fs::remove_file(dir.join(".git")).unwrap();
    let aside = town.teardown("ann", "polecat/ann-1", 1).await.unwrap();
    assert_eq!(std::fs::read_to_string(format!("{aside}/draft")).unwrap(), "draft\n");
    assert!(!dir.exists());
    town.make("ann", "polecat/ann-3", 3).await;

    git(&dir, &["init", "--quiet", "inner"]);
    commit(&dir.join("inner"), "inner", &[("file", "inner\n")]);
    let aside = town.teardown("ann", "polecat/ann-3", 3).await;
    assert!(aside.is_some());
    let found = std::fs::read_dir(town.town.rescue()).unwrap().count();
    assert_eq!(found, 2);
}

#[tokio::test]
async fn rework_starts_at_the_earlier_attempt() {
    let town = TestTown::new();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    town.teardown("ann", &ann.branch, 1).await;
    let (place, branch, start) = (town.place("bob", 4), ann.branch.clone(), Some(ann.head.clone()));
    let made = town.perform(Effect::MakeWorktree { place, branch, start }).await;
    assert_eq!(made, Outcome::Worktree { head: ann.head.clone() });
    let dir = town.worktree("bob");
    git(&dir, &["commit", "--quiet", "--amend", "-m", "better"]);
    let head = gastown::model::ids::Sha(git(&dir, &["rev-parse", "HEAD"]));
    let (place, branch) = (town.place("bob", 4), ann.branch.clone());
    let pushed = town.perform(Effect::Push { place, branch, head: head.clone() }).await;
    assert!(matches!(pushed, Outcome::Pushed { .. }), "a rewritten branch: {pushed:?}");
    assert_eq!(git(&town.source, &["rev-parse", &ann.branch]), head.0);
    let kept = git(&town.canonical(), &["for-each-ref", "refs/gt/rescue/bob"]);
    assert!(kept.contains(ann.head.as_str()), "what the push left behind is kept: {kept}");
}

#[tokio::test]
async fn a_push_tells_what_the_branch_touches() {
    let town = TestTown::new();
    let lines = |many: usize| "line\n".repeat(many);
    let (long, short) = (lines(7), lines(2));
    let files: [(&str, &str); 4] =
        [("top", "x\n"), ("src/a/deep/one", &long), ("src/a/two", &short), ("src/a/bin", "\0\0")];
    let ann = town.branch("ann", &files).await;
    // The target moves on meanwhile: that is none of the branch's doing.
    let bob = town.branch("bob", &[("others", &lines(50))]).await;
    let Outcome::Stack { base, items, .. } = town.stack(vec![bob]).await else { panic!() };
    town.land(&base, &items).await;
    let (place, branch, head) = (town.place("ann", 1), ann.branch.clone(), ann.head.clone());
    let pushed = town.perform(Effect::Push { place, branch, head }).await;
    let touches = Touches { files: 4, lines: 10, place: "src/a".to_owned() };
    assert_eq!(pushed, Outcome::Pushed { touches: Some(touches) });
}

#[tokio::test]
async fn the_next_session_finds_no_lock_of_the_one_before() {
    let town = TestTown::new();
    town.make("ann", "polecat/ann-1", 1).await;
    let dir = town.worktree("ann");
    let lock = git(&dir, &["rev-parse", "--absolute-git-dir"]) + "/index.lock";
    std::fs::write(&lock, "").unwrap();
    let rig = town.world.rig(&town.rig).unwrap();
    rig.occupy(&town.place("ann", 1)).unwrap();
    assert!(std::path::Path::new(&lock).exists(), "the session may be at work already");
    rig.occupy(&town.place("ann", 2)).unwrap();
    commit(&dir, "goes on", &[("a", "a\n")]);
}
