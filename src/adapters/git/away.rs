//! Whether git failed because somebody did not answer, or for good.
//!
//! What may pass by itself is tried on; all else is counted, and a person is told. A remote that
//! says no has answered, whatever its words; so has one that is not there.

use crate::adapters::git::GitError;

/// Commands that ask a remote.
const ASKING: [&str; 3] = ["fetch ", "ls-remote ", "push "];
/// The remote has answered.
const ANSWERED: [&str; 3] = ["[remote rejected]", "[rejected]", "pre-receive hook declined"];
/// What git, curl and ssh say of a remote that they do not reach or that breaks off.
const AWAY: [&str; 24] = [
    "Could not resolve host",
    "Temporary failure in name resolution",
    "unable to look up",
    "Connection refused",
    "Connection timed out",
    "Connection reset",
    "Connection closed by",
    "connection was closed",
    "Operation timed out",
    "Network is unreachable",
    "No route to host",
    "Failed to connect to",
    "Couldn't connect to server",
    "Could not connect to server",
    "Empty reply from server",
    "early EOF",
    "unexpected disconnect",
    "RPC failed",
    "Recv failure",
    "SSL_ERROR_SYSCALL",
    "gnutls_handshake() failed",
    "returned error: 429",
    "returned error: 5",
    "Internal Server Error",
];

impl GitError {
    /// Whether trying again helps once the remote answers.
    #[must_use]
    pub fn is_away(&self) -> bool {
        let asking = |command: &String| ASKING.iter().any(|verb| command.starts_with(verb));
        let has = |stderr: &String, words: &[&str]| words.iter().any(|word| stderr.contains(word));
        match self {
            Self::Timeout { command, .. } => asking(command),
            Self::Cli { command, stderr, .. } => {
                asking(command) && !has(stderr, &ANSWERED) && has(stderr, &AWAY)
            }
            Self::Lib { .. }
            | Self::Io { .. }
            | Self::Name(_)
            | Self::Unsupported(_)
            | Self::Refused(_) => false,
        }
    }
}
