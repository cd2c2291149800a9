//! The supervisor tree: who stands under whom, who goes down with whom, who is started again.
//!
//! actix's own supervisor keeps a broken struct and dies with a panic, so ours is a mailbox round
//! the pure policy of `machines::supervision`. A host outlives its machine: a restart is a new
//! machine in the same mailbox. Groups are rest-for-one in the order of their start.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::Actor;
use actix::AsyncContext;
use actix::Context;
use actix::Handler;
use actix::Message;
use actix::Recipient;

use crate::actors::directory::Wanted;
use crate::actors::effects::Stores;
use crate::actors::host::Begin;
use crate::actors::host::Dismiss;
use crate::actors::parts::Parts;
use crate::actors::store::Submit;
use crate::machines::supervision::Child;
use crate::machines::supervision::End;
use crate::machines::supervision::Intensity;
use crate::machines::supervision::Restart;
use crate::machines::supervision::Strategy;
use crate::machines::supervision::Verdict;
use crate::messages::Address;
use crate::model::ids::Db;
use crate::model::ops::Op;
use crate::model::value::Name;

/// A machine has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Whose.
    pub who: Address,
    /// How.
    pub end: End,
}

impl Message for Ended {
    type Result = ();
}

/// Where a child stands in the tree.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The group whose members fall together, in the order of start.
    pub group: &'static str,
    /// Who falls with whom.
    pub strategy: Strategy,
    /// Which ends are followed by a start.
    pub restart: Restart,
}

/// Adds a child and starts it.
pub struct Adopt {
    /// Who.
    pub who: Address,
    /// Where it stands.
    pub standing: Standing,
    /// Starts a machine in its host.
    pub begin: Recipient<Begin>,
    /// Ends the host.
    pub dismiss: Recipient<Dismiss>,
}

impl Message for Adopt {
    type Result = ();
}

/// Takes a child off and ends its host.
#[derive(Clone, Debug)]
pub struct Disown(pub Address);

impl Message for Disown {
    type Result = ();
}

/// How children stand: parked ones are those that a person was told of.
#[derive(Clone, Copy, Debug)]
pub struct GetChildren;

impl Message for GetChildren {
    type Result = Vec<(Address, bool, u64)>;
}

struct Entry {
    standing: Standing,
    begin: Recipient<Begin>,
    dismiss: Recipient<Dismiss>,
    record: Child,
    starts: u64,
    order: u64,
}

/// Makes the actor of an address that is wanted, if there should be one.
pub type Maker = Box<dyn Fn(&Address) + Send>;

/// The actor.
pub struct Supervisor {
    parts: Parts,
    stores: Stores,
    intensity: Intensity,
    children: BTreeMap<Address, Entry>,
    adopted: u64,
    maker: Option<Maker>,
}

impl Supervisor {
    /// A supervisor without children.
    #[must_use]
    pub fn new(parts: Parts, stores: Stores, intensity: Intensity) -> Self {
        Self { parts, stores, intensity, children: BTreeMap::new(), adopted: 0, maker: None }
    }

    /// Starts them at that time, in this order: equal timers of actix are not first-in-first-out,
    /// so one timer starts them all.
    fn start_later(&self, group: Vec<Address>, at: i64, ctx: &mut Context<Self>) {
        let wait = at.saturating_sub(self.parts.clock.now_ms()).max(0);
        ctx.run_later(Duration::from_millis(wait.unsigned_abs()), move |actor, _| {
            group.iter().for_each(|who| actor.begin(who));
        });
    }

    fn begin(&mut self, who: &Address) {
        if let Some(entry) = self.children.get_mut(who) {
            entry.starts += 1;
            entry.begin.do_send(Begin);
        }
    }

    /// Those of the same rest-for-one group that were started after it.
    fn later_siblings(&self, who: &Address) -> Vec<Address> {
        let Some(fallen) = self.children.get(who) else { return Vec::new() };
        if fallen.standing.strategy == Strategy::OneForOne {
            return Vec::new();
        }
        let mut later: Vec<(u64, Address)> = self
            .children
            .iter()
            .filter(|(_, entry)| entry.standing.group == fallen.standing.group)
            .filter(|(_, entry)| entry.order > fallen.order)
            .map(|(address, entry)| (entry.order, address.clone()))
            .collect();
        later.sort();
        later.into_iter().map(|(_, address)| address).collect()
    }

