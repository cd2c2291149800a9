//! `gt mail` and `gt nudge`.

use std::io::Read;

use clap::Args;
use clap::Subcommand;
use serde_json::json;

use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::MailView;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::mail::MailKind;
use crate::model::mail::MailState;
use crate::model::mail::Priority;
use crate::model::ops::Fact;
use crate::model::ops::Op;
use crate::model::parcel::Letter;
use crate::model::value::Name;
use crate::model::value::UnknownWord;

/// Most bytes of a message read from standard input.
const BODY_MAX: u64 = 256 << 10;

/// Mail between agents and people.
///
/// Addresses: overseer (you), mayor, deacon, RIG/witness, RIG/refinery, RIG/polecats/NAME or
/// RIG/NAME, RIG/crew/NAME. What was acknowledged is in the inbox, whatever crashes after.
#[derive(Debug, Subcommand)]
pub enum Mail {
    /// Send a message.
    #[command(after_help = "Examples:\n  gt mail send mayor -s 'web is done' -m 'all green'\n  \
        gt mail send web/alpha -s 'about we-1a2' -m - <notes.txt")]
    Send {
        /// To whom.
        to: String,
        /// Subject.
        #[arg(long, short)]
        subject: String,
        /// Text; '-' reads it from standard input.
        #[arg(long, short, default_value = "")]
        message: String,
        /// low, normal, high or urgent.
        #[arg(long, short, value_parser = word::<Priority>, default_value = "normal")]
        priority: Priority,
        /// Protocol type, as HELP or HANDOFF.
        #[arg(long = "type", value_parser = word::<MailKind>, default_value = "TEXT")]
        kind: MailKind,
        /// The thread that it belongs to.
        #[arg(long)]
        thread: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show an inbox.
    Inbox {
        /// Whose; else yours.
        address: Option<String>,
        /// Archived messages too.
        #[arg(long, short)]
        all: bool,
        /// Unread messages only.
        #[arg(long, short)]
        unread: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a message and mark it read.
    Read {
        /// Which.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take messages out of the inbox; they are kept.
    Archive {
        /// Which.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

fn word<T: std::str::FromStr<Err = UnknownWord>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|error: UnknownWord| error.to_string())
}

impl Mail {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        match self {
            Self::Send { to, subject, message, priority, kind, thread, json } => {
                let letter = Letter {
                    sender: here.actor().0,
                    recipient: to,
                    kind,
                    subject,
                    body: text(message)?,
                    priority,
                    thread: thread.map(BeadId),
                };
                send(&here, letter, json)
            }
            Self::Inbox { address, all, unread, json } => {
                let query = Query::Inbox { recipient: address, all, unread };
                let mail: Vec<MailView> = here.ask(query)?;
                if json { render::json(&mail) } else { inbox(&mail) }
            }
            Self::Read { id, json } => read(&here, BeadId(id), json),
            Self::Archive { ids } => {
                let state = MailState::Archived;
                let ops = ids.iter().map(|id| Op::MarkMail { id: BeadId(id.clone()), state });
                here.write(&Db::hq(), ops.collect())?;
                render::line(&format!("archived {}", ids.join(", ")))
            }
        }
    }
}

fn text(message: String) -> Result<String, DoorError> {
    if message != "-" {
        return Ok(message);
    }
    let mut read = String::new();
    std::io::stdin()
        .lock()
        .take(BODY_MAX)
        .read_to_string(&mut read)
        .map_err(|error| DoorError::new("io", format!("standard input: {error}")))?;
    Ok(read)
}

fn send(here: &Here, letter: Letter, json: bool) -> Result<u8, DoorError> {
    let to = letter.recipient.clone();
    let facts = here.write(&Db::hq(), vec![Op::SendMail(letter)])?;
    let id = facts.iter().find_map(|fact| match fact {
        Fact::Mail { id, .. } => Some(id.clone()),
        _ => None,
    });
    if json {
        return render::json(&json!({"id": id, "to": to}));
    }
    render::line(&format!("sent {} to {to}", id.map_or(String::new(), |id| id.to_string())))
}

fn inbox(mail: &[MailView]) -> Result<u8, DoorError> {
    if mail.is_empty() {
        return render::line("no mail");
    }
    let rows = mail.iter().map(|mail| {
        let mark = if mail.read { "" } else { "*" };
        let from = format!("{mark}{}", mail.from);
        vec![mail.id.to_string(), from, mail.subject.clone(), mail.timestamp.clone()]
    });
    render::table(&["ID", "FROM", "SUBJECT", "SENT"], rows.collect())
}

fn read(here: &Here, id: BeadId, json: bool) -> Result<u8, DoorError> {
    let mail: MailView = here.ask(Query::Message { id: id.clone() })?;
    if !mail.read {
        here.write(&Db::hq(), vec![Op::MarkMail { id, state: MailState::Read }])?;
    }
    if json {
        return render::json(&mail);
    }
    let MailView { from, to, subject, timestamp, body, .. } = &mail;
    render::line(&format!("From: {from}\nTo: {to}\nSubject: {subject}\nSent: {timestamp}\n"))?;
    render::line(body)
}

/// Leave somebody a hint.
///
/// A hint is seen when its receiver looks (gt hook); it may get lost. What must arrive is mail.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gt nudge web/alpha 'the tests moved to tests/unit'")]
pub struct Nudge {
    /// Whom.
    to: String,
    /// Words.
    #[arg(required = true, num_args = 1..)]
    message: Vec<String>,
}

impl Nudge {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let op = Op::SendNudge { to: Name(self.to.clone()), text: self.message.join(" ") };
        here.write(&Db::hq(), vec![op])?;
        render::line(&format!("nudged {}", self.to))
    }
}
