//! Layers, errors that name file and key, and single changes.

use std::collections::BTreeMap;

use crate::adapters::layout::Town;
use crate::config::DoltMode;
use crate::config::Gates;
use crate::config::Settings;
use crate::config::edit;
use crate::config::load_with;
use crate::config::town::DaemonFile;

struct Place {
    _dir: tempfile::TempDir,
    town: Town,
}

fn town(settings: &str) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let town = Town::new(dir.path());
    for made in [town.settings(), town.mayor()] {
        std::fs::create_dir_all(made).unwrap();
    }
    std::fs::write(town.config_json(), settings).unwrap();
    Place { _dir: dir, town }
}

fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn load(settings: &str, env: &[(&str, &str)]) -> Result<Settings, String> {
    load_with(&town(settings).town, &vars(env)).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(load("{}", &[]).unwrap(), {
        let mut wanted = Settings::default();
        // `mayor/daemon.json` is not there, and its defaults are those of the machines.
        wanted.limits.patrol_every_ms = 60_000;
        wanted
    });
}

#[test]
fn higher_layers_win() {
    let file = r#"{"store": {"cache_mb": 32, "readers": 2}, "limits": {"hung_after_ms": "10m"},
        "rigs": {"web": {"gates": {"test": {"cmd": "make test", "timeout": "30s"}}},
                 "doc": {"gates": "none", "batch_max": 2}}}"#;
    let env = [
        ("GT_STORE__CACHE_MB", "16"),
        ("GT_STORE__DOLT_MODE", "server"),
        ("GT_DEFAULT_AGENT", "claude"),
        ("GT_RIGS__WEB__GATES__LINT__CMD", "make lint"),
        ("GT_LIMITS__STOP_GRACE_MS", "5s"),
        ("GT_AGENTS__MINE__COMMAND", "[\"my-agent\", \"--fast\"]"),
        ("GT_ROOT", "/elsewhere"),
        ("GT_AGENT", "identity, not a setting"),
    ];
    let settings = load(file, &env).unwrap();
    assert_eq!((settings.store.cache_mb, settings.store.readers), (16, 2));
    assert_eq!(settings.store.dolt_mode, DoltMode::Server);
    assert_eq!(settings.default_agent, "claude");
    assert_eq!((settings.limits.hung_after_ms, settings.limits.stop_grace_ms), (600_000, 5_000));
    assert_eq!(settings.agents["mine"].argv(), ["my-agent", "--fast"]);
    let web = settings.queue_settings(&"web".into(), "main");
    let gates: Vec<_> =
        web.gates.iter().map(|g| (g.name.as_str(), g.cmd.as_str(), g.timeout_ms)).collect();
    assert_eq!(gates, [("lint", "make lint", 600_000), ("test", "make test", 30_000)]);
    let doc = settings.queue_settings(&"doc".into(), "trunk");
    assert!(doc.gates_none && doc.gates.is_empty());
    assert_eq!((doc.batch_max, doc.target.as_str()), (2, "trunk"));
    assert!(!settings.queue_settings(&"new".into(), "main").gates_none);
}

