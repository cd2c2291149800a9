//! The Mayor stands under the town, alone: one-for-one.

use std::sync::Arc;

use crate::actors::town::Tree;
use crate::actors::town::standing;
use crate::machines::mayor::Mayor;
use crate::machines::supervision::Strategy;

pub(super) fn plant(tree: &Tree) {
    tree.plant(standing("mayor", Strategy::OneForOne), Arc::new(|| Mayor));
}
