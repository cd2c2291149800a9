//! `gt dolt` over the embedded engine: SQL, dumps, logs, remotes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::desk::Desk;

/// A town with rig `web`, and a bead in it.
fn town() -> (Desk, String) {
    let desk = Desk::town();
    desk.bare("web.git");
    desk.gt("town", &["rig", "add", "web", "../web.git"]).ok();
    let made = desk.run(env!("CARGO_BIN_EXE_bd"), "town", &["q", "It's here", "--rig", "web"]);
    let id = made.ok().trim().to_owned();
    (desk, id)
}

fn sql(desk: &Desk, args: &[&str]) -> Value {
    desk.json("town", &[&["dolt", "sql", "web", "--json"], args].concat())
}

fn refused(desk: &Desk, text: &str) -> String {
    desk.gt("town", &["dolt", "sql", "web", "-e", text]).refused(1)
}

#[test]
fn sql_reads_and_does_nothing_else() {
    let (desk, id) = town();
    let before = fs::read(desk.path("town/.dolt-data/web/web.db")).unwrap();
    let told =
        sql(&desk, &["-e", "select id, priority, due_at from beads where issue_type='task'"]);
    assert_eq!(told["columns"], serde_json::json!(["id", "priority", "due_at"]));
    assert_eq!(told["rows"], serde_json::json!([[id, 2, null]]));
    assert_eq!(told["cut"], false);
    let none = sql(&desk, &["-e", "select id from beads where id = 'x'"]);
    assert_eq!(none["columns"][0], "id", "columns are named without rows too");
    let cut = desk.gt("town", &["dolt", "sql", "web", "-n", "1", "-e", "select id from beads"]);
    assert!(cut.err.contains("more than these 1 rows"), "{}", cut.err);
    let shown = desk.gt("town", &["dolt", "sql", "web", "-e", "show tables"]).ok();
    assert!(shown.lines().any(|line| line == "beads"), "{shown}");
    desk.gt("town", &["dolt", "sql", "web", "-e", "describe beads"]).ok();
    desk.gt("town", &["dolt", "sql", "hq", "-e", "select * from dolt_log; -- all"]).ok();
    desk.gt("town/web", &["dolt", "sql", "-e", "select dolt_hashof('HEAD')"]).ok();

    assert!(refused(&desk, "delete from beads").contains("--write changes rows"));
    assert!(refused(&desk, "select dolt_reset('--hard', 'HEAD~1')").contains("dolt_reset"));
    assert!(refused(&desk, "select 1; drop table beads").contains("one statement at a time"));
    assert!(refused(&desk, "select id from nowhere").contains("nowhere"));
    let unknown = desk.gt("town", &["dolt", "sql", "wbe", "-e", "select 1"]).refused(1);
    assert!(unknown.contains("there are: hq, web"), "{unknown}");
    assert_eq!(fs::read(desk.path("town/.dolt-data/web/web.db")).unwrap(), before);
}

#[test]
fn sql_writes_through_the_store_and_is_recorded() {
    let (desk, id) = town();
    let bd = |args: &[&str]| desk.run(env!("CARGO_BIN_EXE_bd"), "town", args);
    let second = bd(&["q", "Second", "--rig", "web"]).ok().trim().to_owned();
    let write = |text: &str| desk.gt("town", &["dolt", "sql", "web", "--write", "-e", text]);
    // An edge by hand blocks at once: what follows from rows is derived again.
    let edge = format!(
        "insert into dependencies (bead, target, dep_type, created_at, created_by) \
         values ('{second}', '{id}', 'blocks', 0, 'me')"
    );
    assert!(write(&edge).ok().starts_with("1 rows of dependencies in web changed"));
    let blocked = bd(&["blocked", "--rig", "web", "--json"]).ok();
    assert!(blocked.contains(&second), "{blocked}");
    let recorded =
        sql(&desk, &["-e", "select actor, op from changes where subject='dependencies'"]);
    assert_eq!(recorded["rows"], serde_json::json!([["overseer", "sql"]]));
    assert!(desk.gt("town", &["dolt", "log", "web"]).ok().contains("sql by overseer"));

    let log = desk.json("town", &["dolt", "log", "web", "--json", "-n", "1"]);
    for (text, words) in [
        ("update beads set priority = 'high'", "not of its type"),
        ("update metadata set value = '9'", "no table whose rows may be changed by hand"),
        ("update nowhere set x = 1", "no table whose rows"),
        ("update beads set nothing = 1", "nothing"),
        ("delete from beads; delete from labels", "one statement"),
        ("drop table beads", "'drop' is not understood"),
    ] {
        let said = write(text).refused(1);
        assert!(said.contains(words), "{text}: {said}");
    }
    assert!(write("delete from labels where bead = 'x'").ok().starts_with("0 rows"));
    assert_eq!(desk.json("town", &["dolt", "log", "web", "--json", "-n", "1"]), log);
}