#[test]
fn errors_name_file_and_key() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        (r#"{"stor": {"cache_mb": 1}}"#, &[]),
        (r#"{"store": {"cache_megabytes": 1}}"#, &[]),
        (r#"{"store": {"cache_mb": "much"}}"#, &[]),
        (r#"{"limits": {"hung_after_ms": "soon"}}"#, &[]),
        (r#"{"rigs": {"web": {"gates": {"test": {"command": "x"}}}}}"#, &[]),
        (r#"{"rigs": {"web": {"gates": {"test": {"timeout": 5}}}}}"#, &[]),
        (r#"{"rigs": {"web": {"gates": "some"}}}"#, &[]),
        (r#"{"default_agent": "nobody"}"#, &[]),
        (r#"{"limits": {"polecats_max": 0}}"#, &[]),
        ("{}", &[("GT_STORE__CASH", "1")]),
        ("{}", &[("GT_STORE__READERS", "many")]),
        ("{}", &[("GT_DEFAULT_AGENT", "nobody")]),
        ("{\"a\"", &[]),
    ];
    // The names of all settings follow: they are not what is looked at.
    let short = |text: String| match text.split_once("expected one of ") {
        Some((said, _)) => format!("{said}expected one of ..."),
        None => text,
    };
    let said: Vec<String> =
        cases.iter().map(|(file, env)| short(load(file, env).unwrap_err())).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    settings/config.json: stor.cache_mb: unknown field `stor`, expected one of ...
    settings/config.json: store.cache_megabytes: unknown field `cache_megabytes`, expected one of ...
    settings/config.json: store.cache_mb: invalid type: string "much", expected u32
    settings/config.json: limits.hung_after_ms: 'soon' is no duration like "30s" or "5m"
    settings/config.json: rigs.web.gates.test.command: unknown field `command`, expected one of ...
    settings/config.json: rigs.web.gates.test.cmd: a gate needs a command
    settings/config.json: rigs.web.gates: invalid value: string "some", expected gates by name, each with cmd and timeout, or the word "none"
    settings/config.json: default_agent: no agent 'nobody': known are claude, codex, gemini, scripted
    settings/config.json: limits.polecats_max: must be 1 or more
    environment GT_STORE__CASH: store.cash: unknown field `cash`, expected one of ...
    environment GT_STORE__READERS: store.readers: invalid type: string "many", expected usize
    environment GT_DEFAULT_AGENT: default_agent: no agent 'nobody': known are claude, codex, gemini, scripted
    settings/config.json: EOF while parsing an object at line 1 column 4; mend the file, or move it away to start from defaults
    "#);
}

#[test]
fn the_daemon_file_sets_periods() {
    let place = town(r#"{"limits": {"reaper_every_ms": 5000}}"#);
    let text = r#"{"type": "daemon-patrol-config", "version": 1,
        "heartbeat": {"interval": "7m"},
        "patrols": {"witness": {"enabled": false}, "wisp_reaper": {"interval": "9m"}}}"#;
    std::fs::write(place.town.daemon_json(), text).unwrap();
    let limits = load_with(&place.town, &vars(&[])).unwrap().limits;
    assert_eq!(limits.heartbeat_every_ms, 7 * 60_000);
    assert_eq!(limits.reaper_every_ms, 5_000, "the settings file is above it");
    assert!(limits.patrol_every_ms > 1_000_000_000_000, "never");
    std::fs::write(place.town.daemon_json(), text.replace("7m", "often")).unwrap();
    let error = load_with(&place.town, &vars(&[])).unwrap_err().to_string();
    assert_eq!(
        error,
        "mayor/daemon.json: heartbeat: 'often' is no duration like \"30s\" or \"5m\""
    );
    let written = serde_json::to_string(&DaemonFile::default()).unwrap();
    std::fs::write(place.town.daemon_json(), written).unwrap();
    let written = load_with(&place.town, &vars(&[])).unwrap().limits;
    let built_in = Settings::default().limits;
    assert_eq!(written.patrol_every_ms, built_in.patrol_every_ms);
    assert_eq!(written.nudge_ttl_ms, built_in.nudge_ttl_ms);
}

#[test]
fn a_change_is_whole_or_not_at_all() {
    let place = town("{\"store\": {\"readers\": 2}, \"default_agent\": \"codex\"}");
    let (town, none) = (&place.town, vars(&[]));
    let before = std::fs::read_to_string(town.config_json()).unwrap();
    for (key, value) in [
        ("store.reeders", "3"),
        ("store.readers", "three"),
        ("store.readers", "0"),
        ("rigs.web.gates.test.timeout", "5m"),
        ("", "1"),
        ("store", "5"),
    ] {
        assert!(edit::set(town, &none, key, value).is_err(), "{key} = {value}");
        assert_eq!(std::fs::read_to_string(town.config_json()).unwrap(), before);
    }
    edit::set(town, &none, "rigs.web.gates.test.cmd", "cargo test").unwrap();
    let gate = edit::set(town, &none, "rigs.web.gates.test.timeout", "5m").unwrap();
    assert_eq!((gate.value, gate.origin.as_str()), (300_000.into(), "settings/config.json"));
    insta::assert_snapshot!(std::fs::read_to_string(town.config_json()).unwrap(), @r#"
    {
      "default_agent": "codex",
      "rigs": {
        "web": {
          "gates": {
            "test": {
              "cmd": "cargo test",
              "timeout": 300000
            }
          }
        }
      },
      "store": {
        "readers": 2
      }
    }
    "#);
    edit::set(town, &none, "rigs.web.gates", "none").unwrap();
    let rig = load_with(town, &none).unwrap().rigs["web"].clone();
    assert_eq!(rig.gates, Gates::None);
    edit::unset(town, &none, "rigs.web.gates").unwrap();
    assert!(edit::get(town, &none, "rigs.web.gates").is_err());
}

#[test]
fn values_say_where_they_come_from() {
    let place = town(r#"{"store": {"readers": 2}}"#);
    let env = vars(&[("GT_STORE__CACHE_MB", "16")]);
    let origin = |key: &str| edit::get(&place.town, &env, key).unwrap().origin;
    assert_eq!(origin("store.readers"), "settings/config.json");
    assert_eq!(origin("store.cache_mb"), "environment GT_STORE__CACHE_MB");
    assert_eq!(origin("store.busy_ms"), "built in");
    let error = edit::get(&place.town, &env, "cache_mb").unwrap_err().to_string();
    assert_eq!(
        error,
        "no setting 'cache_mb' (there is 'store.cache_mb'); 'gt config list' shows all of them"
    );
    let all = edit::list(&place.town, &env).unwrap();
    assert!(all.iter().any(|entry| entry.key == "limits.polecats_max"));
    assert!(all.is_sorted_by_key(|entry| entry.key.clone()));
}

#[test]
fn presets_of_the_town_come_and_go() {
    let place = town("{}");
    let (town, none) = (&place.town, vars(&[]));
    edit::set_agent(town, &none, "mine", "my-agent --fast").unwrap();
    edit::set(town, &none, "default_agent", "mine").unwrap();
    let settings = load_with(town, &none).unwrap();
    assert_eq!(settings.agents["mine"].argv(), ["/bin/sh", "-c", "my-agent --fast"]);
    assert!(edit::remove_agent(town, &none, "mine").is_err(), "it is the default");
    edit::set(town, &none, "default_agent", "scripted").unwrap();
    edit::remove_agent(town, &none, "mine").unwrap();
    assert!(edit::remove_agent(town, &none, "claude").is_err(), "built in");
    assert!(edit::set_agent(town, &none, "a.b", "x").is_err());
}

#[test]
fn a_share_of_innocents_that_no_number_of_runs_reaches_is_refused() {
    for ppm in ["0", "-1", "1000001"] {
        let said =
            load(&format!("{{\"queue\": {{\"evict_error_ppm\": {ppm}}}}}"), &[]).unwrap_err();
        assert!(said.contains("queue.evict_error_ppm") && said.contains("1 to 1000000"), "{said}");
    }
    assert!(load("{\"queue\": {\"evict_error_ppm\": 1}}", &[]).is_ok());
}
