//! The Mayor without a model: files what needs nobody, raises what needs a person.

use gastown::machines::mayor::Mayor;
use gastown::model::ids::Db;
use gastown::model::ids::RigName;
use gastown::model::mail::MailKind;
use gastown::model::mail::MailState;
use gastown::model::mail::Priority;
use gastown::model::ops::Fact;
use gastown::model::ops::Op;
use gastown::model::parcel::Letter;
use gastown::model::parcel::Parcel;
use gastown::model::rows::Escalation;
use gastown::model::rows::Mail;
use gastown::model::rows::Outbox;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;

use super::bench::Bench;
use super::bench::wake;

/// The decision about an inbox with one letter of each kind; letters go by their kinds.
fn check(kinds: &[MailKind]) -> String {
    let mut bench = Bench::new(Mayor);
    for kind in kinds {
        let letter = Letter {
            sender: "shop/polecats/nux".to_owned(),
            recipient: "mayor".to_owned(),
            kind: *kind,
            subject: kind.to_string(),
            body: String::new(),
            priority: Priority::Normal,
            thread: None,
        };
        bench.commit("shop/polecats/nux", &Op::SendMail(letter)).unwrap();
    }
    let mut text = bench.run(&[wake(), wake()]);
    for mail in bench.memory.rows::<Mail>(&Scan::default()).unwrap() {
        text = text.replace(mail.id.as_str(), &format!("<{}>", mail.kind));
    }
    text
}

#[test]
fn each_kind_has_its_place() {
    insta::assert_snapshot!(check(MailKind::ALL), @r"
    > wake
      commit mark_mail id=<POLECAT_DONE> state=archived
      commit mark_mail id=<MERGE_READY> state=archived
      commit mark_mail id=<MERGED> state=archived
      commit mark_mail id=<MERGE_FAILED> state=archived
      commit mark_mail id=<REWORK_REQUEST> state=archived
      commit mark_mail id=<RECOVERED_BEAD> state=archived
      commit mark_mail id=<RECOVERY_NEEDED> state=archived
      commit set_alarm condition=asks for help raise=see 'gt mail read <HELP>' subject=shop/polecats/nux
      commit mark_mail id=<HELP> state=read
      commit mark_mail id=<CONVOY_LANDED> state=archived
    > wake
    ");
}

#[test]
fn an_empty_inbox_wants_nothing() {
    insta::assert_snapshot!(check(&[]), @r"
    > wake
    > wake
    ");
}

#[test]
fn a_call_for_help_is_over_when_its_mail_is_filed_away() {
    let mut bench = Bench::new(Mayor);
    let letter = Letter {
        sender: "shop/polecats/nux".to_owned(),
        recipient: "mayor".to_owned(),
        kind: MailKind::Help,
        subject: "HELP".to_owned(),
        body: String::new(),
        priority: Priority::Normal,
        thread: None,
    };
    bench.commit("shop/polecats/nux", &Op::SendMail(letter)).unwrap();
    let id = bench.memory.rows::<Mail>(&Scan::default()).unwrap()[0].id.clone();
    bench.run(&[wake()]);
    let standing = |bench: &mut Bench<Mayor>| {
        let rows = bench.memory.rows::<Escalation>(&Scan::default()).unwrap();
        rows.iter().filter(|row| row.cleared_at.is_none()).count()
    };
    assert_eq!(standing(&mut bench), 1);
    bench.commit("overseer", &Op::MarkMail { id, state: MailState::Archived }).unwrap();
    assert_eq!(standing(&mut bench), 0);
}

#[test]
fn a_convoy_made_by_hand_hears_of_its_beads() {
    let mut bench = Bench::new(Mayor);
    let beads = vec![("sh-a".into(), RigName::from("shop"), false)];
    let (title, owner) = ("Batch".to_owned(), Name::from("overseer"));
    bench.commit("overseer", &Op::CreateConvoy { title, owner, beads }).unwrap();
    let asked = bench.memory.rows::<Outbox>(&Scan::default()).unwrap();
    let watch = Parcel::Watch { bead: "sh-a".into(), db: Db::hq() };
    assert_eq!((asked.len(), &asked[0].parcel), (1, &watch));
    let parcel = Parcel::Shadow { bead: "sh-a".into(), closed: true };
    let told = Op::Deliver { src: Db::from("shop"), seq: 1, parcel };
    let facts = bench.commit("gt-relay", &told).unwrap();
    assert!(facts.iter().any(|fact| matches!(fact, Fact::ConvoyLanded { .. })), "{facts:?}");
}
