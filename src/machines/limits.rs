//! Every bound of the machines, with its default (I13). Settings may change each by name.

use serde::Deserialize;
use serde::Serialize;

/// Bounds and periods. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Workers per rig.
    pub polecats_max: usize,
    /// Counted session exits of one worker before its bead goes to another.
    pub session_exits_max: i64,
    /// Workers that may give up on a bead before a person is told.
    pub reassign_max: i64,
    /// Wait before the second session; doubles with each exit.
    pub session_backoff_ms: i64,
    /// Longest such wait.
    pub session_backoff_max_ms: i64,
    /// Between asking a session to end and forcing it.
    pub stop_grace_ms: i64,
    /// An effect without an answer is done again after this.
    pub effect_deadline_ms: i64,
    /// Wait before a failed effect is tried again; doubles with each failure.
    pub effect_retry_ms: i64,
    /// Longest such wait.
    pub effect_retry_max_ms: i64,
    /// Failures of one effect in a row before the bead is given back or the queue parks; times when
    /// somebody did not answer do not count.
    pub effect_failures_max: i64,
    /// Between two patrols of a witness with busy workers.
    pub patrol_every_ms: i64,
    /// A working session without a sign of life is nudged after this, restarted after twice this.
    pub hung_after_ms: i64,
    /// A worker in any other phase is looked at again after this.
    pub stalled_after_ms: i64,
    /// Between two rounds of the Deacon.
    pub heartbeat_every_ms: i64,
    /// Boot wakes a Deacon that was silent for this long, and starts it anew after four times it.
    pub deacon_stale_ms: i64,
    /// Between two runs of the reaper.
    pub reaper_every_ms: i64,
    /// Between two looks of the backup dogs.
    pub backup_every_ms: i64,
    /// Between two looks of the archive dogs.
    pub archive_every_ms: i64,
    /// Between two looks of the compactors.
    pub compactor_every_ms: i64,
    /// Between two rounds of the doctor.
    pub doctor_every_ms: i64,
    /// Nudges older than this are removed.
    pub nudge_ttl_ms: i64,
    /// Parcels carried at once.
    pub relay_batch: usize,
    /// Submissions in one commit.
    pub group_max: usize,
    /// Submissions that wait for a commit; more are answered `Busy`.
    pub lane_queue_max: usize,
    /// Refused decisions in a row before a machine waits for its next wake.
    pub redecide_max: u32,
    /// Orders looked at in one dispatch.
    pub dispatch_batch: usize,
    /// Deaths of the town's own Dolt server within `server_crash_period_ms` that are answered by a
    /// start; after more of them it is tried again now and then, and a person is told.
    pub server_crashes_max: usize,
    /// See `server_crashes_max`.
    pub server_crash_period_ms: i64,
    /// Wait between two tries of a server that died too often.
    pub server_probe_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            polecats_max: 4,
            session_exits_max: 3,
            reassign_max: 1,
            session_backoff_ms: 1_000,
            session_backoff_max_ms: 60_000,
            stop_grace_ms: 3_000,
            effect_deadline_ms: 15 * 60_000,
            effect_retry_ms: 500,
            effect_retry_max_ms: 60_000,
            effect_failures_max: 6,
            patrol_every_ms: 60_000,
            hung_after_ms: 30 * 60_000,
            stalled_after_ms: 5 * 60_000,
            heartbeat_every_ms: 180_000,
            deacon_stale_ms: 300_000,
            reaper_every_ms: 30 * 60_000,
            backup_every_ms: 15 * 60_000,
            archive_every_ms: 15 * 60_000,
            compactor_every_ms: 30 * 60_000,
            doctor_every_ms: 30 * 60_000,
            nudge_ttl_ms: 2 * 3_600_000,
            relay_batch: 64,
            group_max: 100,
            lane_queue_max: 4_096,
            redecide_max: 8,
            dispatch_batch: 256,
            server_crashes_max: 5,
            server_crash_period_ms: 15 * 60_000,
            server_probe_ms: 60_000,
        }
    }
}

/// How long stored data lives, and how much of it there may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Life {
    /// What ended longer ago goes: read mail, landed convoys, cleared conditions, ended sessions,
    /// gate runs that prove no landing, runs of dogs.
    pub ephemera_keep_ms: i64,
    /// Beads closed longer ago go.
    pub beads_keep_ms: i64,
    /// What was committed so shortly before a copy was begun counts as not in it.
    pub copy_margin_ms: i64,
    /// Things that go in one transaction.
    pub decay_batch: usize,
    /// Commits above which a history is made shorter; at most half of it is left.
    pub commits_max: i64,
    /// Megabytes above which a history is made shorter, and flat if that is not enough.
    pub size_mb_max: i64,
    /// So many times the size after the last compaction is too much.
    pub growth_max: i64,
    /// How far back the past can be read: `history.keep`.
    #[serde(skip)]
    pub history_keep_ms: i64,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            ephemera_keep_ms: 7 * 86_400_000,
            beads_keep_ms: 30 * 86_400_000,
            copy_margin_ms: 60_000,
            decay_batch: 200,
            commits_max: 2_000,
            size_mb_max: 256,
            growth_max: 8,
            history_keep_ms: 7 * 86_400_000,
        }
    }
}

/// `base * 2^times`, at most `max`.
#[must_use]
pub fn backoff(base: i64, times: i64, max: i64) -> i64 {
    let doubled = base.saturating_mul(1_i64 << times.clamp(0, 40));
    doubled.min(max)
}