#[test]
fn a_dump_is_whole_now_and_as_it_was() {
    let (desk, id) = town();
    let lines = |args: &[&str]| -> Vec<Value> {
        let said = desk.gt("town", &[&["dolt", "dump", "web"], args].concat()).ok();
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = lines(&[]);
    let has = |rows: &[Value]| {
        rows.iter().any(|line| line["table"] == "beads" && line["row"]["id"] == id.as_str())
    };
    assert!(has(&all));
    assert!(all.iter().all(|line| line["table"] != "nudges"));
    assert!(!has(&lines(&["--as-of", "HEAD~1"])));
    let said =
        desk.gt("town", &["dolt", "dump", "web", "--format", "sql", "--out", "web.sql"]).ok();
    assert!(said.starts_with(&format!("{} rows of web", all.len())), "{said}");
    let text = desk.read("town/web.sql");
    assert_eq!(text.lines().filter(|line| line.starts_with("INSERT INTO `")).count(), all.len());
    assert!(text.contains("'It''s here'"));
    let early = desk.gt("town", &["dolt", "dump", "web", "--as-of", "2020-01-01"]).refused(1);
    assert!(early.contains("the history begins at"), "{early}");
}

#[test]
fn databases_are_listed_and_a_missing_one_is_made_again() {
    let (desk, _) = town();
    fs::create_dir(desk.path("town/.dolt-data/old")).unwrap();
    fs::write(desk.path("town/.dolt-data/old/old.db"), "not a ledger").unwrap();
    let list = desk.json("town", &["dolt", "list", "--json"]);
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|line| line["database"].as_str().unwrap()).collect();
    assert_eq!(names, ["hq", "old", "web"]);
    assert_eq!(list[1]["prefix"], Value::Null);
    assert!(list[1]["error"].as_str().unwrap().contains("is not a ledger"), "{list}");
    assert!(list[2]["bytes"].as_u64().unwrap() > 1000);
    assert_eq!(
        list[2]["commit"],
        desk.json("town", &["dolt", "log", "web", "--json"])[0]["commit"]
    );

    fs::rename(desk.path("town/.dolt-data/web"), desk.path("away")).unwrap();
    let gone = desk.gt("town", &["dolt", "sql", "web", "-e", "select 1"]).refused(4);
    assert!(gone.contains("no database 'web'"), "{gone}");
    desk.gt("town", &["dolt", "init-rig", "web"]).ok();
    desk.gt("town", &["dolt", "init-rig", "web"]).ok();
    desk.run(env!("CARGO_BIN_EXE_bd"), "town", &["q", "New", "--rig", "web"]).ok();
    desk.gt("town", &["dolt", "init-rig", "wbe"]).refused(1);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let there = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &there) } else { fs::copy(&path, &there).map(drop).unwrap() }
    }
}

