//! The merge queue at length: a real town, real generated histories, a gate that flakes and lies,
//! outsiders who push to the target, kills (-9) of the daemon. At the end every merge request is
//! decided, and what is on the target is looked at twice: by `gt mq proof`, and by a checker that
//! reads only git and the gate's own log.
//!
//! `--mrs N`, `--kills N`, `--seed N`, `--files N`, `--batch N`, `--dir DIR` (its state stays there,
//! and the same command goes on where it stopped).

pub(crate) mod checker;
pub(crate) mod gate;
pub(crate) mod git;
pub(crate) mod site;
mod town;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;

use self::checker::Found;
use self::checker::Places;
use self::checker::Submitted;
use self::site::Outside;
use self::site::Site;
use self::town::Door;
use self::town::Hand;
use self::town::Killer;
use self::town::Kills;
use self::town::RIG;
use self::town::Told;
use self::world::Shape;
use self::world::World;
use crate::seeded::Seeded;
use crate::tools::Fallible;
use crate::tools::flag;
use crate::tools::gt;
use crate::tools::number;
use crate::tools::row;
use crate::tools::run;
use crate::tools::scratch;
use crate::towns;

/// Attempts at one piece of work.
const ATTEMPTS: usize = 3;
/// Every so many merge requests one is submitted by the command itself.
const BY_COMMAND: usize = 100;
/// Decided merge requests between two pushes of the outsider, and between two that break the target.
const OUTSIDE_EVERY: usize = 60;
const POISON_EVERY: usize = 1_500;
/// Without a decision for so long, somebody looks whether the queue waits for a person.
const STALL: Duration = Duration::from_secs(2);
/// Without a decision for so long, the town hangs.
const HANGS: Duration = Duration::from_secs(300);
const TICK: Duration = Duration::from_millis(50);
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Within it the branches of what landed are gone.
const BRANCHES_WITHIN: Duration = Duration::from_secs(60);

/// The whole soak.
pub(crate) fn queue() -> Fallible<bool> {
    let mrs = usize::try_from(number("--mrs", 10_000)?)?;
    let kills = usize::try_from(number("--kills", (mrs as u64 / 100).max(3))?)?;
    let shape = Shape {
        seed: number("--seed", 1)?,
        mrs,
        files: usize::try_from(number("--files", 5_000)?)?,
    };
    let dir = flag("--dir").map_or_else(|| scratch("queue"), |dir| Ok(PathBuf::from(dir)))?;
    fs::create_dir_all(&dir)?;
    let dir = dir.canonicalize()?;
    let began = Instant::now();
    let world = World::new(shape);
    let site = Site::make(&dir, shape, &world)?;
    let root = town::make(&dir, shape.seed)?;
    say(&format!("{}: {mrs} merge requests, {} files", dir.display(), shape.files));
    let hand = Hand::default();
    let killer = Killer::start(&dir, &root, &hand, Kills { seed: shape.seed, mrs, kills })?;
    let batch = usize::try_from(number("--batch", 200)?)?.max(1);
    let mut drive = Drive {
        door: Door::of(&root, hand.clone()),
        site: &site,
        world: &world,
        hand,
        batch,
        submitted: 0,
        tried: BTreeSet::new(),
        outside: 0,
        poisons: 0,
        parks: BTreeMap::new(),
        refused: Vec::new(),
    };
    drive.run()?;
    drive.await_branches()?;
    killer.stop()?;
    let ran = began.elapsed() + elapsed(&dir)?;
    towns::replace(&dir.join("seconds"), &ran.as_secs().to_string())?;
    say("all are decided; looking at what landed");
    let good = judge(&drive, &root, kills, ran)?;
    if flag("--dir").is_none() && good {
        fs::remove_dir_all(&dir)?;
    } else {
        println!("(what was written is kept in {})", dir.display());
    }
    Ok(good)
}

fn elapsed(dir: &std::path::Path) -> Fallible<Duration> {
    let text = git::read(&dir.join("seconds"))?;
    Ok(Duration::from_secs(if text.is_empty() { 0 } else { text.trim().parse()? }))
}

fn say(words: &str) {
    eprintln!("{words}");
}

