//! Stacking and landing on real repositories.

use gastown::adapters::git::Landing;
use gastown::model::effect::Bounced;
use gastown::model::effect::Candidate;
use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::ids::Sha;
use gastown::model::merge::LandingStyle;
use gastown::model::merge::Stacked;

use super::TestTown;
use super::commit;
use super::git;
use super::is_canonical;

fn stacked(outcome: Outcome) -> (Sha, Vec<Stacked>, Vec<Bounced>) {
    match outcome {
        Outcome::Stack { base, items, bounced, .. } => (base, items, bounced),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn branches_stack_in_order_and_land() {
    let town = TestTown::new();
    assert_eq!(town.made.landing, Landing::Remote);
    let base = town.target();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let bob = town.branch("bob", &[("b", "b\n")]).await;
    let built = town.stack(vec![ann.clone(), bob.clone()]).await;
    assert_eq!(built, town.stack(vec![ann.clone(), bob.clone()]).await, "the same commits again");
    let (on, items, bounced) = stacked(built);
    assert_eq!((on, bounced), (base.clone(), vec![]));
    assert_eq!(items[0].commit, ann.head, "a head that sits on the tip is kept");
    assert_ne!(items[1].commit, bob.head);
    let who = |format: &str| {
        git(&town.canonical(), &["log", "-1", &format!("--format={format}"), &items[1].commit.0])
    };
    assert_eq!(who("%an %s"), "ann bob");
    assert_eq!(who("%cn %ce"), "demo/refinery ann@example.org");
    assert_eq!(town.land(&base, &items).await, Outcome::Landed);
    assert_eq!(town.target(), items[1].commit);
    assert_eq!(town.land(&base, &items).await, Outcome::Landed, "it is there already");
    town.world.settled().await;
    let view = git(&town.town.refinery_rig(&town.rig), &["rev-parse", "HEAD"]);
    assert_eq!(view, items[1].commit.0);

    for (candidate, item) in [(ann, &items[0]), (bob, &items[1])] {
        let remove = Effect::RemoveBranch {
            rig: town.rig.clone(),
            target: "main".to_owned(),
            branch: candidate.branch.clone(),
            head: candidate.head,
            landed: item.commit.clone(),
        };
        assert_eq!(town.perform(remove.clone()).await, Outcome::BranchRemoved);
        assert_eq!(town.perform(remove).await, Outcome::BranchRemoved);
        assert_eq!(git(&town.source, &["branch", "--list", &candidate.branch]), "");
    }
    let rig = town.world.rig(&town.rig).unwrap();
    let landed: Vec<Sha> = items.iter().map(|item| item.commit.clone()).collect();
    assert_eq!(rig.commits_between(&base, &rig.target_tip().unwrap()).unwrap(), landed);
    assert_eq!(rig.commit_tree(&items[1].commit).unwrap(), items[1].tree);
}

#[tokio::test]
async fn a_conflict_and_a_missing_commit_bounce_alone() {
    let town = TestTown::new();
    let ann = town.branch("ann", &[("README", "ann\n")]).await;
    let bob = town.branch("bob", &[("README", "bob\n")]).await;
    let eve = town.branch("eve", &[("e", "e\n")]).await;
    let lost = Candidate {
        mr: "dm-lost".into(),
        branch: "polecat/lost-1".to_owned(),
        head: Sha("1".repeat(40)),
        whole: false,
    };
    let (_, items, bounced) = stacked(town.stack(vec![ann, bob, lost, eve]).await);
    let names = |items: &[Stacked]| items.iter().map(|i| i.mr.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&items), ["dm-ann", "dm-eve"]);
    assert_eq!(bounced[0].files, ["README"]);
    assert_eq!(bounced[0].onto, items[0].commit);
    assert_eq!((bounced[1].mr.as_str(), bounced[1].files.len()), ("dm-lost", 0));
}

#[tokio::test]
async fn a_branch_with_merges_and_one_without_change() {
    let town = TestTown::new();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let dir = town.worktree("ann");
    git(&dir, &["checkout", "--quiet", "-b", "side", "HEAD~1"]);
    commit(&dir, "side", &[("s", "s\n")]);
    git(&dir, &["checkout", "--quiet", &ann.branch]);
    git(&dir, &["merge", "--quiet", "--no-edit", "side"]);
    let head = Sha(git(&dir, &["rev-parse", "HEAD"]));
    let merged = Candidate { head, ..ann.clone() };
    let bob = town.branch("bob", &[("b", "b\n")]).await;
    let (base, items, bounced) = stacked(town.stack(vec![bob, merged, ann]).await);
    assert_eq!(bounced, vec![]);
    assert!(!items[1].empty && items[2].empty, "{items:?}");
    assert_eq!(items[2].commit, items[1].commit);
    let list = git(&town.canonical(), &["ls-tree", "--name-only", &items[1].commit.0]);
    assert_eq!(list, "README\na\nb\ns\ntext");
    let parents =
        git(&town.canonical(), &["rev-list", "--parents", "-1", items[1].commit.as_str()]);
    assert_eq!(parents.split(' ').count(), 2, "one commit, one parent");
    assert_eq!(town.land(&base, &items).await, Outcome::Landed);
}

#[tokio::test]
async fn each_style_lands_the_same_tree_in_its_own_form() {
    for style in LandingStyle::ALL {
        let town = TestTown::new();
        let ann = town.branch("ann", &[("a", "a\n")]).await;
        let mut bob = town.branch("bob", &[("b", "b\n")]).await;
        let dir = town.worktree("bob");
        bob.head = commit(&dir, "more of bob", &[("b", "b\nmore\n")]);
        let by = ["-c", "user.name=eve", "-c", "user.email=eve@example.org"];
        git(&dir, &[&by[..], &["commit", "--quiet", "--allow-empty", "-m", "eve's"]].concat());
        std::fs::write(dir.join("c"), "c\n").unwrap();
        git(&dir, &["add", "c"]);
        git(&dir, &[&by[..], &["commit", "--quiet", "-m", "eve adds c"]].concat());
        bob.head = Sha(git(&dir, &["rev-parse", "HEAD"]));
        let built = town.stack_as(*style, vec![ann.clone(), bob.clone()]).await;
        assert_eq!(built, town.stack_as(*style, vec![ann.clone(), bob.clone()]).await);
        let (base, items, bounced) = stacked(built);
        assert_eq!(bounced, vec![]);
        let log = |format: &str| {
            let range = format!("{base}..{}", items[1].commit);
            git(&town.canonical(), &["log", "--topo-order", &format!("--format={format}"), &range])
        };
        let show = |format: &str| {
            let tip = items[1].commit.as_str();
            git(&town.canonical(), &["log", "-1", &format!("--format={format}"), tip])
        };
        let first = format!("{base}..{}", items[1].commit);
        let count = git(&town.canonical(), &["rev-list", "--count", "--first-parent", &first]);
        match style {
            LandingStyle::Rebase => {
                assert_eq!(log("%an"), "eve\nann\nann\nann", "{style}");
                assert_eq!(count, "4");
            }
            LandingStyle::Squash => {
                assert_eq!(log("%an"), "ann\nann");
                let words = "bob\n\n* bob\n* more of bob\n* eve's\n* eve adds c\n\n\
                             Co-authored-by: eve <eve@example.org>";
                assert_eq!(show("%B").trim_end(), words);
            }
            LandingStyle::Merge => {
                assert_eq!(count, "2");
                assert_eq!(show("%an %s"), "demo/refinery Merge branch 'polecat/bob-1'");
                assert!(show("%P").ends_with(bob.head.as_str()));
            }
        }
        let list = git(&town.canonical(), &["ls-tree", "--name-only", &items[1].commit.0]);
        assert_eq!(list, "README\na\nb\nc\ntext", "{style}");
        assert_eq!(town.land(&base, &items).await, Outcome::Landed);
        for (candidate, item) in [(ann, &items[0]), (bob, &items[1])] {
            let place = town.place(candidate.mr.as_str().trim_start_matches("dm-"), 1);
            let (branch, head) = (candidate.branch.clone(), candidate.head.clone());
            let push = Effect::Push { place, branch, head };
            let pushed = town.perform(push).await;
            assert!(matches!(pushed, Outcome::Pushed { .. }), "{pushed:?}");
            let remove = Effect::RemoveBranch {
                rig: town.rig.clone(),
                target: "main".to_owned(),
                branch: candidate.branch,
                head: candidate.head,
                landed: item.commit.clone(),
            };
            assert_eq!(town.perform(remove).await, Outcome::BranchRemoved, "{style}");
        }
    }
}

#[tokio::test]
async fn changes_in_one_file_land_together_although_context_moved() {
    let town = TestTown::new();
    let text = |change: &[(usize, &str)]| {
        (1..=20)
            .map(|n| {
                let changed = change.iter().find(|(at, _)| *at == n);
                changed.map_or(format!("line {n}\n"), |(_, text)| format!("{text}\n"))
            })
            .collect::<String>()
    };
    let ann = town.branch("ann", &[("text", &text(&[(5, "ann")]))]).await;
    let bob = town.branch("bob", &[("text", &text(&[(8, "bob")]))]).await;
    let (base, items, bounced) = stacked(town.stack(vec![ann, bob.clone()]).await);
    assert_eq!(bounced, vec![]);
    assert_eq!(town.land(&base, &items).await, Outcome::Landed);
    let remove = Effect::RemoveBranch {
        rig: town.rig.clone(),
        target: "main".to_owned(),
        branch: bob.branch,
        head: bob.head,
        landed: items[1].commit.clone(),
    };
    assert_eq!(town.perform(remove).await, Outcome::BranchRemoved);
}

#[tokio::test]
async fn a_target_that_moved_stays_where_it_is() {
    let town = TestTown::new();
    let base = town.target();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let (_, items, _) = stacked(town.stack(vec![ann]).await);
    let seed = town.dir.path().join("seed");
    let elsewhere = commit(&seed, "elsewhere", &[("x", "x\n")]);
    git(&seed, &["push", "--quiet", town.source.to_str().unwrap(), "main"]);
    assert_eq!(town.land(&base, &items).await, Outcome::Moved { at: elsewhere.clone() });
    assert_eq!(town.target(), elsewhere);
}

#[tokio::test]
async fn the_lease_holds_against_a_push_in_the_last_moment() {
    let town = TestTown::new();
    let base = town.target();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let (_, items, _) = stacked(town.stack(vec![ann]).await);
    let seed = town.dir.path().join("seed");
    let elsewhere = commit(&seed, "elsewhere", &[("x", "x\n")]);
    git(&seed, &["push", "--quiet", town.source.to_str().unwrap(), "main:side"]);
    // The hook runs between the town's look at the target and its push, and moves the target.
    let hook = town.canonical().join(".git/hooks/pre-push");
    let script = format!(
        "#!/bin/sh\nunset GIT_DIR\ngit -C {} update-ref refs/heads/main {elsewhere}\n",
        town.source.display()
    );
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, mode).unwrap();
    assert_eq!(town.land(&base, &items).await, Outcome::Moved { at: elsewhere.clone() });
    assert_eq!(town.target(), elsewhere);
}

