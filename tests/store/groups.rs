//! Groups: what stands, what is refused, what is written, and what a crash leaves.

use std::sync::Arc;

use gastown::model::bead::DepType;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::Op;
use gastown::model::ops::Refused;
use gastown::model::rows::Bead;
use gastown::model::rows::Nudge;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;
use gastown::model::value::Value;
use gastown::store::conn::ConnError;
use gastown::store::ledger::Ledger;
use gastown::store::ledger::Settings;
use gastown::store::writer::Settled;
use gastown::store::writer::Submission;
use proptest::collection::vec;
use proptest::prelude::*;

use super::home::Home;
use super::home::both_engines;
use super::support::T0;
use super::support::Twin;
use super::support::bead;
use super::support::commit;
use super::support::create;
use super::support::dump;
use super::support::one;
use super::support::set_prefix;
use super::support::writer;

both_engines!(
    a_refused_submission_leaves_nothing_and_the_others_stand,
    a_group_of_several_actors_is_the_stores_own,
    a_group_that_changes_nothing_appends_no_byte,
    ephemeral_rows_are_kept_without_a_commit,
    what_was_not_committed_is_gone_after_reopening,
    a_commit_from_outside_is_not_mistaken_for_the_own_group,
    keys_never_go_back_even_when_the_clock_does_and_rows_are_gone,
    readers_on_other_threads_see_whole_groups,
    random_groups_answer_alike_on_both_engines,
);

fn history(ledger: &Ledger, db: &Db) -> Vec<(String, String)> {
    let rows = ledger
        .query(db, |conn| conn.query("SELECT committer, message FROM dolt_log", &[]))
        .unwrap();
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    rows.iter().map(|row| (text(&row[0]), text(&row[1]))).collect()
}

fn a_refused_submission_leaves_nothing_and_the_others_stand(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    let group = [
        one("overseer", create("sh-a")),
        Submission { actor: "mayor".to_owned(), ops: vec![create("sh-b"), create("sh-a")] },
        one("overseer", create("sh-c")),
    ];
    let answers = writer.commit_group(&group, T0).unwrap();
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(matches!(&answers[1], Err(Refused::Exists(id)) if id == "sh-a"), "{answers:?}");
    assert!(bead(&ledger, &db, "sh-a").is_some());
    assert!(bead(&ledger, &db, "sh-b").is_none());
    assert!(bead(&ledger, &db, "sh-c").is_some());
    let (author, message) = history(&ledger, &db).swap_remove(0);
    assert_eq!(author, "overseer", "a refused actor is no author");
    assert!(message.starts_with("create x2 by overseer\n"), "{message}");
}

fn a_group_of_several_actors_is_the_stores_own(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    let evil = "x> <y\n\0";
    let group = [one("shop/polecats/toast", create("sh-a")), one(evil, create("sh-b"))];
    writer.commit_group(&group, T0).unwrap();
    writer.commit_group(&[one(evil, create("sh-c"))], T0).unwrap();
    writer.commit_group(&[one("shop/polecats/toast", create("sh-d"))], T0).unwrap();
    let history = history(&ledger, &db);
    assert_eq!(history[0].0, "shop/polecats/toast");
    assert_eq!(history[1].0, "x y");
    assert_eq!(history[2].0, "gt-store");
    let line = history[2].1.lines().next().unwrap();
    assert_eq!(line, "create by shop/polecats/toast, create by x y");
}

fn a_group_that_changes_nothing_appends_no_byte(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    commit(&mut writer, create("sh-a"));
    let (head, before) = (writer.head().to_owned(), home.bytes(&ledger, &db));
    let group: Vec<Submission> = (0..5).map(|_| one("overseer", create("sh-a"))).collect();
    let answers = writer.commit_group(&group, T0 + 1).unwrap();
    assert!(answers.iter().all(Result::is_err));
    // This one is refused after its first write.
    let late = Submission { ops: vec![create("sh-b"), create("sh-a")], ..group[0].clone() };
    assert!(writer.commit_group(&[late], T0 + 1).unwrap()[0].is_err());
    assert!(writer.commit_group(&[], T0 + 2).unwrap().is_empty());
    assert!(writer.commit_group(&[one("overseer", set_prefix())], T0 + 3).unwrap()[0].is_ok());
    assert_eq!(home.bytes(&ledger, &db), before);
    assert_eq!(writer.head(), head);
}

fn ephemeral_rows_are_kept_without_a_commit(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    let before = history(&ledger, &db).len();
    let nudge = Op::SendNudge { to: Name::from("mayor"), text: "look".to_owned() };
    let answers = writer.commit_group(&[one("overseer", nudge)], T0).unwrap();
    assert!(answers[0].is_ok(), "{answers:?}");
    drop(writer);
    let again = home.ledger(Settings::default());
    let nudges: Vec<Nudge> =
        again.read(&db, |tx| tx.rows::<Nudge>(&Scan::default()).unwrap()).unwrap();
    assert_eq!(nudges.len(), 1);
    assert_eq!(history(&again, &db).len(), before);
}

