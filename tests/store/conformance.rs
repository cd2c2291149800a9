//! The five verbs, savepoints and rollbacks: both engines give the same answers.

use std::cell::RefCell;

use gastown::model::rows::TABLES;
use gastown::model::table::Table;
use gastown::model::tx::Scan;
use gastown::model::tx::Tx;
use gastown::model::tx::TxError;
use gastown::model::value::KEY_MAX;
use gastown::model::value::Kind;
use gastown::model::value::Value;
use gastown::sim::memory::MemoryDb;
use gastown::store::conn::CommitInfo;
use gastown::store::conn::Intent;
use gastown::store::sql_tx::SqlTx;
use proptest::collection::vec;
use proptest::prelude::*;

use super::home::Home;
use super::home::both_engines;
use super::support::dump;

both_engines!(
    random_verbs_in_one_transaction_answer_alike,
    random_transactions_that_commit_or_roll_back_leave_the_same_rows,
    a_reader_refuses_changes,
    tables_have_the_columns_of_their_descriptors,
);

#[derive(Clone, Debug)]
enum Verb {
    Get(usize, Vec<u8>),
    Insert(usize, Vec<u8>),
    Update(usize, Vec<u8>),
    Delete(usize, Vec<u8>),
    Scan {
        table: usize,
        index: u8,
        seeds: Vec<u8>,
        len: u8,
        after: bool,
        limit: u8,
        rev: bool,
    },
    /// A savepoint that is kept or undone.
    Nest(Vec<Verb>, bool),
}

/// Tables of all shapes: one integer key, text keys, all key, unique and plain indexes, ephemeral.
const SHAPES: &[&str] =
    &["beads", "dependencies", "labels", "mails", "nudges", "merge_requests", "escalations"];

fn table(at: usize) -> &'static Table {
    let name = SHAPES[at % SHAPES.len()];
    TABLES.iter().find(|table| table.name == name).unwrap()
}

/// Few values, so that keys and unique values collide; odd ones, so that order is tested.
fn value(kind: Kind, nullable: bool, seed: u8) -> Value {
    // Order, case, ends, forms of one letter, what SQL and its clients escape.
    const TEXTS: &[&str] = &[
        "",
        "a",
        "A",
        "ab",
        "a\u{0}b",
        "b",
        "é",
        "e\u{301}",
        "É",
        "ß",
        "ss",
        "\u{1F600}",
        "~",
        "10",
        "9",
        "a.b",
        "a/b",
        "a ",
        " a",
        " ",
        "a\n",
        "\\",
        "\\0",
        "'",
        "\"",
        "`",
        "%",
        "_",
        "?",
        "NULL",
        "\u{feff}",
        "\u{10ffff}",
        "ﬀ",
        "İ",
    ];
    const INTS: &[i64] = &[0, 1, -1, 2, 10, 1 << 53 | 1, i64::MAX, i64::MIN];
    let seed = usize::from(seed);
    if nullable && seed % 4 == 0 {
        return Value::Null;
    }
    match kind {
        Kind::Int => Value::Int(INTS[seed % INTS.len()]),
        Kind::Key | Kind::Text => {
            // One of the longest that a key takes, and one that is too long for it.
            let long = |letters| Value::Text("é".repeat(letters));
            match seed % (TEXTS.len() + 2) {
                at if at < TEXTS.len() => Value::Text(TEXTS[at].to_owned()),
                at if at == TEXTS.len() => long(KEY_MAX),
                _ => long(KEY_MAX + 1),
            }
        }
    }
}

fn row(table: &Table, seeds: &[u8]) -> Vec<Value> {
    let cells = table.columns.iter().zip(seeds.iter().cycle());
    cells.map(|(column, seed)| value(column.kind, column.nullable, *seed)).collect()
}

fn scan(table: &Table, verb: &Verb) -> Scan {
    let Verb::Scan { index, seeds, len, after, limit, rev, .. } = verb else { unreachable!() };
    let index = match usize::from(*index) % (table.indexes.len() + 1) {
        0 => None,
        at => Some(&table.indexes[at - 1]),
    };
    let columns: Vec<&str> =
        index.map_or(&[][..], |i| i.columns).iter().chain(table.key).copied().collect();
    let cells: Vec<Value> = columns
        .iter()
        .zip(seeds.iter().cycle())
        .map(|(name, seed)| {
            let column = &table.columns[table.position(name)];
            value(column.kind, column.nullable, *seed)
        })
        .collect();
    // One too many is also asked: both must refuse.
    let len = usize::from(*len) % (columns.len() + 1);
    Scan {
        index: index.map(|i| i.name),
        prefix: cells[..len].to_vec(),
        after: after.then(|| cells[len % cells.len()].clone()),
        limit: (*limit < 6).then_some(usize::from(*limit)),
        reverse: *rev,
    }
}

fn verbs() -> impl Strategy<Value = Vec<Verb>> {
    let seeds = || vec(any::<u8>(), 30);
    let leaf = prop_oneof![
        1 => (0..9usize, seeds()).prop_map(|(t, s)| Verb::Get(t, s)),
        5 => (0..9usize, seeds()).prop_map(|(t, s)| Verb::Insert(t, s)),
        3 => (0..9usize, seeds()).prop_map(|(t, s)| Verb::Update(t, s)),
        2 => (0..9usize, seeds()).prop_map(|(t, s)| Verb::Delete(t, s)),
        5 => (0..9usize, any::<u8>(), seeds(), any::<u8>(), any::<bool>(), 0..9u8, any::<bool>())
            .prop_map(|(table, index, seeds, len, after, limit, rev)| {
                Verb::Scan { table, index, seeds, len, after, limit, rev }
            }),
    ];
    let nest = (vec(leaf.clone(), 1..12), any::<bool>()).prop_map(|(v, keep)| Verb::Nest(v, keep));
    vec(prop_oneof![4 => leaf, 1 => nest], 1..40)
}

