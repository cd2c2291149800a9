//! What ops share: keys, ids, the change log, the outbox, and guarded reads.

use super::Fact;
use super::Facts;
use super::Refused;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::mutant;
use crate::model::mutant::Mutant;
use crate::model::parcel::Parcel;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::rows::Change;
use crate::model::rows::Counter;
use crate::model::rows::Label;
use crate::model::rows::Meta;
use crate::model::rows::Outbox;
use crate::model::tx::Tx;
use crate::model::tx::TxExt;
use crate::model::value::Name;

/// Milliseconds of 2020-01-01 since the Unix epoch: keys count from there.
const KEY_EPOCH_MS: i64 = 1_577_836_800_000;
/// Low bits of a key: 8 bits of writer, 12 bits of counter.
const KEY_LOW_BITS: u32 = 20;
/// Bits of the counter within one millisecond of one writer.
const KEY_COUNTER_BITS: u32 = 12;

/// Hands out time-ordered keys that include a writer id, so that two clones never collide.
#[derive(Clone, Debug)]
pub struct Keys {
    writer: i64,
    last: i64,
}

impl Keys {
    /// Keys of writer 0 to 255, all greater than `last`.
    #[must_use]
    pub fn new(writer: i64, last: i64) -> Self {
        Self { writer: writer & 0xff, last }
    }

    /// The next key; never goes back even if `now` does.
    pub fn next(&mut self, now: i64) -> i64 {
        let own = self.writer << KEY_COUNTER_BITS;
        let fresh = ((now - KEY_EPOCH_MS).max(0) << KEY_LOW_BITS) | own;
        let following = self.last + 1;
        let same_writer = (following >> KEY_COUNTER_BITS) & 0xff == self.writer;
        let after_last = if same_writer {
            following
        } else {
            (((self.last >> KEY_LOW_BITS) + 1) << KEY_LOW_BITS) | own
        };
        self.last = fresh.max(after_last);
        self.last
    }
}

/// What an op knows of its surroundings.
#[derive(Debug)]
pub struct Ctx<'a> {
    /// Milliseconds since the epoch.
    pub now: i64,
    /// Who asks.
    pub actor: &'a str,
    /// Which database this is.
    pub db: &'a Db,
    /// Source of keys.
    pub keys: &'a mut Keys,
}

impl Ctx<'_> {
    /// The next key at this op's time.
    pub fn key(&mut self) -> i64 {
        self.keys.next(self.now)
    }

    /// The actor as a cell.
    #[must_use]
    pub fn who(&self) -> Name {
        Name::from(self.actor)
    }
}

/// Longest hash part of an id.
const HASH_MAX: usize = 8;
/// Nonces tried per length.
const NONCES: u64 = 10;

/// Smallest length whose chance of any collision among `population` ids stays under a quarter
/// (the birthday bound: n² / 2·36^L, with 1 - e^-x <= 0.25 at x <= 0.2877).
fn hash_length(population: i64) -> usize {
    let n = i128::from(population.max(0));
    (3..HASH_MAX)
        .find(|length| n * n * 10_000 <= 2 * 2_877 * 36_i128.pow(*length as u32))
        .unwrap_or(HASH_MAX)
}