fn what_was_not_committed_is_gone_after_reopening(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    commit(&mut writer, create("sh-a"));
    drop(writer);
    let _ = ledger.query(&db, |conn| -> Result<(), ConnError> {
        conn.execute("DELETE FROM beads", &[])?;
        // The connection is dropped with its transaction open.
        Err(ConnError::Other("crash".to_owned()))
    });
    let mut writer = ledger.writer(&db, "test", 0).unwrap();
    assert!(bead(&ledger, &db, "sh-a").is_some());
    commit(&mut writer, create("sh-b"));
    assert!(bead(&ledger, &db, "sh-b").is_some());
}

fn a_commit_from_outside_is_not_mistaken_for_the_own_group(home: &Home) {
    let (ledger, db) = home.town();
    let mut writer = writer(&ledger, &db);
    assert_eq!(writer.settle().unwrap(), Settled::Absent);
    ledger.query(&db, |conn| conn.call("dolt_commit", &["--allow-empty", "-m", "x"])).unwrap();
    assert_eq!(writer.settle().unwrap(), Settled::Absent, "it is nobody's group");
    commit(&mut writer, create("sh-a"));
    assert!(bead(&ledger, &db, "sh-a").is_some());
}

fn keys_never_go_back_even_when_the_clock_does_and_rows_are_gone(home: &Home) {
    let (ledger, db) = home.town();
    let mut first = writer(&ledger, &db);
    commit(&mut first, create("sh-a"));
    let last = bead(&ledger, &db, "sh-a").unwrap().seq;
    commit(&mut first, Op::Delete { id: BeadId::from("sh-a") });
    drop(first);
    let mut second = ledger.writer(&db, "test", 0).unwrap();
    let answers = second.commit_group(&[one("overseer", create("sh-b"))], T0 - 3_600_000).unwrap();
    assert!(answers[0].is_ok());
    assert!(bead(&ledger, &db, "sh-b").unwrap().seq > last);
}

fn readers_on_other_threads_see_whole_groups(home: &Home) {
    let (ledger, db) = home.town();
    let ledger = Arc::new(ledger);
    let mut writer = writer(&ledger, &db);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (ledger, db) = (Arc::clone(&ledger), db.clone());
            std::thread::spawn(move || {
                let mut seen = 0;
                while seen < 40 {
                    let now = ledger
                        .read(&db, |tx| tx.rows::<Bead>(&Scan::default()).unwrap().len())
                        .unwrap();
                    assert!(now >= seen && now % 2 == 0, "{now} after {seen}");
                    seen = now;
                }
            })
        })
        .collect();
    for n in 0..20 {
        let group = [
            one("overseer", create(&format!("sh-a{n}"))),
            one("mayor", create(&format!("sh-b{n}"))),
        ];
        writer.commit_group(&group, T0 + n).unwrap();
    }
    for reader in readers {
        reader.join().unwrap();
    }
}

/// Ops over few ids, so that they meet.
fn op() -> impl Strategy<Value = Op> {
    let id = || (0..6u8).prop_map(|n| BeadId(format!("sh-{n}")));
    prop_oneof![
        4 => (0..6u8).prop_map(|n| create(&format!("sh-{n}"))),
        1 => id().prop_map(|id| Op::Delete { id }),
        2 => id().prop_map(|id| Op::Claim { id }),
        2 => id().prop_map(|id| Op::Close { id, reason: "done".to_owned() }),
        1 => id().prop_map(|id| Op::Reopen { id }),
        1 => id().prop_map(|id| Op::Comment { id, text: "well".to_owned() }),
        3 => (id(), id()).prop_map(|(bead, target)| {
            Op::AddDep { bead, target, dep_type: DepType::Blocks }
        }),
        1 => (id(), id()).prop_map(|(bead, target)| Op::RemoveDep { bead, target }),
        1 => Just(Op::SendNudge { to: Name::from("mayor"), text: "look".to_owned() }),
    ]
}

fn random_groups_answer_alike_on_both_engines(home: &Home) {
    let submission = (0..3u8, vec(op(), 1..4))
        .prop_map(|(actor, ops)| Submission { actor: format!("actor-{actor}"), ops });
    let groups = vec(vec(submission, 1..5), 1..6);
    let made = std::cell::Cell::new(0);
    proptest!(home.cases(12, 4), |(groups in groups)| {
        made.set(made.get() + 1);
        let (ledger, db) = home.with_db(&format!("shop{}", made.get()));
        let mut writer = ledger.writer(&db, "test", 0).unwrap();
        let mut twin = Twin::new(&db);
        let first = [one("overseer", set_prefix())];
        prop_assert_eq!(writer.commit_group(&first, T0).unwrap(), twin.commit_group(&first, T0));
        for (now, group) in (T0..).zip(&groups) {
            let answers = writer.commit_group(group, now).unwrap();
            prop_assert_eq!(answers, twin.commit_group(group, now));
        }
        let rows = ledger.read(&db, |tx| dump(tx)).unwrap();
        prop_assert_eq!(rows, dump(&mut twin.memory));
    });
}
