//! A busy town over two months of its own time, through each engine, with the dogs on; and a tenth
//! of it with the dogs off. What is stored at the end stands beside a fresh import of what lives.
//!
//! `--mutations N` for each engine (200,000), four fifths of them in groups, the rest one by one;
//! `--engine WORD`; `--dir DIR` (its state stays there, and the same command goes on where it
//! stopped).

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use gastown::cli::town::keep::TownKeep;
use gastown::config::Settings;
use gastown::model::bead::Status;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::Edit;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::rows::Bead;
use gastown::model::rows::Comment;
use gastown::model::rows::Label;
use gastown::model::rows::Meta;
use gastown::model::rows::TABLES;
use gastown::model::table::Row as _;
use gastown::model::tx::Scan;
use gastown::model::tx::Tx;
use gastown::model::tx::TxError;
use gastown::model::tx::TxExt as _;
use gastown::model::upkeep::Chore;
use gastown::model::upkeep::ChoreDone;
use gastown::model::value::Cell as _;
use gastown::model::value::Name;
use gastown::model::value::Value;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Conn;
use gastown::store::conn::Intent;
use gastown::store::error::StoreError;
use gastown::store::port::HeldLedger;
use gastown::store::port::Keep;
use gastown::store::port::Port as _;
use gastown::store::sql_tx::columns;
use gastown::store::sql_tx::quoted;
use gastown::store::writer::Submission;
use serde::Deserialize;
use serde::Serialize;

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
/// Between two rounds of the dogs, in days. A day takes some seconds.
const ROUND: i64 = 2;
/// Mutations of one bead's life.
const MUTATIONS: i64 = 6;
/// Beads whose steps are one commit.
const GROUP: usize = 8;
/// Rows of one statement of a fresh import.
const IMPORTED: usize = 100;
/// What is stored may be so many times a fresh import.
const TIMES_MAX: f64 = 10.0;
/// Below so many bytes the compactor leaves a store alone, whatever its rows take.
const SMALL: i64 = 4 << 20;

/// Both engines.
pub(crate) fn growth() -> Fallible<bool> {
    let mutations = i64::try_from(number("--mutations", 200_000)?)?;
    let wanted = flag("--engine");
    let dir = flag("--dir").map_or_else(|| scratch("growth"), |dir| Ok(PathBuf::from(dir)))?;
    fs::create_dir_all(&dir)?;
    // Commands that start a server run elsewhere.
    let dir = dir.canonicalize()?;
    let mut good = true;
    for kind in Kind::ALL {
        if wanted.as_ref().is_some_and(|word| word != kind.word()) {
            continue;
        }
        let home = dir.join(kind.word());
        fs::create_dir_all(&home)?;
        let root = towns::make(&home, kind)?;
        if kind == Kind::Server {
            run(&root, &["dolt", "start"])?;
        }
        let outcome = engine(kind, &home, &root, mutations);
        if kind == Kind::Server {
            run(&root, &["dolt", "stop"])?;
        }
        good &= outcome?;
    }
    if flag("--dir").is_none() && good {
        fs::remove_dir_all(&dir)?;
    } else {
        println!("(what was written is kept in {})", dir.display());
    }
    Ok(good)
}

/// The four parts of one engine.
fn engine(kind: Kind, home: &Path, root: &Path, mutations: i64) -> Fallible<bool> {
    let held = Arc::new(HeldLedger::new(Arc::new(towns::of_town(root)?), 5_000));
    let site = Site { kind, home, root, held: &held };
    let single = mutations / 5;
    let grouped = mutations - single;
    println!(
        "\n{}: {mutations} mutations with the dogs on, {grouped} in groups and {single} one by one; \
         a tenth of each with them off",
        kind.word()
    );
    let part = |name, mutations, group, dogs| Part { name, mutations, group, dogs };
    let mut good = site.busy(part("grouped", grouped, GROUP, true))?;
    good &= site.busy(part("single", single, 1, true))?;
    site.busy(part("groupedoff", grouped / 10, GROUP, false))?;
    site.busy(part("singleoff", single / 10, 1, false))?;
    Ok(good)
}

