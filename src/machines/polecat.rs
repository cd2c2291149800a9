//! A worker: from an assignment to an idle worker, each step resumable (D8, D11).
//!
//! The row's phase is the intent; this machine wants the effect of that phase until its answer
//! moves the row on. It holds no truth of its own.

use super::Decision;
use super::Input;
use super::Machine;
use super::driver::Driver;
use super::limits::Limits;
use super::limits::backoff;
use crate::messages::Address;
use crate::messages::Message;
use crate::messages::PolecatMessage;
use crate::model::agent::AgentState;
use crate::model::agent::Exit;
use crate::model::agent::Work;
use crate::model::effect::Effect;
use crate::model::effect::Outcome;
use crate::model::effect::Place;
use crate::model::effect::SessionSpec;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ids::SessionId;
use crate::model::merge::Touches;
use crate::model::ops::AfterExit;
use crate::model::ops::Op;
use crate::model::rows::Agent;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;

/// One worker.
#[derive(Clone, Debug)]
pub struct Polecat {
    rig: RigName,
    name: String,
    id: BeadId,
    target: String,
    limits: Limits,
    driver: Driver,
    /// The incarnation whose session is being ended for want of progress.
    restarting: Option<i64>,
}

impl Polecat {
    /// The machine of `rig/polecats/name`, whose agent bead is `id` and whose work lands on
    /// `target`.
    #[must_use]
    pub fn new(rig: RigName, name: String, id: BeadId, target: String, limits: Limits) -> Self {
        Self { rig, name, id, target, limits, driver: Driver::default(), restarting: None }
    }

    fn place(&self, agent: &Agent) -> Place {
        Place { rig: self.rig.clone(), name: self.name.clone(), incarnation: agent.incarnation }
    }

    fn next_session(&self, agent: &Agent) -> SessionId {
        SessionId(format!("{}-{}-{}", self.rig, self.name, agent.incarnation + 1))
    }

    fn start(&self, agent: &Agent) -> Op {
        Op::StartSession {
            agent: self.id.clone(),
            incarnation: agent.incarnation,
            session: self.next_session(agent),
        }
    }

    fn enqueue(&self, agent: &Agent, touches: Option<Touches>) -> Op {
        Op::Enqueue {
            agent: self.id.clone(),
            incarnation: agent.incarnation,
            target: self.target.clone(),
            touches,
        }
    }

    fn want(&mut self, d: &mut Decision, now: i64, effect: Effect) {
        self.driver.want(d, now, &self.limits, effect);
    }

    /// Wants whatever the phase wants.
    fn pursue(&mut self, d: &mut Decision, agent: &Agent, now: i64) {
        let place = self.place(agent);
        match &agent.state {
            AgentState::Idle => {}
            AgentState::Preparing { work } => {
                let (branch, start) = (work.branch.clone(), work.start.clone());
                self.want(d, now, Effect::MakeWorktree { place, branch, start });
            }
            AgentState::Spawning { work, session } => {
                let spec = self.spec(agent, work, session);
                self.want(d, now, Effect::Spawn(spec));
            }
            AgentState::Working { session, .. } => {
                let session = session.clone();
                if self.restarting == Some(agent.incarnation) {
                    let grace_ms = self.limits.stop_grace_ms;
                    self.want(d, now, Effect::Stop { session: session.clone(), grace_ms });
                }
                self.want(d, now, Effect::Watch { session });
            }
            AgentState::Backoff { until, .. } if now >= *until => d.ops.push(self.start(agent)),
            AgentState::Backoff { until, .. } => d.wake(*until),
            AgentState::Submitted { submission, .. } if submission.no_change.is_some() => {
                d.ops.push(self.enqueue(agent, None));
            }
            AgentState::Submitted { work, submission, .. } => {
                let (branch, head) = (work.branch.clone(), submission.head.clone());
                self.want(d, now, Effect::Push { place, branch, head });
            }
            AgentState::Ending { session, .. } => {
                let session = session.clone();
                let grace_ms = self.limits.stop_grace_ms;
                self.want(d, now, Effect::Stop { session: session.clone(), grace_ms });
                self.want(d, now, Effect::Watch { session });
            }
            AgentState::Clearing { work } => {
                let branch = work.branch.clone();
                self.want(d, now, Effect::Teardown { place, branch });
            }
        }
    }

    fn spec(&self, agent: &Agent, work: &Work, session: &SessionId) -> SessionSpec {
        SessionSpec {
            id: session.clone(),
            actor: agent.actor.to_string(),
            agent: self.id.clone(),
            place: self.place(agent),
            bead: work.bead.clone(),
            branch: work.branch.clone(),
            preset: work.preset.clone(),
        }
    }

