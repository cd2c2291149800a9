//! The store actor of one database: a mailbox round the lane machine (I1).
//!
//! Groups run on blocking threads, one at a time; everything else is answered from the lane.

use std::collections::BTreeMap;

use actix::Actor;
use actix::ActorFutureExt;
use actix::Context;
use actix::Handler;
use actix::Message;
use actix::ResponseFuture;
use actix::WrapFuture;
use tokio::sync::oneshot;

use crate::actors::parts::Parts;
use crate::adapters::failpoint;
use crate::machines::lane::Lane;
use crate::machines::lane::LaneInput;
use crate::machines::lane::LaneOutput;
use crate::machines::lane::Ticket;
use crate::messages::SubmitError;
use crate::model::ids::Db;
use crate::model::ops::Facts;
use crate::model::ops::Op;
use crate::store::error::GroupError;
use crate::store::writer::Answers;
use crate::store::writer::Submission;

/// Ops to commit together.
#[derive(Debug)]
pub struct Submit {
    /// Who.
    pub actor: String,
    /// In order.
    pub ops: Vec<Op>,
}

impl Message for Submit {
    type Result = Result<Facts, SubmitError>;
}

type Reply = oneshot::Sender<Result<Facts, SubmitError>>;

/// The actor.
pub struct StoreActor {
    db: Db,
    parts: Parts,
    lane: Lane,
    tickets: Ticket,
    waiting: BTreeMap<Ticket, (Submission, Reply)>,
    answers: BTreeMap<Ticket, Result<Facts, SubmitError>>,
}

impl StoreActor {
    /// The store of one database.
    #[must_use]
    pub fn new(db: Db, parts: Parts) -> Self {
        let lane = Lane::new(parts.limits.group_max, parts.limits.lane_queue_max);
        Self { db, parts, lane, tickets: 0, waiting: BTreeMap::new(), answers: BTreeMap::new() }
    }

    fn step(&mut self, input: &LaneInput, ctx: &mut Context<Self>) {
        for output in self.lane.step(input) {
            match output {
                LaneOutput::Commit(group) => self.commit(group, ctx),
                LaneOutput::Ack(group) | LaneOutput::Unknown(group) => {
                    for ticket in group {
                        let answer = self.answers.remove(&ticket);
                        self.answer(ticket, answer.unwrap_or(Err(SubmitError::Unknown)));
                    }
                }
                LaneOutput::Busy(ticket) => self.answer(ticket, Err(SubmitError::Busy)),
            }
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<Facts, SubmitError>) {
        if let Some((_, reply)) = self.waiting.remove(&ticket)
            && reply.send(answer).is_err()
        {
            tracing::debug!(db = %self.db, ticket, "the submitter is gone");
        }
    }

    fn commit(&mut self, group: Vec<Ticket>, ctx: &mut Context<Self>) {
        let submissions = group.iter().filter_map(|ticket| self.waiting.get(ticket));
        let submissions: Vec<Submission> = submissions.map(|(one, _)| one.clone()).collect();
        let (db, port) = (self.db.clone(), self.parts.port.clone());
        let now = self.parts.clock.now_ms();
        let job = actix_rt::task::spawn_blocking(move || {
            let ops = submissions.iter().flat_map(|submission| &submission.ops);
            failpoint::round(ops, || port.commit(&db, &submissions, now))
        });
        let done = async move {
            // Where the panic struck, before the commit or behind it, nobody knows.
            job.await.unwrap_or_else(|panic| Err(GroupError::Unknown(panic.to_string())))
        };
        let done = done.into_actor(self).map(move |result, actor, ctx| {
            actor.committed(group, result, ctx);
        });
        actix::AsyncContext::spawn(ctx, done);
    }

    fn committed(
        &mut self,
        group: Vec<Ticket>,
        result: Result<Answers, GroupError>,
        ctx: &mut Context<Self>,
    ) {
        match result {
            Ok(answers) => {
                for (ticket, answer) in group.into_iter().zip(answers) {
                    if let Ok(facts) = &answer {
                        self.parts.spread(&self.db, facts);
                    }
                    self.answers.insert(ticket, answer.map_err(SubmitError::Refused));
                }
                self.step(&LaneInput::Committed, ctx);
            }
            Err(GroupError::Unknown(why)) => {
                tracing::warn!(db = %self.db, %why, "unknown outcome");
                self.step(&LaneInput::Unknown, ctx);
            }
            Err(error) => {
                tracing::error!(db = %self.db, %error, "nothing was committed");
                for ticket in group {
                    self.answers.insert(ticket, Err(SubmitError::Unavailable(error.to_string())));
                }
                self.step(&LaneInput::Committed, ctx);
            }
        }
    }
}

impl Actor for StoreActor {
    type Context = Context<Self>;
}

impl Handler<Submit> for StoreActor {
    type Result = ResponseFuture<Result<Facts, SubmitError>>;

    fn handle(&mut self, submit: Submit, ctx: &mut Context<Self>) -> Self::Result {
        self.tickets += 1;
        let ticket = self.tickets;
        let (reply, answer) = oneshot::channel();
        let submission = Submission { actor: submit.actor, ops: submit.ops };
        self.waiting.insert(ticket, (submission, reply));
        self.step(&LaneInput::Submit(ticket), ctx);
        Box::pin(async move { answer.await.unwrap_or(Err(SubmitError::Unknown)) })
    }
}
