//! Session secrets: an HMAC of the session's id under the town's key.
//!
//! The secret can be made again from the key, so nothing needs to store it; the ledger holds its
//! hash. The key never leaves `daemon/key`.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

use sha2::Digest;
use sha2::Sha256;

use crate::adapters::files;
use crate::model::ids::SessionId;

/// Bytes in the town's key.
pub const KEY_LEN: usize = 32;

const BLOCK: usize = 64;

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The first ten hexadecimal digits of a SHA-256: a short name for a path.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> String {
    let mut text = sha256_hex(bytes);
    text.truncate(10);
    text
}

/// HMAC-SHA256 as RFC 2104 defines it.
#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(message);
    let outer = Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner.finalize());
    outer.finalize().into()
}

/// The town's key: read, or made from the system's random source with mode 0600.
///
/// # Errors
/// Unreadable, unwritable, or not [`KEY_LEN`] bytes long.
pub fn town_key(path: &Path) -> io::Result<[u8; KEY_LEN]> {
    if !path.exists() {
        let mut fresh = [0_u8; KEY_LEN];
        File::open("/dev/urandom")?.read_exact(&mut fresh)?;
        let dir = path.parent().unwrap_or(Path::new("."));
        files::private_dir(dir)?;
        let own = dir.join(format!("key.{}", hex(&fresh[..8])));
        files::write_atomic(&own, &fresh, 0o600)?;
        // A link fails where a rename would replace: of two makers the first one's key stays.
        let linked = fs::hard_link(&own, path);
        fs::remove_file(&own)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let bytes = fs::read(path)?;
    bytes.try_into().map_err(|bytes: Vec<u8>| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: {} bytes, not {KEY_LEN}; remove it", path.display(), bytes.len()),
        )
    })
}

/// A secret of 32 random bytes in hexadecimal.
///
/// # Errors
/// The system's random source cannot be read.
pub fn random_secret() -> io::Result<String> {
    let mut fresh = [0_u8; KEY_LEN];
    File::open("/dev/urandom")?.read_exact(&mut fresh)?;
    Ok(hex(&fresh))
}

/// The secret of a session, as `GT_TOKEN` carries it: `<session id>.<hex>`.
#[must_use]
pub fn session_token(key: &[u8; KEY_LEN], session: &SessionId) -> String {
    format!("{session}.{}", hex(&hmac_sha256(key, session.as_str().as_bytes())))
}

/// What the ledger stores of a secret: its SHA-256 in hexadecimal.
#[must_use]
pub fn token_hash(token: &str) -> String {
    sha256_hex(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::hex;
    use super::hmac_sha256;
    use super::session_token;
    use super::town_key;

    #[test]
    fn hmac_agrees_with_rfc_4231() {
        let cases: [(&[u8], &[u8], &str); 5] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &[0xaa; 131],
                b"This is a test using a larger than block-size key and a larger than block-size \
                  data. The key needs to be hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (key, message, wanted) in cases {
            assert_eq!(hex(&hmac_sha256(key, message)), wanted);
        }
    }

    #[test]
    fn the_key_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon/key");
        let key = town_key(&path).unwrap();
        assert_eq!(town_key(&path).unwrap(), key);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(session_token(&key, &"a-1".into()), session_token(&key, &"a-1".into()));
        assert_ne!(session_token(&key, &"a-1".into()), session_token(&key, &"a-2".into()));
    }
}
