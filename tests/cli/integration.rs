//! Integration branches with real git, real workers and real gates, through the commands.

use std::fs;

use serde_json::Value;

use super::desk::Desk;
use super::running::Up;

fn epic(desk: &Desk, title: &str) -> String {
    let args = ["create", title, "--rig", "web", "--type", "epic", "--json"];
    let said = desk.run(env!("CARGO_BIN_EXE_bd"), "town", &args).ok();
    let made: Value = serde_json::from_str(&said).unwrap();
    made["id"].as_str().unwrap().to_owned()
}

fn child(desk: &Desk, parent: &str, title: &str, steps: &str) -> String {
    let text = format!("```\n{steps}\n```");
    let args = ["create", title, "--parent", parent, "-d", &text, "--json"];
    let said = desk.run(env!("CARGO_BIN_EXE_bd"), "town", &args).ok();
    let made: Value = serde_json::from_str(&said).unwrap();
    made["id"].as_str().unwrap().to_owned()
}

fn heads(desk: &Desk) -> String {
    desk.git("web.git", &["for-each-ref", "--format=%(refname:short)", "refs/heads"])
}

fn has(desk: &Desk, branch: &str, file: &str) -> bool {
    desk.run("git", "web.git", &["cat-file", "-e", &format!("{branch}:{file}")]).code == 0
}

/// Somebody pushes a file past the town.
fn push(desk: &Desk, branch: &str, file: &str, text: &str) {
    if !desk.path("mine").exists() {
        desk.git(".", &["clone", "--quiet", "web.git", "mine"]);
    }
    desk.git("mine", &["fetch", "--quiet", "origin"]);
    desk.git("mine", &["checkout", "--quiet", "--detach", &format!("origin/{branch}")]);
    fs::write(desk.path("mine").join(file), text).unwrap();
    desk.git("mine", &["add", file]);
    desk.git("mine", &["commit", "--quiet", "-m", &format!("past the town: {file}")]);
    desk.git("mine", &["push", "--quiet", "origin", &format!("HEAD:{branch}")]);
}

fn mail(desk: &Desk, subject: &str) -> Vec<Value> {
    let inbox = desk.json("town", &["mail", "inbox", "overseer", "--all", "--json"]);
    let all = inbox.as_array().unwrap().iter();
    all.filter(|mail| mail["subject"] == subject).cloned().collect()
}

/// `gt mq integration` with these words.
fn words<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    [&["mq", "integration"], rest].concat()
}

#[test]
fn the_work_of_an_epic_is_gathered_and_lands_as_one() {
    let up = Up::new();
    let desk = &up.desk;
    let whole = epic(desk, "A new parser");
    let branch = format!("integration/{whole}");
    let missing = desk.gt("town", &words(&["status", &whole])).refused(1);
    assert!(missing.contains("has no integration branch"), "{missing}");
    desk.gt("town", &words(&["create", &whole])).ok();
    assert!(desk.gt("town", &words(&["create", &whole])).ok().contains(&branch));
    assert_eq!(heads(desk), format!("{branch}\nmain\n"));

    // The second one needs what the first has brought to the branch.
    let first = child(desk, &whole, "Tokens", "write tokens.txt: a");
    let second = child(desk, &whole, "Trees", "run: test -e tokens.txt\nwrite trees.txt: b");
    desk.run(env!("CARGO_BIN_EXE_bd"), "town", &["dep", "add", &second, &first]).ok();
    let early = desk.gt("town", &words(&["land", &whole]));
    assert!(
        early.err.contains(&format!("not closed below it: {first}, {second}")),
        "{}",
        early.err
    );
    assert_ne!(early.code, 0);
    let loose = up.bead("By itself", "```\nwrite loose.txt: l\n```");
    up.do_all(&[&first, &second, &loose]);
    assert!(has(desk, &branch, "tokens.txt") && has(desk, &branch, "trees.txt"));
    assert!(!has(desk, "main", "tokens.txt") && has(desk, "main", "loose.txt"));
    up.until("their branches are gone", || heads(desk) == format!("{branch}\nmain\n"));

    push(desk, "main", "aside.txt", "aside");
    let status = desk.json("town", &words(&["status", &whole, "--json"]));
    assert_eq!(status["can_land"], true, "{status:#}");
    assert_eq!(status["closed"].as_array().unwrap().len(), 2, "{status:#}");
    assert_eq!((&status["ahead"], &status["behind"]), (&2.into(), &2.into()), "{status:#}");
    assert_eq!(status["mrs"].as_array().unwrap().len(), 2, "{status:#}");
    let said = desk.gt("town", &words(&["status", &whole])).ok();
    assert!(said.contains("it can land: "), "{said}");
    let full = desk.gt("town", &words(&["drop", &whole]));
    assert!(full.err.contains("is not empty: it has 2 commits that main lacks"), "{}", full.err);

    up.wait_for("merged", || drop(desk.gt("town", &words(&["land", &whole])).ok()));
    let parents = desk.git("web.git", &["log", "-1", "--format=%P %s", "main"]);
    assert_eq!(parents.split(' ').filter(|word| word.len() == 40).count(), 2, "{parents}");
    for file in ["tokens.txt", "trees.txt", "loose.txt", "aside.txt"] {
        assert!(has(desk, "main", file), "{file}");
    }
    up.until("the branch is gone", || heads(desk) == "main\n");
    up.until("its author is told", || mail(desk, &format!("MERGED {whole}")).len() == 1);
    let status = desk.json("town", &words(&["status", &whole, "--json"]));
    assert_eq!((&status["state"], &status["head"]), (&"landed".into(), &Value::Null));
    let shown = desk.run(env!("CARGO_BIN_EXE_bd"), "town", &["show", &whole, "--json"]).ok();
    assert!(shown.contains("\"closed\""), "{shown}");
    proven(desk, &branch);
}

