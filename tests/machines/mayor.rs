//! The Mayor without a model: files what needs nobody, raises what needs a person.

use gastown::machines::mayor::Mayor;
use gastown::model::mail::MailKind;
use gastown::model::mail::Priority;
use gastown::model::ops::Op;
use gastown::model::parcel::Letter;
use gastown::model::rows::Mail;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;

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
