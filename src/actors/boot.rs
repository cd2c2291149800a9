//! Boot stands beside the Deacon, in its group: it looks at it and at nothing else.

use std::sync::Arc;

use crate::actors::town::Tree;
use crate::actors::town::standing;
use crate::machines::boot::Boot;
use crate::machines::supervision::Strategy;

pub(super) fn plant(tree: &Tree) {
    let limits = tree.parts.limits.clone();
    let factory = Arc::new(move || Boot::new(limits.clone()));
    tree.plant(standing("deacon", Strategy::RestForOne), factory);
}
