//! The merge queue's hard hours: people's branches, an outsider, a red target, an outage.

use std::fs;
use std::net::TcpListener;

use super::town::Town;

/// Ada's clone in the town.
const ADA: &str = "town/alpha/crew/ada";

/// Plays them.
pub fn play(town: &mut Town) {
    let add = ["crew", "add", "ada", "--rig", "alpha"];
    town.insist("gt", "town", &add, &["already", "there is"], |_| false);
    moved_target(town);
    verified(town);
    red_branch(town);
    red_target(town);
    outage(town);
    gathered(town);
}

/// A bead, and Ada's branch for it with one file written or (as `-NAME`) removed.
fn branch(town: &Town, bead: &str, file: &str) {
    town.bead("alpha", bead, &format!("Ada's {bead}"), "");
    town.git(ADA, &["fetch", "--quiet", "origin"]);
    town.git(ADA, &["checkout", "--quiet", "-B", bead, "origin/main"]);
    change(town, ADA, file, &format!("Ada's {bead} ({bead})"));
    town.git(ADA, &["push", "--quiet", "--force", "origin", bead]);
}

fn change(town: &Town, clone: &str, file: &str, message: &str) {
    match file.strip_prefix('-') {
        Some(file) => drop(town.git(clone, &["rm", "--quiet", file])),
        None => {
            fs::write(town.path(clone).join(file), format!("{message}\n")).unwrap();
            town.git(clone, &["add", file]);
        }
    }
    town.git(clone, &["commit", "--quiet", "-m", message]);
}

#[track_caller]
fn submit(town: &Town, bead: &str) {
    town.insist("gt", ADA, &["mq", "submit", "--bead", bead], &["not yours to submit"], |_| false);
}

/// The newest merge request of a bead.
fn mr(town: &Town, bead: &str) -> String {
    town.mrs(bead).last().expect("it was submitted")["id"].as_str().unwrap().to_owned()
}

/// Somebody who pushes to the target past the town; gives the commit.
fn outsider(town: &mut Town, file: &str) -> String {
    if !town.path("outsider").exists() {
        town.git(".", &["clone", "--quiet", "alpha.git", "outsider"]);
    }
    town.git("outsider", &["pull", "--quiet", "origin", "main"]);
    change(town, "outsider", file, &format!("past the town: {file}"));
    town.git("outsider", &["push", "--quiet", "origin", "HEAD:main"]);
    town.git("outsider", &["rev-parse", "HEAD"])
}

/// While the gates of one branch run, another is held, let go, rejected and queued again; and the
/// target moves. Both land on what it moved to.
fn moved_target(town: &mut Town) {
    fs::write(town.path("hold"), "").unwrap();
    branch(town, "al-one", "one.txt");
    submit(town, "al-one");
    town.until("its gates run", |town| {
        let status = town.ask("gt", &["mq", "status", "alpha", "--json"]);
        status["runs"][0].is_string() && town.mrs("al-one").iter().any(|mr| mr["in_cycle"] == true)
    });
    branch(town, "al-two", "two.txt");
    submit(town, "al-two");
    let two = mr(town, "al-two");
    town.gt(&["mq", "hold", &two]);
    assert_eq!(town.mr_state("al-two"), "held");
    town.gt(&["mq", "retry", &two]);
    assert_eq!(town.mr_state("al-two"), "queued");
    town.gt(&["mq", "reject", &two, "-r", "not like this"]);
    assert_eq!(town.mr_state("al-two"), "rejected");
    town.gt(&["mq", "retry", &two]);
    // It goes first, and lands nothing before its time; a third is given up.
    town.gt(&["mq", "hotfix", &two]);
    town.gt(&["mq", "freeze", "alpha", "-r", "not now", "--allow-priority", "hotfix"]);
    branch(town, "al-gone", "gone.txt");
    submit(town, "al-gone");
    town.bd(&["close", "al-gone", "-r", "not wanted"]);
    assert_eq!(town.mr_state("al-gone"), "rejected");
    // What never landed keeps its branch: it is the person's to remove.
    town.git("alpha.git", &["branch", "--quiet", "-D", "al-gone"]);
    town.closed.push("al-gone".to_owned());
    outsider(town, "aside.txt");
    fs::remove_file(town.path("hold")).unwrap();
    town.until("the hotfix has landed", |town| town.is_closed("al-two"));
    assert_eq!(town.mr_state("al-one"), "queued");
    town.gt(&["mq", "thaw", "alpha"]);
    town.until("both have landed", |town| town.is_closed("al-one") && town.is_closed("al-two"));
    town.closed.extend(["al-one", "al-two"].map(str::to_owned));
}

