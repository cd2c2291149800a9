//! One row of every type, with every optional cell once empty and once full.

use gastown::model::agent::AgentState;
use gastown::model::agent::Exit;
use gastown::model::agent::Work;
use gastown::model::bead::BeadType;
use gastown::model::bead::DepType;
use gastown::model::bead::Hold;
use gastown::model::bead::Status;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ids::Persistence;
use gastown::model::ids::RigName;
use gastown::model::ids::Role;
use gastown::model::learner::Learner;
use gastown::model::line::Freeze;
use gastown::model::mail::MailKind;
use gastown::model::mail::MailState;
use gastown::model::mail::Priority;
use gastown::model::merge::Cycle;
use gastown::model::merge::GateResult;
use gastown::model::merge::IntegrationState;
use gastown::model::merge::MrState;
use gastown::model::merge::Returned;
use gastown::model::merge::Touches;
use gastown::model::merge::Verdict;
use gastown::model::parcel::Parcel;
use gastown::model::rows::*;
use gastown::model::table::Row;
use gastown::model::tx::Tx;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;
use gastown::model::value::Value;

fn id(text: &str) -> BeadId {
    BeadId::from(text)
}

fn name(text: &str) -> Name {
    Name::from(text)
}

fn text() -> String {
    "a 'quoted' \"line\"\nand \\ % ` ü \u{1F600} \u{0} end".to_owned()
}

fn work() -> Work {
    let (bead, branch) = (id("gt-a"), "polecat/x-1".to_owned());
    Work { bead, branch, start: Some("a".repeat(40).into()), preset: None, exits: 2, tries: 1 }
}

fn beads(full: bool) -> Bead {
    let some = full.then_some(i64::MAX);
    Bead {
        seq: if full { i64::MAX } else { i64::MIN },
        id: id(if full { "gt-full" } else { "gt-bare" }),
        title: text(),
        description: "x".repeat(100_000),
        design: String::new(),
        acceptance_criteria: text(),
        notes: text(),
        status: Status::Hooked,
        priority: 4,
        issue_type: BeadType::MergeRequest,
        work: false,
        assignee: full.then(|| name("gt/polecats/x")),
        created_by: name("overseer"),
        created_at: 0,
        updated_at: -1,
        started_at: some,
        closed_at: some,
        close_reason: full.then(text),
        defer_until: some,
        due_at: some,
        estimated_minutes: some,
        external_ref: full.then(text),
        metadata: full.then(|| "{\"a\":1}".to_owned()),
        blocked: full,
        hold: Hold::Held { agent: id("gt-x"), incarnation: 3 },
        convoy: full.then(|| id("hq-c")),
        children: 7,
    }
}

fn agent(full: bool) -> Agent {
    Agent {
        id: id(if full { "gt-gt-polecat-x" } else { "hq-mayor" }),
        actor: name("gt/polecats/x"),
        role: Role::Polecat,
        role_bead: Role::Polecat.role_bead(),
        persistence: Persistence::PersistentIdentity,
        rig: full.then(|| RigName::from("gt")),
        name: name("x"),
        incarnation: 3,
        state: if full {
            AgentState::Working { work: work(), session: "gt-x-3".into() }
        } else {
            AgentState::Idle
        },
        hook_bead: full.then(|| id("gt-a")),
        updated_at: 5,
    }
}

fn session(full: bool) -> Session {
    Session {
        id: if full { "s-1" } else { "s-2" }.into(),
        agent: id("gt-x"),
        incarnation: 1,
        bead: full.then(|| id("gt-a")),
        token_hash: full.then(|| name("abc")),
        host: full.then(text),
        started_at: 1,
        ended_at: full.then_some(2),
        exit: full.then(|| Exit::NotStarted(text())),
    }
}

fn order(full: bool) -> Order {
    Order {
        bead: id(if full { "gt-1" } else { "gt-2" }),
        seq: 1,
        worker: full.then(|| name("x")),
        strict: full,
        preset: full.then(|| name("claude")),
        branch: full.then(text),
        start: full.then(|| "b".repeat(40).into()),
        tries: 3,
        placed_by: name("mayor"),
        placed_at: 9,
    }
}

fn merge_request(full: bool) -> MergeRequest {
    MergeRequest {
        seq: i64::from(full),
        id: id(if full { "gt-mr1" } else { "gt-mr2" }),
        bead: id("gt-a"),
        author: id("gt-x"),
        incarnation: 2,
        branch: "polecat/x".to_owned(),
        head: "c".repeat(40).into(),
        target: "main".to_owned(),
        priority: 0,
        state: MrState::Returned,
        verdict: full
            .then(|| Returned::Conflict { files: vec![text()], onto: "d".repeat(40).into() }),
        merge_commit: full.then(|| "e".repeat(40).into()),
        created_at: 1,
        decided_at: full.then_some(2),
        overtaken: i64::from(full),
        outranked: i64::from(full),
        hotfix: full,
        touches: full.then(|| Touches { files: 2, lines: 30, place: text() }),
    }
}

fn gate_run(full: bool) -> GateRun {
    let result = GateResult {
        name: "test".to_owned(),
        verdict: Verdict::CouldNotRun,
        reason: text(),
        log: "log".to_owned(),
        tail: text(),
    };
    GateRun {
        id: if full { "run-1" } else { "run-2" }.into(),
        commit_id: "f".repeat(40).into(),
        tree: "1".repeat(40).into(),
        gates: name("digest"),
        environment: full.then(|| name("environment")),
        asked_by: full.then(|| name("demo/polecats/ann")),
        verdict: full.then_some(Verdict::Failed),
        results: Results(if full { vec![result] } else { Vec::new() }),
        mrs: Ids(vec![id("gt-mr1"), id("gt-mr2")]),
        started_at: 1,
        ended_at: full.then_some(2),
    }
}

