//! Dogs stand in the Deacon's group: one of each kind for each database, and one doctor.

use std::sync::Arc;

use crate::actors::town::Tree;
use crate::actors::town::standing;
use crate::machines::dog::Reaper;
use crate::machines::dog_doctor::Doctor;
use crate::machines::dog_store::StoreDog;
use crate::machines::dog_store::Trade;
use crate::machines::supervision::Strategy;
use crate::model::ids::Db;

/// Plants the dogs of one database.
pub(super) fn plant(tree: &Tree, db: &Db) {
    let (limits, life) = (tree.parts.limits.clone(), tree.parts.life.clone());
    let name = db.rig().map_or_else(|| "reaper".to_owned(), |rig| format!("reaper-{rig}"));
    let own = (db.clone(), limits.clone(), life.clone());
    let reaper = Arc::new(move || {
        let (db, limits, life) = own.clone();
        Reaper::new(name.clone(), db, limits, life)
    });
    tree.plant(standing("deacon", Strategy::RestForOne), reaper);
    for trade in Trade::ALL {
        let own = (db.clone(), limits.clone(), life.clone());
        let dog = Arc::new(move || {
            let (db, limits, life) = own.clone();
            StoreDog::new(trade, db, limits, life)
        });
        tree.plant(standing("deacon", Strategy::RestForOne), dog);
    }
}

/// Plants the doctor.
pub(super) fn plant_doctor(tree: &Tree) {
    let limits = tree.parts.limits.clone();
    let doctor = Arc::new(move || Doctor::new(limits.clone()));
    tree.plant(standing("deacon", Strategy::RestForOne), doctor);
}
