//! A worker stands in its rig, one-for-one; a new name gets its actor at its first wake-up.

use std::sync::Arc;

use crate::actors::town::Rig;
use crate::actors::town::Tree;
use crate::actors::town::standing;
use crate::machines::polecat::Polecat;
use crate::machines::supervision::Strategy;
use crate::model::ids::Identity;

pub(super) fn plant(tree: &Tree, rig: &Rig, name: &str) {
    let who = Identity::Polecat(rig.name.clone(), name.to_owned());
    let Some(id) = who.bead_id(&rig.prefix) else { return };
    let (rig, name, limits) = (rig.clone(), name.to_owned(), tree.parts.limits.clone());
    let factory = Arc::new(move || {
        let target = rig.queue.target.clone();
        Polecat::new(rig.name.clone(), name.clone(), id.clone(), target, limits.clone())
    });
    tree.plant(standing("rig", Strategy::OneForOne), factory);
}
