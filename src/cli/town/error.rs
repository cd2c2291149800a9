//! Why a town could not be made or changed.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::adapters::dolt::DoltError;
use crate::adapters::git::GitError;
use crate::adapters::rig_setup::SetupError;
use crate::config::ConfigError;
use crate::messages::SubmitError;
use crate::model::ids::RigName;
use crate::model::ops::Refused;
use crate::model::tx::TxError;
use crate::store::error::GroupError;
use crate::store::error::StoreError;

/// A refusal; each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TownError {
    /// The directory has something else in it.
    #[error("{path} is not empty and holds no town ({found}): choose another directory")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Something in it.
        found: String,
    },
    /// A town inside a town.
    #[error("{path} lies in the town at {outer}: choose a directory outside it")]
    Nested {
        /// The directory.
        path: PathBuf,
        /// The town around it.
        outer: PathBuf,
    },
    /// Another process has the town.
    #[error("the town is in use by {holder}: wait for it, or 'gt down', then try again")]
    Locked {
        /// What the lock file says of its holder.
        holder: String,
    },
    /// The name cannot be a rig's.
    #[error("'{0}' cannot name a rig: use 1 to 64 of a-z A-Z 0-9 _ and -, a letter first")]
    BadName(String),
    /// The rig is there with another repository or prefix.
    #[error("rig {rig} is already there with {what}; remove it first, or choose another name")]
    OtherRig {
        /// The rig.
        rig: RigName,
        /// What differs.
        what: String,
    },
    /// Work would be in the way.
    #[error("rig {rig}: {what}; {remedy}")]
    InUse {
        /// The rig.
        rig: RigName,
        /// What is there.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Settings and registry.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The town's own server: starting, finding, ending it.
    #[error(transparent)]
    Dolt(#[from] DoltError),
    /// It runs and does not do what it should.
    #[error("the Dolt server of this town {what}{log}")]
    Server {
        /// What it does or does not.
        what: String,
        /// How its log ends, or what to do.
        log: String,
    },
    /// What is asked of the store does not fit the town.
    #[error("{0}")]
    Unfit(String),
    /// Clones and directories.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Git of the archive.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A transaction of the ledger.
    #[error(transparent)]
    Tx(#[from] TxError),
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger's writer.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The running town's lane.
    #[error(transparent)]
    Lane(#[from] SubmitError),
    /// A rule of the ledger.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The file system.
    #[error("{path}: {source}; check that it exists and may be read and written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl TownError {
    /// Wraps a failure of the file system.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, source }
    }

    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Foreign { .. } => "foreign_directory",
            Self::Nested { .. } => "nested_town",
            Self::Locked { .. } => "town_locked",
            Self::BadName(_) => "bad_rig_name",
            Self::OtherRig { .. } => "exists",
            Self::InUse { .. } => "in_use",
            Self::Config(ConfigError::NotFound(_)) => "not_found",
            Self::Config(_) => "config",
            Self::Dolt(DoltError::Io { .. }) => "io",
            Self::Dolt(DoltError::NoProgram(_)) => "config",
            Self::Dolt(_) | Self::Server { .. } => "store_down",
            Self::Unfit(_) => "not_now",
            Self::Setup(_) => "rig_setup",
            Self::Store(error) => error.code(),
            Self::Lane(SubmitError::Refused(refused)) | Self::Refused(refused) => refused.code(),
            Self::Group(GroupError::Unknown(_)) | Self::Lane(SubmitError::Unknown) => {
                "unknown_outcome"
            }
            Self::Lane(SubmitError::Busy) => "busy",
            Self::Group(_) | Self::Lane(SubmitError::Unavailable(_)) => "unavailable",
            Self::Git(_) => "git",
            Self::Tx(_) => "ledger",
            Self::Io { .. } => "io",
        }
    }
}