/// Every landing on both is proven, and what the branch brought is accounted for on the target.
fn proven(desk: &Desk, branch: &str) {
    let proof = desk.json("town", &["mq", "proof", "web", "--json"]);
    let proof = proof.as_array().unwrap();
    let targets: Vec<&str> = proof.iter().map(|one| one["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["main", branch]);
    assert!(proof.iter().all(|one| one["clean"] == true), "{proof:#?}");
    assert_eq!(proof[1]["commits"].as_array().unwrap().len(), 2, "{proof:#?}");
}

#[test]
fn a_conflict_with_the_target_comes_back_to_who_asked_and_an_empty_branch_is_dropped() {
    let up = Up::new();
    let desk = &up.desk;
    let whole = epic(desk, "A better parser");
    let name = ["create", &whole, "--branch", "next/parser"];
    desk.gt("town", &words(&name)).ok();
    push(desk, "next/parser", "same.txt", "ours\n");
    push(desk, "main", "same.txt", "theirs\n");
    let part = child(desk, &whole, "A part", "write x.txt: x");
    up.do_all(&[&part]);
    up.wait_for("returned", || drop(desk.gt("town", &words(&["land", &whole])).ok()));
    up.until("it was told", || mail(desk, &format!("REWORK_REQUEST {whole}")).len() == 1);
    let told = mail(desk, &format!("REWORK_REQUEST {whole}"));
    let read = desk.gt("town", &["mail", "read", told[0]["id"].as_str().unwrap()]).ok();
    assert!(read.contains("Conflict-Files: same.txt"), "{read}");
    let status = desk.json("town", &words(&["status", &whole, "--json"]));
    assert_eq!((&status["state"], &status["can_land"]), (&"open".into(), &true.into()));

    // A person mends it on the branch, and asks again.
    desk.git("mine", &["fetch", "--quiet", "origin"]);
    desk.git("mine", &["checkout", "--quiet", "--detach", "origin/next/parser"]);
    desk.git("mine", &["merge", "--quiet", "-s", "ours", "-m", "Mended", "origin/main"]);
    desk.git("mine", &["push", "--quiet", "origin", "HEAD:next/parser"]);
    up.wait_for("merged", || drop(desk.gt("town", &words(&["land", &whole])).ok()));
    assert_eq!(desk.git("web.git", &["show", "main:same.txt"]), "ours\n");
    up.until("the branch is gone", || heads(desk) == "main\n");
    desk.gt("town", &["mq", "proof"]).ok();

    let other = epic(desk, "Given up");
    desk.gt("town", &words(&["create", &other])).ok();
    let taken = epic(desk, "Another");
    let same = format!("integration/{other}");
    let why = desk.gt("town", &words(&["create", &taken, "--branch", &same]));
    assert!(why.err.contains("is the integration branch of"), "{}", why.err);
    let bad = desk.gt("town", &words(&["create", &taken, "--branch", "a..b"]));
    assert!(bad.err.contains("is no name of a branch"), "{}", bad.err);
    let listed = desk.json("town", &words(&["list", "web", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed:#}");
    let dropped = desk.json("town", &words(&["drop", &other, "--json"]));
    assert_eq!(dropped["removed"], true, "{dropped:#}");
    assert_eq!(heads(desk), "main\n");
    let all = desk.gt("town", &words(&["list", "--all"])).ok();
    assert!(all.contains("landed") && all.contains("dropped"), "{all}");
}