    fn alarm(&self, who: &Address, raise: Option<String>) {
        let Some(hq) = self.stores.get(&Db::hq()) else {
            tracing::error!(%who, ?raise, "no hq database: an alarm cannot be raised or cleared");
            return;
        };
        let op = Op::SetAlarm {
            subject: Name(who.to_string()),
            condition: Name::from("crashes again and again"),
            raise,
        };
        let who = who.clone();
        actix_rt::spawn(async move {
            let submit = Submit { actor: "deacon".to_owned(), ops: vec![op] };
            match hq.send(submit).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::error!(%who, %error, "cannot raise or clear an alarm"),
                Err(error) => tracing::error!(%who, %error, "cannot raise or clear an alarm"),
            }
        });
    }

    /// After a quiet period a standing alarm clears itself.
    fn check_settled(&mut self, who: Address, ctx: &mut Context<Self>) {
        let period = Duration::from_millis(self.intensity.period_ms.unsigned_abs() + 1);
        ctx.run_later(period, move |actor, _| {
            let now = actor.parts.clock.now_ms();
            let settled = actor.children.get_mut(&who).is_some_and(|e| e.record.settled(now));
            if settled {
                actor.alarm(&who, None);
            }
        });
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.parts.directory.supervised_by(ctx.address().recipient());
    }
}

impl Handler<Adopt> for Supervisor {
    type Result = ();

    fn handle(&mut self, adopt: Adopt, _: &mut Context<Self>) {
        self.adopted += 1;
        let record = Child::new(adopt.standing.restart, self.intensity.clone());
        let entry = Entry {
            standing: adopt.standing,
            begin: adopt.begin,
            dismiss: adopt.dismiss,
            record,
            starts: 0,
            order: self.adopted,
        };
        if let Some(old) = self.children.insert(adopt.who.clone(), entry) {
            old.dismiss.do_send(Dismiss { replaced: true });
        }
        self.begin(&adopt.who);
    }
}

impl Handler<Disown> for Supervisor {
    type Result = ();

    fn handle(&mut self, disown: Disown, _: &mut Context<Self>) {
        if let Some(old) = self.children.remove(&disown.0) {
            old.dismiss.do_send(Dismiss { replaced: false });
        }
    }
}

impl Handler<Ended> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: Ended, ctx: &mut Context<Self>) {
        let now = self.parts.clock.now_ms();
        let siblings = self.later_siblings(&ended.who);
        let Some(entry) = self.children.get_mut(&ended.who) else { return };
        let verdict = entry.record.ended(&ended.end, now);
        tracing::warn!(who = %ended.who, end = ?ended.end, ?verdict, "a child ended");
        let at = match verdict {
            Verdict::Leave => return,
            Verdict::StartAt(at) => at,
            Verdict::Park { probe_at, tell } => {
                if tell {
                    let words = format!("{} crashed too often; last: {:?}", ended.who, ended.end);
                    self.alarm(&ended.who, Some(words));
                }
                probe_at
            }
        };
        let group = std::iter::once(ended.who.clone()).chain(siblings).collect();
        self.start_later(group, at, ctx);
        self.check_settled(ended.who, ctx);
    }
}

impl Handler<GetChildren> for Supervisor {
    type Result = Vec<(Address, bool, u64)>;

    fn handle(&mut self, _: GetChildren, _: &mut Context<Self>) -> Self::Result {
        self.children
            .iter()
            .map(|(who, entry)| (who.clone(), entry.record.is_parked(), entry.starts))
            .collect()
    }
}

impl Handler<Wanted> for Supervisor {
    type Result = ();

    fn handle(&mut self, wanted: Wanted, _: &mut Context<Self>) {
        if self.children.contains_key(&wanted.0) {
            return;
        }
        if let Some(maker) = &self.maker {
            maker(&wanted.0);
        }
    }
}

/// Tells the supervisor how wanted actors are made.
pub struct MadeBy(pub Maker);

impl Message for MadeBy {
    type Result = ();
}

impl Handler<MadeBy> for Supervisor {
    type Result = ();

    fn handle(&mut self, by: MadeBy, _: &mut Context<Self>) {
        self.maker = Some(by.0);
    }
}
