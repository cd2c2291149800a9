//! What can be wrong with settings; each text names the file and what to do.

use std::io;
use std::path::Path;
use std::path::PathBuf;

/// A refusal of the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that is not JSON, or not of its shape.
    #[error("{file}: {why}; mend the file, or move it away to start from defaults")]
    Syntax {
        /// The file.
        file: String,
        /// What was found.
        why: String,
    },
    /// A key that is not known, or a value that does not fit.
    #[error("{file}: {key}: {why}")]
    Key {
        /// The file, or the environment variable.
        file: String,
        /// The dotted key.
        key: String,
        /// What was found and what would do.
        why: String,
    },
    /// A key that was asked for by name.
    #[error("no setting '{key}'{near}; 'gt config list' shows all of them")]
    NoSuchKey {
        /// The dotted key.
        key: String,
        /// A guess.
        near: String,
    },
    /// A change that would leave something without what it needs.
    #[error("{0}")]
    Refused(String),
    /// A name that is not in the registry; the text says which are.
    #[error("{0}")]
    NotFound(String),
    /// The file system.
    #[error("{path}: {source}; check that it exists and may be read and written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl ConfigError {
    /// Wraps a failure of the file system.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, source }
    }
}
