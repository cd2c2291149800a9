//! A town in memory: a ledger, a doorman who believes every secret, and a running town that counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use gastown::gateway::books::Body;
use gastown::gateway::books::Books;
use gastown::gateway::books::BooksError;
use gastown::gateway::books::Doorman;
use gastown::gateway::books::Live;
use gastown::gateway::desk::Desk;
use gastown::messages::SubmitError;
use gastown::messages::door::Answer;
use gastown::messages::door::Call;
use gastown::messages::door::Control;
use gastown::messages::door::DoorError;
use gastown::messages::door::PROTOCOL;
use gastown::messages::door::Query;
use gastown::messages::door::Request;
use gastown::messages::door::Verify;
use gastown::messages::views::VerifyView;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ids::Identity;
use gastown::model::ids::RigName;
use gastown::model::ids::SessionId;
use gastown::model::ops;
use gastown::model::ops::Ctx;
use gastown::model::ops::Facts;
use gastown::model::ops::Keys;
use gastown::model::ops::NewBead;
use gastown::model::ops::Op;
use gastown::model::past::Commit;
use gastown::model::past::Moment;
use gastown::model::past::NoMoment;
use gastown::model::past::Point;
use gastown::model::query::BeadFilter;
use gastown::model::query::Counts;
use gastown::model::query::Linked;
use gastown::model::query::Stats;
use gastown::model::query::Way;
use gastown::model::rows::Bead;
use gastown::model::value::Name;
use gastown::sim::memory::MemoryDb;
use gastown::sim::memory_query;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::json;

/// 2026-01-01.
pub const T0: i64 = 1_767_225_600_000;

/// Databases in memory.
pub struct Memory {
    prefixes: Vec<(Db, String)>,
    dbs: Mutex<BTreeMap<Db, (MemoryDb, Keys)>>,
}

impl Memory {
    fn with<T>(&self, db: &Db, body: impl FnOnce(&mut MemoryDb) -> T) -> Result<T, BooksError> {
        let mut dbs = self.dbs.lock().unwrap();
        let (memory, _) =
            dbs.get_mut(db).ok_or_else(|| BooksError::Unavailable(format!("no {db}")))?;
        Ok(body(memory))
    }
}

impl Books for Memory {
    fn databases(&self) -> Vec<(Db, String)> {
        self.prefixes.clone()
    }

    fn submit(&self, db: &Db, actor: &str, ops: Vec<Op>) -> Result<Facts, SubmitError> {
        let mut dbs = self.dbs.lock().unwrap();
        let (memory, keys) = dbs.get_mut(db).unwrap();
        memory.begin();
        let mut facts = Facts::new();
        for op in &ops {
            let mut ctx = Ctx { now: T0, actor, db, keys };
            match ops::apply(memory, &mut ctx, op) {
                Ok(more) => facts.extend(more),
                Err(refused) => {
                    memory.rollback();
                    return Err(refused.into());
                }
            }
        }
        memory.commit();
        Ok(facts)
    }

    fn read(&self, db: &Db, body: Body<'_>) -> Result<(), BooksError> {
        Ok(self.with(db, |memory| body(memory))??)
    }

    fn moment(&self, _db: &Db, _point: &Point) -> Result<Moment, BooksError> {
        // Memory has a present and no history.
        Err(BooksError::NoMoment(NoMoment::Empty))
    }

    fn log(&self, _db: &Db, _limit: Option<usize>) -> Result<Vec<Commit>, BooksError> {
        Ok(Vec::new())
    }

    fn read_at(&self, db: &Db, commit: &str, _body: Body<'_>) -> Result<(), BooksError> {
        Err(BooksError::Unavailable(format!("{db} has no commit {commit}")))
    }

    fn list(&self, db: &Db, filter: &BeadFilter) -> Result<Vec<Bead>, BooksError> {
        Ok(self.with(db, |memory| memory_query::list(memory, filter))??)
    }

    fn labels(&self, db: &Db, ids: &[BeadId]) -> Result<BTreeMap<BeadId, Vec<Name>>, BooksError> {
        Ok(self.with(db, |memory| memory_query::labels_of(memory, ids))??)
    }

    fn counts(&self, db: &Db, ids: &[BeadId]) -> Result<BTreeMap<BeadId, Counts>, BooksError> {
        Ok(self.with(db, |memory| memory_query::counts_of(memory, ids))??)
    }

    fn linked(&self, db: &Db, ids: &[BeadId], way: Way) -> Result<Vec<Linked>, BooksError> {
        Ok(self.with(db, |memory| memory_query::linked(memory, ids, way))??)
    }

    fn stats(&self, db: &Db, now_ms: i64) -> Result<Stats, BooksError> {
        Ok(self.with(db, |memory| memory_query::stats(memory, now_ms))??)
    }