/// The authors, the outsider and the person whom the queue waits for.
struct Drive<'a> {
    door: Door,
    site: &'a Site,
    world: &'a World,
    hand: Hand,
    batch: usize,
    submitted: usize,
    /// Those whose authors tried to take them back.
    tried: BTreeSet<usize>,
    outside: usize,
    poisons: usize,
    /// Why the queue waited for a person, and how often.
    parks: BTreeMap<&'static str, usize>,
    /// New heads that were refused.
    refused: Vec<String>,
}

/// How far it is.
struct Progress {
    decided: usize,
    /// When that changed last.
    since: Instant,
    said: Instant,
    began: Instant,
    at_first: usize,
    /// When everything was looked at last, and how long that took.
    looked: Instant,
    took: Duration,
}

impl Drive<'_> {
    fn run(&mut self) -> Fallible<()> {
        let known: BTreeSet<usize> = self.door.queue(true)?.iter().map(|mr| mr.number).collect();
        self.submitted = known.last().map_or(0, |last| last + 1);
        let now = Instant::now();
        let mut at = Progress {
            decided: 0,
            since: now,
            said: now,
            began: now,
            at_first: 0,
            looked: now,
            took: Duration::ZERO,
        };
        loop {
            self.hand.check()?;
            let waiting = self.door.queue(false)?;
            self.note(&mut at, &waiting)?;
            self.cancel(&waiting)?;
            if waiting.len() < self.batch && self.submitted < self.world.mrs.len() {
                self.submit_next()?;
                continue;
            }
            self.go_outside(at.decided)?;
            if at.since.elapsed() > STALL {
                self.look_after_the_queue()?;
            }
            // What came back is looked for seldom: it is the whole list.
            if at.looked.elapsed() > (at.took * 20).max(STALL) || waiting.is_empty() {
                let began = Instant::now();
                let again = self.rework()?;
                at.took = began.elapsed();
                at.looked = Instant::now();
                if waiting.is_empty() && again == 0 && self.submitted == self.world.mrs.len() {
                    return self.site.outsider(Outside::Cure);
                }
            }
            std::thread::sleep(TICK);
        }
    }

    fn note(&self, at: &mut Progress, waiting: &[Told]) -> Fallible<()> {
        let decided = self.submitted - waiting.len().min(self.submitted);
        if at.at_first == 0 {
            at.at_first = decided;
        }
        if decided != at.decided {
            at.decided = decided;
            at.since = Instant::now();
        } else if at.since.elapsed() > HANGS {
            let parked = self.door.parked()?;
            return Err(format!("nothing was decided for {HANGS:?}; parked: {parked:?}").into());
        }
        self.hand.decided.store(decided, Ordering::SeqCst);
        if at.said.elapsed() > SAY_EVERY {
            at.said = Instant::now();
            let rate =
                (decided - at.at_first.min(decided)) as f64 / at.began.elapsed().as_secs_f64();
            let left = (self.world.mrs.len() - decided) as f64 / rate.max(0.001) / 60.0;
            let kills = town::done(&self.site.dir)?;
            say(&format!(
                "  {decided} decided, {} wait, {kills} kills, {rate:.1} a second, {left:.1} minutes left",
                waiting.len()
            ));
        }
        Ok(())
    }

    /// Pushes the next batch of branches and submits it in one call; some by the command.
    fn submit_next(&mut self) -> Fallible<()> {
        let end = (self.submitted + self.batch).min(self.world.mrs.len());
        let mut many = Vec::new();
        let mut pushes = Vec::new();
        for mr in &self.world.mrs[self.submitted..end] {
            let head = self.site.commits[mr.number].last().ok_or("no head")?;
            pushes.push((mr.number, head.clone()));
            many.push((mr, head));
        }
        self.site.push(&pushes)?;
        // The last of the batch: should this be cut off, it is known how far it came.
        let last = many.pop().filter(|(mr, _)| mr.number % BY_COMMAND == BY_COMMAND - 1);
        if let Some((mr, head)) = last {
            self.door.submit(&many)?;
            let (authors, name) = (self.site.authors(), site::branch(mr.number));
            git::git(&authors, &["update-ref", &format!("refs/heads/{name}"), head])?;
            self.door.create(mr)?;
            self.door.submit_by_command(&authors, mr, head)?;
        } else {
            let head = self.site.commits[end - 1].last().ok_or("no head")?;
            many.push((&self.world.mrs[end - 1], head));
            self.door.submit(&many)?;
        }
        self.submitted = end;
        Ok(())
    }

    fn cancel(&mut self, waiting: &[Told]) -> Fallible<()> {
        for told in waiting {
            let mr = &self.world.mrs[told.number];
            // Some of them in the middle of a cycle.
            let now = told.in_cycle || told.number % 4 < 2;
            if mr.cancelled && now && self.tried.insert(told.number) {
                self.door.cancel(told)?;
            }
        }
        Ok(())
    }

    fn go_outside(&mut self, decided: usize) -> Fallible<()> {
        if decided / OUTSIDE_EVERY > self.outside {
            self.outside = decided / OUTSIDE_EVERY;
            self.site.outsider(Outside::Aside(self.outside))?;
        }
        // Soon after the start once, so that a short soak has it too.
        if (decided + POISON_EVERY - OUTSIDE_EVERY) / POISON_EVERY > self.poisons {
            self.poisons = (decided + POISON_EVERY - OUTSIDE_EVERY) / POISON_EVERY;
            self.site.outsider(Outside::Poison)?;
        }
        Ok(())
    }

    /// A person comes by: mends the target when that is what is wrong, and lets the queue go on.
    fn look_after_the_queue(&mut self) -> Fallible<()> {
        let Some(why) = self.door.parked()? else { return Ok(()) };
        let red = why.contains("itself is red");
        if red {
            self.site.outsider(Outside::Cure)?;
        }
        let word = if red { "the target is red" } else { "the gates do not run" };
        *self.parks.entry(word).or_default() += 1;
        self.door.go_on()
    }

    /// Takes up what came back; gives how many were.
    fn rework(&mut self) -> Fallible<usize> {
        let latest = self.latest()?;
        let mut again = Vec::new();
        for (number, (attempt, told)) in &latest.told {
            let mr = &self.world.mrs[*number];
            // One that was taken up already but not submitted is submitted below.
            let newest = latest.attempts[number] == attempt + 1;
            if told.state == "returned" && mr.reworked && attempt + 1 < ATTEMPTS && newest {
                again.push((mr, attempt + 1));
            }
        }
        self.site.rework(self.world, &again)?;
        let latest = self.latest()?;
        let mut late = Vec::new();
        for (number, (attempt, told)) in &latest.told {
            let newest = latest.attempts[number] - 1;
            if newest > *attempt && told.state == "returned" {
                late.push((*number, latest.heads[&(*number, newest)].clone()));
            }
        }
        if !late.is_empty() {
            self.site.push(&late)?;
        }
        for (number, head) in &late {
            if let Some(refused) = self.door.submit_again(*number, head)? {
                self.refused.push(format!("ap-m{number}: {refused}"));
            }
        }
        Ok(late.len())
    }

    fn latest(&self) -> Fallible<Latest> {
        Latest::of(&self.site.attempts()?, self.door.queue(true)?)
    }

    fn await_branches(&self) -> Fallible<()> {
        let deadline = Instant::now() + BRANCHES_WITHIN;
        while Instant::now() < deadline && !self.left(&self.latest()?)?.is_empty() {
            std::thread::sleep(STALL);
        }
        Ok(())
    }

    /// Merge requests that landed and whose branch the remote still has.
    fn left(&self, latest: &Latest) -> Fallible<Vec<usize>> {
        let merged = |number: &usize| {
            latest.told.get(number).is_some_and(|(_, told)| told.state == "merged")
        };
        Ok(self.site.branches()?.into_iter().filter(merged).collect())
    }
}

