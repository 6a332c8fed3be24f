//! What can be wrong with a frame.

use core::fmt;

use crate::frame;

/// Why a frame was refused, or could not be encoded. Without fields, so that it costs firmware nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The first two bytes are not the frame magic.
    NotAFrame,
    /// A version that this code does not know.
    UnknownVersion,
    /// The bytes end before the frame does.
    Truncated,
    /// Bytes are left after the frame.
    TrailingBytes,
    /// The CRC does not match the bytes.
    WrongCrc,
    /// A field holds a value that the format does not allow.
    Malformed,
    /// More channels, samples or bytes than the format's limits.
    TooLarge,
    /// The output buffer is too small.
    BufferTooSmall,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFrame => f.write_str("not a frame: it does not start with the bytes \"SG\""),
            Self::UnknownVersion => {
                write!(f, "frame of another version than {}: update this program", frame::VERSION)
            }
            Self::Truncated => f.write_str("frame ends too early"),
            Self::TrailingBytes => f.write_str("bytes follow the last channel of the frame"),
            Self::WrongCrc => f.write_str("frame was damaged on its way: its crc does not match"),
            Self::Malformed => f.write_str("frame holds a value that the format does not allow"),
            Self::TooLarge => write!(
                f,
                "frame beyond the format's limits: {} bytes, {} channels, {} samples a channel",
                frame::FRAME_MAX_BYTES,
                frame::CHANNELS_MAX,
                frame::SAMPLES_MAX
            ),
            Self::BufferTooSmall => f.write_str("buffer is too small for the frame"),
        }
    }
}

impl core::error::Error for FrameError {}
