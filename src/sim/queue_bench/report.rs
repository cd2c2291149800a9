//! The whole bench in one run: tables with bounds, and a plot.

use std::fmt::Write;

use super::Arrivals;
use super::Entry;
use super::Mix;
use super::Nature;
use super::Outcome;
use super::Trial;
use super::bound;
use super::entries::Confirming;
use super::entries::Dorfman;
use super::entries::Halving;
use super::entries::Oracle;
use super::entries::Original;
use super::entries::Serial;
use super::entries::Train;
use super::ours::Ours;
use super::ours::Wits;
use super::plot;
use super::run;
use crate::model::learner::Learner;

/// Failure rates of the tables, in a million.
const RATES: &[u64] = &[5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 300_000];
/// Most innocents that our policy may send back, of all changes.
const ERROR_MAX: f64 = 1e-4;
/// Window of the train.
const WINDOW: usize = 20;

/// How long to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Culprits in each trial of a known rate.
    pub culprits: u64,
    /// Changes in each trial with flakes.
    pub flaky: u64,
    /// Worlds in which a rate is learnt from nothing.
    pub worlds: u64,
    /// Changes in each trial with arrivals.
    pub arrivals: u64,
}

impl Size {
    /// For a table that stands by itself.
    pub const FULL: Self =
        Self { culprits: 60_000, flaky: 1_000_000, worlds: 200, arrivals: 200_000 };
    /// For a quick look: wider errors, which the bounds allow for.
    pub const QUICK: Self = Self { culprits: 3_000, flaky: 200_000, worlds: 12, arrivals: 20_000 };
}

/// One table.
#[derive(Clone, Debug)]
pub struct Table {
    /// What it shows.
    pub title: &'static str,
    /// How to read it.
    pub note: String,
    /// Its columns.
    pub head: Vec<String>,
    /// Its cells.
    pub rows: Vec<Vec<String>>,
}

/// All tables, the points of the plot, and what fell short.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In order.
    pub tables: Vec<Table>,
    /// Figures that miss their bound.
    pub short: Vec<String>,
    /// Figures that were held against a bound.
    pub checked: usize,
    /// Lines of the plot.
    pub plot: plot::Points,
}

impl Report {
    /// Whether a figure keeps its bound; notes it if not.
    fn word(&mut self, what: &str, kept: bool) -> &'static str {
        self.checked += 1;
        if kept {
            return "ok";
        }
        self.short.push(what.to_owned());
        "SHORT"
    }

    /// The tables as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for table in &self.tables {
            let _ = writeln!(out, "## {}\n\n{}\n", table.title, table.note);
            let _ = writeln!(out, "| {} |", table.head.join(" | "));
            let _ = writeln!(out, "|{}", "---|".repeat(table.head.len()));
            for row in &table.rows {
                let _ = writeln!(out, "| {} |", row.join(" | "));
            }
            out.push('\n');
        }
        let kept = self.checked - self.short.len();
        let _ = writeln!(out, "{kept} of {} figures keep their bound.", self.checked);
        for what in &self.short {
            let _ = writeln!(out, "- SHORT: {what}");
        }
        out
    }
}

fn told(p: f64, flake: f64) -> Ours {
    Ours::new(Wits::Told { calm: p, wild: p, flake }, ERROR_MAX)
}

fn learns() -> Ours {
    Ours::new(Wits::Learns(Box::default()), ERROR_MAX)
}

fn even(ppm: u64, flake_ppm: u64) -> Nature {
    Nature { mix: Mix::Even(ppm), flake_ppm }
}

fn chance(ppm: u64) -> f64 {
    ppm as f64 / 1e6
}

fn percent(ppm: u64) -> String {
    format!("{}%", ppm as f64 / 1e4)
}

/// A trial with a line that never ends.
fn full(changes: u64, slots: usize) -> Trial {
    Trial { seed: 1, changes, slots, arrivals: Arrivals::Full(1_000) }
}

