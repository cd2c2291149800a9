//! What the desk needs of a ledger and of a running town, as traits.
//!
//! The daemon implements [`Books`] over its writer lanes, a command over one transaction under the
//! writer lock, tests over memory. All methods block.

use std::collections::BTreeMap;

use crate::messages::SubmitError;
use crate::messages::door::Control;
use crate::messages::door::DoorError;
use crate::messages::door::Verify;
use crate::messages::views::VerifyView;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::ids::SessionId;
use crate::model::ops::Facts;
use crate::model::ops::Op;
use crate::model::past::Commit;
use crate::model::past::Moment;
use crate::model::past::NoMoment;
use crate::model::past::Point;
use crate::model::query::BeadFilter;
use crate::model::query::Counts;
use crate::model::query::Linked;
use crate::model::query::Stats;
use crate::model::query::Way;
use crate::model::rows::Bead;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::value::Name;

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// The ledger cannot be used; the text names the remedy.
    #[error("{0}")]
    Unavailable(String),
    /// The ledger is damaged; the text names the remedy.
    #[error("{0}")]
    Damaged(String),
    /// The transaction failed, or a stored cell has a foreign shape.
    #[error(transparent)]
    Tx(#[from] TxError),
    /// There is no such moment in the history.
    #[error("no such moment: {0:?}")]
    NoMoment(NoMoment),
}

/// What reads one snapshot.
pub type Body<'a> = &'a mut dyn FnMut(&mut dyn Tx) -> Result<(), TxError>;

/// The ledger, as the desk sees it.
pub trait Books: Send + Sync {
    /// Every database with the prefix of its ids, without dash.
    fn databases(&self) -> Vec<(Db, String)>;

    /// Commits the ops together and gives their facts; waits until they stand.
    ///
    /// # Errors
    /// [`SubmitError`].
    fn submit(&self, db: &Db, actor: &str, ops: Vec<Op>) -> Result<Facts, SubmitError>;

    /// Runs `body` in one snapshot of a database.
    ///
    /// # Errors
    /// [`BooksError`], and what `body` answers.
    fn read(&self, db: &Db, body: Body<'_>) -> Result<(), BooksError>;

    /// The commit that a point means.
    ///
    /// # Errors
    /// [`BooksError`]; [`BooksError::NoMoment`] where history has none.
    fn moment(&self, db: &Db, point: &Point) -> Result<Moment, BooksError>;

    /// Commits, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`BooksError`].
    fn log(&self, db: &Db, limit: Option<usize>) -> Result<Vec<Commit>, BooksError>;

    /// Runs `body` over what stood at a commit, given by its full hash.
    ///
    /// # Errors
    /// [`BooksError`], and what `body` answers.
    fn read_at(&self, db: &Db, commit: &str, body: Body<'_>) -> Result<(), BooksError>;

    /// The beads that a filter admits, in its order, up to its limit.
    ///
    /// # Errors
    /// [`BooksError`].
    fn list(&self, db: &Db, filter: &BeadFilter) -> Result<Vec<Bead>, BooksError>;

    /// The labels of each bead that has any.
    ///
    /// # Errors
    /// [`BooksError`].
    fn labels(&self, db: &Db, ids: &[BeadId]) -> Result<BTreeMap<BeadId, Vec<Name>>, BooksError>;

    /// Edges and remarks of each bead that has any.
    ///
    /// # Errors
    /// [`BooksError`].
    fn counts(&self, db: &Db, ids: &[BeadId]) -> Result<BTreeMap<BeadId, Counts>, BooksError>;

    /// The far ends of the beads' edges.
    ///
    /// # Errors
    /// [`BooksError`].
    fn linked(&self, db: &Db, ids: &[BeadId], way: Way) -> Result<Vec<Linked>, BooksError>;

    /// The numbers of a database at a time in milliseconds since the epoch.
    ///
    /// # Errors
    /// [`BooksError`].
    fn stats(&self, db: &Db, now_ms: i64) -> Result<Stats, BooksError>;

    /// The mean lead time of closed work in milliseconds; looks at every closed bead.
    ///
    /// # Errors
    /// [`BooksError`].
    fn lead_ms(&self, db: &Db) -> Result<Option<i64>, BooksError>;
}

/// The running town; only a daemon has one.
pub trait Live: Send + Sync {
    /// A session of a rig's agent did something: it is not hung.
    fn progressed(&self, rig: &RigName, agent: &BeadId, incarnation: i64);

    /// Does what only a running town can; answers what was done.
    ///
    /// # Errors
    /// What was refused or failed, and what to do.
    fn control(&self, control: Control) -> Result<serde_json::Value, DoorError>;

    /// Runs the gates of a rig on a commit as it would land, and records what they say; waits
    /// until they are done. `actor` asked for it.
    ///
    /// # Errors
    /// What was refused or failed, and what to do; then nothing is recorded.
    fn verify(&self, wanted: &Verify, actor: &str) -> Result<VerifyView, DoorError>;

    /// What the daemon says of itself, for the status: a JSON object.
    fn stats(&self) -> serde_json::Value;
}

/// Who knows which session a secret belongs to.
pub trait Doorman: Send + Sync {
    /// The session of a genuine secret; `None` for any other text.
    fn session_of(&self, token: &str) -> Option<SessionId>;
}
