//! The fault plan: which faults happen how often, and how often they did.

use std::collections::BTreeMap;

use super::rng::Stream;
use crate::model::value::text_enum;

text_enum! {
    /// How bad the world is.
    Faults {
        /// Nothing goes wrong but the work itself.
        None = "none",
        /// Now and then.
        Light = "light",
        /// All the time.
        Heavy = "heavy",
    }
}

text_enum! {
    /// Kinds of faults.
    Fault {
        /// A machine loses its memory.
        MachineCrash = "machine_crash",
        /// All machines do, groups in flight are lost, sessions live on.
        DaemonRestart = "daemon_restart",
        /// A group is lost before it is published.
        GroupLost = "group_lost",
        /// A group is published but its outcome is not known.
        CommitUnknown = "commit_unknown",
        /// A message or report is lost.
        MessageDropped = "message_dropped",
        /// A message or report arrives twice.
        MessageDoubled = "message_doubled",
        /// A message or report arrives late.
        MessageDelayed = "message_delayed",
        /// A session ends without a submission.
        AgentFailed = "agent_failed",
        /// A session neither works nor ends.
        AgentHung = "agent_hung",
        /// A session submits a commit that it does not have.
        AgentLied = "agent_lied",
        /// A session that is gone speaks up late.
        AgentStale = "agent_stale",
        /// A green tree is called red.
        GateFlaked = "gate_flaked",
        /// A gate does not run to an answer.
        GateStuck = "gate_stuck",
        /// A commit takes seconds.
        StoreStalled = "store_stalled",
        /// A verb of the world fails.
        EffectFailed = "effect_failed",
        /// Somebody else moves the target.
        TargetMoved = "target_moved",
    }
}

/// Rates per opportunity in a million, and what happened.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    faults: Faults,
    stream: Stream,
    active: bool,
    /// Faults that happened, by kind.
    pub happened: BTreeMap<Fault, u64>,
}

impl Plan {
    /// A plan under a seed.
    #[must_use]
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        let happened = Fault::ALL.iter().map(|fault| (*fault, 0)).collect();
        Self { faults, stream: Stream::new(seed, "faults"), active: true, happened }
    }

    /// No more faults from now on.
    pub(super) fn stop(&mut self) {
        self.active = false;
    }

    fn rate(&self, fault: Fault) -> u64 {
        let heavy = match fault {
            Fault::MachineCrash => 8_000,
            Fault::DaemonRestart => 80_000,
            Fault::GroupLost | Fault::CommitUnknown => 12_000,
            Fault::MessageDropped | Fault::MessageDoubled | Fault::MessageDelayed => 20_000,
            Fault::AgentFailed => 120_000,
            Fault::AgentHung => 50_000,
            Fault::AgentLied => 50_000,
            Fault::AgentStale => 200_000,
            Fault::GateFlaked => 60_000,
            Fault::GateStuck => 60_000,
            Fault::StoreStalled => 10_000,
            Fault::EffectFailed => 40_000,
            Fault::TargetMoved => 60_000,
        };
        match self.faults {
            Faults::None => 0,
            Faults::Light => heavy / 10,
            Faults::Heavy => heavy,
        }
    }

    /// Whether this fault happens now; counts it.
    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        let rate = self.rate(fault);
        let hit = self.active && self.stream.happens(rate);
        if hit {
            *self.happened.entry(fault).or_default() += 1;
        }
        hit
    }
}
