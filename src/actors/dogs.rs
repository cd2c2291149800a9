//! Dogs stand in the Deacon's group; one reaper for each database.

use std::sync::Arc;

use crate::actors::town::Tree;
use crate::actors::town::standing;
use crate::machines::dog::Reaper;
use crate::machines::supervision::Strategy;
use crate::model::ids::Db;

pub(super) fn plant_reaper(tree: &Tree, db: &Db) {
    let (db, limits) = (db.clone(), tree.parts.limits.clone());
    let name = db.rig().map_or_else(|| "reaper".to_owned(), |rig| format!("reaper-{rig}"));
    let factory = Arc::new(move || Reaper::new(name.clone(), db.clone(), limits.clone()));
    tree.plant(standing("deacon", Strategy::RestForOne), factory);
}
