//! A busy town over two months of its own time, through each engine, with the dogs on; and a tenth
//! of it with the dogs off. What is stored at the end stands beside a fresh import of what lives.
//!
//! `--mutations N` for each engine (200,000), three quarters of them in groups; `--engine WORD`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use gastown::cli::town::keep::TownKeep;
use gastown::config::Settings;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::Edit;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::rows::Bead;
use gastown::model::rows::Meta;
use gastown::model::rows::TABLES;
use gastown::model::table::Row as _;
use gastown::model::tx::Scan;
use gastown::model::tx::Tx as _;
use gastown::model::tx::TxExt as _;
use gastown::model::upkeep::Chore;
use gastown::model::upkeep::ChoreDone;
use gastown::model::value::Name;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Intent;
use gastown::store::port::HeldLedger;
use gastown::store::port::Keep;
use gastown::store::port::Port as _;
use gastown::store::sql_tx::SqlTx;
use gastown::store::writer::Submission;

use crate::check;
use crate::kennel::Kennel;
use crate::tools::Fallible;
use crate::tools::flag;
use crate::tools::number;
use crate::tools::row;
use crate::tools::run;
use crate::tools::scratch;
use crate::towns;
use crate::towns::Kind;

/// 2026-01-01, where the town's own time begins.
const BEGIN_MS: i64 = 1_767_225_600_000;
const DAY_MS: i64 = 86_400_000;
/// Days of the town's time.
const DAYS: i64 = 60;
/// Mutations of one bead's life.
const MUTATIONS: i64 = 6;
/// Beads whose steps are one commit.
const GROUP: usize = 8;
/// What is stored may be so many times a fresh import.
const TIMES_MAX: f64 = 10.0;

/// Both engines.
pub(crate) fn growth() -> Fallible<bool> {
    let mutations = i64::try_from(number("--mutations", 200_000)?)?;
    let wanted = flag("--engine");
    let dir = scratch("growth")?;
    let mut good = true;
    for kind in Kind::ALL {
        if wanted.as_ref().is_some_and(|word| word != kind.word()) {
            continue;
        }
        let home = dir.join(kind.word());
        fs::create_dir_all(&home)?;
        let root = towns::make(&home, kind)?;
        let held = Arc::new(HeldLedger::new(Arc::new(towns::of_town(&root)?), 5_000));
        let site = Site { kind, root: &root, held: &held };
        println!(
            "\n{}: {mutations} mutations with the dogs on, a tenth with them off",
            kind.word()
        );
        let (grouped, single) = (mutations * 3 / 4, mutations / 4);
        good &= site.busy("grouped", grouped, GROUP, true)?;
        good &= site.busy("single", single, 1, true)?;
        site.busy("groupedoff", grouped / 10, GROUP, false)?;
        site.busy("singleoff", single / 10, 1, false)?;
        drop(held);
        if kind == Kind::Server {
            run(&root, &["dolt", "stop"])?;
        }
    }
    fs::remove_dir_all(&dir)?;
    Ok(good)
}

/// Sizes around the runs of one stage.
#[derive(Clone, Copy, Default)]
struct Stage {
    runs: u32,
    bytes: [i64; 2],
    commits: [i64; 2],
    seconds: f64,
}

/// Writes down what each chore does to one database.
struct Recorder {
    inner: TownKeep,
    db: Db,
    stages: Mutex<BTreeMap<&'static str, Stage>>,
}

impl Keep for Recorder {
    fn keep(&self, db: &Db, chore: &Chore, now_ms: i64) -> Result<ChoreDone, String> {
        let began = Instant::now();
        let done = self.inner.keep(db, chore, now_ms)?;
        if *db == self.db && !chore.only_looks() {
            let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
            let stage = stages.entry(chore.name()).or_default();
            stage.runs += 1;
            for (at, measure) in [&done.before, &done.after].into_iter().enumerate() {
                stage.bytes[at] += measure.bytes;
                stage.commits[at] += measure.commits;
            }
            stage.seconds += began.elapsed().as_secs_f64();
        }
        Ok(done)
    }
}

/// One engine's town.
struct Site<'a> {
    kind: Kind,
    root: &'a Path,
    held: &'a Arc<HeldLedger>,
}

