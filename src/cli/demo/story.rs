//! The story: beads with dependencies, two that clash, one whose agent dies.

use serde_json::Value;

use crate::cli::demo::DemoArgs;
use crate::cli::demo::DemoError;
use crate::cli::demo::screen::Screen;
use crate::cli::demo::stage::PREFIX;
use crate::cli::demo::stage::RIG;
use crate::cli::demo::stage::Stage;

/// Tries of one command while the daemon keeps dying.
const TRIES: usize = 20;

/// One piece of work: title, instructions to the scripted agent, and which earlier ones it needs.
struct Piece {
    title: String,
    steps: String,
    needs: Vec<usize>,
}

fn piece(title: &str, steps: &str, needs: &[usize]) -> Piece {
    Piece { title: title.to_owned(), steps: steps.to_owned(), needs: needs.to_vec() }
}

/// The eight pieces of the story; further ones are plain.
fn pieces(count: usize) -> Vec<Piece> {
    let mut all = vec![
        piece("Add a greeting", "write src/greeting.txt: good morning", &[]),
        piece("Add a farewell", "write src/farewell.txt: good night", &[0]),
        // Each is green alone; whichever comes second is sent back and makes do with less.
        piece(
            "Give the kitchen a budget",
            "sleep: 300\nwrite budget/kitchen.txt: 4\nrework: write budget/kitchen.txt: 2",
            &[],
        ),
        piece(
            "Give the garden a budget",
            "sleep: 300\nwrite budget/garden.txt: 4\nrework: write budget/garden.txt: 2",
            &[],
        ),
        piece("Write the guide", "write src/guide.txt: how to\ncrash-once", &[]),
        piece("Name the kitchen", "write src/kitchen.txt: a kitchen", &[2]),
        piece("Name the garden", "write src/garden.txt: a garden", &[3]),
        piece("List everything", "write src/index.txt: greeting farewell guide", &[1, 4]),
    ];
    all.truncate(count);
    for number in all.len()..count {
        let steps = format!("write src/extra_{number}.txt: extra {number}");
        all.push(piece(&format!("Add extra {number}"), &steps, &[]));
    }
    all
}

/// Files the beads and slings them all at once; gives their ids in order.
pub(super) fn file(
    stage: &Stage,
    args: &DemoArgs,
    out: &mut Screen,
) -> Result<Vec<String>, DemoError> {
    let count = usize::try_from(args.beads).unwrap_or(usize::MAX);
    let mut ids: Vec<String> = Vec::new();
    for piece in pieces(count) {
        let description = format!("{}.\n\n```\n{}\n```", piece.title, piece.steps);
        let needs: Vec<String> =
            piece.needs.iter().map(|at| format!("blocks:{}", ids[*at])).collect();
        let needs = needs.join(",");
        let chosen = format!("{PREFIX}-piece{}", ids.len() + 1);
        let mut words = vec!["create", &piece.title, "--rig", RIG, "-d", &description, "--json"];
        if !needs.is_empty() {
            words.extend(["--deps", &needs]);
        }
        let id = if args.expects_deaths() {
            // With an id of one's own a creation of unknown outcome can be asked for again.
            words.extend(["--id", &chosen]);
            stubborn(stage, "bd", &words, "exists")?;
            chosen
        } else {
            created(&stage.bd(&words)?)?
        };
        out.note(&format!("{id}  {}", piece.title));
        ids.push(id);
    }
    let mut words = vec!["sling"];
    words.extend(ids.iter().map(String::as_str));
    words.push(RIG);
    if args.expects_deaths() {
        stubborn(stage, "gt", &words, "not_now")?;
    } else {
        stage.gt(&words)?;
    }
    Ok(ids)
}

/// The id in the answer of `bd create --json`.
fn created(text: &str) -> Result<String, DemoError> {
    let made: Value = serde_json::from_str(text)
        .map_err(|error| DemoError::Odd(format!("bd create --json: {error}")))?;
    match made["id"].as_str() {
        Some(id) if !id.is_empty() => Ok(id.to_owned()),
        _ => Err(DemoError::Odd(format!("bd create gave no id: {made}"))),
    }
}

/// Asks until it is done, starting the daemon when it is gone; `stands` is the refusal that tells
/// that an earlier try of unknown outcome stands.
fn stubborn(stage: &Stage, who: &str, words: &[&str], stands: &str) -> Result<(), DemoError> {
    let mut words = words.to_vec();
    if who == "gt" {
        words.push("--json");
    }
    let mut last = String::new();
    for _ in 0..TRIES {
        let ended = if who == "gt" { stage.gt_end(&words)? } else { stage.bd_end(&words)? };
        if ended.ok || ended.stderr.contains(&format!("\"{stands}\"")) {
            return Ok(());
        }
        last = ended.stderr;
        stage.revive()?;
    }
    Err(DemoError::Odd(format!("{who} {}: {last}", words.join(" "))))
}