/// What is known of each piece of work.
struct Latest {
    /// Attempts that were made.
    attempts: BTreeMap<usize, usize>,
    heads: BTreeMap<(usize, usize), String>,
    /// The last attempt that the town knows.
    told: BTreeMap<usize, (usize, Told)>,
    /// What the town tells of heads that nobody submitted.
    strangers: Vec<Told>,
    /// Merge requests of one bead that are both on the target, as the town tells.
    twice: Vec<usize>,
}

impl Latest {
    fn of(submitted: &[Submitted], told: Vec<Told>) -> Fallible<Self> {
        let mut made = Self {
            attempts: BTreeMap::new(),
            heads: BTreeMap::new(),
            told: BTreeMap::new(),
            strangers: Vec::new(),
            twice: Vec::new(),
        };
        let mut known: BTreeMap<&String, (usize, usize)> = BTreeMap::new();
        for one in submitted {
            let attempt = made.attempts.entry(one.number).or_default();
            let head = one.commits.last().ok_or("no head")?;
            made.heads.insert((one.number, *attempt), head.clone());
            known.insert(head, (one.number, *attempt));
            *attempt += 1;
        }
        let mut merged = BTreeSet::new();
        for mr in told {
            let Some((number, attempt)) = known.get(&mr.head).copied() else {
                made.strangers.push(mr);
                continue;
            };
            if mr.state == "merged" && !merged.insert(number) {
                made.twice.push(number);
            }
            match made.told.get(&number) {
                Some((newer, _)) if *newer > attempt => {}
                _ => drop(made.told.insert(number, (attempt, mr))),
            }
        }
        Ok(made)
    }
}

