//! What decay takes and what it leaves, on a real file and on its in-memory twin.

use std::collections::BTreeSet;

use gastown::model::bead::DepType;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::mail::MailState;
use gastown::model::ops::Doomed;
use gastown::model::ops::Fact;
use gastown::model::ops::Op;
use gastown::model::ops::Rules;
use gastown::model::ops::doomed;
use gastown::model::parcel::Letter;
use gastown::model::rows::Bead;
use gastown::model::rows::Change;
use gastown::model::rows::Comment;
use gastown::model::rows::Convoy;
use gastown::model::rows::Dep;
use gastown::model::rows::DogRun;
use gastown::model::rows::GateRun;
use gastown::model::rows::Label;
use gastown::model::rows::Landing;
use gastown::model::rows::Mail;
use gastown::model::rows::Session;
use gastown::model::rows::Watch;
use gastown::model::table::Row;
use gastown::model::tx::TxExt;
use gastown::store::ledger::Ledger;
use gastown::store::writer::Writer;

use super::support::T0;
use super::support::Twin;
use super::support::create;
use super::support::dump;
use super::support::one;
use super::support::set_prefix;
use super::support::town;

const DAY: i64 = 86_400_000;

/// A writer and its twin, which do the same.
struct Both {
    _dir: tempfile::TempDir,
    ledger: Ledger,
    db: Db,
    writer: Writer,
    twin: Twin,
    now: i64,
}

impl Both {
    fn new() -> Self {
        let (dir, ledger, db) = town();
        let writer = ledger.writer(&db, "test", 0).unwrap();
        let twin = Twin::new(&db);
        let mut both = Self { _dir: dir, ledger, db, writer, twin, now: T0 };
        both.put(set_prefix());
        both
    }

    fn put(&mut self, op: Op) -> Vec<Fact> {
        let group = [one("overseer", op)];
        let real = self.writer.commit_group(&group, self.now).unwrap();
        let twin = self.twin.commit_group(&group, self.now);
        let facts = real.into_iter().next().unwrap().unwrap();
        assert_eq!(Some(Ok(facts.clone())), twin.into_iter().next());
        facts
    }

    fn rules(&self, spare: &[&str]) -> Rules {
        Rules {
            closed_before: self.now - 30 * DAY,
            ended_before: self.now - 7 * DAY,
            held_until: self.now,
            spare: spare.iter().map(|id| BeadId::from(*id)).collect(),
        }
    }

    fn found(&mut self, rules: &Rules) -> Vec<Doomed> {
        let real = self.ledger.read(&self.db, |tx| doomed(tx, rules, 1_000).unwrap()).unwrap();
        assert_eq!(real, doomed(&mut self.twin.memory, rules, 1_000).unwrap());
        real
    }

    /// Looks and removes; answers the beads that went.
    fn decay(&mut self, rules: &Rules) -> BTreeSet<String> {
        let doomed = self.found(rules);
        let facts = self.put(Op::Decay { doomed, rules: rules.clone() });
        let real = self.ledger.read(&self.db, dump).unwrap();
        assert_eq!(real, dump(&mut self.twin.memory));
        let gone = facts.iter().find_map(|fact| match fact {
            Fact::Decayed { beads, .. } => Some(beads.iter().map(ToString::to_string).collect()),
            _ => None,
        });
        gone.unwrap_or_default()
    }

    fn rows<R: Row>(&mut self) -> Vec<R> {
        self.twin.memory.with(None, Vec::new()).unwrap()
    }

    fn close(&mut self, id: &str) {
        self.put(Op::Close { id: id.into(), reason: "done".to_owned() });
    }