#[tokio::test]
async fn an_item_that_is_not_what_was_submitted_does_not_land() {
    let town = TestTown::new();
    let base = town.target();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let bob = town.branch("bob", &[("b", "b\n")]).await;
    let (_, mut items, _) = stacked(town.stack(vec![ann, bob.clone()]).await);
    items[0].head = bob.head;
    match town.land(&base, &items).await {
        Outcome::Failed { error } => assert!(error.contains("patches"), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(town.target(), base);
}

#[tokio::test]
async fn a_branch_that_moved_on_or_is_not_merged_stays() {
    let town = TestTown::new();
    let base = town.target();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let remove = Effect::RemoveBranch {
        rig: town.rig.clone(),
        target: "main".to_owned(),
        branch: ann.branch.clone(),
        head: ann.head.clone(),
        landed: base,
    };
    assert!(matches!(town.perform(remove).await, Outcome::Failed { .. }));
    assert_ne!(git(&town.source, &["branch", "--list", &ann.branch]), "");
}

#[tokio::test]
async fn a_checked_out_target_is_left_alone_and_lands_in_the_canonical_clone() {
    let town = TestTown::with(false);
    assert!(is_canonical(&town.made), "{:?}", town.made);
    let before = town.target();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    assert_eq!(git(&town.source, &["branch", "--list", "polecat/*"]), "");
    let (base, items, _) = stacked(town.stack(vec![ann.clone()]).await);
    assert_eq!(town.land(&base, &items).await, Outcome::Landed);
    assert_eq!(town.target(), before);
    assert_eq!(git(&town.canonical(), &["rev-parse", "refs/heads/main"]), items[0].commit.0);
    git(&town.source, &["pull", "--quiet", town.canonical().to_str().unwrap(), "main"]);
    let own = commit(&town.source, "own", &[("own", "own\n")]);
    let (on, ..) = stacked(town.stack(vec![]).await);
    assert_eq!(on, own, "the target follows what people add after a pull");
    let remove = Effect::RemoveBranch {
        rig: town.rig.clone(),
        target: "main".to_owned(),
        branch: ann.branch,
        head: ann.head,
        landed: items[0].commit.clone(),
    };
    assert_eq!(town.perform(remove).await, Outcome::BranchRemoved);
}

#[tokio::test]
async fn the_lock_of_a_dead_process_is_in_the_way_once() {
    let town = TestTown::new();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let lock = town.canonical().join(".git/refs/gt/stack.lock");
    std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let made = std::fs::File::create(&lock).unwrap();
    let failed = town.stack(vec![ann.clone()]).await;
    assert!(matches!(failed, Outcome::Failed { .. }), "{failed:?}");
    assert!(lock.exists(), "it is too young to be nobody's");
    let minute = std::time::Duration::from_secs(60);
    made.set_modified(std::time::SystemTime::now() - minute).unwrap();
    let failed = town.stack(vec![ann.clone()]).await;
    assert!(matches!(failed, Outcome::Failed { .. }), "{failed:?}");
    stacked(town.stack(vec![ann.clone()]).await);

    std::fs::File::create(&lock).unwrap();
    town.world.recover();
    stacked(town.stack(vec![ann]).await);
}

#[tokio::test]
async fn checkouts_that_a_death_left_behind_follow_at_the_next_start() {
    let town = TestTown::new();
    let base = town.target();
    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let (_, items, _) = stacked(town.stack(vec![ann]).await);
    assert_eq!(town.land(&base, &items).await, Outcome::Landed);
    town.world.settled().await;
    let view = town.town.refinery_rig(&town.rig);
    let at = || git(&view, &["rev-parse", "HEAD"]);
    git(&view, &["checkout", "--quiet", "--detach", base.as_str()]);
    town.world.recover();
    town.world.settled().await;
    assert_eq!(at(), items[0].commit.0);
    // Who put a branch or a commit of their own there keeps it.
    git(&view, &["checkout", "--quiet", "-b", "mine", base.as_str()]);
    town.world.recover();
    town.world.settled().await;
    assert_eq!(at(), base.0);
    git(&view, &["checkout", "--quiet", "--detach"]);
    let own = commit(&view, "own", &[("own", "own\n")]);
    town.world.recover();
    town.world.settled().await;
    assert_eq!(at(), own.0);
}

#[tokio::test]
async fn many_loose_objects_are_packed_after_a_landing() {
    let town = TestTown::new();
    let base = town.target();
    let repo = git2::Repository::open(town.canonical()).unwrap();
    // As many in one of the 256 directories as there are when all hold 7000.
    let mut tree = repo.treebuilder(None).unwrap();
    let blobs = (0..).map(|n: u32| n.to_string());
    let seventeen = |text: &String| {
        let id = git2::Oid::hash_object(git2::ObjectType::Blob, text.as_bytes());
        id.unwrap().as_bytes()[0] == 0x17
    };
    for text in blobs.filter(seventeen).take(30) {
        tree.insert(&text, repo.blob(text.as_bytes()).unwrap(), 0o100_644).unwrap();
    }
    let tree = repo.find_tree(tree.write().unwrap()).unwrap();
    let who = git2::Signature::now("ann", "ann@example.org").unwrap();
    repo.commit(Some("refs/heads/many"), &who, &who, "many", &tree, &[]).unwrap();
    let loose = || std::fs::read_dir(repo.path().join("objects/17")).map_or(0, Iterator::count);
    assert!(loose() >= 30);

    let ann = town.branch("ann", &[("a", "a\n")]).await;
    let bob = town.branch("bob", &[("b", "b\n")]).await;
    let (_, items, _) = stacked(town.stack(vec![ann]).await);
    assert_eq!(town.land(&base, &items).await, Outcome::Landed);
    town.world.settled().await;
    assert_eq!(loose(), 0);
    assert_eq!(git(&town.canonical(), &["rev-parse", "many^{tree}"]), tree.id().to_string());
    // The queue goes on with what is packed now.
    let (base, items, _) = stacked(town.stack(vec![bob]).await);
    assert_eq!(town.land(&base, &items).await, Outcome::Landed);
}

#[tokio::test]
async fn what_was_built_on_another_stacks_behind_it_and_lands() {
    for style in LandingStyle::ALL {
        let town = TestTown::new();
        let eve = town.branch("eve", &[("e", "e\n")]).await;
        let ann = town.branch("ann", &[("a", "one\n")]).await;
        let mut bob = town.branch("bob", &[("b", "b\n")]).await;
        let dir = town.worktree("bob");
        git(&dir, &["reset", "--quiet", "--hard", ann.head.as_str()]);
        commit(&dir, "bob on ann's", &[("b", "b\n")]);
        bob.head = commit(&dir, "bob mends ann's", &[("a", "two\n")]);
        let (base, items, bounced) = stacked(town.stack_as(*style, vec![eve, ann, bob]).await);
        if *style == LandingStyle::Squash {
            // As in git: of what was squashed nothing tells that it is what the next goes on from.
            assert_eq!(
                (bounced[0].mr.as_str(), &bounced[0].files),
                ("dm-bob", &vec!["a".to_owned()])
            );
            assert_eq!(town.land(&base, &items).await, Outcome::Landed, "{style}");
            continue;
        }
        assert_eq!(bounced, vec![], "{style}");
        let show = |at: usize, file: &str| {
            git(&town.canonical(), &["show", &format!("{}:{file}", items[at].commit)])
        };
        assert_eq!(
            (show(1, "a"), show(2, "a"), show(2, "b")),
            ("one".into(), "two".into(), "b".into())
        );
        let own = format!("{}..{}", items[1].commit, items[2].commit);
        let words = git(&town.canonical(), &["log", "--format=%s", &own]);
        assert!(!words.contains("ann\n") && !words.ends_with("ann"), "{style}: {words}");
        assert_eq!(town.land(&base, &items).await, Outcome::Landed, "{style}");
    }
}
