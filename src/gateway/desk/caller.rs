//! Who calls: a session by its secret, or the person; and how often a session may.

use std::collections::HashMap;
use std::sync::PoisonError;

use crate::gateway::desk::Desk;
use crate::messages::door::Call;
use crate::messages::door::DoorError;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::SessionId;
use crate::model::rows::Agent;
use crate::model::rows::Session;
use crate::model::tx::TxExt;

/// Calls that a session may make at once.
pub(super) const BURST: i64 = 200;
/// Calls per second that a session may make for long.
pub(super) const RATE: i64 = 20;
/// Sessions whose calls are counted; of more, the longest silent one is forgotten.
const SESSIONS_MAX: usize = 1_024;

/// The address of the person.
pub(super) const OVERSEER: &str = "overseer";

/// A session that was recognised.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The agent's bead.
    pub agent: BeadId,
    /// Its address.
    pub actor: String,
    /// Which start of it.
    pub incarnation: i64,
    /// Where its rows are.
    pub db: Db,
}

/// Who calls.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    label: Option<String>,
    known: Option<Known>,
}

impl Caller {
    /// The session; `None` is the person.
    pub(super) fn session(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// Who is written down as the author of changes: the agent, else the label.
    pub(super) fn author(&self) -> &str {
        match (&self.known, &self.label) {
            (Some(known), _) => &known.actor,
            (None, Some(label)) => label,
            (None, None) => OVERSEER,
        }
    }

    /// Who this is for mail and hints, where a label is no address.
    pub(super) fn address(&self) -> &str {
        self.known.as_ref().map_or(OVERSEER, |known| &known.actor)
    }

    /// Whom a question without a name is about: the agent, else whom the label names.
    pub(super) fn subject(&self) -> Identity {
        let said = self.known.as_ref().map(|known| known.actor.as_str());
        said.or(self.label.as_deref()).and_then(Identity::parse).unwrap_or(Identity::Overseer)
    }
}

/// How many calls each session has left.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    left: HashMap<SessionId, (i64, i64)>,
}

impl Buckets {
    /// Takes one call; false when there is none left. Counts in thousandths of a call.
    fn take(&mut self, session: &SessionId, now: i64) -> bool {
        if self.left.len() >= SESSIONS_MAX && !self.left.contains_key(session) {
            let silent = self.left.iter().min_by_key(|(_, (_, at))| *at).map(|(id, _)| id.clone());
            if let Some(silent) = silent {
                self.left.remove(&silent);
            }
        }
        let (left, at) = self.left.entry(session.clone()).or_insert((BURST * 1_000, now));
        let passed = now.saturating_sub(*at).max(0);
        *left = passed.saturating_mul(RATE).saturating_add(*left).min(BURST * 1_000);
        *at = now.max(*at);
        let enough = *left >= 1_000;
        if enough {
            *left -= 1_000;
        }
        enough
    }
}

impl Desk {
    pub(super) fn identify(&self, call: &Call, now: i64) -> Result<Caller, DoorError> {
        let label = call.actor.clone().filter(|label| !label.trim().is_empty());
        if let Some(label) = &label
            && (label.len() > 255 || label.contains('\n'))
        {
            return Err(DoorError::new("usage", "an actor is one line of at most 255 bytes"));
        }
        let Some(token) = &call.token else { return Ok(Caller { label, known: None }) };
        let Some(session) = self.doorman.session_of(token) else {
            return Err(DoorError::new("denied", "GT_TOKEN is not a secret of this town")
                .hint("unset GT_TOKEN to act as the overseer, or check GT_ROOT"));
        };
        let allowed =
            self.buckets.lock().unwrap_or_else(PoisonError::into_inner).take(&session, now);
        if !allowed {
            let text = format!("{session} calls too often: more than {RATE} times a second");
            return Err(
                DoorError::new("busy", text).hint("wait a second, and ask for more at once")
            );
        }
        self.recognise(&session).map(|known| Caller { label, known: Some(known) })
    }

    fn recognise(&self, session: &SessionId) -> Result<Known, DoorError> {
        // A session's id begins with its agent's address, and a rig's agent with the rig's name.
        let databases = self.books.databases();
        let mut dbs: Vec<&Db> = databases.iter().map(|(db, _)| db).collect();
        let named = |db: &Db| {
            session.as_str().strip_prefix(db.as_str()).is_some_and(|rest| rest.starts_with('-'))
        };
        dbs.retain(|db| db.is_hq() || named(db));
        dbs.sort_by_key(|db| std::cmp::Reverse((named(db), db.as_str().len())));
        for db in dbs {
            let found = self.read(db, |tx| {
                let Some(row) = tx.row::<Session>(session)? else { return Ok(None) };
                let agent = tx.row::<Agent>(&row.agent)?;
                Ok(Some((row, agent)))
            })?;
            if let Some((row, agent)) = found {
                return current(db, row, agent);
            }
        }
        Err(DoorError::new("denied", format!("the ledger has no session {session}"))
            .hint("unset GT_TOKEN to act as the overseer"))
    }
}

fn current(db: &Db, session: Session, agent: Option<Agent>) -> Result<Known, DoorError> {
    let stale = |why: String| {
        DoorError::new("stale", why)
            .hint("end this session: its work is kept and goes on in another")
    };
    let Some(agent) = agent else {
        return Err(stale(format!("{} is no longer in the town", session.agent)));
    };
    if agent.incarnation != session.incarnation {
        return Err(stale(format!(
            "{} is at incarnation {}, not {}: this session is no longer its own",
            agent.actor, agent.incarnation, session.incarnation
        )));
    }
    if session.ended_at.is_some() {
        return Err(stale(format!("session {} has ended", session.id)));
    }
    Ok(Known {
        agent: agent.id,
        actor: agent.actor.to_string(),
        incarnation: session.incarnation,
        db: db.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::BURST;
    use super::Buckets;
    use super::RATE;
    use super::SESSIONS_MAX;

    #[test]
    fn a_bucket_empties_and_fills() {
        let mut buckets = Buckets::default();
        let session = "a-1".into();
        assert!((0..BURST).all(|_| buckets.take(&session, 0)));
        assert!(!buckets.take(&session, 0));
        assert!(buckets.take(&session, 1_000 / RATE));
        assert!(!buckets.take(&session, 1_000 / RATE));
        assert!(buckets.take(&"other-1".into(), 0), "each has its own");
    }

    #[test]
    fn the_longest_silent_session_is_forgotten() {
        let mut buckets = Buckets::default();
        for n in 0..=SESSIONS_MAX {
            let now = i64::try_from(n).unwrap();
            assert!(buckets.take(&format!("s-{n}").into(), now));
        }
        assert_eq!(buckets.left.len(), SESSIONS_MAX);
        assert!(!buckets.left.contains_key(&"s-0".into()));
    }
}