/// Everything that is asked of the end.
fn judge(drive: &Drive<'_>, root: &std::path::Path, kills: usize, ran: Duration) -> Fallible<bool> {
    let site = drive.site;
    let list: Value = serde_json::from_str(&run(root, &["mq", "list", RIG, "--all", "--json"])?)?;
    let submitted = site.attempts()?;
    let latest = Latest::of(&submitted, town::told(&list)?)?;
    let began = Instant::now();
    let found = Found::look(
        &Places {
            remote: &site.remote(),
            authors: &site.authors(),
            gate_log: &gate::log_path(&site.dir),
            outside: &site.outside(),
            scratch: &site.dir.join("checkout"),
        },
        &submitted,
    )?;
    let looked = began.elapsed();
    let began = Instant::now();
    let proof = std::process::Command::new(gt())
        .args(["mq", "proof", RIG, "--json"])
        .current_dir(root)
        .output()?;
    fs::write(site.dir.join("proof.json"), &proof.stdout)?;
    let proved = began.elapsed();
    let mut table = Table { good: true };
    table.town(drive, &latest, kills);
    table.none("landings without proof, by gt mq proof", problems(&proof));
    table.checker(&found);
    table.both(&latest, &found);
    table.none("branches left of what landed", drive.left(&latest)?);
    figures(root, drive, &latest, &found)?;
    let limit = Duration::from_secs(30 * 60);
    let seconds = |time: Duration| format!("{:.0} s", time.as_secs_f64());
    row("the run itself", &seconds(ran), "", true);
    row("the separate checker", &seconds(looked), "", true);
    row("gt mq proof", &seconds(proved), "", true);
    let all = ran + looked + proved;
    table.good &= row("all of it", &seconds(all), "within 30 minutes", all < limit);
    Ok(table.good)
}

/// What the proof found wrong, or that it said nothing.
fn problems(proof: &std::process::Output) -> Vec<String> {
    let Ok(Value::Array(rigs)) = serde_json::from_slice::<Value>(&proof.stdout) else {
        return vec![String::from_utf8_lossy(&proof.stderr).into_owned()];
    };
    let mut all = Vec::new();
    for rig in &rigs {
        let of = |value: &Value| value["problems"].as_array().cloned().unwrap_or_default();
        all.extend(of(rig));
        all.extend(rig["commits"].as_array().into_iter().flatten().flat_map(of));
    }
    let mut said: Vec<String> = all.iter().map(Value::to_string).collect();
    if said.is_empty() && !proof.status.success() {
        said.push(format!("it ended with {}", proof.status));
    }
    said
}

struct Table {
    good: bool,
}

impl Table {
    /// A list that must be empty; its first members are told.
    fn none<T: std::fmt::Debug>(&mut self, what: &str, found: impl IntoIterator<Item = T>) {
        let found: Vec<T> = found.into_iter().collect();
        self.good &= row(what, &found.len().to_string(), "0", found.is_empty());
        for one in found.iter().take(5) {
            println!("    {one:?}");
        }
    }

