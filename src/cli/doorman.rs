//! Knows a session by its secret: the town's key makes the secret again, nothing is stored.

use std::io;
use std::path::Path;

use crate::adapters::token;
use crate::gateway::books::Doorman;
use crate::model::ids::SessionId;

/// A doorman with the town's key.
pub struct KeyDoorman {
    key: Option<[u8; token::KEY_LEN]>,
}

impl KeyDoorman {
    /// With this key.
    #[must_use]
    pub fn new(key: [u8; token::KEY_LEN]) -> Self {
        Self { key: Some(key) }
    }

    /// With the key at this path; while there is none, no secret is genuine.
    ///
    /// # Errors
    /// The key is there but cannot be read.
    pub fn at(path: &Path) -> io::Result<Self> {
        let key = if path.is_file() { Some(token::town_key(path)?) } else { None };
        Ok(Self { key })
    }
}

impl Doorman for KeyDoorman {
    fn session_of(&self, secret: &str) -> Option<SessionId> {
        let key = self.key.as_ref()?;
        let session = SessionId::from(secret.rsplit_once('.')?.0);
        // Hashes are compared, so that the time of comparing tells nothing of the secret.
        let genuine = token::token_hash(&token::session_token(key, &session));
        (genuine == token::token_hash(secret)).then_some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::KeyDoorman;
    use crate::adapters::token;
    use crate::gateway::books::Doorman;

    #[test]
    fn only_the_towns_own_secrets_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon").join("key");
        let session = "shop-alpha-1".into();
        assert!(KeyDoorman::at(&path).unwrap().session_of("shop-alpha-1.00").is_none());
        let secret = token::session_token(&token::town_key(&path).unwrap(), &session);
        let doorman = KeyDoorman::at(&path).unwrap();
        assert_eq!(doorman.session_of(&secret), Some(session));
        assert!(doorman.session_of(&secret.replace("alpha", "beta")).is_none());
        assert!(doorman.session_of("no secret").is_none());
    }
}
