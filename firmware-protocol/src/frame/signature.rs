//! Signed frames: a key that device and gateway share proves that the device made the frame.
//!
//! The MAC is HMAC-SHA-256 over all bytes before it, cut to its first 64 bits: "HMAC 256/64" of RFC 9053, section 3.1.

use core::fmt;

use super::whole::check_prefix;
use super::{CRC_BYTES, Flags, KEY_MAX_BYTES, KEY_MIN_BYTES, MAC_BYTES, SIGNATURE_BYTES};
use crate::FrameError;

#[cfg(feature = "mac")]
use hmac::{Hmac, Mac};
#[cfg(feature = "mac")]
use sha2::Sha256;

/// A secret that device and gateway share, and the number by which the device's frames name it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    id: u8,
    secret: &'a [u8],
}

impl<'a> Key<'a> {
    /// # Errors
    /// `KeyLength`: the secret is not [`KEY_MIN_BYTES`] to [`KEY_MAX_BYTES`] long.
    pub const fn new(id: u8, secret: &'a [u8]) -> Result<Self, FrameError> {
        if secret.len() < KEY_MIN_BYTES || secret.len() > KEY_MAX_BYTES {
            return Err(FrameError::KeyLength);
        }
        Ok(Self { id, secret })
    }

    pub const fn id(&self) -> u8 {
        self.id
    }

    #[cfg(feature = "mac")]
    fn hmac(&self, covered: &[u8]) -> Result<Hmac<Sha256>, FrameError> {
        let hmac = Hmac::<Sha256>::new_from_slice(self.secret).map_err(|_| FrameError::KeyLength)?;
        Ok(hmac.chain_update(covered))
    }
}

/// Without the secret.
impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// [`super::encode`], signed.
///
/// # Errors
/// As [`super::encode`].
#[cfg(feature = "mac")]
pub fn encode_signed<F: super::Encode>(frame: &F, key: &Key<'_>, out: &mut [u8]) -> Result<usize, FrameError> {
    let mut w = super::encode::write(frame, Flags::SIGNED, out)?;
    w.sign(key)?;
    w.finish()
}

#[cfg(feature = "mac")]
impl super::write::Writer<'_> {
    /// Puts key id and MAC behind what has been written.
    pub(super) fn sign(&mut self, key: &Key<'_>) -> Result<(), FrameError> {
        self.bytes(&[key.id])?;
        let mac: [u8; 32] = key.hmac(self.written())?.finalize().into_bytes().into();
        let (mac, _) = mac.split_first_chunk::<MAC_BYTES>().ok_or(FrameError::KeyLength)?;
        self.bytes(mac)
    }
}

/// What a signed frame carries, not yet believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    pub key_id: u8,
    mac: &'a [u8; MAC_BYTES],
    covered: &'a [u8],
}

impl<'a> Signature<'a> {
    /// `None`: not a frame of this version, or not signed. The CRC is not looked at.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let (flags, behind) = check_prefix(bytes).ok()?;
        if !flags.has(Flags::SIGNED) {
            return None;
        }
        let (signed, _) = behind.split_last_chunk::<CRC_BYTES>()?;
        let (_, [key_id, mac @ ..]) = signed.split_last_chunk::<SIGNATURE_BYTES>()?;
        let covered = bytes.get(..bytes.len().checked_sub(MAC_BYTES + CRC_BYTES)?)?;
        Some(Self { key_id: *key_id, mac, covered })
    }

    /// Whether this key signed the frame; takes as long for each wrong MAC as for the right one.
    #[cfg(feature = "mac")]
    pub fn is_by(&self, key: &Key<'_>) -> bool {
        key.id == self.key_id && key.hmac(self.covered).is_ok_and(|hmac| hmac.verify_truncated_left(self.mac).is_ok())
    }
}
