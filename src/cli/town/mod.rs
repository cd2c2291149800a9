//! Making and changing a town on disk: install, rigs, crew.
//!
//! The same functions run in a command's own process, under the daemon's lock, and in the daemon.
//! Each looks before it acts, so that one that was killed is simply repeated; the file that makes
//! its result count is written last. Nothing here prints.

pub mod archive;
pub mod convert;
pub mod crew;
pub mod error;
pub mod install;
pub mod keep;
pub mod lock;
pub mod recover;
pub mod rig;
pub mod server;
pub mod vault;
pub mod wiring;