#[derive(Debug, PartialEq)]
enum Answer {
    Row(Result<Option<Vec<Value>>, TxError>),
    Done(Result<(), TxError>),
    Gone(Result<bool, TxError>),
    Rows(Result<Vec<Vec<Value>>, TxError>),
}

fn run(tx: &mut dyn Tx, verb: &Verb) -> Answer {
    match verb {
        Verb::Get(t, seeds) => {
            let key = table(*t).key_of(&row(table(*t), seeds));
            Answer::Row(tx.get(table(*t), &key))
        }
        Verb::Insert(t, seeds) => Answer::Done(tx.insert(table(*t), row(table(*t), seeds))),
        Verb::Update(t, seeds) => Answer::Done(tx.update(table(*t), row(table(*t), seeds))),
        Verb::Delete(t, seeds) => {
            let key = table(*t).key_of(&row(table(*t), seeds));
            Answer::Gone(tx.delete(table(*t), &key))
        }
        Verb::Scan { table: t, .. } => Answer::Rows(tx.scan(table(*t), &scan(table(*t), verb))),
        Verb::Nest(..) => unreachable!("nested by the caller"),
    }
}

fn run_memory(memory: &mut MemoryDb, verbs: &[Verb]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for verb in verbs {
        if let Verb::Nest(inner, keep) = verb {
            let mark = memory.savepoint();
            answers.extend(inner.iter().map(|verb| run(memory, verb)));
            if !keep {
                memory.rollback_to(mark);
            }
        } else {
            answers.push(run(memory, verb));
        }
    }
    answers
}

fn run_sql(tx: &mut SqlTx<'_>, verbs: &[Verb]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for verb in verbs {
        if let Verb::Nest(inner, keep) = verb {
            let done = tx.attempt(|tx| {
                let inner: Vec<Answer> = inner.iter().map(|verb| run(tx, verb)).collect();
                if *keep { Ok(inner) } else { Err(inner) }
            });
            answers.extend(match done.unwrap() {
                Ok(inner) | Err(inner) => inner,
            });
        } else {
            answers.push(run(tx, verb));
        }
    }
    assert_eq!(tx.failure(), None);
    answers
}

fn random_verbs_in_one_transaction_answer_alike(home: &Home) {
    let (_ledger, db) = home.town();
    let conn = RefCell::new(home.conn(&db));
    proptest!(home.cases(200, 60), |(verbs in verbs())| {
        let mut conn = conn.borrow_mut();
        // A case that failed before left its transaction open.
        conn.rollback().unwrap();
        conn.begin(Intent::Write).unwrap();
        let mut tx = SqlTx::new(conn.as_mut());
        let mut memory = MemoryDb::new();
        memory.begin();
        let (sql, twin) = (run_sql(&mut tx, &verbs), run_memory(&mut memory, &verbs));
        prop_assert_eq!(sql, twin);
        prop_assert_eq!(dump(&mut tx), dump(&mut memory));
        conn.rollback().unwrap();
        memory.rollback();
        prop_assert!(dump(&mut memory).iter().all(|(_, rows)| rows.is_empty()));
    });
}

fn random_transactions_that_commit_or_roll_back_leave_the_same_rows(home: &Home) {
    let (_ledger, db) = home.town();
    let state = RefCell::new((home.conn(&db), MemoryDb::new()));
    proptest!(home.cases(60, 30), |(verbs in verbs(), keep in any::<bool>())| {
        let (conn, memory) = &mut *state.borrow_mut();
        conn.begin(Intent::Write).unwrap();
        let mut tx = SqlTx::new(conn.as_mut());
        memory.begin();
        prop_assert_eq!(run_sql(&mut tx, &verbs), run_memory(memory, &verbs));
        if keep {
            let info = CommitInfo { message: "x", author: "x <x@x>", date_ms: Some(0) };
            conn.commit(&info).unwrap();
            memory.commit();
        } else {
            conn.rollback().unwrap();
            memory.rollback();
        }
        let mut other = home.conn(&db);
        prop_assert_eq!(dump(&mut SqlTx::reader(other.as_mut())), dump(memory));
    });
}

fn a_reader_refuses_changes(home: &Home) {
    let (_ledger, db) = home.town();
    let mut conn = home.conn(&db);
    conn.begin(Intent::Read).unwrap();
    let mut tx = SqlTx::reader(conn.as_mut());
    let insert = tx.insert(table(0), row(table(0), &[1]));
    assert!(matches!(insert, Err(TxError::Engine(text)) if text.contains("only reads")));
}

fn tables_have_the_columns_of_their_descriptors(home: &Home) {
    let (_ledger, db) = home.town();
    let mut conn = home.conn(&db);
    for table in TABLES {
        let name = Value::Text(table.name.to_owned());
        let found = conn.query(conn.dialect().columns, &[name]).unwrap();
        let wanted: Vec<Vec<Value>> =
            table.columns.iter().map(|c| vec![Value::Text(c.name.to_owned())]).collect();
        assert_eq!(found, wanted, "{}", table.name);
    }
}
