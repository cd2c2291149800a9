//! The dogs of one database without a town round them: the real machines over a real ledger.

use std::collections::VecDeque;

use gastown::machines::After;
use gastown::machines::Input;
use gastown::machines::Machine;
use gastown::machines::dog::Reaper;
use gastown::machines::dog_store::StoreDog;
use gastown::machines::dog_store::Trade;
use gastown::machines::limits::Life;
use gastown::machines::limits::Limits;
use gastown::messages::Address;
use gastown::messages::DogMessage;
use gastown::messages::Message;
use gastown::model::effect::Effect;
use gastown::model::effect::Outcome;
use gastown::model::ids::Db;
use gastown::model::ids::RigName;
use gastown::store::port::HeldLedger;
use gastown::store::port::Keep;
use gastown::store::port::Port;
use gastown::store::writer::Submission;

/// Steps of one round: a defect must not go on for ever.
const STEPS_MAX: usize = 10_000;

/// The dogs of hq and of one rig.
pub struct Kennel<'a> {
    held: &'a HeldLedger,
    keep: &'a dyn Keep,
    rig: RigName,
    reapers: [Reaper; 2],
    dogs: Vec<StoreDog>,
    /// What dogs were asked to do to the rig's database, by word, except looks.
    pub done: Vec<String>,
}

impl<'a> Kennel<'a> {
    pub fn new(held: &'a HeldLedger, keep: &'a dyn Keep, rig: &str, life: &Life) -> Self {
        let limits = Limits::default();
        let reaper = |name: String, db: Db| Reaper::new(name, db, limits.clone(), life.clone());
        let dbs = [Db::hq(), Db::from(rig)];
        let dogs = dbs.iter().flat_map(|db| Trade::ALL.map(|trade| (trade, db.clone())));
        let dogs = dogs.map(|(t, db)| StoreDog::new(t, db, limits.clone(), life.clone())).collect();
        Self {
            held,
            keep,
            rig: RigName(rig.to_owned()),
            reapers: [
                reaper("reaper".to_owned(), Db::hq()),
                reaper(format!("reaper-{rig}"), Db::from(rig)),
            ],
            dogs,
            done: Vec::new(),
        }
    }

    /// One round of every dog, to its end.
    pub fn round(&mut self, now: i64) {
        let run = Message::Dog(DogMessage::Run { rigs: vec![self.rig.clone()] });
        let mut queue: VecDeque<(Address, Input)> = VecDeque::new();
        for dog in &self.dogs {
            queue.push_back((dog.address(), Input::Told(run.clone())));
        }
        for reaper in &self.reapers {
            queue.push_back((reaper.address(), Input::Told(run.clone())));
        }
        for _ in 0..STEPS_MAX {
            let Some((to, input)) = queue.pop_front() else { return };
            let (held, keep) = (self.held, self.keep);
            let (after, again) = match self.dogs.iter_mut().find(|dog| dog.address() == to) {
                Some(dog) => (step(held, dog, &input, now), None),
                None => {
                    let reaper = self.reapers.iter_mut().find(|dog| dog.address() == to).unwrap();
                    let decided = step(held, reaper, &input, now);
                    let again = decided.1.then(|| (to.clone(), Input::Wake));
                    (decided, again)
                }
            };
            queue.extend(again);
            for one in after.0 {
                match one {
                    After::Tell(to, message) => queue.push_back((to, Input::Told(message))),
                    After::Do(effect) => {
                        let key = effect.key();
                        let Effect::Upkeep { db, chore } = effect else { panic!("{key}") };
                        if !chore.only_looks() && db.as_str() == self.rig.as_str() {
                            self.done.push(chore.name().to_owned());
                        }
                        let outcome = match keep.keep(&db, &chore, now) {
                            Ok(done) => Outcome::Kept { done },
                            Err(error) => panic!("{key}: {error}"),
                        };
                        queue.push_back((to.clone(), Input::Report { key, outcome }));
                    }
                    other => panic!("a dog wants {other:?}"),
                }
            }
        }
        panic!("the dogs do not come to rest");
    }
}

/// One decision, committed; whether the machine wants to be woken.
fn step<M: Machine>(
    held: &HeldLedger,
    machine: &mut M,
    input: &Input,
    now: i64,
) -> (Vec<After>, bool) {
    let view = held.ledger().read(&machine.db(), |tx| machine.view(tx).unwrap()).unwrap();
    let decision = machine.decide(&view, input, now);
    if !decision.ops.is_empty() {
        let group = [Submission { actor: machine.actor(), ops: decision.ops }];
        held.commit(&machine.db(), &group, now).unwrap()[0].as_ref().unwrap();
    }
    (decision.after, decision.wake_at.is_some())
}
