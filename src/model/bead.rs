//! Words about beads: types, statuses, dependency types, and who holds one.

use serde::Deserialize;
use serde::Serialize;

use super::ids::BeadId;
use super::ids::Sha;
use super::value::json_cell;
use super::value::text_enum;

text_enum! {
    /// What is shown as `status`.
    Status {
        /// Free to take.
        Open = "open",
        /// Held by a worker, or in the merge queue.
        InProgress = "in_progress",
        /// Set aside by hand.
        Blocked = "blocked",
        /// On a hook, not started.
        Hooked = "hooked",
        /// Put off.
        Deferred = "deferred",
        /// Never finished: a reference.
        Pinned = "pinned",
        /// Done.
        Closed = "closed",
    }
}

text_enum! {
    /// What is shown as `issue_type`.
    BeadType {
        /// A defect.
        Bug = "bug",
        /// Something new.
        Feature = "feature",
        /// Work; the default.
        Task = "task",
        /// A parent of other beads.
        Epic = "epic",
        /// Upkeep.
        Chore = "chore",
        /// A recorded choice.
        Decision = "decision",
        /// Mail.
        Message = "message",
        /// A workflow instance.
        Molecule = "molecule",
        /// A wait.
        Gate = "gate",
        /// A bounded investigation.
        Spike = "spike",
        /// A user's wish.
        Story = "story",
        /// A date.
        Milestone = "milestone",
        /// Somebody in the town.
        Agent = "agent",
        /// A role's definition.
        Role = "role",
        /// A project.
        Rig = "rig",
        /// A batch of work.
        Convoy = "convoy",
        /// A branch that waits to land.
        MergeRequest = "merge-request",
        /// A condition that wants a person.
        Escalation = "escalation",
        /// Something that happened.
        Event = "event",
    }
}

impl BeadType {
    /// Whether a worker can be given a bead of this type.
    #[must_use]
    pub fn is_work(self) -> bool {
        matches!(
            self,
            Self::Bug
                | Self::Feature
                | Self::Task
                | Self::Epic
                | Self::Chore
                | Self::Decision
                | Self::Spike
                | Self::Story
                | Self::Milestone
        )
    }
}

text_enum! {
    /// What an edge between two beads means.
    DepType {
        /// The target must close first.
        Blocks = "blocks",
        /// The target is the parent.
        ParentChild = "parent-child",
        /// As `blocks`, if the target failed.
        ConditionalBlocks = "conditional-blocks",
        /// Waits for the target's children.
        WaitsFor = "waits-for",
        /// See also.
        Related = "related",
        /// Found while doing the target.
        DiscoveredFrom = "discovered-from",
        /// Thread.
        RepliesTo = "replies-to",
        /// See also, both ways.
        RelatesTo = "relates-to",
        /// The target is the original.
        Duplicates = "duplicates",
        /// Replaces the target.
        Supersedes = "supersedes",
        /// A convoy's member.
        Tracks = "tracks",
        /// Cause.
        CausedBy = "caused-by",
        /// Proof.
        Validates = "validates",
    }
}

impl DepType {
    /// Whether an open target keeps the source from being ready.
    #[must_use]
    pub fn blocks(self) -> bool {
        matches!(self, Self::Blocks | Self::ConditionalBlocks | Self::WaitsFor)
    }
}

/// Who has a bead (design D8). `Held` outlives a session while its restarts last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Nobody.
    #[default]
    Free,
    /// One incarnation of one agent.
    Held {
        /// The agent's bead id.
        agent: BeadId,
        /// Its incarnation; 0 before its first session has started.
        incarnation: i64,
    },
    /// The merge queue.
    InQueue {
        /// The merge request.
        mr: BeadId,
    },
    /// Landed.
    Merged {
        /// The landed commit.
        commit: Sha,
    },
}

json_cell!(Hold);