impl Site<'_> {
    /// Two months of work in a database of its own.
    fn busy(&self, name: &str, mutations: i64, group: usize, dogs: bool) -> Fallible<bool> {
        let (db, held) = (Db::from(name), self.held);
        check::prepare(held.ledger(), &db)?;
        let mut settings = Settings::default();
        // A shorter soak has the same number of compactions, not the same number of commits.
        let usual = settings.life.commits_max;
        let commits = if group == 1 { mutations } else { mutations / (2 * i64::try_from(group)?) };
        settings.life.commits_max = (commits / 8).clamp(30, usual);
        if dogs {
            println!("\n  history is made shorter above {} commits", settings.life.commits_max);
        }
        let inner = TownKeep::new(self.root.to_owned(), held.clone(), &settings);
        let keep = Recorder { inner, db: db.clone(), stages: Mutex::default() };
        let life = settings.life();
        let mut kennel = Kennel::new(held, &keep, name, &life);
        let a_day = (mutations / MUTATIONS / DAYS).max(1);
        let (began, mut number, mut most) = (Instant::now(), 0, 0);
        for day in 0..DAYS {
            let morning = BEGIN_MS + day * DAY_MS;
            let beads: Vec<i64> = (number..number + a_day).collect();
            number += a_day;
            for (at, some) in (0..).zip(beads.chunks(group)) {
                let step = DAY_MS / 2 / a_day * i64::try_from(group)?;
                work(held, &db, some, morning + at * step)?;
            }
            most = most.max(held.measure(&db)?.bytes);
            if dogs {
                kennel.round(morning + DAY_MS - 3_600_000);
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        let stages = keep.stages.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.report(&db, number, group, (dogs, seconds, most), &stages)
    }

    fn report(
        &self,
        db: &Db,
        beads: i64,
        group: usize,
        (dogs, seconds, most): (bool, f64, i64),
        stages: &BTreeMap<&'static str, Stage>,
    ) -> Fallible<bool> {
        let live = self.held.ledger().read(db, |tx| tx.rows::<Bead>(&Scan::default()))??.len();
        let (now, fresh) = (self.held.measure(db)?, self.fresh_import(db)?);
        let word = if dogs { "dogs on" } else { "dogs off" };
        let words = if group == 1 { "single writes" } else { "groups of 8" };
        let keep_ms = Settings::default().life().history_keep_ms;
        println!(
            "\n  {words}, {word}: {} mutations in {seconds:.0} s; one day of the town is {:.2} s, \
             history.keep {:.1} days are {:.1} s",
            beads * MUTATIONS,
            seconds / DAYS as f64,
            keep_ms as f64 / DAY_MS as f64,
            seconds / DAYS as f64 * keep_ms as f64 / DAY_MS as f64
        );
        for (name, stage) in stages {
            let mean = |sum: i64| sum / i64::from(stage.runs);
            println!(
                "  {name:<10} {:>4} runs {:>8.1} s; on average {:>8} -> {:>8} KB, {:>6} -> {:>6} commits",
                stage.runs,
                stage.seconds,
                mean(stage.bytes[0]) >> 10,
                mean(stage.bytes[1]) >> 10,
                mean(stage.commits[0]),
                mean(stage.commits[1])
            );
        }
        println!(
            "  {live} of {beads} beads live; {} commits; {} KB at the end, {} KB at most, {} KB fresh",
            now.commits,
            now.bytes >> 10,
            most >> 10,
            fresh >> 10
        );
        let times = now.bytes as f64 / fresh.max(1) as f64;
        let bound = if dogs { format!("at most {TIMES_MAX}x") } else { String::new() };
        let what = format!("{}, {words}, {word}", self.kind.word());
        Ok(row(&what, &format!("{times:.1}x fresh"), &bound, !dogs || times <= TIMES_MAX))
    }

    /// Bytes of the same rows in a database that is made for them at once.
    fn fresh_import(&self, db: &Db) -> Fallible<i64> {
        let (ledger, fresh) = (self.held.ledger(), Db(format!("{db}fresh")));
        ledger.create_db(&fresh)?;
        let mut conn = towns::raw(ledger, self.kind, &fresh)?;
        conn.begin(Intent::Write)?;
        let mut tx = SqlTx::new(conn.as_mut());
        for table in TABLES.iter().filter(|table| table.name != Meta::TABLE.name) {
            for cells in ledger.read(db, |tx| tx.scan(table, &Scan::default()))?? {
                tx.insert(table, cells)?;
            }
        }
        let info = CommitInfo { message: "import", author: "soak <soak@localhost>", date_ms: None };
        conn.commit(&info)?;
        drop(conn);
        let held = HeldLedger::new(ledger.clone(), 5_000);
        held.collect(&fresh, BEGIN_MS)?;
        Ok(held.measure(&fresh)?.bytes)
    }
}

/// Some beads' lives: made and labelled, looked at, ended. With one bead each op is a commit of
/// its own, with more each step of all of them is one.
fn work(held: &HeldLedger, db: &Db, numbers: &[i64], now: i64) -> Fallible<()> {
    let id = |number: i64| BeadId(format!("ap-b{number}"));
    let comment = |number: i64, text: &str| Op::Comment { id: id(number), text: text.to_owned() };
    let edit = |number: i64, edit: Edit| Op::Edit { id: id(number), edit };
    let steps: [&dyn Fn(i64) -> [Op; 2]; 3] = [
        &|number| {
            let new = NewBead {
                id: Some(id(number)),
                title: format!("Mend part {number} of the whole"),
                description: "What is wrong, what should be, and how one sees it. ".repeat(4),
                ..NewBead::default()
            };
            let label = Edit { add_labels: vec![Name::from("area:parts")], ..Edit::default() };
            [Op::Create(new), edit(number, label)]
        },
        &|number| {
            let notes = Edit { append_notes: Some("looked at it".to_owned()), ..Edit::default() };
            [comment(number, "begun"), edit(number, notes)]
        },
        &|number| {
            [comment(number, "ended"), Op::Close { id: id(number), reason: "done".to_owned() }]
        },
    ];
    for (at, step) in (0..).zip(steps) {
        let time = now + at * 60_000;
        let of = |ops: Vec<Op>| Submission { actor: "overseer".to_owned(), ops };
        if let [number] = numbers {
            for op in step(*number) {
                put(held, db, &[of(vec![op])], time)?;
            }
        } else {
            let group: Vec<Submission> =
                numbers.iter().map(|number| of(step(*number).into())).collect();
            put(held, db, &group, time)?;
        }
    }
    Ok(())
}

fn put(held: &HeldLedger, db: &Db, group: &[Submission], now: i64) -> Fallible<()> {
    match held.commit(db, group, now)?.into_iter().find(Result::is_err) {
        Some(Err(refused)) => Err(refused.into()),
        _ => Ok(()),
    }
}
