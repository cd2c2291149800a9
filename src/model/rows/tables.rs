//! The list of all tables.

use super::Agent;
use super::Bead;
use super::Change;
use super::Comment;
use super::Convoy;
use super::Counter;
use super::Cursor;
use super::Dep;
use super::DogRun;
use super::Escalation;
use super::GateRun;
use super::Integration;
use super::Label;
use super::Landing;
use super::Mail;
use super::Member;
use super::MergeRequest;
use super::Meta;
use super::Nudge;
use super::Order;
use super::Outbox;
use super::Queue;
use super::Session;
use super::Shadow;
use super::Watch;
use crate::model::table::Row;
use crate::model::table::Table;

/// Every table, in the order of creation.
pub const TABLES: &[&Table] = &[
    Meta::TABLE,
    Counter::TABLE,
    Bead::TABLE,
    Dep::TABLE,
    Label::TABLE,
    Comment::TABLE,
    Change::TABLE,
    Agent::TABLE,
    Session::TABLE,
    Order::TABLE,
    MergeRequest::TABLE,
    Queue::TABLE,
    GateRun::TABLE,
    Landing::TABLE,
    Integration::TABLE,
    Convoy::TABLE,
    Member::TABLE,
    Mail::TABLE,
    Nudge::TABLE,
    Outbox::TABLE,
    Cursor::TABLE,
    Shadow::TABLE,
    Watch::TABLE,
    Escalation::TABLE,
    DogRun::TABLE,
];
