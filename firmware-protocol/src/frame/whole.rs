//! What stands around all bodies: prefix, signature and CRC.

use super::{CRC_BYTES, FRAME_MAX_BYTES, Flags, MAGIC, PREFIX_BYTES, SIGNATURE_BYTES, VERSION, is_frame};
use crate::FrameError;
use crate::crc::crc32;

/// A frame whose CRC is right, taken apart.
pub(super) struct Whole<'a> {
    pub(super) flags: Flags,
    pub(super) body: &'a [u8],
    pub(super) crc: u32,
}

impl<'a> Whole<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (flags, _) = check_prefix(bytes)?;
        if bytes.len() > FRAME_MAX_BYTES {
            return Err(FrameError::TooLarge);
        }
        let (covered, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(FrameError::Truncated)?;
        let crc = u32::from_le_bytes(*crc);
        if crc32(covered) != crc {
            return Err(FrameError::WrongCrc);
        }
        let (_, behind) = covered.split_first_chunk::<PREFIX_BYTES>().ok_or(FrameError::Truncated)?;
        let body = if flags.has(Flags::SIGNED) {
            let (body, _) = behind.split_last_chunk::<SIGNATURE_BYTES>().ok_or(FrameError::Truncated)?;
            body
        } else {
            behind
        };
        Ok(Self { flags, body, crc })
    }
}

/// What comes behind the prefix.
pub(super) fn check_prefix(bytes: &[u8]) -> Result<(Flags, &[u8]), FrameError> {
    if !is_frame(bytes) {
        return Err(if MAGIC.starts_with(bytes) { FrameError::Truncated } else { FrameError::NotAFrame });
    }
    let [_, _, version, ..] = *bytes else { return Err(FrameError::Truncated) };
    if version != VERSION {
        return Err(FrameError::UnknownVersion);
    }
    let (prefix, behind) = bytes.split_first_chunk::<PREFIX_BYTES>().ok_or(FrameError::Truncated)?;
    let [.., flags] = *prefix;
    Flags::known(flags).map(|flags| (flags, behind))
}
