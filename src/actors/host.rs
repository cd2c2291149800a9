//! The one actor that runs any machine: read, decide, commit, then act (D4).
//!
//! The host owns a factory and an optional machine. A panic in a decision costs the machine its
//! memory and nothing else: the mailbox stays, the supervisor says when the next one starts.
//! While a commit runs, inputs wait in a bounded stash.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use actix::Actor;
use actix::ActorContext;
use actix::ActorFutureExt;
use actix::Addr;
use actix::AsyncContext;
use actix::Context;
use actix::Handler;
use actix::Message;
use actix::Recipient;
use actix::WrapFuture;
use futures_util::FutureExt;

use crate::actors::directory::Deliver;
use crate::actors::directory::Port;
use crate::actors::effects;
use crate::actors::parts::Parts;
use crate::actors::store::StoreActor;
use crate::actors::store::Submit;
use crate::actors::supervisor::Ended;
use crate::machines::Decision;
use crate::machines::Input;
use crate::machines::Machine;
use crate::machines::supervision::End;
use crate::messages::Address;
use crate::messages::SubmitError;
use crate::model::ops::Refused;

/// Inputs that wait while a decision is being committed; more are dropped, the rows remember.
const STASH_MAX: usize = 256;
/// Wait after a decision that was refused again and again, in milliseconds.
const REFUSED_WAIT_MS: i64 = 5_000;

/// Makes a machine with an empty memory.
pub type Factory<M> = Arc<dyn Fn() -> M + Send + Sync>;

/// Starts the machine anew, with an empty memory.
#[derive(Clone, Copy, Debug)]
pub struct Begin;

impl Message for Begin {
    type Result = ();
}

/// Stops the host for good.
#[derive(Clone, Copy, Debug)]
pub struct Dismiss {
    /// Another host has taken the address: what is registered under it stays.
    pub replaced: bool,
}

impl Message for Dismiss {
    type Result = ();
}

/// Where a host's messages go.
#[derive(Clone)]
pub struct Wiring {
    /// Shared parts.
    pub parts: Parts,
    /// The store of the machine's database.
    pub store: Addr<StoreActor>,
    /// Every store, for parcels.
    pub stores: effects::Stores,
    /// Who is told of an end.
    pub supervisor: Recipient<Ended>,
}

/// The host of one machine.
pub struct Host<M: Machine> {
    address: Address,
    wiring: Wiring,
    factory: Factory<M>,
    machine: Option<M>,
    busy: bool,
    queued: Arc<AtomicUsize>,
    stash: VecDeque<Input>,
    /// Counts starts, so that what an earlier life still does is not mistaken for this one's.
    life: u64,
}

/// What a step came to.
enum Stepped<M> {
    /// The decision stands.
    Done(M, Decision),
    /// Not now: forget this input and look again later.
    Later(M, i64),
    /// Nobody knows what stands: start over from the rows.
    Unknown,
}

