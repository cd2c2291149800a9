//! The long measurements behind `tools/soak`, one file each.
//!
//! Everything is measured from outside: whole processes, `/proc`, files. What a figure is compared
//! with runs beside it, on the same machine, in the same run.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a soak runs real processes for a while and prints what it measured"
)]

mod check;
#[path = "../../tests/support/dolt.rs"]
mod dolt;
mod engines;
mod flags;
mod growth;
mod idle;
#[allow(clippy::unwrap_used, unreachable_pub, reason = "it is shared with the tests")]
#[path = "../../tests/support/kennel.rs"]
mod kennel;
mod kill;
mod kills;
mod latency;
mod queue;
mod seeded;
mod speed;
mod tools;
mod towns;
mod writers;

use std::process::ExitCode;

use crate::flags::Soak;
use crate::flags::Takes;
use crate::tools::Fallible;

const ENGINES: flags::Takes = Takes::One(&["embedded", "server"]);

/// Every soak.
const SOAKS: &[Soak] = &[
    Soak {
        name: "idle",
        help: &["an idle town: nothing starts, nothing is written; MINUTES long (5)"],
        flags: &[],
        word: Some("MINUTES"),
        run: idle::idle,
    },
    Soak {
        name: "speed",
        help: &["commands beside an empty program, writers beside the raw engine"],
        flags: &[],
        word: None,
        run: speed::speed,
    },
    Soak {
        name: "kills",
        help: &["demos whose daemon is killed"],
        flags: &[],
        word: None,
        run: kills::kills,
    },
    Soak {
        name: "kill",
        help: &[
            "1,000 kills of the daemon, 100 of the server, under writers in processes of their own;",
            "in --dir its state stays: the same command goes on where it stopped",
        ],
        flags: &[
            ("--kills", Takes::Number),
            ("--engine", Takes::One(&["embedded", "server", "lanes"])),
            ("--dir", Takes::Dir),
            ("--writers", Takes::Number),
            ("--seed", Takes::Number),
        ],
        word: None,
        run: kill::kill,
    },
    Soak {
        name: "engines",
        help: &["mutations a second and bytes for each, both engines, beside the raw ones"],
        flags: &[("--seconds", Takes::Number)],
        word: None,
        run: engines::engines,
    },
    Soak {
        name: "latency",
        help: &[
            "p50 and p99 of a durable write, quiet and while backup, flatten and gc run; the longest",
            "wait beside the engine's own gc",
        ],
        flags: &[
            ("--mutations", Takes::Number),
            ("--seconds", Takes::Number),
            ("--engine", ENGINES),
        ],
        word: None,
        run: latency::latency,
    },
    Soak {
        name: "growth",
        help: &[
            "200,000 mutations through each engine with the dogs on, four fifths in groups and one",
            "fifth one by one, and a tenth of it with them off; the end beside a fresh import;",
            "in --dir its state stays: the same command goes on where it stopped",
        ],
        flags: &[("--mutations", Takes::Number), ("--engine", ENGINES), ("--dir", Takes::Dir)],
        word: None,
        run: growth::growth,
    },
    Soak {
        name: "queue",
        help: &[
            "10,000 merge requests of generated histories through a real town, with a gate that",
            "flakes and lies, outside pushes and kills of the daemon; then gt mq proof and a checker",
            "of its own; in --dir its state stays: the same command goes on where it stopped",
        ],
        flags: &[
            ("--mrs", Takes::Number),
            ("--kills", Takes::Number),
            ("--seed", Takes::Number),
            ("--files", Takes::Number),
            ("--batch", Takes::Number),
            ("--dir", Takes::Dir),
        ],
        word: None,
        run: queue::queue,
    },
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let words: Vec<String> = args.collect();
    let result = match name.as_str() {
        // What the rig of `queue` has for a gate.
        "gate" => queue::gate(),
        // What `kill` starts: one writer in a process of its own.
        "writer" => writers::writer(),
        _ => match soak(&name, &words) {
            Ok(None) => return ExitCode::SUCCESS,
            Ok(Some(soak)) => (soak.run)(),
            Err(error) => Err(error),
        },
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("a figure falls short");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// The soak that is meant; `None` when help was all that was asked for.
fn soak(name: &str, words: &[String]) -> Fallible<Option<&'static Soak>> {
    if flags::asks_for_help(&[name.to_owned()]) {
        SOAKS.iter().for_each(|soak| println!("{}", flags::help(soak)));
        return Ok(None);
    }
    let Some(soak) = SOAKS.iter().find(|soak| soak.name == name) else {
        let names: Vec<&str> = SOAKS.iter().map(|soak| soak.name).collect();
        return Err(format!("no soak is called '{name}': {}", names.join(", ")).into());
    };
    if flags::asks_for_help(words) {
        print!("{}", flags::help(soak));
        return Ok(None);
    }
    flags::check(soak, words)?;
    Ok(Some(soak))
}
