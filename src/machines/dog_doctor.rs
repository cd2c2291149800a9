//! The doctor: one dog that looks after the place where all databases are. It changes nothing; one
//! condition is one alarm, and an alarm ends with its condition.

use super::Decision;
use super::Input;
use super::Machine;
use super::dog_store::alarms;
use super::dog_store::standing;
use super::driver::Driver;
use super::limits::Limits;
use crate::messages::Address;
use crate::messages::DogMessage;
use crate::messages::Message;
use crate::model::effect::Effect;
use crate::model::effect::Outcome;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ops::Op;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::upkeep::Chore;
use crate::model::upkeep::RunDetail;
use crate::model::value::Name;

/// The dog's name.
pub const NAME: &str = "doctor";
/// What its alarms are about.
const SUBJECT: &str = "store";

/// The doctor.
#[derive(Clone, Debug)]
pub struct Doctor {
    limits: Limits,
    driver: Driver,
    wanted: Option<Chore>,
}

impl Doctor {
    /// The doctor of a town.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, driver: Driver::default(), wanted: None }
    }
}

impl Machine for Doctor {
    /// The conditions that a person was told of.
    type View = Vec<String>;

    fn address(&self) -> Address {
        Address::Dog(NAME.to_owned())
    }

    fn db(&self) -> Db {
        Db::hq()
    }

    fn actor(&self) -> String {
        Identity::Dog(NAME.to_owned()).actor()
    }

    fn view(&self, tx: &mut dyn Tx) -> Result<Vec<String>, TxError> {
        standing(tx, SUBJECT, &[""])
    }

    fn decide(&mut self, known: &Vec<String>, input: &Input, now: i64) -> Decision {
        let mut d = Decision::default();
        match input {
            Input::Told(Message::Dog(DogMessage::Run { rigs })) if self.wanted.is_none() => {
                let known = std::iter::once(Db::hq()).chain(rigs.iter().map(Db::from)).collect();
                self.wanted = Some(Chore::Checkup { known });
            }
            Input::Report { key, outcome } => {
                if let Some(chore) = &self.wanted
                    && *key == effect(chore).key()
                {
                    self.driver.done(key);
                    if let Outcome::Kept { done } = outcome {
                        alarms(&mut d, SUBJECT, known, &done.findings);
                        if !d.ops.is_empty() {
                            let chore = chore.name().to_owned();
                            let detail = RunDetail { db: Db::hq(), chore, done: done.clone() };
                            d.ops.push(Op::RecordRun { dog: Name::from(NAME), detail });
                        }
                    }
                    self.wanted = None;
                }
            }
            Input::Wake | Input::Told(_) => {}
        }
        if let Some(chore) = &self.wanted {
            self.driver.want(&mut d, now, &self.limits, effect(chore));
        }
        d
    }
}

fn effect(chore: &Chore) -> Effect {
    Effect::Upkeep { db: Db::hq(), chore: chore.clone() }
}