/// Runs over bits of many short worlds, each learnt from nothing, and its standard error.
fn learnt(nature: &Nature, worlds: u64, changes: u64) -> (f64, f64) {
    let mut ratios = Vec::new();
    let (mut runs, mut bits) = (0.0, 0.0);
    for seed in 0..worlds {
        let arrivals = Arrivals::Full(300);
        let outcome = run(&mut learns(), nature, &Trial { seed, changes, slots: 1, arrivals });
        ratios.push(outcome.ratio());
        runs += outcome.runs as f64;
        bits += outcome.bits;
    }
    let (mean, count) = (runs / bits, ratios.len() as f64);
    let spread: f64 = ratios.iter().map(|ratio| (ratio - mean) * (ratio - mean)).sum();
    (mean, (spread / (count - 1.0) / count).sqrt())
}

/// Everything.
#[must_use]
pub fn bench(size: &Size) -> Report {
    let mut report = Report::default();
    costs(&mut report, size);
    proofs(&mut report, size);
    slots(&mut report, size);
    flakes(&mut report, size);
    risks(&mut report, size);
    turnaround(&mut report, size);
    report
}

fn costs(report: &mut Report, size: &Size) {
    let mut rows = Vec::new();
    for ppm in RATES {
        let (p, nature) = (chance(*ppm), even(*ppm, 0));
        let limit = bound::entropy(p);
        let changes = (size.culprits as f64 / p) as u64;
        let known = run(&mut told(p, 0.0), &nature, &full(changes, 1));
        let (ours, error) = (known.cost() / limit, known.error() / limit);
        let (from_verdicts, learnt_error) = learnt(&nature, size.worlds, 10_000);
        let kept = ours - 2.0 * error <= 1.02;
        let first = report.word(&format!("cost, p {} known", percent(*ppm)), kept);
        let kept = from_verdicts - 2.0 * learnt_error <= 1.08;
        let second = report.word(&format!("cost, p {} learnt", percent(*ppm)), kept);
        let others = [
            bound::original(p, 5),
            bound::halving(p, 3),
            bound::dorfman(p, 4),
            1.0,
            bound::train(p, WINDOW as i32),
        ];
        let mut row = vec![
            percent(*ppm),
            format!("{limit:.4}"),
            format!("{:.4}", known.cost()),
            format!("{ours:.3} ±{error:.3} {first}"),
            format!("{from_verdicts:.3} ±{learnt_error:.3} {second}"),
        ];
        row.extend(others.iter().map(|cost| format!("{:.2}", cost / limit)));
        rows.push(row);
        report.plot.ratio(p, ours, from_verdicts, others.map(|cost| cost / limit));
    }
    let head = [
        "p",
        "H(p)",
        "runs",
        "ours, p known",
        "ours, learnt",
        "original, 5",
        "bors-ng, 8",
        "batch 4",
        "serial",
        "train, 20",
    ];
    report.tables.push(Table {
        title: "Gate runs per decided change, as a multiple of the entropy bound H(p)",
        note: format!(
            "A line that never ends, one run at a time, no largest batch. Bounds: 1.02 with p \
             known, 1.08 learnt (verdicts only; {} worlds of 10,000 changes, each from the \
             prior: warm-up and audits for flakes included). ± is one standard error; a figure \
             falls short when it is two of them over its bound. Other policies by formula; the \
             next table shows that they are simulated alike.",
            size.worlds
        ),
        head: head.map(str::to_owned).to_vec(),
        rows,
    });
}

