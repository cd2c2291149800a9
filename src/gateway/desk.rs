//! The desk: answers one call, in the daemon or in a command's own process.
//!
//! It knows who calls, what they may ask, and in which database the answer is. What work means is
//! in the ops; how calls travel is in [`crate::gateway::http`]. It reads no clock and no file.

mod allow;
mod beads;
mod caller;
mod dogs;
mod integration;
mod line;
mod past;
mod queue;
mod town;
mod write;

pub use past::no_moment;

use std::sync::Arc;
use std::sync::Mutex;

use serde::Serialize;
use serde_json::Value;

use crate::gateway::books::Books;
use crate::gateway::books::BooksError;
use crate::gateway::books::Doorman;
use crate::gateway::books::Live;
use crate::gateway::desk::caller::Buckets;
use crate::gateway::desk::caller::Caller;
use crate::messages::SubmitError;
use crate::messages::door::Answer;
use crate::messages::door::Call;
use crate::messages::door::Control;
use crate::messages::door::DoorError;
use crate::messages::door::HelloView;
use crate::messages::door::PROTOCOL;
use crate::messages::door::Query;
use crate::messages::door::Request;
use crate::messages::door::Verify;
use crate::messages::views::VerifyView;
use crate::model::agent::Submission;
use crate::model::ids::Db;
use crate::model::ids::Sha;
use crate::model::ops::Op;
use crate::model::tx::Tx;
use crate::model::tx::TxError;

/// Most ops of one write.
pub const OPS_MAX: usize = 1_000;
/// Most ids of one question.
pub const IDS_MAX: usize = 1_000;

/// Answers calls. Share it by `Arc`; every method may block.
pub struct Desk {
    books: Arc<dyn Books>,
    live: Option<Arc<dyn Live>>,
    doorman: Arc<dyn Doorman>,
    town: Option<String>,
    buckets: Mutex<Buckets>,
}

impl Desk {
    /// A desk over a ledger. `live` is the running town, if this is its daemon; `town` is the
    /// town's id, if there is a town.
    #[must_use]
    pub fn new(
        books: Arc<dyn Books>,
        live: Option<Arc<dyn Live>>,
        doorman: Arc<dyn Doorman>,
        town: Option<String>,
    ) -> Self {
        Self { books, live, doorman, town, buckets: Mutex::default() }
    }

    /// Answers one call. `now_ms` is milliseconds since the epoch.
    ///
    /// # Errors
    /// [`DoorError`] with a stable code and, where there is one, a hint.
    pub fn answer(&self, call: &Call, now_ms: i64) -> Result<Answer, DoorError> {
        self.check_meant(call)?;
        if call.request == Request::Hello {
            return result(&self.hello());
        }
        let caller = self.identify(call, now_ms)?;
        if let (Some(live), Some(known)) = (&self.live, caller.session())
            && let Some(rig) = known.db.rig()
        {
            live.progressed(&rig, &known.agent, known.incarnation);
        }
        match &call.request {
            Request::Hello => result(&self.hello()),
            Request::Write { db, ops } => self.write(&caller, db, ops),
            Request::Done { head, no_change } => self.done(&caller, head, no_change.as_deref()),
            Request::Verify(wanted) => result(&self.verify(&caller, wanted)?),
            Request::Control(control) => self.control(&caller, control),
            Request::Read(query) => self.question(&caller, query, now_ms),
        }
    }

