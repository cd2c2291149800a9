//! Moving the ledger of a town from one engine to the other.

use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::adapters::files;
use crate::adapters::layout::Town;
use crate::config::ConfigError;
use crate::config::DoltMode;

/// `daemon/convert/journal.json`: how far a conversion is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The engine that the ledger moves to.
    pub to: DoltMode,
    /// Whether the new store is whole and checked, so that what is left is to switch.
    pub switching: bool,
}

fn path(town: &Town) -> PathBuf {
    town.daemon().join("convert").join("journal.json")
}

impl Journal {
    /// The journal of a conversion that is under way or was interrupted.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(town: &Town) -> Result<Option<Self>, ConfigError> {
        let path = path(town);
        files::read_json(&path).map_err(ConfigError::io(&path))
    }

    /// Whether a conversion was interrupted while it switched.
    ///
    /// # Errors
    /// As [`Journal::read`].
    pub fn is_switching(town: &Town) -> Result<bool, ConfigError> {
        Ok(Self::read(town)?.is_some_and(|journal| journal.switching))
    }
}