#[test]
fn histories_are_pushed_and_pulled_while_one_goes_on_from_the_other() {
    let (desk, id) = town();
    let url = format!("file://{}", desk.path("remote").display());
    desk.gt("town", &["dolt", "sync", "web", "--push"]).refused(1);
    desk.gt("town", &["dolt", "sync", "remotes", "add", "web", "origin", "nowhere"]).refused(2);
    desk.gt("town", &["dolt", "sync", "remotes", "add", "web", "origin", &url]).ok();
    let remotes = desk.json("town", &["dolt", "sync", "remotes", "list", "web", "--json"]);
    assert_eq!(remotes[0]["url"], url);
    let sync = |town: &str, how: &str| desk.gt(town, &["dolt", "sync", "web", how, "--json"]);
    let state = |town: &str, how: &str| -> String {
        let told: Value = serde_json::from_str(&sync(town, how).ok()).unwrap();
        told["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("town", "--push"), "pushed");
    assert_eq!(state("town", "--push"), "same");
    copy(&desk.path("town"), &desk.path("twin"));
    let make = |town: &str, title: &str| {
        desk.run(env!("CARGO_BIN_EXE_bd"), town, &["q", title, "--rig", "web"]).ok()
    };
    make("town", "More");
    assert_eq!(state("town", "--push"), "pushed");
    assert_eq!(state("twin", "--pull"), "pulled");
    assert_eq!(state("twin", "--pull"), "same");
    let log = |town: &str| desk.json(town, &["dolt", "log", "web", "--json"]);
    assert_eq!(log("town"), log("twin"));
    let bead = desk.run(env!("CARGO_BIN_EXE_bd"), "twin", &["list", "--rig", "web", "--json"]).ok();
    assert!(bead.contains("More") && bead.contains(&id), "{bead}");

    make("town", "Here");
    let there = make("twin", "There");
    assert_eq!(state("twin", "--push"), "pushed");
    let before = log("town");
    for how in ["--push", "--pull"] {
        let error: Value = serde_json::from_str(&sync("town", how).refused(1)).unwrap();
        assert_eq!(error["code"], "diverged", "{error}");
    }
    assert_eq!(log("town"), before);
    assert!(!there.is_empty());
    // A person may say which of the two the remote shall have.
    let replaced = ["dolt", "sync", "web", "--push", "--replace", "--json"];
    assert!(desk.gt("town", &replaced).ok().contains("replaced"));
    assert_eq!(state("town", "--push"), "same");
    assert_eq!(log("town"), before);
    sync("twin", "--push").refused(1);
    desk.gt("town", &["dolt", "sync", "remotes", "remove", "web", "origin"]).ok();
}

#[test]
fn a_history_is_made_shorter_by_a_word_that_is_bound_to_it() {
    let (desk, id) = town();
    let bd = |args: &[&str]| desk.run(env!("CARGO_BIN_EXE_bd"), "town", args);
    for n in 0..5 {
        bd(&["q", &format!("More {n}"), "--rig", "web"]).ok();
    }
    let commits = || desk.json("town", &["dolt", "log", "web", "-n", "0", "--json"]);
    let before = commits();
    let asked = desk.gt("town", &["dolt", "rebase", "web", "--keep", "3", "--json"]);
    assert_eq!(asked.code, 1, "{}", asked.err);
    let asked: Value = serde_json::from_str(&asked.out).unwrap();
    let token = asked["token"].as_str().unwrap();
    assert_eq!(commits(), before, "asking does nothing");
    let wrong = desk.gt("town", &["dolt", "rebase", "web", "--keep", "3", "--confirm", "web-x"]);
    assert!(wrong.refused(1).contains("not for what is there now"));
    let word = ["dolt", "rebase", "web", "--keep", "3", "--confirm", token];
    desk.gt("town", &word).ok();
    let after = commits();
    assert!(after.as_array().unwrap().len() < before.as_array().unwrap().len(), "{after}");
    assert!(bd(&["show", &id]).ok().contains("It's here"));
    desk.gt("town", &["dolt", "gc", "web"]).ok();

    // By the daemon, and what was is refused by name.
    desk.gt("town", &["up"]).ok();
    let asked = desk.gt("town", &["dolt", "flatten", "web", "--json"]);
    let asked: Value = serde_json::from_str(&asked.out).unwrap();
    let token = asked["token"].as_str().unwrap().to_owned();
    let flattened = desk.gt("town", &["dolt", "flatten", "web", "--confirm", &token]);
    let gc = desk.gt("town", &["dolt", "gc", "web"]);
    let recover = desk.gt("town", &["dolt", "recover", "web"]);
    desk.gt("town", &["down"]).ok();
    assert!(flattened.ok().starts_with("web: "));
    gc.ok();
    assert!(recover.refused(1).contains("the town is running"));
    assert!(bd(&["show", &id]).ok().contains("It's here"));
    let gone = bd(&["show", &id, "--as-of", "2020-01-01", "--json"]).refused(1);
    let gone: Value = serde_json::from_str(&gone).unwrap();
    assert_eq!(gone["code"], "history_flattened", "{gone}");
}

#[test]
fn a_backup_is_put_back_after_it_was_said_what_it_lacks() {
    let (desk, id) = town();
    let bd = |args: &[&str]| desk.run(env!("CARGO_BIN_EXE_bd"), "town", args);
    assert!(desk.gt("town", &["dolt", "recover", "web"]).refused(1).contains("no backup"));
    // A shorter history is backed up first.
    let asked = desk.gt("town", &["dolt", "flatten", "web", "--json"]);
    let asked: Value = serde_json::from_str(&asked.out).unwrap();
    let token = asked["token"].as_str().unwrap();
    desk.gt("town", &["dolt", "flatten", "web", "--confirm", token]).ok();
    let later = bd(&["q", "Later", "--rig", "web"]).ok().trim().to_owned();
    let path = desk.path("town/.dolt-data/web/web.db");
    fs::write(&path, b"damaged").unwrap();
    let asked = desk.gt("town", &["dolt", "recover", "web", "--json"]);
    assert_eq!(asked.code, 1, "{}", asked.err);
    let asked: Value = serde_json::from_str(&asked.out).unwrap();
    assert!(asked["unknown"].as_str().unwrap().contains("is not a ledger"), "{asked}");
    let token = asked["token"].as_str().unwrap();
    desk.gt("town", &["dolt", "recover", "web", "--confirm", "web-0"]).refused(1);
    let said = desk.gt("town", &["dolt", "recover", "web", "--confirm", token]).ok();
    assert!(said.contains("what was there is kept"), "{said}");
    assert!(bd(&["show", &id]).ok().contains("It's here"));
    bd(&["show", &later]).refused(1);
    assert!(bd(&["q", "Goes on", "--rig", "web"]).ok().starts_with("we"));
}
