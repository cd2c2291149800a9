//! The room table of docs/architecture.md: which room may name which rooms and crates.

use super::source::Line;
use super::source::report;
use super::source::sources;

/// A room, the rooms that it may name besides itself, and the crates that it may name.
struct Room {
    name: &'static str,
    rooms: &'static [&'static str],
    crates: &'static [&'static str],
}

/// Rooms that only wire or only show others may name more; the reason stands beside each.
const ROOMS: &[Room] = &[
    Room { name: "model", rooms: &[], crates: &["serde", "serde_json", "thiserror"] },
    // `jiff` only turns milliseconds into the text of a view; it reads no clock there.
    Room {
        name: "messages",
        rooms: &["model"],
        crates: &["serde", "serde_json", "thiserror", "jiff"],
    },
    Room { name: "machines", rooms: &["model", "messages"], crates: &["serde"] },
    Room {
        name: "sim",
        rooms: &["model", "messages", "machines"],
        crates: &["serde", "serde_json", "rand_chacha"],
    },
    Room {
        name: "store",
        rooms: &["model", "machines"],
        crates: &[
            "sqlx",
            "doltlite",
            // Rows of a statement are taken one by one, so that an answer can stop at its bound.
            "futures_util",
            "tokio",
            "tracing",
            "rustix",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
        ],
    },
    Room {
        name: "adapters",
        rooms: &["model"],
        crates: &[
            "git2",
            "tokio",
            "tracing",
            "rustix",
            "serde",
            "serde_json",
            "sha2",
            "minijinja",
            "thiserror",
        ],
    },
    Room {
        name: "actors",
        rooms: &["model", "messages", "machines", "store", "adapters"],
        crates: &[
            "actix",
            "actix_rt",
            "dashmap",
            "futures_util",
            "rustix",
            "serde",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    // The settings of machines and the places of files are what settings are about.
    Room {
        name: "config",
        rooms: &["model", "messages", "machines", "adapters"],
        crates: &["config", "rustix", "serde", "serde_json", "thiserror"],
    },
    Room {
        name: "gateway",
        rooms: &["model", "messages"],
        crates: &[
            "actix_web",
            "futures_util",
            "httparse",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    Room {
        name: "cli",
        rooms: &["model", "messages", "config", "gateway", "adapters", "store"],
        crates: &[
            "clap",
            "clap_complete",
            "config",
            "futures_util",
            "jiff",
            "rustix",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
];

/// Files that may name more than their room: the wiring, and the command that runs the simulator.
const WIDER: &[(&str, &[&str])] = &[
    ("src/cli/boot", &["actors", "machines", "actix_rt", "tracing_subscriber"]),
    ("src/cli/gt/sim.rs", &["sim"]),
    // The log of a whole process is set up where its command starts.
    ("src/cli/gt/mod.rs", &["tracing_subscriber"]),
];

/// In the store and the adapters' traits, actors may name these and nothing else.
const ACTORS_OF_STORE: &[&str] = &["port", "error", "writer"];
const ACTORS_OF_ADAPTERS: &[&str] = &["world", "clock", "failpoint"];

/// Crates of the project, as written in a path.
const CRATES: &[&str] = &[
    "actix",
    "actix_rt",
    "actix_web",
    "clap",
    "clap_complete",
    "config",
    "dashmap",
    "doltlite",
    "futures_util",
    "git2",
    "httparse",
    "jiff",
    "minijinja",
    "rand_chacha",
    "rustix",
    "serde",
    "serde_json",
    "sha2",
    "sqlx",
    "thiserror",
    "tokio",
    "tracing",
    "tracing_subscriber",
];

/// What a pure room may not touch of the standard library.
const IMPURE: &[&str] =
    &["std::env", "std::fs", "std::net", "std::process", "std::thread", "std::time", "std::io"];

/// Every path of a line as its segments, from the left.
fn paths(code: &str) -> Vec<Vec<&str>> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    code.split(|c: char| !word(c) && c != ':')
        .map(|path| path.split("::").map(|part| part.trim_matches(':')).collect::<Vec<_>>())
        .filter(|path| path.len() > 1 && !path[0].is_empty())
        .collect()
}

fn room_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap();
    let first = inside.split('/').next().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

fn wider(path: &str, name: &str) -> bool {
    WIDER.iter().any(|(prefix, names)| path.starts_with(prefix) && names.contains(&name))
}

/// What is wrong with the rooms and crates that a line names.
fn wrong(room: &Room, file: &str, line: &Line) -> Vec<String> {
    let mut found = Vec::new();
    for path in paths(&line.code) {
        let (first, second) = (path[0], path[1]);
        if first == "crate" && second != room.name {
            if !room.rooms.contains(&second) && !wider(file, second) {
                found.push(format!("{} may not name crate::{second}", room.name));
            }
            let part = path.get(2).copied().unwrap_or_default();
            let inner = match (room.name, second) {
                ("actors", "store") => ACTORS_OF_STORE,
                ("actors", "adapters") => ACTORS_OF_ADAPTERS,
                ("store", "machines") => &["lane"][..],
                _ => continue,
            };
            let named = if part.is_empty() { second } else { part };
            if !inner.contains(&named) {
                found.push(format!("{} may not name crate::{second}::{part}", room.name));
            }
        } else if CRATES.contains(&first) && !room.crates.contains(&first) && !wider(file, first) {
            found.push(format!("{} may not name {first}", room.name));
        }
    }
    if matches!(room.name, "model" | "messages" | "machines" | "sim") {
        let impure = IMPURE.iter().filter(|path| line.code.contains(**path));
        found.extend(impure.map(|path| format!("{} is pure: not {path}", room.name)));
    }
    found
}

#[test]
fn each_room_names_what_it_may() {
    let mut findings = Vec::new();
    for source in sources("src") {
        let name = room_of(&source.path);
        if matches!(name, "lib" | "main" | "bd") {
            continue;
        }
        let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
            findings.push(format!("{}:1: no room '{name}' in the table", source.path));
            continue;
        };
        for line in source.lines.iter().filter(|line| !line.test) {
            let wrong = wrong(room, &source.path, line);
            let place = |what| format!("{}:{}: {what}", source.path, line.number);
            findings.extend(wrong.into_iter().map(place));
        }
    }
    report(&findings);
}

#[test]
fn one_item_per_use() {
    let mut findings = Vec::new();
    for source in ["src", "tests", "examples"].into_iter().flat_map(sources) {
        for line in &source.lines {
            let code = line.code.trim_start();
            let statement = code.strip_prefix("pub ").unwrap_or(code).starts_with("use ");
            let starred = code.ends_with("::*;") && !source.path.starts_with("tests/");
            if statement && (code.contains('{') || starred) {
                findings.push(format!("{}:{}: one item per use", source.path, line.number));
            }
        }
    }
    report(&findings);
}

#[test]
fn a_line_that_breaks_the_table_is_found() {
    let line = |code: &str| {
        let (text, code) = (code.to_owned(), code.to_owned());
        Line { number: 1, text, code, test: false }
    };
    let room = |name| ROOMS.iter().find(|room| room.name == name).unwrap();
    let check = |name, code| wrong(room(name), "src/x.rs", &line(code)).len();
    assert_eq!(check("model", "use crate::store::conn::Conn;"), 1);
    assert_eq!(check("machines", "use tokio::time::sleep;"), 1);
    assert_eq!(check("sim", "let t = std::time::Instant::now();"), 1);
    assert_eq!(check("actors", "use crate::store::ledger::Ledger;"), 1);
    assert_eq!(check("actors", "use crate::store::port::Port;"), 0);
    assert_eq!(check("cli", "use crate::actors::town::Town;"), 1);
    assert_eq!(check("store", "use crate::machines::lane::Lane;"), 0);
}