/// What goes into one database.
#[derive(Clone, Copy)]
struct Part {
    name: &'static str,
    /// At least so many: days are whole.
    mutations: i64,
    group: usize,
    dogs: bool,
}

impl Part {
    /// Beads of one day.
    fn a_day(&self) -> i64 {
        (self.mutations + MUTATIONS * DAYS - 1) / (MUTATIONS * DAYS)
    }

    fn beads(&self) -> i64 {
        self.a_day() * DAYS
    }

    /// Commits that hold them, without those of the dogs.
    fn commits(&self) -> i64 {
        let all = if self.group == 1 { MUTATIONS } else { 3 };
        let chunks = (self.a_day() + self.group as i64 - 1) / self.group as i64;
        all * chunks * DAYS
    }
}

/// How far a part is. It is written after each day of the town.
#[derive(Default, Serialize, Deserialize)]
struct State {
    /// Beads of one day.
    a_day: i64,
    /// Days that are over.
    days: i64,
    seconds: f64,
    /// Most bytes that there were.
    most: i64,
    stages: BTreeMap<String, Stage>,
    /// Bytes of a fresh import, once it is made.
    fresh: Option<i64>,
}

impl State {
    fn load(path: &Path) -> Fallible<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(serde_json::from_str(&text)?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn save(&self, path: &Path) -> Fallible<()> {
        towns::replace(path, &serde_json::to_string(self)?)
    }
}

/// Sizes around the runs of one stage.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
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
    stages: Mutex<BTreeMap<String, Stage>>,
}

