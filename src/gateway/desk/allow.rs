//! Who may send which op, and what to do about a refusal.

use crate::gateway::desk::caller::Caller;
use crate::messages::door::DoorError;
use crate::model::ops::Op;
use crate::model::ops::Refused;

/// Who an op is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// Anybody.
    All,
    /// The person.
    Overseer,
    /// The town itself: never through the door.
    Town,
}

fn meant_for(op: &Op) -> For {
    match op {
        Op::Create(_)
        | Op::Edit { .. }
        | Op::Close { .. }
        | Op::Reopen { .. }
        | Op::Delete { .. }
        | Op::Comment { .. }
        | Op::Claim { .. }
        | Op::AddDep { .. }
        | Op::AddForeignDep { .. }
        | Op::RemoveDep { .. }
        | Op::PlaceOrders { .. }
        | Op::SendMail(_)
        | Op::MarkMail { .. }
        | Op::SendNudge { .. }
        | Op::TakeNudges { .. } => For::All,
        Op::Release { .. }
        | Op::SetMr { .. }
        | Op::ParkQueue { reason: None, .. }
        | Op::SubmitBranch(_)
        | Op::Hotfix { .. }
        | Op::FreezeQueue { .. }
        | Op::CreateIntegration(_)
        | Op::LandIntegration(_)
        | Op::DropIntegration { .. }
        | Op::CreateConvoy { .. }
        | Op::Sql { .. } => For::Overseer,
        Op::SetMeta { .. }
        | Op::RegisterRole { .. }
        | Op::RegisterAgent { .. }
        | Op::RemoveAgent { .. }
        | Op::Assign { .. }
        | Op::StartSession { .. }
        | Op::SessionStarted { .. }
        | Op::SessionEnded { .. }
        | Op::Submit { .. }
        | Op::Withdraw { .. }
        | Op::Enqueue { .. }
        | Op::Cleared { .. }
        | Op::BeginCycle { .. }
        | Op::StartRun { .. }
        | Op::FinishRun { .. }
        | Op::RecordVerification { .. }
        | Op::BeginLanding { .. }
        | Op::FinishCycle { .. }
        | Op::AbandonCycle { .. }
        | Op::ParkQueue { .. }
        | Op::QueueAway { .. }
        | Op::Deliver { .. }
        | Op::Prune { .. }
        | Op::SetAlarm { .. }
        | Op::Reap { .. }
        | Op::Decay { .. }
        | Op::RecordRun { .. } => For::Town,
    }
}

/// Refuses an op that this caller may not send.
pub(super) fn check(caller: &Caller, op: &Op) -> Result<(), DoorError> {
    let name = op.name();
    match (meant_for(op), caller.session()) {
        (For::All, _) | (For::Overseer, None) => Ok(()),
        (For::Overseer, Some(known)) => {
            let text = format!("'{name}' is for the overseer, not for {}", known.actor);
            Err(DoorError::new("denied", text)
                .hint("ask for it: 'gt mail send overseer -s SUBJECT -m TEXT'"))
        }
        (For::Town, _) => {
            Err(DoorError::new("denied", format!("only the town itself may '{name}'"))
                .hint("use the command for what you want: 'gt --help' lists them"))
        }
    }
}

/// What to do about a refusal; `None` where its own words say it.
pub(super) fn remedy(refused: &Refused) -> Option<&'static str> {
    match refused {
        Refused::NotFound { kind: "bead", .. } => {
            Some("check the id: 'bd list --all' shows them; '--rig NAME' looks in another rig")
        }
        Refused::NotFound { kind: "dependency", .. } => Some("'bd dep list ID' shows its edges"),
        Refused::NotFound { .. } => Some("check the name and the rig"),
        Refused::Exists(_) => Some("use it as it is, or choose another id"),
        Refused::Cycle(_) => {
            Some("'bd dep tree ID' shows the way around; 'bd dep remove A B' takes an edge away")
        }
        Refused::Held { .. } => Some("take another: 'bd ready' lists what is free"),
        Refused::Stale { .. } => {
            Some("another session has taken over: end this one; its work is kept")
        }
        Refused::Moved { .. } => Some("look again, then decide again"),
        Refused::Invalid(_) | Refused::NotNow { .. } => None,
        Refused::Tx(_) => Some("see the daemon's log; 'gt status' tells whether the town runs"),
    }
}