/// The bench's own proof: entries with a formula cost what the formula says.
fn proofs(report: &mut Report, size: &Size) {
    let mut rows = Vec::new();
    for ppm in [10_000, 50_000, 200_000] {
        let (p, nature) = (chance(ppm), even(ppm, 0));
        let changes = (size.culprits as f64 / p) as u64 / 4;
        let find_first = bound::find_first(p).1;
        let mut all: Vec<(&str, Box<dyn Entry>, usize, f64)> = vec![
            ("serial", Box::new(Serial), 1, 1.0),
            ("batch 4", Box::new(Dorfman::new(4)), 1, bound::dorfman(p, 4)),
            ("bors-ng, 8", Box::new(Halving::new(8)), 1, bound::halving(p, 3)),
            ("original, 5", Box::new(Original::new(5)), 1, bound::original(p, 5)),
            ("train, 20", Box::<Train>::default(), WINDOW, bound::train(p, WINDOW as i32)),
            ("ours, p known", Box::new(told(p, 0.0)), 1, find_first),
        ];
        for (name, entry, slots, formula) in &mut all {
            let outcome = run(entry.as_mut(), &nature, &full(changes, *slots));
            let (cost, error) = (outcome.cost(), outcome.error());
            let kept = (cost - *formula).abs() <= 4.0 * error + 0.002 * *formula;
            let word = report.word(&format!("{name} against its formula, {}", percent(ppm)), kept);
            let red = outcome.bad_landed;
            let safe = report.word(&format!("{name} lands no bad change"), red == 0);
            rows.push(vec![
                (*name).to_owned(),
                percent(ppm),
                format!("{cost:.4} ±{error:.4}"),
                format!("{formula:.4}"),
                word.to_owned(),
                format!("{red} {safe}"),
                outcome.unproven.to_string(),
                outcome.overtaken.to_string(),
            ]);
        }
    }
    let head = ["entry", "p", "simulated", "formula", "", "bad landed", "unproven", "overtaken"];
    report.tables.push(Table {
        title: "The bench's own proof: entries against their closed forms",
        note: "Runs per decided change. Unproven: changes that landed without a green run of \
               exactly that set. Overtaken: the most newer changes that landed before one that \
               waited."
            .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows,
    });
}

fn slots(report: &mut Report, size: &Size) {
    let mut rows = Vec::new();
    for ppm in &RATES[1..] {
        let (p, nature) = (chance(*ppm), even(*ppm, 0));
        for slots in [1, 2, 4, 8, 16] {
            let changes = (size.culprits as f64 / p) as u64;
            let outcome = run(&mut told(p, 0.0), &nature, &full(changes, slots));
            let best = bound::pace(p, slots);
            let share = outcome.pace() / best;
            // The pace errs as the number of culprits does.
            let error = share / (size.culprits as f64).sqrt();
            let kept = share + 2.0 * error >= 0.98;
            let word = report.word(&format!("pace, p {} with {slots}", percent(*ppm)), kept);
            let train = run(&mut Train, &nature, &full(20_000, slots));
            rows.push(vec![
                percent(*ppm),
                slots.to_string(),
                format!("{:.2}", outcome.pace()),
                format!("{best:.2}"),
                format!("{share:.3} ±{error:.3} {word}"),
                format!("{:.3}", outcome.cost()),
                format!("{:.2} ({:.2})", train.pace(), train.cost()),
            ]);
            if *ppm == 50_000 {
                report.plot.front.push((outcome.pace(), outcome.cost()));
                report.plot.train.push((train.pace(), train.cost()));
                report.plot.best.push((best, slots as f64 / best));
            }
        }
    }
    let head = ["p", "slots", "changes a round", "R*", "share", "runs a change", "train (runs)"];
    report.tables.push(Table {
        title: "Decided changes per round with several runs at once",
        note:
            "R* is the optimum of tests on prefixes: Huffman's code for the gap between culprits \
               with one sign more than slots. Bound: 0.98 of it. The last column is a train of as \
               many prefixes as slots."
                .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows,
    });
}

/// Runs per landed change and the share of innocents sent back.
fn errs(outcome: &Outcome) -> (f64, f64) {
    (outcome.cost_merged(), outcome.innocent as f64 / outcome.resolved as f64)
}

