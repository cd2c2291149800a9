//! A ledger in memory behind the port of the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use gastown::model::ids::Db;
use gastown::model::ops::Ctx;
use gastown::model::ops::Facts;
use gastown::model::ops::Keys;
use gastown::model::ops::Op;
use gastown::model::ops::apply;
use gastown::model::tx::Tx;
use gastown::sim::memory::MemoryDb;
use gastown::store::error::GroupError;
use gastown::store::error::StoreError;
use gastown::store::port::Port;
use gastown::store::writer::Answers;
use gastown::store::writer::Submission;

struct Shelf {
    memory: MemoryDb,
    keys: Keys,
}

/// Every database, made at its first use.
#[derive(Default)]
pub struct MemoryPort(Mutex<BTreeMap<Db, Shelf>>);

impl MemoryPort {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Commits ops that must not be refused.
    pub fn write(&self, db: &Db, ops: Vec<Op>, now: i64) {
        let group = [Submission { actor: "overseer".to_owned(), ops }];
        let answers = self.commit(db, &group, now).unwrap();
        assert!(answers[0].is_ok(), "{answers:?}");
    }

    /// Looks at a database.
    pub fn look<T>(&self, db: &Db, body: impl FnOnce(&mut MemoryDb) -> T) -> T {
        let mut shelves = self.0.lock().unwrap();
        body(&mut shelf(&mut shelves, db).memory)
    }
}

fn shelf<'a>(shelves: &'a mut BTreeMap<Db, Shelf>, db: &Db) -> &'a mut Shelf {
    shelves
        .entry(db.clone())
        .or_insert_with(|| Shelf { memory: MemoryDb::new(), keys: Keys::new(0, 0) })
}

impl Port for MemoryPort {
    fn commit(&self, db: &Db, group: &[Submission], now: i64) -> Result<Answers, GroupError> {
        let mut shelves = self.0.lock().unwrap();
        let Shelf { memory, keys } = shelf(&mut shelves, db);
        memory.begin();
        let answers = group.iter().map(|submission| {
            let mark = memory.savepoint();
            let mut ctx = Ctx { now, actor: &submission.actor, db, keys };
            let mut facts = Facts::new();
            for op in &submission.ops {
                match apply(memory, &mut ctx, op) {
                    Ok(more) => facts.extend(more),
                    Err(refused) => {
                        memory.rollback_to(mark);
                        return Err(refused);
                    }
                }
            }
            Ok(facts)
        });
        let answers = answers.collect();
        memory.commit();
        Ok(answers)
    }

    fn read(&self, db: &Db, body: &mut dyn FnMut(&mut dyn Tx)) -> Result<(), StoreError> {
        self.look(db, |memory| body(memory));
        Ok(())
    }
}
