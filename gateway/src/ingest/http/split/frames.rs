//! Bodies of firmware frames: one as it is, or several, each encoded by COBS and ended by a zero byte.
//!
//! The second byte tells which: a frame begins with `53 47`, and encoded with a length and `53 47`.

use bytes::Bytes;
use firmware_protocol::FrameError;
use firmware_protocol::content_type::FRAME;
use firmware_protocol::crc::crc32;
use firmware_protocol::frame::{self, FRAME_MAX_BYTES, is_frame};

use super::{Fault, Item, Wrong};

/// COBS adds a byte at the front and one for each 254 without a zero.
const ENCODED_MAX_BYTES: usize = FRAME_MAX_BYTES + FRAME_MAX_BYTES / 254 + 1;

pub(in crate::ingest::http) struct Frames {
    body: Bytes,
    at: usize,
    /// Frames before `at`.
    frames: usize,
}

impl Frames {
    pub(super) fn new(body: Bytes) -> Self {
        Self { body, at: 0, frames: 0 }
    }
}

impl Iterator for Frames {
    type Item = Result<Item, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == 0 && is_frame(&self.body) {
            self.at = self.body.len();
            return Some(item(self.body.clone(), None));
        }
        loop {
            let rest = &self.body[self.at..];
            let encoded = rest.split(|b| *b == 0).next().filter(|_| !rest.is_empty())?;
            self.at = (self.at + encoded.len() + 1).min(self.body.len());
            if encoded.is_empty() {
                continue;
            }
            self.frames += 1;
            let number = Some(self.frames);
            return Some(
                decoded(encoded).map_err(|wrong| wrong.at(None, number)).and_then(|frame| item(frame, number)),
            );
        }
    }
}

fn decoded(encoded: &[u8]) -> Result<Bytes, Wrong> {
    if encoded.len() > ENCODED_MAX_BYTES {
        let reason = format!("{} bytes are longer than an encoded frame may be: {ENCODED_MAX_BYTES}", encoded.len());
        return Err(Wrong::new("frame", reason));
    }
    let mut frame = vec![0; encoded.len()];
    let length = cobs::decode(encoded, &mut frame)
        .map_err(|_| Wrong::new("frame", "neither a frame nor one encoded by COBS and ended by a zero byte"))?;
    frame.truncate(length);
    Ok(frame.into())
}

fn item(payload: Bytes, number: Option<usize>) -> Result<Item, Fault> {
    match frame::parse(&payload) {
        Ok(_) => Ok(Item { payload, content_type: FRAME }),
        // What is new in it may be read after an update; its CRC stands where it does today.
        Err(FrameError::UnknownVersion | FrameError::UnknownFlags) => {
            let damaged = FrameError::WrongCrc;
            let kept = has_right_crc(&payload).then_some(Item { payload, content_type: FRAME });
            kept.ok_or_else(|| Wrong::new(damaged.reason(), damaged).at(None, number))
        }
        Err(error) => Err(Wrong::new(error.reason(), error).at(None, number)),
    }
}

fn has_right_crc(frame: &[u8]) -> bool {
    frame.split_last_chunk().is_some_and(|(covered, crc)| crc32(covered) == u32::from_le_bytes(*crc))
}
