//! Mail (durable, in hq) and nudges (hints in an ephemeral table).

use serde_json::json;

use super::Ctx;
use super::Fact;
use super::Facts;
use super::Refused;
use super::beads;
use super::fields::NewBead;
use super::relay;
use super::support;
use crate::model::bead::BeadType;
use crate::model::ids::BeadId;
use crate::model::ids::Identity;
use crate::model::mail::MailKind;
use crate::model::mail::MailState;
use crate::model::parcel::Letter;
use crate::model::rows::Bead;
use crate::model::rows::Mail;
use crate::model::rows::Nudge;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Name;

/// The condition of an agent that has sent HELP, until the mail is archived.
pub const ASKS_FOR_HELP: &str = "asks for help";
/// Longest subject, in characters.
const SUBJECT_MAX: usize = 500;
/// Longest body, in bytes.
const BODY_MAX: usize = 100_000;

pub(super) fn send(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, letter: &Letter) -> Result<Facts, Refused> {
    let subject: String = letter.subject.chars().take(SUBJECT_MAX).collect();
    if subject.trim().is_empty() || letter.body.len() > BODY_MAX {
        return Err(Refused::Invalid(format!(
            "mail needs a subject and at most {BODY_MAX} bytes of body"
        )));
    }
    let recipient = Identity::parse(&letter.recipient)
        .map_or_else(|| letter.recipient.clone(), |who| who.actor());
    let seq = ctx.key();
    let id = support::fresh_id(tx, "hq", "mail-", seq)?;
    let new = NewBead {
        title: subject,
        description: letter.body.clone(),
        issue_type: Some(BeadType::Message),
        assignee: Some(Name(recipient.clone())),
        ..NewBead::default()
    };
    beads::add_plain(tx, ctx, &id, seq, &new)?;
    tx.add(&Mail {
        seq,
        id: id.clone(),
        sender: Name(letter.sender.clone()),
        recipient: Name(recipient.clone()),
        kind: letter.kind,
        priority: letter.priority,
        thread: letter.thread.clone().unwrap_or_else(|| id.clone()),
        state: MailState::Unread,
        sent_at: ctx.now,
        read_at: None,
    })?;
    support::log(
        tx,
        ctx,
        id.as_str(),
        "send_mail",
        &json!({"to": recipient, "kind": letter.kind}),
    )?;
    Ok(vec![Fact::Mail { id, to: recipient, kind: letter.kind }])
}

pub(super) fn mark(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    id: &BeadId,
    state: MailState,
) -> Result<Facts, Refused> {
    let missing = || Refused::NotFound { kind: "message", id: id.to_string() };
    let bead = tx.find::<Bead>("by_id", id)?.ok_or_else(missing)?;
    let mut mail = tx.row::<Mail>(&bead.seq)?.ok_or_else(missing)?;
    if ctx.actor != mail.recipient.as_str() && ctx.actor != "overseer" {
        return Err(Refused::Held { id: id.clone(), by: mail.recipient.to_string() });
    }
    let back = mail.state == MailState::Archived && state == MailState::Read;
    if mail.state == state || (mail.state == MailState::Read && state == MailState::Unread) || back
    {
        return Ok(vec![Fact::Unchanged]);
    }
    mail.state = state;
    mail.read_at = mail.read_at.or(Some(ctx.now));
    tx.set(&mail)?;
    support::log(tx, ctx, id.as_str(), "mark_mail", &json!({"state": state}))?;
    let mut facts = vec![Fact::Changed { id: id.clone(), by: "mark_mail".to_owned() }];
    if (mail.kind, state) == (MailKind::Help, MailState::Archived) {
        // Whoever files a call for help away has seen to it.
        facts.extend(relay::alarm(tx, ctx, &mail.sender, &Name::from(ASKS_FOR_HELP), None)?);
    }
    Ok(facts)
}

pub(super) fn nudge(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    to: &Name,
    text: &str,
) -> Result<Facts, Refused> {
    if text.trim().is_empty() {
        return Err(Refused::Invalid("a nudge needs words".to_owned()));
    }
    let seq = ctx.key();
    tx.add(&Nudge {
        seq,
        sender: ctx.who(),
        recipient: to.clone(),
        text: text.to_owned(),
        sent_at: ctx.now,
        taken_at: None,
    })?;
    Ok(vec![Fact::Nudge { to: to.to_string(), text: text.to_owned() }])
}

pub(super) fn take_nudges(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, by: &Name) -> Result<Facts, Refused> {
    let mut facts = Vec::new();
    for mut row in tx.with::<Nudge>(Some("by_recipient"), vec![by.to_value()])? {
        if row.taken_at.is_none() {
            facts.push(Fact::Nudge { to: by.to_string(), text: row.text.clone() });
            row.taken_at = Some(ctx.now);
            tx.set(&row)?;
        }
    }
    if facts.is_empty() { Ok(vec![Fact::Unchanged]) } else { Ok(facts) }
}

pub(super) fn reap(
    tx: &mut dyn Tx,
    _ctx: &mut Ctx<'_>,
    before: i64,
    limit: usize,
) -> Result<Facts, Refused> {
    let scan = Scan { limit: Some(limit), ..Scan::default() };
    let mut rows = 0;
    for row in tx.rows::<Nudge>(&scan)? {
        if row.taken_at.unwrap_or(row.sent_at) < before {
            tx.remove(&row)?;
            rows += 1;
        }
    }
    if rows == 0 { Ok(vec![Fact::Unchanged]) } else { Ok(vec![Fact::Reaped { rows }]) }
}
