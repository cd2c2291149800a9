//! A relay stands under the town, one-for-one; one for each direction between two databases.

use std::sync::Arc;

use crate::actors::town::Tree;
use crate::actors::town::standing;
use crate::machines::relay::Relay;
use crate::machines::supervision::Strategy;
use crate::model::ids::Db;

pub(super) fn plant(tree: &Tree, src: &Db, dst: &Db) {
    let (src, dst, limits) = (src.clone(), dst.clone(), tree.parts.limits.clone());
    let factory = Arc::new(move || Relay::new(src.clone(), dst.clone(), limits.clone()));
    tree.plant(standing("relay", Strategy::OneForOne), factory);
}