    /// What the town says by itself.
    fn town(&mut self, drive: &Drive<'_>, latest: &Latest, kills: usize) {
        let mrs = drive.world.mrs.len();
        let known = latest.told.len();
        self.good &= row(
            "merge requests that the town knows",
            &known.to_string(),
            &mrs.to_string(),
            known == mrs,
        );
        let all = || latest.told.values().map(|(_, told)| told);
        self.none("of these undecided", all().filter(|told| told.waits()));
        self.none("heads that nobody submitted", &latest.strangers);
        let wrong = |verdict: &str, may: fn(world::Kind) -> bool| {
            let of =
                |told: &&Told| told.verdict == verdict && !may(drive.world.mrs[told.number].kind);
            all().filter(of).map(|told| told.id.clone()).collect::<Vec<_>>()
        };
        self.none(
            "returned as conflicts without one",
            wrong("conflict", world::Kind::may_conflict),
        );
        self.none("returned as missing", wrong("missing", |_| false));
        let innocent = wrong("red", world::Kind::may_be_red);
        let most = (mrs / 1_000).max(2);
        let bound = format!("at most {most}");
        self.good &= row(
            "innocents sent back by a flake",
            &innocent.len().to_string(),
            &bound,
            innocent.len() <= most,
        );
        self.none("new heads refused", &drive.refused);
        let done = town::done(&drive.site.dir).unwrap_or(0);
        self.good &=
            row("kills (-9) of the daemon", &done.to_string(), &kills.to_string(), done == kills);
    }

    /// What git and the gate's own log say.
    fn checker(&mut self, found: &Found) {
        let landings = found.landings;
        self.good &=
            row("landings, by the remote's record", &landings.to_string(), "some", landings > 0);
        self.none("of these red when looked at", &found.red);
        self.none("of these whose gate never said green", &found.unproven);
        self.none("moves that dropped commits", &found.dropped);
        self.none("commits that are nobody's change", &found.strange);
        self.none("changes landed twice", &found.doubled);
        self.none("changes landed in part", &found.torn);
    }

    /// What the town says beside what is there.
    fn both(&mut self, latest: &Latest, found: &Found) {
        let of = |(number, (_, told)): (&usize, &(usize, Told))| {
            (told.state == "merged").then_some(*number)
        };
        let (lost, untold) = found.against(&latest.told.iter().filter_map(of).collect());
        self.none("lost: merged, by the town, and not there", lost);
        self.none("there, and not merged by the town", untold);
        self.none("doubled: merged twice by the town", &latest.twice);
    }
}

/// Figures without bounds.
fn figures(
    root: &std::path::Path,
    drive: &Drive<'_>,
    latest: &Latest,
    found: &Found,
) -> Fallible<()> {
    let count = |state: &str| latest.told.values().filter(|(_, told)| told.state == state).count();
    for state in ["merged", "returned", "rejected"] {
        row(state, &count(state).to_string(), "", true);
    }
    let again = latest.attempts.values().map(|attempts| attempts - 1).sum::<usize>();
    row("worked on again", &again.to_string(), "", true);
    row("moves of the target by outsiders", &found.outside.to_string(), "", true);
    for (why, times) in &drive.parks {
        row(&format!("waited for a person: {why}"), &times.to_string(), "", true);
    }
    let log = git::read(&gate::log_path(&drive.site.dir))?;
    let mut words: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, word) in log.lines().filter_map(|line| line.split_once(' ')) {
        *words.entry(word).or_default() += 1;
    }
    let said: Vec<String> = words.iter().map(|(word, count)| format!("{count} {word}")).collect();
    println!("gate runs, by the gate's own log: {}", said.join(", "));
    let stats: Value = serde_json::from_str(&run(root, &["mq", "stats", RIG, "--json"])?)?;
    let figure = |name: &str| stats[0][name].as_f64().unwrap_or(f64::NAN);
    println!(
        "runs per merged {:.3}, the least that theory allows {:.3}, one by one {:.3}",
        figure("runs_per_merged"),
        figure("bound_per_merged"),
        figure("serial_per_merged"),
    );
    Ok(())
}

/// The process that the rig's gate is.
pub(crate) fn gate() -> Fallible<bool> {
    match gate::run()? {
        0 => Ok(true),
        code => std::process::exit(code.into()),
    }
}
