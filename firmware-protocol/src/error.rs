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
    /// A flag that this code does not know, or two that exclude each other.
    UnknownFlags,
    /// The bytes end before the frame does.
    Truncated,
    /// Bytes are left after the frame.
    TrailingBytes,
    /// The CRC does not match the bytes.
    WrongCrc,
    /// A field holds a value that the format does not allow.
    Malformed,
    /// A channel is there twice.
    DuplicateChannel,
    /// The id of a hello's table is not the CRC of its channels.
    WrongTable,
    /// A hello where samples are expected, or the other way round.
    OtherBody,
    /// A secret that is too short or too long for signing.
    KeyLength,
    /// More channels, samples or bytes than the format's limits.
    TooLarge,
    /// The output buffer is too small.
    BufferTooSmall,
}

impl FrameError {
    /// One of few words, for a metric's label.
    pub fn reason(self) -> &'static str {
        match self {
            Self::WrongCrc => "frame_crc",
            Self::UnknownVersion | Self::UnknownFlags => "frame_version",
            Self::Truncated => "frame_truncated",
            Self::TooLarge => "frame_too_large",
            Self::DuplicateChannel => "frame_duplicate_channel",
            Self::NotAFrame
            | Self::TrailingBytes
            | Self::Malformed
            | Self::WrongTable
            | Self::OtherBody
            | Self::KeyLength
            | Self::BufferTooSmall => "frame",
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFrame => f.write_str("not a frame: it does not start with the bytes \"SG\""),
            Self::UnknownVersion => {
                write!(f, "frame of another version than {}: update this program", frame::VERSION)
            }
            Self::UnknownFlags => f.write_str("frame has flags that are not known here: update this program"),
            Self::Truncated => f.write_str("frame ends too early"),
            Self::TrailingBytes => f.write_str("bytes follow the last channel of the frame"),
            Self::WrongCrc => f.write_str("frame was damaged on its way: its crc does not match"),
            Self::Malformed => f.write_str("frame holds a value that the format does not allow"),
            Self::DuplicateChannel => f.write_str("frame has a channel twice: which one counts is not known"),
            Self::WrongTable => f.write_str("hello's table id is not the crc of its channels"),
            Self::OtherBody => f.write_str("frame is a hello where samples are expected, or the other way round"),
            Self::KeyLength => {
                write!(f, "key is not {} to {} bytes long", frame::KEY_MIN_BYTES, frame::KEY_MAX_BYTES)
            }
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
