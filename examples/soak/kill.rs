//! The daemon, or the server, is killed (-9) again and again under writers in processes of their
//! own. What they were told stands must be there at the end, whole, and its history with it.
//!
//! `--kills N`, `--engine embedded|server|lanes`, `--dir DIR` (its state stays there, and the same
//! command goes on where it stopped), `--writers N`, `--seed N`.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use crate::check;
use crate::check::Found;
use crate::dolt::Dolt;
use crate::seeded::Seeded;
use crate::tools::Fallible;
use crate::tools::flag;
use crate::tools::number;
use crate::tools::row;
use crate::tools::run;
use crate::tools::scratch;
use crate::towns;
use crate::towns::Daemon;
use crate::towns::Kept;
use crate::towns::Kind;
use crate::writers;
use crate::writers::Started;

/// Longest life between two kills in milliseconds.
const LIFE_MS: u64 = 700;

/// Who is killed, and who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// A town on files: its daemon, under `bd`.
    Embedded,
    /// A town on its server: the server, under `bd`; the daemon starts it again.
    Server,
    /// A server by itself, under writer lanes in processes of their own.
    Lanes,
}

impl Scene {
    const ALL: [Self; 3] = [Self::Embedded, Self::Server, Self::Lanes];

    fn word(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Server => "server",
            Self::Lanes => "lanes",
        }
    }

    /// What it is, and how many kills are usual.
    fn usual(self) -> (&'static str, u64) {
        match self {
            Self::Embedded => ("kill -9 of the daemon under bd", 1_000),
            Self::Server => ("kill -9 of the town's server under bd", 100),
            Self::Lanes => ("kill -9 of a server under writer lanes", 100),
        }
    }
}

/// What a soak of one scene needs.
struct Plan {
    dir: PathBuf,
    kills: u64,
    writers: usize,
    seed: u64,
}

/// Every scene, or the one that `--engine` names.
pub(crate) fn kill() -> Fallible<bool> {
    let wanted = flag("--engine");
    let home = flag("--dir").map_or_else(|| scratch("kill"), |dir| Ok(PathBuf::from(dir)))?;
    let mut good = true;
    for scene in Scene::ALL {
        if wanted.as_ref().is_some_and(|word| word != scene.word()) {
            continue;
        }
        let plan = Plan {
            dir: home.join(scene.word()),
            kills: number("--kills", scene.usual().1)?,
            writers: usize::try_from(number("--writers", 3)?)?,
            seed: number("--seed", 1)?,
        };
        fs::create_dir_all(&plan.dir)?;
        let began = Instant::now();
        let starts = match scene {
            Scene::Embedded => daemon(&plan)?,
            Scene::Server => town_server(&plan)?,
            Scene::Lanes => server(&plan)?,
        };
        let minutes = began.elapsed().as_secs_f64() / 60.0;
        good &= judge(scene, &plan, &starts, minutes)?;
    }
    if flag("--dir").is_none() && good {
        fs::remove_dir_all(&home)?;
    } else {
        println!("(what was written is kept in {})", home.display());
    }
    Ok(good)
}

/// Kills so far, kept in a file.
struct State {
    path: PathBuf,
    done: u64,
}

impl State {
    fn load(dir: &Path) -> Fallible<Self> {
        let path = dir.join("kills");
        let done = fs::read_to_string(&path).map_or(Ok(0), |text| text.trim().parse())?;
        if done > 0 {
            println!("{}: goes on after {done} kills", dir.display());
        }
        Ok(Self { path, done })
    }

    fn one_more(&mut self) -> Fallible<()> {
        self.done += 1;
        if self.done.is_multiple_of(100) {
            println!("  {} kills", self.done);
        }
        towns::replace(&self.path, &self.done.to_string())
    }
}

/// A seeded life before the next kill: half of them long enough for some writes, half as likely
/// short as long, down to the start itself.
fn live(seeded: &mut Seeded) {
    let long = seeded.below(2) == 0;
    let most = if long { LIFE_MS } else { 1 << seeded.below(u64::from(LIFE_MS.ilog2()) + 1) };
    std::thread::sleep(Duration::from_millis(seeded.below(most) + if long { 100 } else { 0 }));
}

/// Kills of the daemon under `bd`. Gives how long each start took until the door answered.
fn daemon(plan: &Plan) -> Fallible<Vec<Duration>> {
    let root = towns::make(&plan.dir, Kind::Embedded)?;
    let mut state = State::load(&plan.dir)?;
    let mut seeded = Seeded(plan.seed + state.done);
    let writers = start_writers(plan, None)?;
    let mut starts = Vec::new();
    while state.done < plan.kills {
        let began = Instant::now();
        let daemon = Daemon::start(&root)?;
        starts.push(began.elapsed());
        live(&mut seeded);
        daemon.kill9()?;
        state.one_more()?;
    }
    writers.into_iter().try_for_each(Started::stop)?;
    Ok(starts)
}

