//! What the logs of writers say stood, beside what a store has: lost, torn, doubled, and whether
//! its history can be walked.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ops::Op;
use gastown::model::rows::Bead;
use gastown::model::rows::Change;
use gastown::model::rows::Dep;
use gastown::model::rows::Label;
use gastown::model::rows::Meta;
use gastown::model::tx::Scan;
use gastown::model::tx::Tx;
use gastown::model::tx::TxError;
use gastown::model::tx::TxExt;
use gastown::model::value::Name;
use gastown::model::value::Value;
use gastown::store::conn::Conn;
use gastown::store::conn::ConnError;
use gastown::store::error::StoreError;
use gastown::store::ledger::Ledger;
use gastown::store::sql_tx::SqlTx;
use gastown::store::writer::Single;
use gastown::store::writer::Submission;

use crate::tools::Fallible;
use crate::tools::now_ms;
use crate::writers;
use crate::writers::ACK;
use crate::writers::LABEL;
use crate::writers::LIE;
use crate::writers::TRY;

/// Every so many commits all beads are counted; at the others one row is read.
const COUNT_EVERY: usize = 100;

/// Sums over all writers and databases.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) acknowledged: usize,
    pub(crate) lost: usize,
    pub(crate) torn: usize,
    /// Made by more than one change, or by a writer that never tried it.
    pub(crate) doubled: usize,
    pub(crate) lies: usize,
    pub(crate) commits: usize,
    pub(crate) unreadable: usize,
}

/// Makes a database of the soak with its prefix, unless it is there.
pub(crate) fn prepare(ledger: &Ledger, db: &Db) -> Fallible<()> {
    match ledger.create_db(db) {
        Ok(()) | Err(StoreError::Exists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let op = Op::SetMeta { name: Name::from("prefix"), value: "ap".to_owned() };
    let one = Submission { actor: "soak".to_owned(), ops: vec![op] };
    match ledger.writer(db, "soak", 5_000)?.commit_one(&one, now_ms())? {
        Single::Refused(refused) => Err(refused.into()),
        Single::Done(_) | Single::Stands => Ok(()),
    }
}

/// Every row that a check looks at, read in one snapshot.
struct Rows {
    beads: BTreeSet<BeadId>,
    deps: BTreeSet<(BeadId, BeadId)>,
    labels: BTreeSet<BeadId>,
    /// So many changes that made it.
    made: BTreeMap<String, usize>,
}

impl Rows {
    fn read(tx: &mut dyn Tx) -> Result<Self, TxError> {
        let all = Scan::default();
        let beads = tx.rows::<Bead>(&all)?.into_iter().map(|bead| bead.id).collect();
        let deps = tx.rows::<Dep>(&all)?.into_iter().map(|dep| (dep.bead, dep.target)).collect();
        let labels = tx.rows::<Label>(&all)?.into_iter();
        let labels = labels.filter(|row| row.label.as_str() == LABEL).map(|row| row.bead).collect();
        let mut made = BTreeMap::new();
        for change in tx.rows::<Change>(&all)? {
            if change.op.as_str() == "create" {
                *made.entry(change.subject.to_string()).or_default() += 1;
            }
        }
        Ok(Self { beads, deps, labels, made })
    }
}

impl Found {
    /// One writer's log beside its database.
    pub(crate) fn look(
        &mut self,
        ledger: &Ledger,
        db: &Db,
        dir: &Path,
        writer: usize,
    ) -> Fallible<()> {
        let log = fs::read_to_string(writers::log_path(dir, writer))?;
        let words = |word: &str| -> BTreeSet<u64> {
            let lines = log.lines().filter_map(|line| line.strip_prefix(word));
            lines.filter_map(|rest| rest.split_whitespace().next()?.parse().ok()).collect()
        };
        let (tried, acknowledged) = (words(TRY), words(ACK));
        self.acknowledged += acknowledged.len();
        self.lies += words(LIE).len();
        let rows = ledger.read(db, Rows::read)??;
        let id = |count: u64| writers::bead_id("ap", writer, count);
        self.lost += acknowledged.iter().filter(|count| !rows.beads.contains(&id(**count))).count();
        for count in &tried {
            let id = id(*count);
            let edge = count.checked_sub(1).map(|before| {
                let before = writers::bead_id("ap", writer, before);
                rows.deps.contains(&(id.clone(), before))
            });
            let made = rows.made.get(id.as_str()).copied().unwrap_or(0);
            let parts = [rows.beads.contains(&id), rows.labels.contains(&id), made > 0];
            let whole = parts.iter().all(|part| *part) && edge != Some(false);
            let nothing = !parts.iter().any(|part| *part) && edge != Some(true);
            self.torn += usize::from(!whole && !nothing);
            self.doubled += usize::from(made > 1);
        }
        let own = writers::bead_id("ap", writer, 0).to_string();
        let own = own.trim_end_matches('0');
        let counts = rows.beads.iter().filter_map(|id| id.as_str().strip_prefix(own)?.parse().ok());
        self.doubled += counts.filter(|count: &u64| !tried.contains(count)).count();
        Ok(())
    }

    /// Every commit of a database, newest first: each can be read, and beads only become more.
    pub(crate) fn walk(&mut self, ledger: &Ledger, db: &Db) -> Fallible<()> {
        let (commits, bad) = ledger.query(db, walk)?;
        self.commits += commits;
        self.unreadable += bad;
        Ok(())
    }
}

fn walk(conn: &mut dyn Conn) -> Result<(usize, usize), ConnError> {
    let log = conn.query("SELECT commit_hash FROM dolt_log", &[])?;
    let (mut bad, mut later) = (0, usize::MAX);
    for (at, row) in log.iter().enumerate() {
        let Some(Value::Text(hash)) = row.first() else {
            bad += 1;
            continue;
        };
        let mut tx = SqlTx::reader_at(conn, hash)?;
        if at % COUNT_EVERY == 0 {
            match tx.rows::<Bead>(&Scan::default()) {
                Ok(beads) if beads.len() <= later => later = beads.len(),
                // The oldest commit of a store is older than its tables.
                Err(_) if at + 2 >= log.len() => {}
                _ => bad += 1,
            }
        } else if tx.row::<Meta>(&Name::from("store.schema")).is_err() && at + 2 < log.len() {
            bad += 1;
        }
    }
    Ok((log.len(), bad))
}