fn flakes(report: &mut Report, size: &Size) {
    let mut rows = Vec::new();
    for (ppm, flake_ppm) in [(50_000, 10_000), (50_000, 50_000), (100_000, 100_000)] {
        let (p, f, nature) = (chance(ppm), chance(flake_ppm), even(ppm, flake_ppm));
        let limit = bound::entropy(p) / bound::capacity(f) / (1.0 - p);
        let trial = full(size.flaky, 1);
        let mut line = |report: &mut Report, name: String, (cost, wrong): (f64, f64)| {
            let mut word = "";
            if ppm == flake_ppm && ppm == 50_000 && name == "ours, told, 0.0001" {
                // The share errs as a count does.
                let error = (wrong / size.flaky as f64).sqrt();
                let kept = cost / limit <= 1.20 && wrong - 2.0 * error <= ERROR_MAX;
                word = report.word("flakes at 5% and 5%", kept);
            }
            rows.push(vec![
                format!("{} / {}", percent(ppm), percent(flake_ppm)),
                name,
                format!("{cost:.3}"),
                format!("{:.3}", cost / limit),
                format!("{wrong:.6}"),
                word.to_owned(),
            ]);
        };
        let mut front = Vec::new();
        for error_max in [1e-7, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0] {
            let wits = Wits::Told { calm: p, wild: p, flake: f };
            let point = errs(&run(&mut Ours::new(wits, error_max), &nature, &trial));
            line(report, format!("ours, told, {error_max}"), point);
            front.push(point);
        }
        let wits = Wits::Learns(Box::<Learner>::default());
        let learnt = run(&mut Ours::new(wits, ERROR_MAX), &nature, &trial);
        line(report, "ours, learnt, 0.0001".to_owned(), errs(&learnt));
        let batch = bound::find_first(p).0 as usize;
        for times in 0..3 {
            let (cost, wrong) = errs(&run(&mut Confirming::new(batch, times), &nature, &trial));
            // A share errs as a count does.
            let error = (wrong / size.flaky as f64).sqrt() + 1.0 / size.flaky as f64;
            let beaten = front.iter().any(|(c, w)| *c <= cost * 1.005 && *w <= wrong + 2.0 * error);
            let what =
                format!("k = {times} is dominated at {} / {}", percent(ppm), percent(flake_ppm));
            let word = report.word(&what, beaten);
            line(report, format!("k = {times}, dominated: {word}"), (cost, wrong));
        }
        line(report, "original".to_owned(), errs(&run(&mut Original::new(5), &nature, &trial)));
    }
    let head = ["p / flakes", "entry", "runs a landed change", "× bound", "innocents back", ""];
    report.tables.push(Table {
        title: "Flaky gates: cost against innocents sent back",
        note: "The bound is H(p)/C(f)/(1-p) for errors that vanish. k: confirmations of the \
               suspect, always as many. The number behind ours is the share of innocents that it \
               may send back (`queue.evict_error_max`). Bound at 5% / 5%: 1.20 and 0.0001. \
               Dominated: some setting of ours costs no more and errs no more, within the \
               simulation's error."
            .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows,
    });
}