/// Kills of a town's server under `bd`. Gives how long each took until a server answered again.
fn town_server(plan: &Plan) -> Fallible<Vec<Duration>> {
    let root = towns::make(&plan.dir, Kind::Server)?;
    let mut state = State::load(&plan.dir)?;
    let mut seeded = Seeded(plan.seed + state.done);
    let daemon = Daemon::start(&root)?;
    let kept = Kept::of(&root)?;
    kept.await_answer()?;
    let writers = start_writers(plan, None)?;
    let mut starts = Vec::new();
    while state.done < plan.kills {
        live(&mut seeded);
        kept.kill9()?;
        state.one_more()?;
        let began = Instant::now();
        kept.await_answer()?;
        starts.push(began.elapsed());
    }
    writers.into_iter().try_for_each(Started::stop)?;
    daemon.kill9()?;
    Ok(starts)
}

/// Kills of the server under writer lanes. Gives how long each start took until its door was open.
fn server(plan: &Plan) -> Fallible<Vec<Duration>> {
    let mut dolt = Dolt::start(&plan.dir.join("dolt"));
    let ledger = towns::ledger(&plan.dir.join("town"), Some(dolt.address()));
    for number in 0..plan.writers {
        check::prepare(&ledger, &writers::database(number))?;
    }
    let mut state = State::load(&plan.dir)?;
    let mut seeded = Seeded(plan.seed + state.done);
    let writers = start_writers(plan, Some(&dolt))?;
    let mut starts = Vec::new();
    while state.done < plan.kills {
        live(&mut seeded);
        dolt.kill9();
        state.one_more()?;
        let began = Instant::now();
        dolt.restart();
        starts.push(began.elapsed());
    }
    // Whoever still has to settle something does it on the living server.
    writers.into_iter().try_for_each(Started::stop)?;
    Ok(starts)
}

fn start_writers(plan: &Plan, dolt: Option<&Dolt>) -> Fallible<Vec<Started>> {
    let address = dolt.map(Dolt::address);
    (0..plan.writers).map(|number| Started::start(&plan.dir, number, address.as_ref())).collect()
}

/// Reads the logs and the store, and nothing else.
fn judge(scene: Scene, plan: &Plan, starts: &[Duration], minutes: f64) -> Fallible<bool> {
    let mut found = Found::default();
    let root = plan.dir.join("town");
    match scene {
        Scene::Embedded | Scene::Server => {
            if scene == Scene::Server {
                // What is looked at has been closed and opened.
                run(&root, &["dolt", "stop"])?;
                run(&root, &["dolt", "start"])?;
            }
            let (ledger, db) = (towns::of_town(&root)?, "app".into());
            for number in 0..plan.writers {
                found.look(&ledger, &db, &plan.dir, number)?;
            }
            found.walk(&ledger, &db)?;
            if scene == Scene::Server {
                run(&root, &["dolt", "stop"])?;
            }
        }
        Scene::Lanes => {
            let dolt = Dolt::start(&plan.dir.join("dolt"));
            let ledger = towns::ledger(&root, Some(dolt.address()));
            for number in 0..plan.writers {
                let db = writers::database(number);
                found.look(&ledger, &db, &plan.dir, number)?;
                found.walk(&ledger, &db)?;
            }
        }
    }
    let what = scene.usual().0;
    println!("\n{}: {what}, {minutes:.1} minutes", scene.word());
    let mut good = row("kills", &plan.kills.to_string(), "", true);
    let acks = found.acknowledged;
    good &= row("acknowledged transactions", &acks.to_string(), "some", acks > 0);
    good &= row("of these lost", &found.lost.to_string(), "0", found.lost == 0);
    good &= row("torn transactions", &found.torn.to_string(), "0", found.torn == 0);
    let doubled = found.doubled;
    good &= row("made twice, or by nobody", &doubled.to_string(), "0", doubled == 0);
    good &= row("outcomes told wrongly", &found.lies.to_string(), "0", found.lies == 0);
    let commits = found.commits;
    good &= row("commits of the history", &commits.to_string(), "some", commits > 0);
    let unreadable = found.unreadable;
    good &=
        row("of these unreadable or out of order", &unreadable.to_string(), "0", unreadable == 0);
    let mut times: Vec<f64> = starts.iter().map(|time| time.as_secs_f64() * 1_000.0).collect();
    times.sort_by(f64::total_cmp);
    if let (Some(median), Some(most)) = (times.get(times.len() / 2), times.last()) {
        let text = format!("{median:.0} / {most:.0} ms");
        row("start after a kill, median / longest", &text, "", true);
    }
    Ok(good)
}
