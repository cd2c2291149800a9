//! Ops: every change that the ledger knows, each a function from a transaction to facts.
//!
//! An op checks before its first write, so that a refusal leaves nothing behind. All semantics
//! (ids, compare-and-set, the blocked fixpoint, incarnations) are here, once, for every engine.

mod beads;
mod blocked;
mod by_hand;
mod decay;
mod derived;
mod edges;
mod fact;
mod fields;
mod finish;
mod identity;
mod integration;
mod life;
mod mail;
mod op;
mod over;
mod queue;
mod refused;
mod relay;
mod returned;
mod sessions;
mod statement;
mod support;
mod verification;
mod work;

pub use decay::Doomed;
pub use decay::Rules;
pub use decay::doomed;
pub use decay::travelling;
pub use derived::derive_again;
pub use edges::open_blockers;
pub use fact::Fact;
pub use fact::Facts;
pub use fields::Edit;
pub use fields::ForeignDep;
pub use fields::NewBead;
pub use integration::Below;
pub use integration::NewIntegration;
pub use integration::WholeLanding;
pub use integration::above;
pub use integration::below;
pub use integration::obstacles;
pub use mail::ASKS_FOR_HELP;
pub use op::Op;
pub use queue::AWAY;
pub use queue::NewBranch;
pub use queue::passed;
pub use refused::Refused;
pub use returned::UNABLE_MIN;
pub use sessions::AfterExit;
pub use support::Ctx;
pub use support::Keys;
pub use support::short_id;

use super::tx::Tx;
use finish::finish;
use relay::alarm;
use sessions::cleared;
use sessions::start;

/// Applies one op.
///
/// # Errors
/// [`Refused`]; the caller rolls back to where the transaction was before the op.
pub fn apply(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, op: &Op) -> Result<Facts, Refused> {
    match op {
        Op::Create(new) => beads::create(tx, ctx, new),
        Op::Edit { id, edit } => beads::edit(tx, ctx, id, edit),
        Op::Close { id, reason } => beads::close(tx, ctx, id, reason),
        Op::Reopen { id } => beads::reopen(tx, ctx, id),
        Op::Delete { id } => beads::delete(tx, ctx, id),
        Op::Comment { id, text } => beads::comment(tx, ctx, id, text),
        Op::Claim { id } => beads::claim(tx, ctx, id),
        Op::AddDep { bead, target, dep_type } => edges::add(tx, ctx, bead, target, *dep_type),
        Op::AddForeignDep { bead, target, dep_type, db, closed } => {
            edges::add_foreign(tx, ctx, (bead, target), *dep_type, db, *closed)
        }
        Op::RemoveDep { bead, target } => edges::remove(tx, ctx, bead, target),
        Op::SetMeta { name, value } => identity::set_meta(tx, ctx, name, value),
        Op::RegisterRole { role } => identity::register_role(tx, ctx, *role),
        Op::RegisterAgent { who } => identity::register_agent(tx, ctx, who),
        Op::RemoveAgent { id } => identity::remove_agent(tx, ctx, id),
        Op::PlaceOrders { beads, worker, preset, convoy } => {
            work::place_orders(tx, ctx, beads, (worker.as_ref(), preset.as_ref()), convoy.as_ref())
        }
        Op::Assign { bead, agent, branch } => work::assign(tx, ctx, bead, agent, branch),
        Op::Release { bead, reason } => work::release(tx, ctx, bead, reason),
        Op::StartSession { agent: a, incarnation: n, session: s } => start(tx, ctx, a, *n, s),
        Op::SessionStarted { agent, incarnation, session, host } => {
            sessions::started(tx, ctx, (agent, *incarnation), session, host)
        }
        Op::SessionEnded { agent, incarnation, session, exit, then } => {
            sessions::ended(tx, ctx, (agent, *incarnation), session, exit, then)
        }
        Op::Submit { agent, incarnation: n, submission: s } => work::submit(tx, ctx, agent, *n, s),
        Op::Withdraw { agent: a, incarnation: n, then } => sessions::withdraw(tx, ctx, a, *n, then),
        Op::Enqueue { agent, incarnation: n, target, touches } => {
            work::enqueue(tx, ctx, (agent, *n), target, touches.as_ref())
        }
        Op::Cleared { agent: a, incarnation: n, rescued: r } => cleared(tx, ctx, a, *n, r),
        Op::BeginCycle { rig, stack, risks, bounced, rework_max } => {
            queue::begin(tx, ctx, rig, (stack, risks), bounced, *rework_max)
        }
        Op::StartRun { rig, run, len, judge } => queue::start_run(tx, ctx, rig, run, *len, judge),
        Op::RecordVerification { rig, told } => verification::record(tx, ctx, rig, told),
        Op::FinishRun { rig, run, results } => queue::finish_run(tx, ctx, rig, run, results),
        Op::BeginLanding { rig, len: n, culprit: c, proof } => {
            queue::begin_landing(tx, ctx, rig, (*n, *c), proof)
        }
        Op::FinishCycle { rig, .. } => finish(tx, ctx, rig, op),
        Op::AbandonCycle { rig, reason } => queue::abandon(tx, ctx, rig, reason),
        Op::ParkQueue { rig, reason } => queue::park(tx, ctx, rig, reason.as_deref()),
        Op::QueueAway { rig, reason } => queue::away(tx, ctx, rig, reason.as_deref()),
        Op::SetMr { mr, state, reason } => by_hand::set_mr(tx, ctx, mr, *state, reason),
        Op::Hotfix { id, reason } => life::hotfix(tx, ctx, id, reason),
        Op::FreezeQueue { rig, reason: r, allow } => life::freeze(tx, ctx, rig, r, *allow),
        Op::SubmitBranch(new) => queue::submit_branch(tx, ctx, new),
        Op::CreateIntegration(new) => integration::create(tx, ctx, new),
        Op::LandIntegration(wanted) => integration::land(tx, ctx, wanted),
        Op::DropIntegration { epic } => integration::give_up(tx, ctx, epic),
        Op::Deliver { src, seq, parcel } => relay::deliver(tx, ctx, src, *seq, parcel),
        Op::Prune { dst, upto } => relay::prune(tx, ctx, dst, *upto),
        Op::SendMail(letter) => mail::send(tx, ctx, letter),
        Op::MarkMail { id, state } => mail::mark(tx, ctx, id, *state),
        Op::SendNudge { to, text } => mail::nudge(tx, ctx, to, text),
        Op::TakeNudges { by } => mail::take_nudges(tx, ctx, by),
        Op::SetAlarm { subject: s, condition: c, raise: r } => alarm(tx, ctx, s, c, r.as_deref()),
        Op::CreateConvoy { title: t, owner: o, beads: b } => relay::create_convoy(tx, ctx, t, o, b),
        Op::Reap { before, limit } => mail::reap(tx, ctx, *before, *limit),
        Op::Sql { text } => statement::run(tx, ctx, text),
        Op::Decay { doomed, rules } => decay::decay(tx, ctx, doomed, rules),
        Op::RecordRun { dog, detail } => decay::record(tx, ctx, dog, detail),
    }
}