    /// What an answer means in the present phase; an answer about an earlier session or branch
    /// means nothing.
    fn conclude(&self, agent: &Agent, key: &str, outcome: &Outcome, now: i64) -> Option<Op> {
        let work = agent.state.work()?;
        let subject = match outcome {
            Outcome::Started { .. } | Outcome::Exited { .. } => agent.state.session()?.as_str(),
            _ => work.branch.as_str(),
        };
        if key.rsplit(' ').next() != Some(subject) {
            return None;
        }
        match (&agent.state, outcome) {
            (AgentState::Preparing { .. }, Outcome::Worktree { .. }) => Some(self.start(agent)),
            (AgentState::Spawning { session, .. }, Outcome::Started { host }) => {
                Some(Op::SessionStarted {
                    agent: self.id.clone(),
                    incarnation: agent.incarnation,
                    session: session.clone(),
                    host: host.clone(),
                })
            }
            (
                AgentState::Spawning { work, session }
                | AgentState::Working { work, session }
                | AgentState::Ending { work, session },
                Outcome::Exited { exit },
            ) => Some(Op::SessionEnded {
                agent: self.id.clone(),
                incarnation: agent.incarnation,
                session: session.clone(),
                exit: exit.clone(),
                then: self.after(agent, work, exit, now),
            }),
            (AgentState::Submitted { .. }, Outcome::Pushed { touches }) => {
                Some(self.enqueue(agent, touches.clone()))
            }
            (AgentState::Clearing { .. }, Outcome::TornDown { rescued }) => Some(Op::Cleared {
                agent: self.id.clone(),
                incarnation: agent.incarnation,
                rescued: rescued.clone(),
            }),
            _ => None,
        }
    }

    /// The restart policy of sessions: a stop that the town asked for is not a failure; others
    /// are retried with back-off, then given to another worker, then to a person.
    fn after(&self, agent: &Agent, work: &Work, exit: &Exit, now: i64) -> AfterExit {
        let ours = *exit == Exit::Stopped && self.restarting != Some(agent.incarnation);
        if ours {
            return AfterExit::Retry { at: now, counted: false };
        }
        let exits = work.exits + 1;
        if exits < self.limits.session_exits_max {
            let (base, max) = (self.limits.session_backoff_ms, self.limits.session_backoff_max_ms);
            return AfterExit::Retry { at: now + backoff(base, work.exits, max), counted: true };
        }
        let reason =
            format!("{} ended {exits} sessions without 'gt done'; last: {exit:?}", self.name);
        if work.tries < self.limits.reassign_max {
            AfterExit::Reassign { reason }
        } else {
            AfterExit::GiveUp { reason }
        }
    }

    /// Gives the bead back when its worktree, session or push cannot be had. A teardown is tried
    /// on: nothing is deleted that is not rescued.
    fn withdraw(&self, agent: &Agent, error: &str) -> Option<Op> {
        let work = agent.state.work().filter(|_| agent.state.holds())?;
        let reason = format!("{} {}: {error}", self.name, agent.state.word());
        let then = if work.tries < self.limits.reassign_max {
            AfterExit::Reassign { reason }
        } else {
            AfterExit::GiveUp { reason }
        };
        Some(Op::Withdraw { agent: self.id.clone(), incarnation: agent.incarnation, then })
    }

    fn told(&mut self, agent: &Agent, message: &PolecatMessage) {
        match message {
            PolecatMessage::Recheck { incarnation } if *incarnation == agent.incarnation => {
                self.driver.clear();
            }
            PolecatMessage::Restart { incarnation, .. } if *incarnation == agent.incarnation => {
                self.driver.clear();
                self.restarting = Some(*incarnation);
            }
            PolecatMessage::Recheck { .. } | PolecatMessage::Restart { .. } => {}
        }
    }
}

impl Machine for Polecat {
    type View = Option<Agent>;

    fn address(&self) -> Address {
        Address::Polecat(self.rig.clone(), self.name.clone())
    }

    fn db(&self) -> Db {
        Db::from(&self.rig)
    }

    fn actor(&self) -> String {
        Identity::Polecat(self.rig.clone(), self.name.clone()).actor()
    }

    fn view(&self, tx: &mut dyn Tx) -> Result<Self::View, TxError> {
        tx.row::<Agent>(&self.id)
    }

    fn decide(&mut self, view: &Self::View, input: &Input, now: i64) -> Decision {
        let mut d = Decision::default();
        let Some(agent) = view else { return d };
        match input {
            Input::Report { key, outcome: Outcome::Failed { error } } => {
                let failures = self.driver.failed(key, now, &self.limits);
                if failures >= self.limits.effect_failures_max
                    && let Some(op) = self.withdraw(agent, error)
                {
                    self.driver.done(key);
                    d.ops.push(op);
                    return d;
                }
            }
            // It is pushed when the remote answers again: the work is not given up for that.
            Input::Report { key, outcome: Outcome::Unreachable { .. } } => {
                self.driver.unreachable(key, now, &self.limits);
            }
            Input::Report { key, outcome } => {
                // A phase may want the same effect again; an answer that moves the row does not.
                if !matches!(outcome, Outcome::Stopping) {
                    self.driver.done(key);
                }
                if let Some(op) = self.conclude(agent, key, outcome, now) {
                    d.ops.push(op);
                    return d;
                }
            }
            Input::Told(Message::Polecat(message)) => self.told(agent, message),
            Input::Wake | Input::Told(_) => {}
        }
        self.pursue(&mut d, agent, now);
        d
    }
}
