//! Setting rigs up and removing them.

use std::path::Path;

use gastown::adapters::git::Landing;
use gastown::adapters::layout::Town;
use gastown::adapters::rig_setup::Notice;
use gastown::adapters::rig_setup::Removed;
use gastown::adapters::rig_setup::SetupError;

use super::TestTown;
use super::commit;
use super::git;
use super::setup;

fn repository(dir: &Path, name: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::create_dir(&path).unwrap();
    git(&path, &["init", "--quiet", "-b", "trunk"]);
    path
}

#[test]
fn the_tree_of_a_rig_is_the_seeds() {
    let town = TestTown::new();
    let rig = town.town.rig(&town.rig);
    for path in ["mayor/rig/.git", "refinery/rig/.git", "witness", "crew", "polecats"] {
        assert!(rig.join(path).exists(), "{path}");
    }
    for (dir, to) in [(".", "mayor/rig/.beads"), ("refinery/rig", "../../mayor/rig/.beads")] {
        let redirect = std::fs::read_to_string(rig.join(dir).join(".beads/redirect")).unwrap();
        assert_eq!(redirect.trim(), to);
        assert!(rig.join(dir).join(to).is_dir());
    }
    for clone in ["mayor/rig", "refinery/rig"] {
        assert_eq!(git(&rig.join(clone), &["status", "--porcelain"]), "");
        assert_eq!(git(&rig.join(clone), &["branch", "--show-current"]), "", "detached");
    }
    assert_eq!(git(&town.canonical(), &["branch", "--list"]).lines().count(), 1);
    let again = setup(&town.town, &town.rig, &town.source).make().unwrap();
    assert_eq!(again, town.made, "a second set-up changes nothing");
}

#[test]
fn the_target_and_what_is_odd_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let town = Town::new(dir.path().join("gt"));
    let source = repository(dir.path(), "own");
    let empty = setup(&town, &"own".into(), &source).make();
    assert!(matches!(empty, Err(SetupError::Empty(_))), "{empty:?}");
    commit(&source, "first", &[(".beads/issues.jsonl", "{}\n")]);
    std::fs::remove_dir_all(town.rig(&"own".into())).unwrap();
    let made = setup(&town, &"own".into(), &source).make().unwrap();
    assert_eq!((made.target.as_str(), made.landing), ("trunk", Landing::Canonical));
    assert!(made.notices.contains(&Notice::TracksBeads));
    assert!(made.notices.iter().any(|n| matches!(n, Notice::LandsHere { .. })));
    git(&source, &["checkout", "--quiet", "--detach"]);
    let on = |target: &str| super::RigSetup {
        target: Some(target.to_owned()),
        ..setup(&town, &"free".into(), &source)
    };
    let none = on("nowhere").make();
    assert!(matches!(none, Err(SetupError::NoTarget { .. })), "{none:?}");
    assert_eq!(on("trunk").make().unwrap().landing, Landing::Remote, "continued");
    let taken = setup(&town, &"mayor".into(), &source).make();
    assert!(matches!(taken, Err(SetupError::Reserved(_))));
    let other = setup(&town, &"own".into(), &repository(dir.path(), "other")).make();
    assert!(matches!(other, Err(SetupError::OtherSource { .. })), "{other:?}");
}

#[test]
fn a_kind_of_repository_that_is_not_supported_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let town = Town::new(dir.path().join("gt"));
    let source = dir.path().join("wide");
    std::fs::create_dir(&source).unwrap();
    git(&source, &["init", "--quiet", "--object-format=sha256", "-b", "main"]);
    commit(&source, "first", &[("a", "a\n")]);
    let refused = setup(&town, &"wide".into(), &source).make().unwrap_err();
    assert!(refused.to_string().contains("SHA-256"), "{refused}");
}

#[tokio::test]
async fn a_rig_is_removed_when_nothing_is_lost() {
    let town = TestTown::new();
    let setup = setup(&town.town, &town.rig, &town.source);
    setup.crew("zoe", Landing::Remote, "main").unwrap();
    setup.crew("zoe", Landing::Remote, "main").unwrap();
    let clone = town.town.crew(&town.rig, "zoe");
    assert_eq!(git(&clone, &["status", "--porcelain"]), "");
    std::fs::write(clone.join("draft"), "draft\n").unwrap();
    assert!(matches!(setup.remove_crew("zoe"), Err(SetupError::InUse { .. })));
    assert!(matches!(setup.remove(), Err(SetupError::InUse { .. })));
    std::fs::remove_file(clone.join("draft")).unwrap();
    setup.remove_crew("zoe").unwrap();
    town.make("ann", "polecat/ann-1", 1).await;
    assert!(matches!(setup.remove(), Err(SetupError::InUse { .. })));
    commit(&town.worktree("ann"), "work", &[("w", "w\n")]);
    let (place, branch) = (town.place("ann", 1), "polecat/ann-1".to_owned());
    town.perform(super::Effect::Teardown { place, branch }).await;
    let Removed::Aside(aside) = setup.remove().unwrap() else { panic!("rescued work is kept") };
    assert!(git(&aside.join("mayor/rig"), &["for-each-ref", "refs/gt/rescue"]).contains("ann"));
    assert_eq!(setup.remove().unwrap(), Removed::Absent);
    setup.make().unwrap();
    assert_eq!(setup.remove().unwrap(), Removed::Deleted);
}
