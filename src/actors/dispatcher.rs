//! A dispatcher stands in its rig, one-for-one.

use std::sync::Arc;

use crate::actors::town::Rig;
use crate::actors::town::Tree;
use crate::actors::town::standing;
use crate::machines::dispatcher::Dispatcher;
use crate::machines::supervision::Strategy;

pub(super) fn plant(tree: &Tree, rig: &Rig) {
    let (rig, limits) = (rig.clone(), tree.parts.limits.clone());
    let factory =
        Arc::new(move || Dispatcher::new(rig.name.clone(), rig.prefix.clone(), limits.clone()));
    tree.plant(standing("rig", Strategy::OneForOne), factory);
}
