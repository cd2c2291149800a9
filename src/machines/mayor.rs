//! The Mayor without a model: reads its inbox, tells the person what needs one, files the rest.
//!
//! Convoys close in the transaction that closes their last member; the Mayor only acts on mail.

use super::Decision;
use super::Input;
use super::Machine;
use crate::messages::Address;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::mail::MailKind;
use crate::model::mail::MailState;
use crate::model::ops::ASKS_FOR_HELP;
use crate::model::ops::Op;
use crate::model::rows::Mail;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Name;

/// Messages read in one decision.
const READ_MAX: usize = 50;

/// The town's Mayor.
#[derive(Clone, Debug, Default)]
pub struct Mayor;

impl Machine for Mayor {
    type View = Vec<Mail>;

    fn address(&self) -> Address {
        Address::Mayor
    }

    fn db(&self) -> Db {
        Db::hq()
    }

    fn actor(&self) -> String {
        Identity::Mayor.actor()
    }

    fn view(&self, tx: &mut dyn Tx) -> Result<Vec<Mail>, TxError> {
        tx.rows(&Scan {
            index: Some("by_recipient"),
            prefix: vec![Name::from("mayor").to_value(), MailState::Unread.to_value()],
            limit: Some(READ_MAX),
            ..Scan::default()
        })
    }

    fn decide(&mut self, unread: &Vec<Mail>, _input: &Input, _now: i64) -> Decision {
        let mut d = Decision::default();
        for mail in unread {
            let state = match mail.kind {
                MailKind::Help => {
                    d.ops.push(Op::SetAlarm {
                        subject: mail.sender.clone(),
                        condition: Name::from(ASKS_FOR_HELP),
                        raise: Some(format!("see 'gt mail read {}'", mail.id)),
                    });
                    MailState::Read
                }
                MailKind::RecoveredBead
                | MailKind::RecoveryNeeded
                | MailKind::PolecatDone
                | MailKind::MergeReady
                | MailKind::Merged
                | MailKind::MergeFailed
                | MailKind::ReworkRequest
                | MailKind::ConvoyLanded => MailState::Archived,
                // Words for a coordinator stay unread until one reads them.
                MailKind::Text | MailKind::Handoff | MailKind::Escalation => continue,
            };
            d.ops.push(Op::MarkMail { id: mail.id.clone(), state });
        }
        d
    }
}