fn integration(full: bool) -> Integration {
    Integration {
        epic: id(if full { "gt-e1" } else { "gt-e2" }),
        branch: text(),
        target: "main".to_owned(),
        tip: "5".repeat(40).into(),
        state: IntegrationState::Landing,
        mr: full.then(|| id("gt-mr1")),
        forced: full.then(text),
        created_by: name("overseer"),
        created_at: 1,
        ended_at: full.then_some(2),
    }
}

fn escalation(full: bool) -> Escalation {
    Escalation {
        subject: name(if full { "s" } else { "t" }),
        condition: name("down"),
        id: id("hq-e"),
        raised_at: 1,
        cleared_at: full.then_some(2),
    }
}

fn nudge(full: bool) -> Nudge {
    let (sender, recipient) = (name("mayor"), name("gt/polecats/x"));
    let taken_at = full.then_some(3);
    Nudge { seq: i64::from(full), sender, recipient, text: text(), sent_at: 1, taken_at }
}

fn mail(full: bool) -> Mail {
    Mail {
        seq: i64::from(full),
        id: id("hq-m"),
        sender: name("mayor"),
        recipient: name("overseer"),
        kind: MailKind::ReworkRequest,
        priority: Priority::Urgent,
        thread: id("hq-m"),
        state: MailState::Archived,
        sent_at: 1,
        read_at: full.then_some(2),
    }
}

/// Calls a generic function with each sample.
macro_rules! each {
    ($tx:expr, $call:ident) => {
        for full in [false, true] {
            $call($tx, &beads(full));
            $call($tx, &agent(full));
            $call($tx, &session(full));
            $call($tx, &order(full));
            $call($tx, &merge_request(full));
            $call($tx, &gate_run(full));
            $call($tx, &escalation(full));
            $call($tx, &nudge(full));
            $call($tx, &mail(full));
            let convoy = id(if full { "hq-c1" } else { "hq-c2" });
            let landed_at = full.then_some(1);
            $call($tx, &Convoy { id: convoy.clone(), owner: name("mayor"), landed_at });
            let (bead, rig) = (id("gt-a"), RigName::from("gt"));
            $call($tx, &Member { convoy, bead, rig, closed: full });
            let parked = full.then(text);
            let rig = RigName::from(if full { "a" } else { "b" });
            let learner = full.then(Learner::default);
            let cycle = Cycle::Idle;
            let (by, reason) = (name("me"), text());
            let frozen = full.then(|| Freeze { by, at: 3, reason, allow: Some(0) });
            let queue = Queue { rig, cycle, cycles: 4, parked, retry_after: 0, learner, frozen };
            $call($tx, &queue);
        }
        let (a, b, me) = (id("gt-a"), id("gt-b"), name("me"));
        let dep = Dep {
            bead: a.clone(),
            target: b,
            dep_type: DepType::ConditionalBlocks,
            created_at: 1,
            created_by: me.clone(),
        };
        $call($tx, &dep);
        $call($tx, &Label { bead: a.clone(), label: name("ü x") });
        let (author, created_at) = (me.clone(), 1);
        $call($tx, &Comment { bead: a.clone(), seq: 1, author, text: text(), created_at });
        let (subject, op, detail) = (name("gt-a"), name("close"), text());
        $call($tx, &Change { subject, seq: 1, actor: me, op, detail, at: 1 });
        let landing = Landing {
            seq: 1,
            target: "main".to_owned(),
            base: "2".repeat(40).into(),
            tip: "3".repeat(40).into(),
            tree: "4".repeat(40).into(),
            run: "run-1".into(),
            mrs: Ids(vec![a.clone()]),
            landed_at: 1,
        };
        $call($tx, &landing);
        for full in [false, true] {
            $call($tx, &integration(full));
        }
        let parcel = Parcel::Watch { bead: a.clone(), db: Db::hq() };
        $call($tx, &Outbox { dst: Db::hq(), seq: 1, parcel });
        $call($tx, &Cursor { src: Db::hq(), seq: i64::MIN });
        $call($tx, &Shadow { id: a.clone(), db: Db::hq(), closed: true });
        $call($tx, &Watch { bead: a, db: Db::hq() });
        $call($tx, &DogRun { seq: 1, dog: name("reaper"), detail: text(), ran_at: 1 });
        $call($tx, &Counter { name: name("n"), value: -1 });
        $call($tx, &Meta { name: name("m"), value: text() });
    };
}

fn add<R: Row>(tx: &mut dyn Tx, row: &R) {
    tx.add(row).unwrap();
}

fn check<R: Row + PartialEq + std::fmt::Debug>(tx: &mut dyn Tx, row: &R) {
    let key: Vec<Value> = R::TABLE.key_of(&row.to_values());
    let found = tx.get(R::TABLE, &key).unwrap().unwrap_or_else(|| panic!("{row:?} is gone"));
    assert_eq!(&R::from_values(found).unwrap(), row);
}

/// Writes every sample.
pub fn add_all(tx: &mut dyn Tx) {
    each!(tx, add);
}

/// Reads every sample back, and that no table was left out.
pub fn check_all(tx: &mut dyn Tx) {
    each!(tx, check);
    for table in TABLES {
        let rows = tx.scan(table, &gastown::model::tx::Scan::default()).unwrap();
        assert!(!rows.is_empty(), "{} has no sample", table.name);
    }
}
