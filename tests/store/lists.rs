//! Lists, counts and statistics: the SQL means what the model says.

use std::collections::BTreeMap;

use gastown::model::bead::BeadType;
use gastown::model::bead::DepType;
use gastown::model::bead::Hold;
use gastown::model::bead::Status;
use gastown::model::ids::BeadId;
use gastown::model::query::BeadFilter;
use gastown::model::query::Sort;
use gastown::model::query::Way;
use gastown::model::rows::Bead;
use gastown::model::rows::Comment;
use gastown::model::rows::Dep;
use gastown::model::rows::Label;
use gastown::model::tx::Tx;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;
use gastown::sim::memory::MemoryDb;
use gastown::sim::memory_query;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Intent;
use gastown::store::query;
use gastown::store::sql_tx::SqlTx;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::sample::subsequence;

use super::home::Home;
use super::home::both_engines;

both_engines!(
    sql_answers_as_the_model_does,
    titles_are_searched_alike,
    every_row_type_comes_back_as_it_was_written,
);

const NOW: i64 = 1000;
const TITLES: &[&str] = &["Fix the Door", "fix 100% of it", "a_b", "Ärger", "", "door"];
const LABELS: &[&str] = &["ui", "db", "later"];

fn ids() -> Vec<BeadId> {
    ["gt-a", "gt-a.1", "gt-a.1.2", "gt-ab", "gt-ab.1", "gt-b", "gt-c", "gt-a/x"]
        .map(BeadId::from)
        .to_vec()
}

/// A row by hand: ops would not reach every combination.
fn bead(seq: i64, id: BeadId, pick: &[u8]) -> Bead {
    let at = |n: usize| usize::from(pick[n]);
    let status = Status::ALL[at(0) % Status::ALL.len()];
    let holds = [
        Hold::Free,
        Hold::Free,
        Hold::Held { agent: BeadId::from("gt-x"), incarnation: 2 },
        Hold::Merged { commit: "0".repeat(40).into() },
    ];
    Bead {
        seq,
        title: TITLES[at(1) % TITLES.len()].to_owned(),
        description: String::new(),
        design: String::new(),
        acceptance_criteria: String::new(),
        notes: String::new(),
        // Half of all are open, so that ready work is not rare.
        status: if at(2) % 2 == 0 { Status::Open } else { status },
        priority: i64::try_from(at(3) % 5).unwrap(),
        issue_type: BeadType::ALL[at(4) % BeadType::ALL.len()],
        work: BeadType::ALL[at(4) % BeadType::ALL.len()].is_work(),
        assignee: (at(5) % 2 == 0).then(|| Name(format!("who-{}", at(5) % 3))),
        created_by: Name::from("me"),
        created_at: i64::try_from(at(6)).unwrap(),
        updated_at: i64::try_from(at(7)).unwrap(),
        started_at: None,
        closed_at: (at(8) % 2 == 0).then(|| i64::try_from(at(8)).unwrap() * 3),
        close_reason: None,
        defer_until: [None, None, Some(NOW - 1), Some(NOW), Some(NOW + 1)][at(9) % 5],
        due_at: None,
        estimated_minutes: None,
        external_ref: None,
        metadata: None,
        blocked: at(10) % 4 == 0,
        hold: holds[at(11) % holds.len()].clone(),
        convoy: None,
        children: 0,
        id,
    }
}

fn filter() -> impl Strategy<Value = BeadFilter> {
    let names = |max| {
        let all: Vec<Name> = LABELS.iter().map(|label| Name::from(*label)).collect();
        subsequence(all, 0..=max)
    };
    let sparse = |share| prop::bool::weighted(share);
    let lists = (
        prop_oneof![3 => Just(Vec::new()), 1 => subsequence(Status::ALL.to_vec(), 1..4)],
        prop_oneof![3 => Just(Vec::new()), 1 => subsequence(BeadType::ALL.to_vec(), 1..9)],
        prop_oneof![3 => Just(Vec::new()), 1 => names(2)],
        prop_oneof![3 => Just(Vec::new()), 1 => names(3)],
        prop_oneof![3 => Just(Vec::new()), 1 => subsequence(ids(), 1..5)],
    );
    let numbers = (
        option::weighted(0.1, 0..5i64),
        option::weighted(0.2, 0..5i64),
        option::weighted(0.2, 0..5i64),
        option::weighted(0.5, prop_oneof![8 => 0..9usize, 1 => Just(usize::MAX)]),
    );
    let rest = (
        option::weighted(0.2, (0..3u8).prop_map(|n| Name(format!("who-{n}")))),
        sparse(0.2),
        option::weighted(0.2, select(ids())),
        option::weighted(0.2, select(vec!["DOOR", "%", "_", "", "ä", "x"])),
        sparse(0.4),
        sparse(0.4),
        select(Sort::ALL.to_vec()),
        any::<bool>(),
        sparse(0.2),
    );
    (lists, numbers, rest).prop_map(|(lists, numbers, rest)| BeadFilter {
        statuses: lists.0,
        types: lists.1,
        labels: lists.2,
        label_any: lists.3,
        ids: lists.4,
        priority: numbers.0,
        priority_min: numbers.1,
        priority_max: numbers.2,
        limit: numbers.3,
        assignee: rest.0,
        unassigned: rest.1,
        parent: rest.2,
        title_contains: rest.3.map(str::to_owned),
        include_closed: rest.4,
        ready: rest.5,
        sort: rest.6,
        reverse: rest.7,
        blocked: rest.8,
        now_ms: NOW,
    })
}

