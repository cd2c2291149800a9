//! Words about mail.

use super::value::text_enum;

text_enum! {
    /// Protocol types (the seed's names) and free text.
    MailKind {
        /// A worker submitted.
        PolecatDone = "POLECAT_DONE",
        /// A merge request is queued.
        MergeReady = "MERGE_READY",
        /// It landed.
        Merged = "MERGED",
        /// It did not.
        MergeFailed = "MERGE_FAILED",
        /// It must be redone on a newer target.
        ReworkRequest = "REWORK_REQUEST",
        /// A dead worker's bead is free again.
        RecoveredBead = "RECOVERED_BEAD",
        /// A worktree wants a look.
        RecoveryNeeded = "RECOVERY_NEEDED",
        /// An agent asks.
        Help = "HELP",
        /// To a later self.
        Handoff = "HANDOFF",
        /// All beads of a convoy are closed.
        ConvoyLanded = "CONVOY_LANDED",
        /// A condition wants a person.
        Escalation = "ESCALATION",
        /// Anything else.
        Text = "TEXT",
    }
}

text_enum! {
    /// Where a message stands. Archived is not deleted.
    MailState {
        /// Not read.
        Unread = "unread",
        /// Read, kept in the inbox.
        Read = "read",
        /// Out of the inbox.
        Archived = "archived",
    }
}

text_enum! {
    /// Urgency.
    Priority {
        /// Wait for the next look.
        Low = "low",
        /// The default.
        Normal = "normal",
        /// Soon.
        High = "high",
        /// Now.
        Urgent = "urgent",
    }
}