    fn dep(&mut self, bead: &str, target: &str, dep_type: DepType) {
        self.put(Op::AddDep { bead: bead.into(), target: target.into(), dep_type });
    }
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn a_closed_bead_goes_with_everything_of_its_own_and_nothing_else_goes() {
    let mut both = Both::new();
    for id in ["sh-old", "sh-open", "sh-new", "sh-needed", "sh-parent", "sh-spared", "sh-pair"] {
        both.put(create(id));
    }
    let label = gastown::model::ops::Edit { add_labels: vec!["x".into()], ..Default::default() };
    both.put(Op::Edit { id: "sh-old".into(), edit: label });
    both.put(Op::Comment { id: "sh-old".into(), text: "a remark".to_owned() });
    both.dep("sh-old", "sh-pair", DepType::Related);
    both.dep("sh-open", "sh-needed", DepType::Blocks);
    both.dep("sh-parent", "sh-open", DepType::Related);
    for id in ["sh-old", "sh-pair", "sh-needed", "sh-parent", "sh-spared"] {
        both.close(id);
    }
    both.now += 31 * DAY;
    both.close("sh-new");
    let rules = both.rules(&["sh-spared"]);
    // Not held elsewhere yet: everything stays.
    let early = Rules { held_until: T0, ..rules.clone() };
    assert_eq!(both.found(&early), []);
    assert_eq!(both.decay(&rules), set(&["sh-old", "sh-pair"]));
    assert!(both.rows::<Label>().is_empty() && both.rows::<Comment>().is_empty());
    assert!(both.rows::<Change>().iter().all(|row| row.subject.as_str() != "sh-old"));
    assert_eq!(both.rows::<Dep>().len(), 2);
    assert_eq!(both.rows::<DogRun>().len(), 1, "the run left its row");
    // It is done: the next one finds nothing and writes nothing.
    assert_eq!(both.found(&rules), []);
    let before = both.writer.head().to_owned();
    assert_eq!(both.put(Op::Decay { doomed: Vec::new(), rules }), [Fact::Unchanged]);
    assert_eq!(both.writer.head(), before);
}

#[test]
fn what_was_opened_again_between_the_look_and_the_removal_stays() {
    let mut both = Both::new();
    both.put(create("sh-back"));
    both.put(create("sh-gone"));
    both.close("sh-back");
    both.close("sh-gone");
    both.now += 31 * DAY;
    let rules = both.rules(&[]);
    let doomed = both.found(&rules);
    assert_eq!(doomed.len(), 2);
    both.put(Op::Reopen { id: "sh-back".into() });
    let facts = both.put(Op::Decay { doomed, rules });
    let gone = vec![BeadId::from("sh-gone")];
    assert!(facts.iter().any(|f| matches!(f, Fact::Decayed { beads, .. } if *beads == gone)));
    assert!(both.rows::<Bead>().iter().any(|bead| bead.id.as_str() == "sh-back"));
}

#[test]
fn read_mail_landed_convoys_and_cleared_alarms_go_unread_mail_stays() {
    let mut both = Both::new();
    let letter = |subject: &str| Letter {
        sender: "overseer".to_owned(),
        recipient: "mayor".to_owned(),
        kind: gastown::model::mail::MailKind::Text,
        subject: subject.to_owned(),
        body: "words".to_owned(),
        priority: gastown::model::mail::Priority::Normal,
        thread: None,
    };
    both.put(Op::SendMail(letter("read")));
    both.put(Op::SendMail(letter("unread")));
    let first = both.rows::<Mail>()[0].id.clone();
    both.put(Op::MarkMail { id: first, state: MailState::Read });
    let alarm = |raise: Option<&str>| Op::SetAlarm {
        subject: "x".into(),
        condition: "is wrong".into(),
        raise: raise.map(str::to_owned),
    };
    both.put(alarm(Some("look")));
    both.put(alarm(None));
    let beads = vec![(BeadId::from("sh-a"), "shop".into(), true)];
    both.put(Op::CreateConvoy { title: "done".to_owned(), owner: "overseer".into(), beads });
    both.put(create("sh-b"));
    let beads = vec![(BeadId::from("sh-b"), "shop".into(), false)];
    both.put(Op::CreateConvoy { title: "open".to_owned(), owner: "overseer".into(), beads });
    both.now += 8 * DAY;
    let rules = both.rules(&[]);
    assert_eq!(both.decay(&rules), set(&[]), "no bead of work is among it");
    // The alarm and the convoy that landed were told by mail, which nobody has read.
    let mails = both.rows::<Mail>();
    assert!(mails.iter().all(|mail| mail.state == MailState::Unread), "{mails:?}");
    assert_eq!(mails.len(), 3);
    let convoys = both.rows::<Convoy>();
    assert_eq!(convoys.len(), 1);
    assert!(convoys[0].landed_at.is_none());
    // Only what a convoy under way has is still told of.
    let watched: Vec<BeadId> = both.rows::<Watch>().into_iter().map(|row| row.bead).collect();
    assert_eq!(watched, [BeadId::from("sh-b")]);
    assert!(both.rows::<gastown::model::rows::Escalation>().is_empty());
}

#[test]
fn proofs_of_landings_and_present_sessions_stay() {
    let mut both = Both::new();
    let run = |id: &str| GateRun {
        id: id.into(),
        commit_id: "c".into(),
        tree: "t".into(),
        gates: "g".into(),
        environment: None,
        asked_by: None,
        verdict: Some(gastown::model::merge::Verdict::Passed),
        results: Default::default(),
        mrs: Default::default(),
        started_at: T0,
        ended_at: Some(T0),
    };
    let landing = Landing {
        seq: 1,
        target: "main".to_owned(),
        base: "b".into(),
        tip: "c".into(),
        tree: "t".into(),
        run: "r-proof".into(),
        mrs: Default::default(),
        landed_at: T0,
    };
    let session = Session {
        id: "s-old".into(),
        agent: "sh-nobody".into(),
        incarnation: 1,
        bead: None,
        token_hash: None,
        host: None,
        started_at: T0,
        ended_at: Some(T0),
        exit: None,
    };
    let memory = &mut both.twin.memory;
    memory.add(&run("r-proof")).unwrap();
    memory.add(&run("r-other")).unwrap();
    memory.add(&landing).unwrap();
    memory.add(&session).unwrap();
    memory.add(&Session { id: "s-live".into(), ended_at: None, ..session }).unwrap();
    both.now += 31 * DAY;
    let rules = both.rules(&[]);
    let found = doomed(&mut both.twin.memory, &rules, 1_000).unwrap();
    let wanted = [Doomed::Session { id: "s-old".into() }, Doomed::Run { id: "r-other".into() }];
    assert_eq!(found, wanted);
    let group = [one("overseer", Op::Decay { doomed: found, rules })];
    both.twin.commit_group(&group, both.now)[0].as_ref().unwrap();
    assert_eq!(both.rows::<Landing>().len(), 1);
    assert_eq!(both.rows::<GateRun>().len(), 1);
    assert_eq!(both.rows::<Session>().len(), 1);
}