type Edge = (usize, usize, usize);

fn fill(tx: &mut dyn Tx, picks: &[Vec<u8>], edges: &[Edge]) {
    let ids = ids();
    for (seq, (id, pick)) in (1..).zip(ids.iter().zip(picks)) {
        tx.add(&bead(seq, id.clone(), pick)).unwrap();
        for (n, label) in LABELS.iter().enumerate() {
            if pick[12] >> n & 1 == 1 {
                tx.add(&Label { bead: id.clone(), label: Name::from(*label) }).unwrap();
            }
        }
        for n in 0..i64::from(pick[13] % 3) {
            let author = Name::from("me");
            let text = "well".to_owned();
            tx.add(&Comment { bead: id.clone(), seq: n, author, text, created_at: 0 }).unwrap();
        }
    }
    let kinds = DepType::ALL;
    let edges: BTreeMap<(usize, usize), usize> =
        edges.iter().map(|(from, to, kind)| ((*from, *to), *kind)).collect();
    for ((from, to), kind) in edges {
        // The last target is a bead that does not live here.
        let target = ids.get(to).cloned().unwrap_or_else(|| BeadId::from("other-1"));
        let dep_type = kinds[kind % kinds.len()];
        let created_by = Name::from("me");
        tx.add(&Dep { bead: ids[from].clone(), target, dep_type, created_at: 0, created_by })
            .unwrap();
    }
}

fn sql_answers_as_the_model_does(home: &Home) {
    let (_ledger, db) = home.town();
    let conn = std::cell::RefCell::new(home.conn(&db));
    let picks = vec(vec(any::<u8>(), 14), 8);
    let edges = vec((0..8usize, 0..9usize, 0..20usize), 0..12);
    let given = (picks, edges, vec(filter(), 1..12), subsequence(ids(), 0..8));
    proptest!(home.cases(150, 60), |((picks, edges, filters, asked) in given)| {
        let conn = &mut **conn.borrow_mut();
        conn.rollback().unwrap();
        conn.begin(Intent::Write).unwrap();
        let mut memory = MemoryDb::new();
        fill(&mut SqlTx::new(conn), &picks, &edges);
        fill(&mut memory, &picks, &edges);
        for filter in &filters {
            let (sql, model) = (query::list(conn, filter), memory_query::list(&mut memory, filter));
            prop_assert_eq!(sql.unwrap(), model.unwrap(), "{:?}", filter);
        }
        let sql = query::stats(conn, NOW).unwrap();
        prop_assert_eq!(sql, memory_query::stats(&mut memory, NOW).unwrap());
        let sql = query::lead_ms(conn).unwrap();
        prop_assert_eq!(sql, memory_query::lead_ms(&mut memory).unwrap());
        let sql = query::labels_of(conn, &asked).unwrap();
        prop_assert_eq!(sql, memory_query::labels_of(&mut memory, &asked).unwrap());
        let sql = query::counts_of(conn, &asked).unwrap();
        prop_assert_eq!(sql, memory_query::counts_of(&mut memory, &asked).unwrap());
        for way in [Way::Up, Way::Down] {
            let sql = query::linked(conn, &asked, way).unwrap();
            prop_assert_eq!(sql, memory_query::linked(&mut memory, &asked, way).unwrap());
        }
        conn.rollback().unwrap();
    });
}

/// Letters beyond ASCII are as they are written; nothing in a needle is a pattern.
fn titles_are_searched_alike(home: &Home) {
    const NEEDLES: &[&str] =
        &["ä", "Ä", "ärger", "ÄRGER", "rger", "DOOR", "100%", "%", "_", "A_B", "\\", "'", " "];
    let (_ledger, db) = home.town();
    let mut conn = home.conn(&db);
    conn.begin(Intent::Write).unwrap();
    let mut memory = MemoryDb::new();
    let pick = |at: usize| {
        let mut pick = [0_u8; 14];
        pick[1] = u8::try_from(at).unwrap();
        pick.to_vec()
    };
    let picks: Vec<Vec<u8>> = (0..ids().len()).map(pick).collect();
    fill(&mut SqlTx::new(conn.as_mut()), &picks, &[]);
    fill(&mut memory, &picks, &[]);
    let mut found = 0;
    for needle in NEEDLES {
        let title_contains = Some((*needle).to_owned());
        let filter = BeadFilter { title_contains, now_ms: NOW, ..BeadFilter::list() };
        let sql = query::list(conn.as_mut(), &filter).unwrap();
        found += sql.len();
        assert_eq!(sql, memory_query::list(&mut memory, &filter).unwrap(), "{needle}");
    }
    assert!(found > NEEDLES.len(), "{found}");
}

fn every_row_type_comes_back_as_it_was_written(home: &Home) {
    let (_ledger, db) = home.town();
    let mut conn = home.conn(&db);
    conn.begin(Intent::Write).unwrap();
    super::samples::add_all(&mut SqlTx::new(conn.as_mut()));
    let info = CommitInfo { message: "x", author: "x <x@x>", date_ms: Some(NOW) };
    conn.commit(&info).unwrap();
    drop(conn);
    super::samples::check_all(&mut SqlTx::reader(home.conn(&db).as_mut()));
}
