//! What the ledger's tests share.

use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::Ctx;
use gastown::model::ops::Facts;
use gastown::model::ops::Keys;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::ops::Refused;
use gastown::model::ops::apply;
use gastown::model::rows::Bead;
use gastown::model::rows::Meta;
use gastown::model::rows::TABLES;
use gastown::model::table::Row;
use gastown::model::tx::Scan;
use gastown::model::tx::Tx;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;
use gastown::model::value::Value;
use gastown::sim::memory::MemoryDb;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::writer::Submission;
use gastown::store::writer::Writer;
use proptest::prelude::ProptestConfig;

/// So many random cases. A failure prints its smallest case; nothing is written beside the sources.
pub fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}

/// 2026-01-01.
pub const T0: i64 = 1_767_225_600_000;

/// A town with an empty database of a rig, in files, and its directory: for what is about files.
pub fn town() -> (tempfile::TempDir, Ledger, Db) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), Settings::default());
    let db = Db::from("shop");
    ledger.create_db(&db).unwrap();
    (dir, ledger, db)
}

/// One op of one actor.
pub fn one(actor: &str, op: Op) -> Submission {
    Submission { actor: actor.to_owned(), ops: vec![op] }
}

pub fn set_prefix() -> Op {
    Op::SetMeta { name: Name::from("prefix"), value: "sh".to_owned() }
}

pub fn create(id: &str) -> Op {
    Op::Create(NewBead {
        id: Some(BeadId::from(id)),
        title: format!("Title of {id}"),
        ..NewBead::default()
    })
}

/// Longest wait for a lock, in milliseconds: a process that another test starts has a copy of it for
/// a moment.
pub const LOCK_MS: u64 = 5_000;

/// A writer whose database has its prefix.
pub fn writer(ledger: &Ledger, db: &Db) -> Writer {
    let mut writer = ledger.writer(db, "test", LOCK_MS).unwrap();
    commit(&mut writer, set_prefix());
    writer
}

pub fn commit(writer: &mut Writer, op: Op) {
    let answers = writer.commit_group(&[one("overseer", op)], T0).unwrap();
    assert!(answers[0].is_ok(), "{answers:?}");
}

/// Every row of every table. Rows of the store's own keeping are left out.
pub fn dump(tx: &mut dyn Tx) -> Vec<(&'static str, Vec<Vec<Value>>)> {
    TABLES
        .iter()
        .map(|table| {
            let mut rows = tx.scan(table, &Scan::default()).unwrap();
            if table.name == Meta::TABLE.name {
                rows.retain(|row| !matches!(&row[0], Value::Text(n) if n.starts_with("store.")));
            }
            (table.name, rows)
        })
        .collect()
}

pub fn bead(ledger: &Ledger, db: &Db, id: &str) -> Option<Bead> {
    ledger.read(db, |tx| tx.find::<Bead>("by_id", &BeadId::from(id)).unwrap()).unwrap()
}

/// The in-memory twin of a writer.
pub struct Twin {
    pub memory: MemoryDb,
    keys: Keys,
    db: Db,
}

impl Twin {
    pub fn new(db: &Db) -> Self {
        Self { memory: MemoryDb::new(), keys: Keys::new(0, 0), db: db.clone() }
    }

    pub fn commit_group(&mut self, group: &[Submission], now: i64) -> Vec<Result<Facts, Refused>> {
        self.memory.begin();
        let mut answers = Vec::new();
        for submission in group {
            let mark = self.memory.savepoint();
            let mut facts = Facts::new();
            let mut refused = None;
            for op in &submission.ops {
                let (actor, keys) = (submission.actor.as_str(), &mut self.keys);
                let mut ctx = Ctx { now, actor, db: &self.db, keys };
                match apply(&mut self.memory, &mut ctx, op) {
                    Ok(more) => facts.extend(more),
                    Err(error) => {
                        refused = Some(error);
                        break;
                    }
                }
            }
            if refused.is_some() {
                self.memory.rollback_to(mark);
            }
            answers.push(refused.map_or(Ok(facts), Err));
        }
        if self.memory.commit() {
            // The store uses up one key for its commit message.
            self.keys.next(now);
        }
        answers
    }
}
