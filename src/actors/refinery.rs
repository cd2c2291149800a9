//! A refinery stands in its rig, one-for-one. New settings reach it as a message.

use std::sync::Arc;

use crate::actors::town::Rig;
use crate::actors::town::Tree;
use crate::actors::town::standing;
use crate::machines::Input;
use crate::machines::refinery::Refinery;
use crate::machines::supervision::Strategy;
use crate::messages::Address;
use crate::messages::Message;
use crate::messages::RefineryMessage;

pub(super) fn plant(tree: &Arc<Tree>, rig: &Rig) {
    let (first, limits) = (rig.clone(), tree.parts.limits.clone());
    let weak = Arc::downgrade(tree);
    let factory = Arc::new(move || {
        // A restart takes the settings of its own time.
        let now = weak.upgrade().and_then(|tree| tree.rig(&first.name));
        let rig = now.unwrap_or_else(|| first.clone());
        Refinery::new(rig.name, rig.queue, limits.clone())
    });
    tree.plant(standing("rig", Strategy::OneForOne), factory);
}

/// Tells a running refinery its new settings.
pub(super) fn configure(tree: &Tree, rig: &Rig) {
    let message = Message::Refinery(RefineryMessage::Configure(rig.queue.clone()));
    tree.parts.directory.tell(&Address::Refinery(rig.name.clone()), Input::Told(message));
}
