//! The Deacon stands under the town, first of the group "deacon": Boot and the dogs fall with it.

use std::sync::Arc;

use crate::actors::town::Tree;
use crate::actors::town::standing;
use crate::machines::deacon::Deacon;
use crate::machines::supervision::Strategy;
use crate::model::ids::RigName;

/// Plants the Deacon of these rigs; planted again, it replaces the earlier one.
pub(super) fn plant(tree: &Tree, rigs: Vec<RigName>) {
    let limits = tree.parts.limits.clone();
    let factory = Arc::new(move || Deacon::new(rigs.clone(), limits.clone()));
    tree.plant(standing("deacon", Strategy::RestForOne), factory);
}