impl<M> Host<M>
where
    M: Machine + Send + Sync + Unpin + 'static,
    M::View: Send,
{
    /// Starts the host and registers its mailbox. The machine starts with [`Begin`].
    pub fn launch(wiring: Wiring, factory: Factory<M>) -> Addr<Self> {
        let address = factory().address();
        let queued = Arc::new(AtomicUsize::new(0));
        let host = Self {
            address: address.clone(),
            wiring: wiring.clone(),
            factory,
            machine: None,
            busy: false,
            queued: queued.clone(),
            stash: VecDeque::new(),
            life: 0,
        };
        let addr = host.start();
        wiring.parts.directory.put(address, Port::new(addr.clone().recipient(), queued));
        addr
    }

    fn take(&mut self, input: Input, ctx: &mut Context<Self>) {
        if self.wiring.parts.is_closed() {
            return;
        }
        if self.busy || self.machine.is_none() {
            if self.stash.len() < STASH_MAX {
                self.stash.push_back(input);
            } else {
                self.wiring.parts.directory.count_drop(&self.address);
            }
            return;
        }
        let Some(machine) = self.machine.clone() else { return };
        self.busy = true;
        let life = self.life;
        let step = step(self.wiring.clone(), machine, input);
        let guarded = AssertUnwindSafe(step).catch_unwind();
        ctx.spawn(guarded.into_actor(self).map(move |result, host, ctx| {
            if host.life == life {
                host.stepped(result, ctx);
            }
        }));
    }

    fn stepped(
        &mut self,
        result: Result<Stepped<M>, Box<dyn std::any::Any + Send>>,
        ctx: &mut Context<Self>,
    ) {
        self.busy = false;
        match result {
            Ok(Stepped::Done(machine, decision)) => {
                self.machine = Some(machine);
                self.wiring.parts.timers.set(&self.address, decision.wake_at);
                effects::perform(&self.wiring, &self.address, decision.after);
            }
            Ok(Stepped::Later(machine, at)) => {
                self.machine = Some(machine);
                self.wiring.parts.timers.set(&self.address, Some(at));
            }
            Ok(Stepped::Unknown) => {
                self.machine = Some((self.factory)());
                let again =
                    self.wiring.parts.clock.now_ms() + self.wiring.parts.limits.effect_retry_ms;
                self.wiring.parts.timers.set(&self.address, Some(again));
            }
            Err(panic) => {
                self.crashed(panic_text(panic.as_ref()));
                return;
            }
        }
        if let Some(input) = self.stash.pop_front() {
            self.take(input, ctx);
        }
    }

    fn crashed(&mut self, why: String) {
        tracing::error!(who = %self.address, %why, "a decision panicked");
        self.machine = None;
        self.wiring.parts.timers.set(&self.address, None);
        self.wiring.supervisor.do_send(Ended { who: self.address.clone(), end: End::Crash(why) });
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

/// One input: reads, decides and commits, again when the rows have moved meanwhile.
async fn step<M>(wiring: Wiring, machine: M, input: Input) -> Stepped<M>
where
    M: Machine + Send + Sync + 'static,
    M::View: Send,
{
    let parts = &wiring.parts;
    for _ in 0..=parts.limits.redecide_max {
        let mut trial = machine.clone();
        let reader = machine.clone();
        let (port, db) = (parts.port.clone(), machine.db());
        let view = actix_rt::task::spawn_blocking(move || {
            let mut view = None;
            let read = port.read(&db, &mut |tx| view = Some(reader.view(tx)));
            read.map(|()| view)
        });
        let view = match view.await {
            Ok(Ok(Some(Ok(view)))) => view,
            other => {
                let why = match other {
                    Ok(Ok(Some(Err(error)))) => error.to_string(),
                    Ok(Err(error)) => error.to_string(),
                    Ok(Ok(Some(Ok(_)) | None)) => "the read gave nothing".to_owned(),
                    Err(panic) => panic.to_string(),
                };
                tracing::warn!(who = %machine.address(), %why, "cannot read");
                // A report that is forgotten leaves the machine waiting for it: a new one asks
                // the world again.
                if matches!(input, Input::Report { .. }) {
                    return Stepped::Unknown;
                }
                return Stepped::Later(machine, parts.clock.now_ms() + REFUSED_WAIT_MS);
            }
        };
        let decision = trial.decide(&view, &input, parts.clock.now_ms());
        if decision.ops.is_empty() {
            return Stepped::Done(trial, decision);
        }
        tracing::debug!(who = %machine.address(), ops = ?decision.ops, "decided");
        let submit = Submit { actor: machine.actor(), ops: decision.ops.clone() };
        match wiring.store.send(submit).await {
            Ok(Ok(_)) => return Stepped::Done(trial, decision),
            Ok(Err(SubmitError::Refused(Refused::Moved { .. } | Refused::Stale { .. }))) => {}
            Ok(Err(SubmitError::Refused(why))) => {
                tracing::warn!(who = %machine.address(), %why, "refused");
                return Stepped::Later(machine, parts.clock.now_ms() + REFUSED_WAIT_MS);
            }
            // What this input said is lost with the decision: a new machine asks the world again.
            Ok(Err(SubmitError::Busy | SubmitError::Unavailable(_) | SubmitError::Unknown))
            | Err(_) => {
                return Stepped::Unknown;
            }
        }
    }
    Stepped::Later(machine, parts.clock.now_ms() + REFUSED_WAIT_MS)
}

impl<M> Actor for Host<M>
where
    M: Machine + Unpin + 'static,
{
    type Context = Context<Self>;
}

impl<M> Handler<Deliver> for Host<M>
where
    M: Machine + Send + Sync + Unpin + 'static,
    M::View: Send,
{
    type Result = ();

    fn handle(&mut self, deliver: Deliver, ctx: &mut Context<Self>) {
        self.queued.fetch_sub(1, Ordering::AcqRel);
        self.take(deliver.0, ctx);
    }
}

impl<M> Handler<Begin> for Host<M>
where
    M: Machine + Send + Sync + Unpin + 'static,
    M::View: Send,
{
    type Result = ();

    fn handle(&mut self, _: Begin, ctx: &mut Context<Self>) {
        self.life += 1;
        self.busy = false;
        self.machine = Some((self.factory)());
        self.take(Input::Wake, ctx);
    }
}

impl<M> Handler<Dismiss> for Host<M>
where
    M: Machine + Unpin + 'static,
{
    type Result = ();

    fn handle(&mut self, dismiss: Dismiss, ctx: &mut Context<Self>) {
        if !dismiss.replaced {
            self.wiring.parts.directory.remove(&self.address);
            self.wiring.parts.timers.set(&self.address, None);
        }
        ActorContext::stop(ctx);
    }
}