    fn lead_ms(&self, db: &Db) -> Result<Option<i64>, BooksError> {
        Ok(self.with(db, |memory| memory_query::lead_ms(memory))??)
    }
}

/// Secrets are `secret of SESSION`.
struct Trusting;

impl Doorman for Trusting {
    fn session_of(&self, token: &str) -> Option<SessionId> {
        token.strip_prefix("secret of ").map(SessionId::from)
    }
}

/// Writes down who did something.
#[derive(Default)]
pub struct Running {
    pub progress: Mutex<Vec<(BeadId, i64)>>,
}

impl Live for Running {
    fn progressed(&self, rig: &RigName, agent: &BeadId, incarnation: i64) {
        assert_eq!(rig.as_str(), "shop");
        self.progress.lock().unwrap().push((agent.clone(), incarnation));
    }

    fn control(&self, control: Control) -> Result<Value, DoorError> {
        Ok(json!({"asked": control}))
    }

    fn verify(&self, wanted: &Verify, actor: &str) -> Result<VerifyView, DoorError> {
        Err(DoorError::new("not_now", format!("{} for {actor}", wanted.head)))
    }

    fn stats(&self) -> Value {
        json!({"pid": 1})
    }
}

/// A desk over a town `t1` with rigs `shop` (`sh-`) and `ui` (`sh-ui-`), and in the shop a worker
/// `alpha` whose first session runs with `sh-work` on its hook.
pub struct Town {
    pub books: Arc<Memory>,
    pub live: Arc<Running>,
    pub desk: Desk,
}

pub const ALPHA: &str = "shop/polecats/alpha";
pub const TOKEN: &str = "secret of shop-polecats-alpha-1";

impl Town {
    pub fn new() -> Self {
        let names = [("hq", "hq"), ("shop", "sh"), ("ui", "sh-ui")];
        let prefixes = names.map(|(db, prefix)| (Db::from(db), prefix.to_owned())).to_vec();
        let fresh = |writer: i64| (MemoryDb::new(), Keys::new(writer, 0));
        let dbs = prefixes.iter().zip(0..).map(|((db, _), writer)| (db.clone(), fresh(writer)));
        let books = Arc::new(Memory { dbs: Mutex::new(dbs.collect()), prefixes });
        for (db, prefix) in books.databases() {
            books.put(&db, Op::SetMeta { name: Name::from("prefix"), value: prefix });
        }
        let shop = Db::from("shop");
        for who in [Identity::Mayor, Identity::Deacon] {
            books.put(&Db::hq(), Op::RegisterAgent { who });
        }
        let alpha = Identity::parse(ALPHA).unwrap();
        let agent = alpha.bead_id("sh").unwrap();
        books.put(&shop, Op::RegisterAgent { who: alpha });
        books.put(&shop, create("sh-work"));
        let bead = BeadId::from("sh-work");
        let beads = vec![bead.clone()];
        let order = Op::PlaceOrders { beads, worker: None, preset: None, convoy: None };
        books.put(&shop, order);
        let branch = "polecat/alpha-1".to_owned();
        books.put(&shop, Op::Assign { bead, agent: agent.clone(), branch });
        let session = SessionId::from("shop-polecats-alpha-1");
        books.put(&shop, Op::StartSession { agent, incarnation: 0, session });
        let live = Arc::new(Running::default());
        let desk =
            Desk::new(books.clone(), Some(live.clone()), Arc::new(Trusting), Some("t1".to_owned()));
        Self { books, live, desk }
    }

    /// Answers as the overseer, or with a token.
    pub fn send(&self, token: Option<&str>, request: Request) -> Result<Answer, DoorError> {
        self.desk.answer(&call(token, request), T0)
    }

    #[track_caller]
    pub fn ask<T: DeserializeOwned>(&self, token: Option<&str>, query: Query) -> T {
        let answer = self.send(token, Request::Read(query)).unwrap();
        serde_json::from_value(answer.result).unwrap()
    }

    pub fn write(&self, token: Option<&str>, db: &str, op: Op) -> Result<Facts, DoorError> {
        let request = Request::Write { db: Db::from(db), ops: vec![op] };
        self.send(token, request).map(|answer| answer.facts)
    }
}

impl Memory {
    /// Commits an op of the town itself.
    #[track_caller]
    pub fn put(&self, db: &Db, op: Op) -> Facts {
        self.submit(db, "overseer", vec![op]).unwrap()
    }
}

pub fn call(token: Option<&str>, request: Request) -> Call {
    Call {
        protocol: PROTOCOL,
        town: Some("t1".to_owned()),
        token: token.map(str::to_owned),
        actor: None,
        request,
    }
}

pub fn create(id: &str) -> Op {
    let title = format!("Title of {id}");
    Op::Create(NewBead { id: Some(BeadId::from(id)), title, ..NewBead::default() })
}
