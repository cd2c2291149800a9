//! A witness stands in its rig, one-for-one.

use std::sync::Arc;

use crate::actors::town::Rig;
use crate::actors::town::Tree;
use crate::actors::town::standing;
use crate::machines::supervision::Strategy;
use crate::machines::witness::Witness;

pub(super) fn plant(tree: &Tree, rig: &Rig) {
    let (rig, limits) = (rig.name.clone(), tree.parts.limits.clone());
    let factory = Arc::new(move || Witness::new(rig.clone(), limits.clone()));
    tree.plant(standing("rig", Strategy::OneForOne), factory);
}