    /// Who answers here.
    #[must_use]
    pub fn hello(&self) -> HelloView {
        HelloView {
            protocol: PROTOCOL,
            town: self.town.clone().unwrap_or_default(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn check_meant(&self, call: &Call) -> Result<(), DoorError> {
        if call.protocol != PROTOCOL {
            let text = format!("this is protocol {PROTOCOL}, the call is {}", call.protocol);
            return Err(DoorError::new("mismatch", text)
                .hint("the running daemon and this command are of different versions: 'gt down', then 'gt up'"));
        }
        match (&call.town, &self.town) {
            (Some(meant), own) if Some(meant) != own.as_ref() => {
                let own = own.as_deref().unwrap_or("no town");
                Err(DoorError::new("mismatch", format!("this is {own}, the call is for {meant}"))
                    .hint("another town answers at this socket: check GT_ROOT and --town"))
            }
            _ => Ok(()),
        }
    }

    fn done(
        &self,
        caller: &Caller,
        head: &Sha,
        no_change: Option<&str>,
    ) -> Result<Answer, DoorError> {
        let Some(known) = caller.session() else {
            let text = "only an agent's session can finish its work: GT_TOKEN is not set";
            return Err(DoorError::new("denied", text).hint(
                "a person queues a pushed branch with 'gt mq submit', and closes a bead with 'bd close'",
            ));
        };
        let submission = Submission { head: head.clone(), no_change: no_change.map(str::to_owned) };
        let op =
            Op::Submit { agent: known.agent.clone(), incarnation: known.incarnation, submission };
        let facts = self.submit(&known.db, &known.actor, vec![op])?;
        Ok(Answer { facts, result: Value::Null })
    }

    /// An agent may have its own rig's gates run: what they say is theirs, not the agent's.
    fn verify(&self, caller: &Caller, wanted: &Verify) -> Result<VerifyView, DoorError> {
        self.check_db(&Db::from(&wanted.rig))?;
        if let Some(known) = caller.session()
            && known.db.rig().as_ref() != Some(&wanted.rig)
        {
            let text = format!("{} has nothing to verify in {}", known.actor, wanted.rig);
            return Err(DoorError::new("denied", text).hint("run it in your own worktree"));
        }
        let Some(live) = &self.live else {
            let text = "the town is not running, and only its daemon can say what gates said";
            return Err(DoorError::new("unavailable", text).hint(
                "start it with 'gt up'; without a verification the queue runs the gates itself",
            ));
        };
        live.verify(wanted, caller.author())
    }

    fn control(&self, caller: &Caller, control: &Control) -> Result<Answer, DoorError> {
        if caller.session().is_some() {
            return Err(DoorError::new("denied", "an agent's session cannot order the town about")
                .hint("mail the overseer: 'gt mail send overseer -s SUBJECT -m TEXT'"));
        }
        let Some(live) = &self.live else {
            return Err(DoorError::new("unavailable", "the town is not running")
                .hint("start it with 'gt up'"));
        };
        let result = live.control(control.clone())?;
        Ok(Answer { facts: Vec::new(), result })
    }

    fn question(&self, caller: &Caller, query: &Query, now: i64) -> Result<Answer, DoorError> {
        match query {
            Query::Beads { dbs, filter } => result(&self.beads(dbs, filter, now)?),
            Query::Show { ids } => result(&self.show(ids)?),
            Query::ShowAt { ids, at } => result(&self.show_at(ids, at)?),
            Query::Diff { db, from, to } => result(&self.diff(db, from, to)?),
            Query::Log { db, limit } => result(&self.log(db, *limit)?),
            Query::Stats { db } => result(&self.stats(db, now)?),
            Query::Deps { id } => result(&self.deps(id)?),
            Query::Labels { db, id } => result(&self.labels(db, id.as_ref())?),
            Query::History { id } => result(&self.history(id)?),
            Query::Hook { actor } => result(&self.hook(caller, actor.as_deref())?),
            Query::Agents { rig } => result(&self.agents(rig.as_ref())?),
            Query::Queue { rig, all } => result(&self.queue(rig.as_ref(), *all)?),
            Query::QueueStats { rig } => result(&self.queue_stats(rig.as_ref())?),
            Query::Why { mr } => result(&self.why(mr)?),
            Query::Integrations { rig, epic } => {
                result(&self.integrations(rig.as_ref(), epic.as_ref())?)
            }
            Query::LandsOn { bead } => result(&self.lands_on(bead)?),
            Query::QueueLog { rig, limit, after } => result(&self.queue_log(rig, *limit, *after)?),
            Query::Eta { rig, mr, most } => result(&self.eta(rig, mr.as_ref(), *most)?),
            Query::Landings { rig } => result(&self.landings(rig)?),
            Query::Inbox { recipient, all, unread } => {
                result(&self.inbox(caller, recipient.as_deref(), *all, *unread)?)
            }
            Query::Message { id } => result(&self.message(id)?),
            Query::Convoys { all } => result(&self.convoys(*all)?),
            Query::DogRuns { limit } => result(&self.dog_runs(*limit)?),
            Query::Status => result(&self.status(now)?),
        }
    }

    /// Runs `body` in a snapshot and gives what it made.
    fn read<T>(
        &self,
        db: &Db,
        mut body: impl FnMut(&mut dyn Tx) -> Result<T, TxError>,
    ) -> Result<T, DoorError> {
        let mut made = None;
        self.books
            .read(db, &mut |tx| {
                made = Some(body(tx)?);
                Ok(())
            })
            .map_err(unread)?;
        made.ok_or_else(|| DoorError::new("internal", "a snapshot ended without an answer"))
    }

    fn submit(
        &self,
        db: &Db,
        actor: &str,
        ops: Vec<Op>,
    ) -> Result<crate::model::ops::Facts, DoorError> {
        self.books.submit(db, actor, ops).map_err(unwritten)
    }

    /// Whether there is such a database.
    fn check_db(&self, db: &Db) -> Result<(), DoorError> {
        let known = self.books.databases();
        if known.iter().any(|(name, _)| name == db) {
            return Ok(());
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
        Err(DoorError::new("not_found", format!("there is no database '{db}'"))
            .hint(format!("there are: {}", names.join(", "))))
    }
}

fn result(view: &impl Serialize) -> Result<Answer, DoorError> {
    let result = serde_json::to_value(view)
        .map_err(|error| DoorError::new("internal", format!("an answer is no JSON: {error}")))?;
    Ok(Answer { facts: Vec::new(), result })
}

fn unread(error: BooksError) -> DoorError {
    match error {
        BooksError::Unavailable(text) => DoorError::new("unavailable", text),
        BooksError::Damaged(text) => {
            DoorError::new("store_damaged", text).hint("look: gt dolt recover DATABASE")
        }
        BooksError::Tx(error) => DoorError::new("store", error.to_string()),
        BooksError::NoMoment(why) => past::no_moment(why),
    }
}

fn unwritten(error: SubmitError) -> DoorError {
    let text = error.to_string();
    match error {
        SubmitError::Refused(refused) => {
            let made = DoorError::new(refused.code(), text);
            match allow::remedy(&refused) {
                Some(hint) => made.hint(hint),
                None => made,
            }
        }
        SubmitError::Busy => DoorError::new("busy", text).hint("try again in a moment"),
        SubmitError::Unknown => DoorError::new("unknown_outcome", text)
            .hint("look before you try again: 'bd show' and 'bd history' tell what stands"),
        SubmitError::Unavailable(_) => DoorError::new("unavailable", text),
    }
}
