//! `gt` without a daemon: towns, rigs, settings, sling, primers; and that its texts are true.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use gastown::adapters::templates;
use gastown::adapters::templates::Prime;
use gastown::adapters::templates::PrimeBead;
use gastown::adapters::templates::PrimeMail;
use gastown::cli::bd::Bd;
use gastown::cli::gt::Gt;
use gastown::model::ids::Identity;
use gastown::model::ids::Role;
use serde_json::Value;

use super::desk::Desk;

/// Every path below a directory, without git's own and the insides of databases.
fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let skipped = path.file_name() == Some(OsStr::new(".git"));
            if path.is_dir() {
                found.push(format!("{name}/"));
                if !skipped {
                    open.push(path);
                }
            } else if !name.starts_with(".dolt-data/") || name.ends_with(".db") {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn install_makes_the_seeds_tree() {
    let desk = Desk::town();
    insta::assert_snapshot!(tree(&desk.path("town")).join("\n"), @"
    .beads/
    .beads/metadata.json
    .beads/routes.jsonl
    .dolt-data/
    .dolt-data/hq/
    .dolt-data/hq/hq.db
    CLAUDE.md
    config/
    config/messaging.json
    daemon/
    daemon/daemon.lock
    daemon/key
    daemon/sessions/
    deacon/
    deacon/dogs/
    deacon/dogs/reaper/
    logs/
    logs/agents/
    logs/gates/
    mayor/
    mayor/accounts.json
    mayor/daemon.json
    mayor/rigs.json
    mayor/town.json
    settings/
    settings/config.json
    settings/escalation.json
    ");
    assert_eq!(desk.read("town/.beads/routes.jsonl"), "{\"prefix\":\"hq-\",\"path\":\".\"}\n");
    let metadata: Value = serde_json::from_str(&desk.read("town/.beads/metadata.json")).unwrap();
    assert_eq!(metadata["dolt_mode"], "embedded");
    assert_eq!(metadata["dolt_database"], "hq");
    let owner: Value = serde_json::from_str(&desk.read("town/settings/config.json")).unwrap();
    assert_eq!(owner["owner"]["email"], "ada@example.org");
    let agents = desk.json("town", &["agents", "--json"]);
    let ids: Vec<&str> =
        agents.as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["hq-boot", "hq-deacon", "hq-dog-reaper", "hq-mayor"]);
}

#[test]
fn install_may_be_repeated_and_completes_what_is_missing() {
    let desk = Desk::town();
    let before = tree(&desk.path("town"));
    let id = desk.read("town/mayor/town.json");
    fs::remove_file(desk.path("town/settings/escalation.json")).unwrap();
    fs::write(desk.path("town/CLAUDE.md"), "mine\n").unwrap();
    desk.gt(".", &["install", "town"]).ok();
    assert_eq!(tree(&desk.path("town")), before);
    assert_eq!(desk.read("town/mayor/town.json"), id);
    assert_eq!(desk.read("town/CLAUDE.md"), "mine\n", "a person's text stays");
    // A try that was killed before its last step is no town yet, and is continued.
    fs::remove_file(desk.path("town/mayor/town.json")).unwrap();
    desk.gt("town", &["status"]).refused(3);
    desk.gt(".", &["install", "town"]).ok();
    desk.gt("town", &["status"]).ok();
}

#[test]
fn install_refuses_what_is_not_its_own() {
    let desk = Desk::town();
    desk.repository("project");
    let error = desk.gt(".", &["install", "project"]).refused(3);
    assert!(error.contains("is not empty and holds no town"), "{error}");
    assert_eq!(tree(&desk.path("project")), [".git/", "README.md"]);
    let error = desk.gt(".", &["install", "town/inner"]).refused(3);
    assert!(error.contains("lies in the town at"), "{error}");
}

#[test]
fn a_rig_of_a_bare_remote_lands_by_push() {
    let desk = Desk::town();
    desk.bare("web.git");
    let added = desk.json("town", &["rig", "add", "web", "../web.git", "--json"]);
    assert_eq!((&added["landing"], &added["target"]), (&"remote".into(), &"main".into()));
    assert_eq!(added["prefix"], "we");
    assert_eq!(added["has_gates"], false);
    insta::assert_snapshot!(tree(&desk.path("town/web")).join("\n"), @"
    .beads/
    .beads/redirect
    config.json
    crew/
    mayor/
    mayor/rig/
    mayor/rig/.beads/
    mayor/rig/.beads/metadata.json
    mayor/rig/.git/
    mayor/rig/README.md
    polecats/
    refinery/
    refinery/rig/
    refinery/rig/.beads/
    refinery/rig/.beads/redirect
    refinery/rig/.git
    refinery/rig/README.md
    refinery/runs/
    witness/
    ");
    assert_eq!(
        desk.read("town/.beads/routes.jsonl"),
        "{\"prefix\":\"hq-\",\"path\":\".\"}\n{\"prefix\":\"we-\",\"path\":\"web/mayor/rig\"}\n"
    );
    assert_eq!(desk.read("town/web/.beads/redirect").trim(), "mayor/rig/.beads");
    assert_eq!(desk.read("town/web/refinery/rig/.beads/redirect").trim(), "../../mayor/rig/.beads");
    for place in ["town/web", "town/web/witness", "town/web/refinery/rig", "town/web/mayor/rig"] {
        assert_eq!(desk.json(place, &["where", "--json"])["database"], "web", "{place}");
    }
    let agents = desk.json("town", &["agents", "--rig", "web", "--json"]);
    let ids: Vec<&str> =
        agents.as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["we-web-refinery", "we-web-witness"]);
    assert_eq!(desk.git("town/web/mayor/rig", &["status", "--porcelain"]), "");
    let again = desk.json("town", &["rig", "add", "web", "../web.git", "--json"]);
    assert_eq!(again["existed"], true);
}

#[test]
fn a_rig_of_a_checked_out_repository_lands_on_the_clone() {
    let desk = Desk::town();
    desk.repository("web");
    let said = desk.gt("town", &["rig", "add", "web", "../web", "--prefix", "wb"]).ok();
    assert!(said.contains("git pull"), "{said}");
    assert!(said.contains("nothing lands until its gates are known"), "{said}");
    let rigs: Value = serde_json::from_str(&desk.read("town/mayor/rigs.json")).unwrap();
    assert_eq!(rigs["rigs"]["web"]["landing"], "canonical");
    assert_eq!(rigs["rigs"]["web"]["beads"]["prefix"], "wb");
}

#[test]
fn a_failed_add_leaves_nothing_on_the_list() {
    let desk = Desk::town();
    let before = tree(&desk.path("town"));
    desk.gt("town", &["rig", "add", "web", "../nowhere"]).refused(1);
    desk.repository("empty");
    fs::remove_dir_all(desk.path("empty/.git")).unwrap();
    desk.gt("town", &["rig", "add", "web", "../empty"]).refused(1);
    assert_eq!(tree(&desk.path("town")), before);
    assert_eq!(desk.json("town", &["rig", "list", "--json"]), Value::Array(Vec::new()));
    for (name, code) in [("mayor", 1), ("a/b", 1), ("web rig", 1), ("3d", 1), ("hq", 1)] {
        desk.gt("town", &["rig", "add", name, "../empty"]).refused(code);
    }
    desk.repository("web");
    desk.gt("town", &["rig", "add", "web", "../web"]).ok();
    desk.gt("town", &["rig", "add", "web", "../empty"]).refused(1);
    let error = desk.gt("town", &["rig", "add", "Web", "../web"]).refused(1);
    assert!(error.contains("already there with the name 'web'"), "{error}");
}

#[test]
fn prefixes_stay_unambiguous() {
    let desk = Desk::town();
    desk.repository("web");
    desk.gt("town", &["rig", "add", "web", "../web", "--prefix", "w"]).ok();
    for prefix in ["w", "hq", "w-x", "W"] {
        let error = desk.gt("town", &["rig", "add", "ui", "../web", "-p", prefix]).refused(3);
        assert!(error.contains("prefix"), "{error}");
    }
    assert!(!desk.path("town/ui").exists());
    desk.gt("town", &["rig", "add", "ui", "../web", "--prefix", "wx"]).ok();
}

#[test]
fn a_rig_is_removed_when_nothing_is_lost() {
    let desk = Desk::town();
    desk.bare("web.git");
    desk.gt("town", &["rig", "add", "web", "../web.git"]).ok();
    desk.gt("town", &["crew", "add", "ada", "--rig", "web"]).ok();
    assert_eq!(desk.read("town/web/crew/ada/.beads/redirect").trim(), "../../mayor/rig/.beads");
    let error = desk.gt("town", &["rig", "remove", "web"]).refused(1);
    assert!(error.contains("gt crew remove"), "{error}");
    fs::write(desk.path("town/web/crew/ada/new.txt"), "work\n").unwrap();
    let error = desk.gt("town", &["crew", "remove", "ada"]).refused(1);
    assert!(error.contains("uncommitted work"), "{error}");
    fs::remove_file(desk.path("town/web/crew/ada/new.txt")).unwrap();
    desk.gt("town", &["crew", "remove", "ada"]).ok();
    desk.gt("town", &["rig", "remove", "web"]).ok();
    assert!(!desk.path("town/web").exists());
    assert_eq!(desk.json("town", &["rig", "list", "--json"]), Value::Array(Vec::new()));
    assert!(desk.path("town/.dolt-data/web/web.db").is_file(), "the database stays");
    desk.gt("town", &["rig", "add", "web", "../web.git"]).ok();
}

#[test]
fn settings_errors_name_file_and_key() {
    let desk = Desk::town();
    let error = desk.gt("town", &["config", "set", "store.cash_mb", "1"]).refused(3);
    assert!(error.contains("settings/config.json: store.cash_mb: unknown field"), "{error}");
    let error = desk.gt("town", &["config", "set", "store.cache_mb", "much"]).refused(3);
    assert!(error.contains("settings/config.json: store.cache_mb: invalid type"), "{error}");
    desk.gt("town", &["config", "set", "rigs.web.gates.test.cmd", "make test"]).ok();
    desk.gt("town", &["config", "set", "rigs.web.gates.test.timeout", "5m"]).ok();
    let shown = desk.gt("town", &["config", "get", "rigs.web.gates.test.timeout"]).ok();
    assert_eq!(shown, "5m\n");
    // A file that does not hold stops other commands, not the one that mends it.
    fs::write(desk.path("town/settings/config.json"), "{\"default_agent\": \"nobody\"}").unwrap();
    let error = desk.gt("town", &["sling", "hq-1", "web"]).refused(3);
    assert!(error.contains("settings/config.json: default_agent: no agent 'nobody'"), "{error}");
    desk.gt("town", &["config", "default-agent", "scripted"]).ok();
    desk.gt("town", &["status"]).ok();
}

#[test]
fn sling_without_a_daemon_says_so() {
    let desk = Desk::town();
    desk.repository("web");
    desk.gt("town", &["rig", "add", "web", "../web"]).ok();
    desk.repository("ui");
    desk.gt("town", &["rig", "add", "ui", "../ui"]).ok();
    let bead = make_bead(&desk, "web", "Mend the parser");
    let said = desk.gt("town", &["sling", &bead, "web", "--dry-run"]).ok();
    assert!(said.contains(&format!("would be slung to web: {bead}")), "{said}");
    let error = desk.gt("town", &["sling", &bead, "ui"]).refused(1);
    assert!(error.contains(&format!("{bead} belongs to web")), "{error}");
    assert!(error.contains(&format!("gt sling {bead} web")), "{error}");
    desk.gt("town", &["sling", &bead, "nowhere"]).refused(1);
    desk.gt("town", &["sling", "hq-mayor"]).refused(1);
    desk.gt("town", &["sling", &bead, "web", "--agent", "nobody"]).refused(1);
    let said = desk.gt("town", &["sling", &bead, "web"]).ok();
    assert!(said.contains("it runs at 'gt up'"), "{said}");
    assert!(said.contains("has no gates"), "{said}");
    let again = desk.json("town", &["sling", &bead, "--json"]);
    assert_eq!(again["known"], serde_json::json!([bead]));
    let error = desk.gt("town", &["rig", "remove", "web"]).refused(1);
    assert!(error.contains("waits for a worker"), "{error}");
    desk.gt("town", &["unsling", &bead]).ok();
    desk.gt("town", &["unsling", &bead]).refused(1);
    desk.gt("town", &["done"]).refused(1);
    desk.gt("town", &["down"]).ok();
    desk.gt("town", &["polecat", "nuke", "web/alpha"]).refused(4);
}

/// Makes a bead through the library: `bd` has tests of its own.
fn make_bead(desk: &Desk, rig: &str, title: &str) -> String {
    use gastown::cli::town::vault::Vault;
    use gastown::model::ops::Fact;
    use gastown::model::ops::NewBead;
    use gastown::model::ops::Op;
    use gastown::store::ledger::Ledger;
    use gastown::store::ledger::Settings;
    let ledger = Ledger::open(&desk.path("town"), Settings::default());
    let new = NewBead { title: title.to_owned(), ..NewBead::default() };
    let facts = ledger.write(&rig.into(), "overseer", vec![Op::Create(new)]).unwrap();
    let id = facts.into_iter().find_map(|fact| match fact {
        Fact::Created { id } => Some(id.to_string()),
        _ => None,
    });
    id.unwrap()
}

#[test]
fn mail_and_nudges_arrive() {
    let desk = Desk::town();
    desk.gt("town", &["mail", "send", "mayor", "-s", "hello", "-m", "how is it?"]).ok();
    let inbox = desk.json("town", &["mail", "inbox", "mayor", "--json"]);
    assert_eq!((&inbox[0]["from"], &inbox[0]["subject"]), (&"overseer".into(), &"hello".into()));
    let id = inbox[0]["id"].as_str().unwrap().to_owned();
    assert!(desk.gt("town", &["mail", "read", &id]).ok().contains("how is it?"));
    desk.gt("town", &["mail", "archive", &id]).ok();
    assert_eq!(desk.json("town", &["mail", "inbox", "mayor", "--json"]), Value::Array(Vec::new()));
    let error = desk.gt("town", &["mail", "send", "mayer", "-s", "x", "-m", "y"]).refused(1);
    assert!(error.contains("mayor"), "{error}");
    desk.gt("town", &["nudge", "mayor", "look", "up"]).ok();
    let hook = desk.json("town", &["hook", "mayor", "--json"]);
    assert_eq!(
        (&hook["bead"], &hook["nudges"]),
        (&Value::Null, &serde_json::json!(["overseer: look up"]))
    );
    desk.gt("town", &["nudge", "overseer", "tea is ready"]).ok();
    assert!(desk.gt("town", &["hook"]).ok().contains("tea is ready"));
    assert!(!desk.gt("town", &["hook"]).ok().contains("tea is ready"), "shown once");
}

#[test]
fn agents_ids_are_the_seeds_table() {
    let polecat = Identity::Polecat("gastown".into(), "alpha".to_owned());
    let crew = Identity::Crew("gastown".into(), "ada".to_owned());
    let table = [
        (Identity::Mayor, "hq-mayor"),
        (Identity::Deacon, "hq-deacon"),
        (Identity::Boot, "hq-boot"),
        (Identity::Dog("reaper".to_owned()), "hq-dog-reaper"),
        (Identity::Witness("gastown".into()), "gt-gastown-witness"),
        (Identity::Refinery("gastown".into()), "gt-gastown-refinery"),
        (polecat, "gt-gastown-polecat-alpha"),
        (crew, "gt-gastown-crew-ada"),
    ];
    for (who, id) in &table {
        assert_eq!(who.bead_id("gt").unwrap().as_str(), *id);
    }
    let roles: BTreeSet<Role> = table.iter().filter_map(|(who, _)| who.role()).collect();
    assert_eq!(roles.len(), Role::ALL.len(), "every role has a line");
    for role in Role::ALL {
        assert_eq!(role.role_bead().as_str(), format!("hq-{role}-role"));
    }
}

/// The commands that a text names: what stands in code marks and begins with `gt ` or `bd `.
fn commands_of(text: &str) -> Vec<Vec<String>> {
    let spans = text.split('`').skip(1).step_by(2);
    spans.filter(|span| span.starts_with("gt ") || span.starts_with("bd ")).map(words).collect()
}

/// Words as the shell would split them; quotes hold words together.
fn words(span: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quote = None;
    for c in span.chars() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (' ', None) => found.push(String::new()),
            (c, _) => found.last_mut().unwrap().push(c),
        }
    }
    found
}

#[test]
fn every_command_in_every_template_exists() {
    let mut seen = 0;
    let mail = PrimeMail { id: "hq-1".into(), sender: "mayor".into(), subject: "x".into() };
    let bead = PrimeBead { id: "we-1a2".into(), ..PrimeBead::default() };
    let facts = Prime {
        actor: "web/polecats/alpha".into(),
        rig: Some("web".into()),
        bead: Some(bead),
        branch: Some("polecat/alpha-1".into()),
        attempt: Some("red".into()),
        mail: vec![mail],
    };
    let idle = Prime { bead: None, ..facts.clone() };
    let primer = |role: &Role| {
        let both = [&facts, &idle].map(|facts| templates::prime(*role, facts).unwrap());
        both.join("\n")
    };
    let texts = Role::ALL.iter().map(primer).chain([templates::CLAUDE_MD.to_owned()]);
    for text in texts {
        for command in commands_of(&text) {
            let tree = if command[0] == "bd" { Bd::command() } else { Gt::command() };
            let parsed = tree.try_get_matches_from(&command);
            assert!(parsed.is_ok(), "{command:?}: {}", parsed.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen > 25, "only {seen} commands were found");
    Gt::command().debug_assert();
}