fn risks(report: &mut Report, size: &Size) {
    let two = |silent| Nature {
        mix: Mix::Two { share: 100_000, low: 10_000, high: 400_000, silent },
        flake_ppm: 0,
    };
    let nature = two(false);
    let blind = bound::entropy(0.049);
    let wits = Wits::Told { calm: 0.01, wild: 0.4, flake: 0.0 };
    let changes = size.culprits * 20;
    let known = run(&mut Ours::new(wits, ERROR_MAX), &nature, &full(changes, 1));
    let (from_verdicts, error) = learnt(&nature, size.worlds, 10_000);
    let (ratio, against) = (known.ratio(), known.cost() / blind);
    let first = report.word("risk mix, known", ratio <= 1.10 && against < 0.75);
    let second = report.word("risk mix, learnt", from_verdicts - 2.0 * error <= 1.10);
    let (among, among_error) = learnt(&two(true), size.worlds, 10_000);
    let fourth = report.word("risk mix, among four", among - 2.0 * among_error <= 1.10);
    let fair = report.word("risk mix overtakes", known.overtaken <= 2 * 69);
    let jumps =
        Nature { mix: Mix::Jumps { low: 20_000, high: 200_000, every: 1_000 }, flake_ppm: 0 };
    let (drift, drift_error) = learnt(&jumps, size.worlds, 10_000);
    let third = report.word("drift", drift - 2.0 * drift_error <= 1.12);
    let row = |cells: [String; 4]| cells.to_vec();
    let rows = vec![
        row([
            "90% at 1%, 10% at 40%, told".to_owned(),
            format!("{ratio:.3}"),
            "1.10".to_owned(),
            first.to_owned(),
        ]),
        row([
            "the same against H of the mean rate".to_owned(),
            format!("{against:.3}"),
            "0.75".to_owned(),
            first.to_owned(),
        ]),
        row([
            "the same, learnt from a trait".to_owned(),
            format!("{from_verdicts:.3} ±{error:.3}"),
            "1.10".to_owned(),
            second.to_owned(),
        ]),
        row([
            "the same, among four traits".to_owned(),
            format!("{among:.3} ±{among_error:.3}"),
            "1.10".to_owned(),
            fourth.to_owned(),
        ]),
        row([
            "newer changes landed before one (told)".to_owned(),
            known.overtaken.to_string(),
            "a batch, 138".to_owned(),
            fair.to_owned(),
        ]),
        row([
            "rate jumps 2% - 20% every 1,000".to_owned(),
            format!("{drift:.3} ±{drift_error:.3}"),
            "1.12".to_owned(),
            third.to_owned(),
        ]),
    ];
    report.tables.push(Table {
        title: "Unequal and changing risks",
        note: "Runs over the sum of the entropies of the decided changes.".to_owned(),
        head: ["world", "ours", "bound", ""].map(str::to_owned).to_vec(),
        rows,
    });
}

fn turnaround(report: &mut Report, size: &Size) {
    let mut rows = Vec::new();
    for ppm in [20_000, 50_000, 100_000] {
        let (p, nature) = (chance(ppm), even(ppm, 0));
        for slots in [1, 2, 4, 8] {
            let rate = 0.8 * slots as f64;
            let busy = rate / bound::pace(p, slots);
            if busy > 0.95 {
                continue;
            }
            let arrivals = Arrivals::PerRound(rate);
            let trial = Trial { seed: 1, changes: size.arrivals, slots, arrivals };
            let ours = run(&mut learns(), &nature, &trial);
            let oracle = run(&mut Oracle::new(nature, 1), &nature, &trial);
            let (half, most) = (ours.wait(0.5), ours.wait(0.95));
            let (half_oracle, most_oracle) = (oracle.wait(0.5), oracle.wait(0.95));
            let mut word = "";
            if busy < 0.34 {
                let what = format!("turnaround, p {} with {slots}", percent(ppm));
                let kept = half <= 1.2 * half_oracle && most <= 1.5 * most_oracle;
                word = report.word(&what, kept);
            }
            let what = format!("overtakes, p {} with {slots}", percent(ppm));
            let fair = report.word(&what, ours.overtaken == 0);
            rows.push(vec![
                percent(ppm),
                slots.to_string(),
                format!("{rate:.1}"),
                format!("{:.0}%", busy * 100.0),
                format!("{half:.2} / {half_oracle:.2} = {:.2}", half / half_oracle),
                format!("{most:.2} / {most_oracle:.2} = {:.2}", most / most_oracle),
                word.to_owned(),
                format!("{} {fair}", ours.overtaken),
            ]);
        }
    }
    let head = ["p", "slots", "arrivals", "of R*", "P50", "P95", "", "overtaken"];
    report.tables.push(Table {
        title: "Turnaround against an oracle, and fairness",
        note: "Rounds from arrival to decision at 0.8 arrivals per slot and round: 80% of what \
               the same slots carry one by one. Learnt from verdicts. The oracle knows every \
               outcome and makes runs only to prove what it says: one green run of what lands, \
               one red run of each that goes back. Bounds: 1.2 and 1.5, where \
               arrivals are within a third of R*. Beyond, waiting is ruled by R*, which no search \
               on prefixes can exceed and which does not bind the oracle; shown without a bound."
            .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows,
    });
}
