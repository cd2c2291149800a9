//! Who is where: addresses to mailboxes, read by everybody, written by the supervisor.
//!
//! actix mailboxes take anything that is sent with `do_send`, so the bound is ours: each entry
//! counts what is queued. A full mailbox drops a wake-up, whose truth is a row; it is counted.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use actix::Message;
use actix::Recipient;
use dashmap::DashMap;

use crate::machines::Input;
use crate::messages::Address;

/// Inputs that may wait in one mailbox.
const MAILBOX_MAX: usize = 1024;

/// An input on its way to a host.
#[derive(Clone, Debug)]
pub struct Deliver(pub Input);

impl Message for Deliver {
    type Result = ();
}

/// Asks the supervisor for an actor that is not there yet.
#[derive(Clone, Debug)]
pub struct Wanted(pub Address);

impl Message for Wanted {
    type Result = ();
}

/// One mailbox with its count.
#[derive(Clone)]
pub struct Port {
    recipient: Recipient<Deliver>,
    queued: Arc<AtomicUsize>,
}

impl Port {
    /// A mailbox; the host counts down as it takes inputs.
    #[must_use]
    pub fn new(recipient: Recipient<Deliver>, queued: Arc<AtomicUsize>) -> Self {
        Self { recipient, queued }
    }
}

/// The directory. Cheap to clone.
#[derive(Clone, Default)]
pub struct Directory {
    ports: Arc<DashMap<Address, Port>>,
    supervisor: Arc<DashMap<(), Recipient<Wanted>>>,
    dropped: Arc<AtomicU64>,
}

impl Directory {
    /// Registers a mailbox.
    pub fn put(&self, address: Address, port: Port) {
        self.ports.insert(address, port);
    }

    /// Takes a mailbox off.
    pub fn remove(&self, address: &Address) {
        self.ports.remove(address);
    }

    /// Registers who makes actors that are wanted.
    pub fn supervised_by(&self, supervisor: Recipient<Wanted>) {
        self.supervisor.insert((), supervisor);
    }

    /// Everybody who is there, in order.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        let mut all: Vec<Address> = self.ports.iter().map(|entry| entry.key().clone()).collect();
        all.sort();
        all
    }

    /// Inputs that were dropped because a mailbox or a host's stash was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Wakes an actor; one that is not there is made, and wakes by itself.
    pub fn wake(&self, to: &Address) {
        self.tell(to, Input::Wake);
    }

    /// Hands an input over.
    pub fn tell(&self, to: &Address, input: Input) {
        let Some(port) = self.ports.get(to).map(|entry| entry.value().clone()) else {
            if let Some(supervisor) = self.supervisor.get(&()) {
                supervisor.do_send(Wanted(to.clone()));
            }
            return;
        };
        if port.queued.fetch_add(1, Ordering::AcqRel) >= MAILBOX_MAX {
            port.queued.fetch_sub(1, Ordering::AcqRel);
            self.count_drop(to);
            return;
        }
        port.recipient.do_send(Deliver(input));
    }

    /// Counts an input for which there was no room, here or in a host's stash.
    pub(super) fn count_drop(&self, to: &Address) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::warn!(%to, dropped, "no room: input dropped, its truth is a row");
    }
}
