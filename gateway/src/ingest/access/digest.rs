//! Digests of secrets under a key that nobody outside this process knows.
//!
//! # Invariants
//! - Two digests may be compared in any way: without the key, the time that takes says nothing about the secret.
//! - A digest is of no use outside this process, and the key never leaves it.

use std::fmt;

use argon2::password_hash::rand_core::{OsRng, RngCore};
use sha2::{Digest, Sha256};

/// A keyed hash of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Keyed([u8; 32]);

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A random key, new in each process.
#[derive(Clone)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// Takes it from the operating system.
    pub(super) fn random() -> Self {
        let mut key = [0; 32];
        OsRng.fill_bytes(&mut key);
        Self(key)
    }

    /// Of parts with their lengths, so that no two lists of parts are the same bytes. Hashed twice, as HMAC does.
    pub(super) fn digest(&self, parts: &[&[u8]]) -> Keyed {
        let mut inner = Sha256::new_with_prefix(self.0);
        for part in parts {
            inner.update((part.len() as u64).to_le_bytes());
            inner.update(part);
        }
        Keyed(Sha256::new_with_prefix(self.0).chain_update(inner.finalize()).finalize().into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_the_key_and_on_where_parts_end() {
        let (key, other) = (Key::random(), Key::random());
        assert_eq!(key.digest(&[b"ab", b"c"]), key.digest(&[b"ab", b"c"]));
        assert_ne!(key.digest(&[b"ab", b"c"]), key.digest(&[b"a", b"bc"]));
        assert_ne!(key.digest(&[b"ab"]), other.digest(&[b"ab"]));
    }
}