impl Keep for Recorder {
    fn keep(&self, db: &Db, chore: &Chore, now_ms: i64) -> Result<ChoreDone, String> {
        let began = Instant::now();
        let done = self.inner.keep(db, chore, now_ms)?;
        if *db == self.db && !chore.only_looks() {
            let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
            let stage = stages.entry(chore.name().to_owned()).or_default();
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
    home: &'a Path,
    root: &'a Path,
    held: &'a Arc<HeldLedger>,
}

impl Site<'_> {
    /// Two months of work in a database of its own, from where it stopped.
    fn busy(&self, part: Part) -> Fallible<bool> {
        let path = self.home.join(format!("{}.json", part.name));
        let (db, mut state) = (Db::from(part.name), State::load(&path)?);
        check::prepare(self.held.ledger(), &db)?;
        if state.days == 0 {
            state.a_day = part.a_day();
        } else if state.a_day != part.a_day() {
            let dir = self.home.display();
            return Err(format!("{dir} was begun with another number of mutations").into());
        } else {
            println!("\n  {}: goes on after {} days", part.name, state.days);
        }
        if state.days < DAYS {
            self.work(&part, &db, &mut state, &path)?;
        }
        let fresh = match state.fresh {
            Some(bytes) => bytes,
            None => self.fresh_import(&db)?,
        };
        state.fresh = Some(fresh);
        state.save(&path)?;
        self.report(&part, &db, &state, fresh)
    }

    /// The days that are left.
    fn work(&self, part: &Part, db: &Db, state: &mut State, path: &Path) -> Fallible<()> {
        let held = self.held;
        let mut settings = Settings::default();
        // A shorter soak has the same number of compactions, not the same number of commits.
        let usual = settings.life.commits_max;
        settings.life.commits_max = (part.commits() / 8).clamp(30, usual);
        if part.dogs {
            println!(
                "\n  dogs every {ROUND} days, and half an hour after the last time; history is made shorter above {} commits",
                settings.life.commits_max
            );
        }
        let inner = TownKeep::new(self.root.to_owned(), held.clone(), &settings);
        let stages = Mutex::new(std::mem::take(&mut state.stages));
        let keep = Recorder { inner, db: db.clone(), stages };
        let life = settings.life();
        let mut kennel = Kennel::new(held, &keep, part.name, &life);
        let (first, a_day) = (state.days, part.a_day());
        let step = DAY_MS / 2 / a_day * i64::try_from(part.group)?;
        for day in first..DAYS {
            let (began, morning) = (Instant::now(), BEGIN_MS + day * DAY_MS);
            let beads: Vec<i64> = (day * a_day..(day + 1) * a_day).collect();
            for (at, some) in (0..).zip(beads.chunks(part.group)) {
                let id = id(some[0]);
                // The day in which it stopped is done in part.
                let stand = |tx: &mut dyn Tx| done(tx, &id, part.group == 1);
                let done = if day == first { held.ledger().read(db, stand)?? } else { 0 };
                for (time, group) in commits(some, part.group == 1).into_iter().skip(done) {
                    put(held, db, &group, morning + at * step + time)?;
                }
            }
            state.most = state.most.max(held.measure(db)?.bytes);
            if part.dogs && (day + 1) % ROUND == 0 {
                kennel.round(morning + DAY_MS - 3_600_000);
            }
            if part.dogs && day + 1 == DAYS {
                // A town's compactor comes every half an hour, so also after the last decay.
                kennel.round(morning + DAY_MS - 1_800_000);
            }
            state.days = day + 1;
            state.seconds += began.elapsed().as_secs_f64();
            state.stages = keep.stages.lock().unwrap_or_else(PoisonError::into_inner).clone();
            state.save(path)?;
        }
        Ok(())
    }

    fn report(&self, part: &Part, db: &Db, state: &State, fresh: i64) -> Fallible<bool> {
        let live = self.held.ledger().read(db, |tx| tx.rows::<Bead>(&Scan::default()))??.len();
        let now = self.held.measure(db)?;
        let word = if part.dogs { "dogs on" } else { "dogs off" };
        let words = if part.group == 1 { "single writes" } else { "groups of 8" };
        let keep_days = Settings::default().life().history_keep_ms as f64 / DAY_MS as f64;
        let a_day = state.seconds / DAYS as f64;
        println!(
            "\n  {words}, {word}: {} mutations in {} commits and {:.0} s; one day of the town is \
             {a_day:.2} s, history.keep {keep_days:.1} days are {:.1} s",
            part.beads() * MUTATIONS,
            part.commits(),
            state.seconds,
            a_day * keep_days
        );
        let mut rest = state.seconds;
        for (name, stage) in &state.stages {
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
            rest -= stage.seconds;
        }
        println!("  writing, decay and looks {rest:>9.1} s");
        println!(
            "  {live} of {} beads live; {} commits; {} KB at the end, {} KB at most, {} KB fresh",
            part.beads(),
            now.commits,
            now.bytes >> 10,
            state.most >> 10,
            fresh >> 10
        );
        let times = now.bytes as f64 / fresh.max(1) as f64;
        let bound =
            if part.dogs { format!("at most {TIMES_MAX}x, or 4 MB") } else { String::new() };
        let good = !part.dogs || times <= TIMES_MAX || now.bytes <= SMALL;
        let what = format!("{}, {words}, {word}", self.kind.word());
        Ok(row(&what, &format!("{times:.1}x fresh"), &bound, good))
    }

    /// Bytes of the same rows in a database that is made for them at once.
    fn fresh_import(&self, db: &Db) -> Fallible<i64> {
        let (ledger, fresh) = (self.held.ledger(), Db(format!("{db}fresh")));
        match ledger.create_db(&fresh) {
            Ok(()) | Err(StoreError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // All rows come in one commit, so that a stopped import has none.
        if ledger.read(&fresh, |tx| tx.rows::<Bead>(&Scan::default()))??.is_empty() {
            let mut conn = towns::raw(ledger, self.kind, &fresh)?;
            conn.begin(Intent::Write)?;
            for table in TABLES.iter().filter(|table| table.name != Meta::TABLE.name) {
                let rows = ledger.read(db, |tx| tx.scan(table, &Scan::default()))??;
                let into = format!("INSERT INTO {} ({})", quoted(table.name), columns(table, ""));
                insert(conn.as_mut(), &into, &rows)?;
            }
            let author = "soak <soak@localhost>";
            conn.commit(&CommitInfo { message: "import", author, date_ms: None })?;
        }
        let held = HeldLedger::new(ledger.clone(), 5_000);
        held.collect(&fresh, BEGIN_MS)?;
        Ok(held.measure(&fresh)?.bytes)
    }
}

/// Many rows in few statements.
fn insert(conn: &mut dyn Conn, into: &str, rows: &[Vec<Value>]) -> Fallible<()> {
    for some in rows.chunks(IMPORTED) {
        let marks: Vec<String> =
            some.iter().map(|row| format!("({})", vec!["?"; row.len()].join(", "))).collect();
        conn.execute(&format!("{into} VALUES {}", marks.join(", ")), &some.concat())?;
    }
    Ok(())
}

fn id(number: i64) -> BeadId {
    BeadId(format!("ap-b{number}"))
}

/// A bead's life: made and labelled, looked at, ended.
fn life(number: i64) -> [[Op; 2]; 3] {
    let id = id(number);
    let comment = |text: &str| Op::Comment { id: id.clone(), text: text.to_owned() };
    let edit = |edit: Edit| Op::Edit { id: id.clone(), edit };
    let new = NewBead {
        id: Some(id.clone()),
        title: format!("Mend part {number} of the whole"),
        description: "What is wrong, what should be, and how one sees it. ".repeat(4),
        ..NewBead::default()
    };
    let label = Edit { add_labels: vec![Name::from("area:parts")], ..Edit::default() };
    let notes = Edit { append_notes: Some("looked at it".to_owned()), ..Edit::default() };
    let close = Op::Close { id: id.clone(), reason: "done".to_owned() };
    [[Op::Create(new), edit(label)], [comment("begun"), edit(notes)], [comment("ended"), close]]
}

/// What is committed of some beads' lives, with the time since they began: one by one each op by
/// itself, else each step of all of them.
fn commits(numbers: &[i64], single: bool) -> Vec<(i64, Vec<Submission>)> {
    let of = |ops: Vec<Op>| Submission { actor: "overseer".to_owned(), ops };
    let lives: Vec<[[Op; 2]; 3]> = numbers.iter().map(|number| life(*number)).collect();
    let mut all = Vec::new();
    for (at, time) in [0, 60_000, 120_000].into_iter().enumerate() {
        let step = lives.iter().map(|life| life[at].to_vec());
        if single {
            all.extend(step.flatten().map(|op| (time, vec![of(vec![op])])));
        } else {
            all.push((time, step.map(of).collect()));
        }
    }
    all
}

/// How many of these commits stand already, by the first of the beads.
fn done(tx: &mut dyn Tx, id: &BeadId, single: bool) -> Result<usize, TxError> {
    let Some(bead) = tx.find::<Bead>("by_id", id)? else { return Ok(0) };
    let remarks = tx.with::<Comment>(None, vec![id.to_value()])?.len();
    let label = !tx.with::<Label>(None, vec![id.to_value()])?.is_empty();
    let closed = bead.status == Status::Closed;
    let (noted, ops) = (!bead.notes.is_empty(), if single { 1 } else { 2 });
    let stood = [true, label, remarks > 0, noted, remarks > 1, closed];
    Ok(stood.into_iter().filter(|stands| *stands).count() / ops)
}

fn put(held: &HeldLedger, db: &Db, group: &[Submission], now: i64) -> Fallible<()> {
    match held.commit(db, group, now)?.into_iter().find(Result::is_err) {
        Some(Err(refused)) => Err(refused.into()),
        _ => Ok(()),
    }
}
