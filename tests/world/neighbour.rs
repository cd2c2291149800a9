//! A remote that is a directory of this machine: what lands there without a push is whole, and
//! with anything of its own on either side the command pushes.

use std::path::Path;

use gastown::adapters::git::oid;
use gastown::model::effect::Outcome;
use gastown::model::ids::Sha;
use gastown::model::merge::LandingStyle;

use super::TestTown;
use super::commit;
use super::git;

/// Whether the branch was moved without the command.
fn hand_over(town: &TestTown, base: &Sha, tip: &Sha) -> bool {
    let rig = town.world.rig(&town.rig).unwrap();
    rig.hand_over("main", oid(base).unwrap(), oid(tip).unwrap()).unwrap()
}

/// A commit of the canonical clone that the remote does not have.
fn tip(town: &TestTown, files: &[(&str, &str)]) -> Sha {
    let seed = town.dir.path().join("seed");
    let tip = commit(&seed, "more", files);
    let from = seed.to_str().unwrap();
    git(&town.canonical(), &["fetch", "--quiet", from, "HEAD:refs/gt/tried"]);
    tip
}

#[tokio::test]
async fn what_lands_without_a_push_is_whole() {
    for style in [LandingStyle::Rebase, LandingStyle::Squash, LandingStyle::Merge] {
        let town = TestTown::new();
        let ann = town.branch("ann", &[("deep/er/a", "a\n"), ("text", "other\n")]).await;
        let work = town.worktree("bob");
        town.make("bob", "polecat/bob-1", 1).await;
        std::os::unix::fs::symlink("README", work.join("link")).unwrap();
        git(&work, &["add", "link"]);
        git(&work, &["mv", "README", "docs"]);
        let elsewhere = format!("160000,{},vendor/lib", "1".repeat(40));
        git(&work, &["update-index", "--add", "--cacheinfo", &elsewhere]);
        let bob = town.branch("bob", &[("b", "b\n")]).await;
        let built = town.stack_as(style, vec![ann, bob]).await;
        let Outcome::Stack { base, items, .. } = built else { panic!("{built:?}") };
        let tip = items.last().unwrap().commit.clone();
        assert_eq!(items.len(), 2);
        assert!(hand_over(&town, &base, &tip), "{style}");
        assert_eq!(town.target(), tip, "{style}");
        git(&town.source, &["fsck", "--full", "--strict"]);
        git(&town.source, &["rev-list", "--objects", "main"]);
        let seen = git(&town.canonical(), &["rev-parse", "refs/remotes/origin/main"]);
        assert_eq!(seen, tip.0, "{style}");
        assert_eq!(town.land(&base, &items).await, Outcome::Landed, "it is there already");
    }
}

/// Something of its own at a remote or a clone.
type Own = (&'static str, fn(&Path, &Path));

#[tokio::test]
async fn with_anything_of_its_own_on_either_side_the_command_pushes() {
    let own: [Own; 7] = [
        ("a hook there", |there, _| std::fs::write(there.join("hooks/update"), "").unwrap()),
        ("a hook here", |_, here| std::fs::write(here.join(".git/hooks/pre-push"), "").unwrap()),
        ("hooks elsewhere", |there, _| drop(git(there, &["config", "core.hooksPath", "/nowhere"]))),
        ("checks", |there, _| drop(git(there, &["config", "receive.fsckObjects", "true"]))),
        ("durability", |there, _| drop(git(there, &["config", "core.fsync", "all"]))),
        ("another way", |_, here| drop(git(here, &["config", "remote.origin.pushurl", "/x"]))),
        ("worktrees", |there, _| {
            drop(git(there, &["worktree", "add", "--quiet", "../view", "main"]));
        }),
    ];
    for (what, make) in own {
        let town = TestTown::new();
        let (base, tip) = (town.target(), tip(&town, &[("a", "a\n")]));
        make(&town.source, &town.canonical());
        assert!(!hand_over(&town, &base, &tip), "{what}");
        assert_eq!(town.target(), base, "{what}");
    }
}

#[tokio::test]
async fn a_branch_that_is_elsewhere_or_locked_and_many_objects_are_left_to_the_command() {
    let town = TestTown::new();
    let base = town.target();
    let names: Vec<String> = (0..100).map(|n| format!("many/{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), n.as_str())).collect();
    let one = tip(&town, &[("a", "a\n")]);
    let large = tip(&town, &many);
    assert!(!hand_over(&town, &base, &large), "many objects");
    assert!(!hand_over(&town, &one, &large), "the branch is not there");
    let lock = town.source.join("refs/heads/main.lock");
    std::fs::write(&lock, "").unwrap();
    assert!(!hand_over(&town, &base, &one), "locked");
    assert_eq!(town.target(), base);
    std::fs::remove_file(&lock).unwrap();
    assert!(hand_over(&town, &base, &one));
    assert_eq!(town.target(), one);
}