/// A short base-36 word from a key and a nonce: well mixed, the same everywhere.
#[must_use]
pub fn short_id(key: i64, nonce: u64, length: usize) -> String {
    // The 64-bit finalizer of SplitMix64: every input bit reaches every output bit.
    let mut z = (key as u64).wrapping_add(nonce.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (0..length)
        .map(|_| {
            let digit = (z % 36) as u32;
            z /= 36;
            char::from_digit(digit, 36).expect("a digit below 36")
        })
        .collect()
}

/// The database's prefix, without dash.
pub(super) fn prefix(tx: &mut dyn Tx) -> Result<String, Refused> {
    tx.row::<Meta>(&Name::from("prefix"))?
        .map(|meta| meta.value)
        .ok_or_else(|| Refused::NotFound { kind: "setting", id: "prefix".to_owned() })
}

/// A free id `<prefix>-<infix><hash>` whose hash length follows the population.
pub(super) fn fresh_id(
    tx: &mut dyn Tx,
    prefix: &str,
    infix: &str,
    key: i64,
) -> Result<BeadId, Refused> {
    let counter_name = Name(format!("beads:{prefix}{infix}"));
    let counter = tx.row::<Counter>(&counter_name)?;
    let population = counter.as_ref().map_or(0, |c| c.value);
    let id = free_id(tx, prefix, infix, key, population)?;
    match counter {
        Some(c) => tx.set(&Counter { value: c.value + 1, ..c })?,
        None => tx.add(&Counter { name: counter_name, value: 1 })?,
    }
    Ok(id)
}

fn free_id(
    tx: &mut dyn Tx,
    prefix: &str,
    infix: &str,
    key: i64,
    population: i64,
) -> Result<BeadId, Refused> {
    for length in hash_length(population)..=HASH_MAX {
        for nonce in 0..NONCES {
            let id = BeadId(format!("{prefix}-{infix}{}", short_id(key, nonce, length)));
            if tx.find::<Bead>("by_id", &id)?.is_none() {
                return Ok(id);
            }
        }
    }
    Err(Refused::Exists(format!("every short id tried under {prefix}-{infix}")))
}

/// The bead with this id.
pub(super) fn bead(tx: &mut dyn Tx, id: &BeadId) -> Result<Bead, Refused> {
    tx.find::<Bead>("by_id", id)?
        .ok_or_else(|| Refused::NotFound { kind: "bead", id: id.to_string() })
}

/// The agent with this id.
pub(super) fn agent(tx: &mut dyn Tx, id: &BeadId) -> Result<Agent, Refused> {
    tx.row::<Agent>(id)?.ok_or_else(|| Refused::NotFound { kind: "agent", id: id.to_string() })
}

/// The agent, if the op names its current incarnation (I8).
pub(super) fn current(tx: &mut dyn Tx, id: &BeadId, incarnation: i64) -> Result<Agent, Refused> {
    let found = agent(tx, id)?;
    if found.incarnation != incarnation && !mutant::planted(Mutant::IgnoreIncarnation) {
        return Err(Refused::Stale {
            agent: id.clone(),
            given: incarnation,
            current: found.incarnation,
        });
    }
    Ok(found)
}

/// Writes the change row that every mutation leaves.
pub(super) fn log(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    subject: &str,
    op: &str,
    detail: &serde_json::Value,
) -> Result<(), Refused> {
    let change = Change {
        subject: Name::from(subject),
        seq: ctx.key(),
        actor: ctx.who(),
        op: Name::from(op),
        detail: detail.to_string(),
        at: ctx.now,
    };
    tx.add(&change)?;
    Ok(())
}

/// Asks another database to apply a parcel (D7); on the same database the caller applies it.
pub(super) fn post(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    dst: &Db,
    parcel: Parcel,
    facts: &mut Facts,
) -> Result<(), Refused> {
    if mutant::planted(Mutant::ForgetOutbox) && matches!(parcel, Parcel::Tracked { .. }) {
        return Ok(());
    }
    if dst == ctx.db {
        facts.extend(super::relay::take(tx, ctx, &dst.clone(), &parcel)?);
        return Ok(());
    }
    tx.add(&Outbox { dst: dst.clone(), seq: ctx.key(), parcel })?;
    facts.push(Fact::Outbox { dst: dst.clone() });
    Ok(())
}

/// Label of a bead that a person was told of.
const ESCALATED: &str = "gt:escalated";

/// Tells a person, once, that a bead needs them.
pub(super) fn raise_alarm(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    bead: &BeadId,
    words: &str,
    facts: &mut Facts,
) -> Result<(), Refused> {
    if tx.row2::<Label>(bead, &Name::from(ESCALATED))?.is_none() {
        tx.add(&Label { bead: bead.clone(), label: Name::from(ESCALATED) })?;
    }
    let parcel = alarm(bead, Some(words.to_owned()));
    post(tx, ctx, &Db::hq(), parcel, facts)
}

/// Takes an alarm back when its bead moves again.
pub(super) fn clear_alarm(
    tx: &mut dyn Tx,
    ctx: &mut Ctx<'_>,
    bead: &BeadId,
    facts: &mut Facts,
) -> Result<(), Refused> {
    let label = Label { bead: bead.clone(), label: Name::from(ESCALATED) };
    if !tx.remove(&label)? {
        return Ok(());
    }
    post(tx, ctx, &Db::hq(), alarm(bead, None), facts)
}

fn alarm(bead: &BeadId, raise: Option<String>) -> Parcel {
    Parcel::Alarm { subject: bead.to_string(), condition: "needs a person".to_owned(), raise }
}

/// The fact of an agent's new state.
pub(super) fn agent_fact(agent: &Agent) -> Fact {
    Fact::Agent {
        id: agent.id.clone(),
        actor: agent.actor.to_string(),
        phase: agent.state.word().to_owned(),
    }
}