/// The gates run ahead of the queue; whoever dies, what is recorded ran, and it lands.
fn verified(town: &mut Town) {
    branch(town, "al-ver", "ver.txt");
    town.insist("gt", ADA, &["verify"], &[], |_| false);
    submit(town, "al-ver");
    town.until("it landed", |town| town.is_closed("al-ver"));
    town.closed.push("al-ver".to_owned());
}

/// A red branch comes back, also when it is tried again as it is; mended it lands.
fn red_branch(town: &mut Town) {
    town.gt(&["config", "set", "rigs.alpha.rework_max", "0"]);
    branch(town, "al-red", "red");
    submit(town, "al-red");
    town.until("it came back", |town| town.mr_state("al-red") == "returned");
    let red = mr(town, "al-red");
    town.gt(&["mq", "retry", &red]);
    town.until("it came back by its known verdict", |town| town.mr_state("al-red") == "returned");
    change(town, ADA, "-red", "Not red (al-red)");
    change(town, ADA, "fine.txt", "Fine (al-red)");
    town.git(ADA, &["push", "--quiet", "origin", "al-red"]);
    submit(town, "al-red");
    town.until("it landed", |town| town.is_closed("al-red"));
    town.closed.push("al-red".to_owned());
}

/// The target itself is red: nobody is blamed, the queue waits for a person.
fn red_target(town: &mut Town) {
    let red = outsider(town, "red");
    town.outside.push(red);
    branch(town, "al-three", "three.txt");
    submit(town, "al-three");
    town.until("the queue waits for a person", |town| {
        let status = town.ask("gt", &["mq", "status", "alpha", "--json"]);
        status["parked"].is_string()
    });
    outsider(town, "-red");
    town.gt(&["mq", "retry", "alpha"]);
    town.until("it landed", |town| town.is_closed("al-three"));
    town.closed.push("al-three".to_owned());
}

/// The remote does not answer: a person is told, and it lands when it is back.
fn outage(town: &mut Town) {
    let clone = "town/alpha/mayor/rig";
    let url = town.git(clone, &["remote", "get-url", "origin"]);
    fs::write(town.path("hold"), "").unwrap();
    branch(town, "al-four", "four.txt");
    submit(town, "al-four");
    town.until("its gates run", |town| {
        let status = town.ask("gt", &["mq", "status", "alpha", "--json"]);
        status["runs"][0].is_string()
    });
    // A port that nobody listens on any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("git://127.0.0.1:{port}/alpha");
    town.git(clone, &["remote", "set-url", "origin", &nobody]);
    fs::remove_file(town.path("hold")).unwrap();
    let told = |town: &Town| {
        let status = town.ask("gt", &["status", "--json"]);
        status["escalations"].to_string().contains("does not answer")
    };
    town.until("a person is told", told);
    town.git(clone, &["remote", "set-url", "origin", &url]);
    town.until("it landed, and the alarm is over", |town| town.is_closed("al-four") && !told(town));
    town.closed.push("al-four".to_owned());
}

/// What is below an epic is gathered on a branch, which lands as one; another is given up.
fn gathered(town: &mut Town) {
    let whole = |town: &Town, id: &str| {
        let args = ["create", "Gathered", "--rig", "alpha", "--id", id, "--type", "epic"];
        town.insist("bd", "town", &args, &["already", "exists"], |_| false);
        town.gt(&["mq", "integration", "create", id]);
    };
    whole(town, "al-whole");
    branch(town, "al-part", "part.txt");
    let below = ["dep", "add", "al-part", "al-whole", "--type", "parent-child"];
    town.insist("bd", "town", &below, &["already"], |_| false);
    submit(town, "al-part");
    town.until("it is on the branch", |town| town.is_closed("al-part"));
    let there = |branch: &str| {
        town.run("git", "alpha.git", &["cat-file", "-e", &format!("{branch}:part.txt")]).code
    };
    assert_eq!((there("integration/al-whole"), there("main")), (Some(0), Some(128)));
    let land = ["mq", "integration", "land", "al-whole"];
    town.insist("gt", "town", &land, &["waits to land already", "is landed"], |_| false);
    town.until("it is on the target", |town| town.is_closed("al-whole"));
    whole(town, "al-dropped");
    town.gt(&["mq", "integration", "drop", "al-dropped"]);
    town.closed.extend(["al-part", "al-whole"].map(str::to_owned));
    town.open.push("al-dropped".to_owned());
}
