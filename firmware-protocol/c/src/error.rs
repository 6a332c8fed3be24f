//! What functions give back instead of a length, and what that means.

use core::ffi::{CStr, c_char};

use firmware_protocol::FrameError;
use firmware_protocol::accumulator::Reason;

/// What a function gives back instead of 0, a length or a count. All are negative.
#[repr(i32)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SensorFrameError {
    /// A pointer is null, not aligned for what it points at, or points into the output buffer.
    Pointer = -1,
    /// The frame was not begun, or is finished already; a receiver or table was not made by its function.
    NotBegun = -2,
    /// A text is not UTF-8.
    NotUtf8 = -3,
    /// An empty name, a control character, a kind that is none, a range that is upside down or not finite, an interval
    /// of 0 between samples, offsets too far apart, or channels that are not in the order of their table.
    Malformed = -4,
    /// More bytes, channels, samples or characters than the format's limits.
    TooLarge = -5,
    /// The output buffer is too small.
    BufferTooSmall = -6,
    /// A channel is there twice.
    DuplicateChannel = -7,
    /// The frame's table has no channel of this name.
    NoChannel = -8,
    /// A key is shorter than 16 or longer than 64 bytes.
    KeyLength = -9,
    /// Not a packet of the kind that is looked for.
    OtherPacket = -10,
    /// A packet of a later version of the format.
    UnknownVersion = -11,
    /// The bytes end before the packet does.
    Truncated = -12,
    /// Bytes are left behind the packet's content.
    TrailingBytes = -13,
    /// The packet was damaged on its way.
    WrongCrc = -14,
}

pub(crate) type Result<T> = core::result::Result<T, SensorFrameError>;

impl From<FrameError> for SensorFrameError {
    fn from(fault: FrameError) -> Self {
        match fault {
            FrameError::NotAFrame | FrameError::OtherBody => Self::OtherPacket,
            FrameError::UnknownVersion | FrameError::UnknownFlags => Self::UnknownVersion,
            FrameError::Truncated => Self::Truncated,
            FrameError::TrailingBytes => Self::TrailingBytes,
            FrameError::WrongCrc => Self::WrongCrc,
            FrameError::DuplicateChannel => Self::DuplicateChannel,
            FrameError::KeyLength => Self::KeyLength,
            FrameError::TooLarge => Self::TooLarge,
            FrameError::BufferTooSmall => Self::BufferTooSmall,
            // The wildcard is for variants to come, which the compiler wants to be thought of.
            #[allow(clippy::wildcard_enum_match_arm)]
            FrameError::Malformed | FrameError::WrongTable | _ => Self::Malformed,
        }
    }
}

impl From<Reason> for SensorFrameError {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::CutShort => Self::Truncated,
            Reason::Overlong => Self::TooLarge,
            Reason::Damaged => Self::WrongCrc,
        }
    }
}

/// What C gets: a length or a count, which are far below 2^31 (there is no buffer above 4115 bytes), or a fault.
pub(crate) fn code(outcome: Result<usize>) -> i32 {
    match outcome {
        Ok(value) => value as i32,
        Err(fault) => fault as i32,
    }
}

/// What an error means, in English; never NULL. A program that does not call it does not carry the texts.
#[unsafe(no_mangle)]
pub extern "C" fn sensor_frame_error_text(error: i32) -> *const c_char {
    const TEXTS: [(SensorFrameError, &CStr); 14] = [
        (SensorFrameError::Pointer, c"a pointer is null, not aligned, or points into the output buffer"),
        (SensorFrameError::NotBegun, c"the object was not begun, or is finished already"),
        (SensorFrameError::NotUtf8, c"a text is not UTF-8"),
        (SensorFrameError::Malformed, c"a value, or an order of channels, that the format does not allow"),
        (SensorFrameError::TooLarge, c"beyond the format's limits of bytes, channels, samples or characters"),
        (SensorFrameError::BufferTooSmall, c"the output buffer is too small"),
        (SensorFrameError::DuplicateChannel, c"a channel is there twice"),
        (SensorFrameError::NoChannel, c"the frame's table has no channel of this name"),
        (SensorFrameError::KeyLength, c"the key is not 16 to 64 bytes long"),
        (SensorFrameError::OtherPacket, c"not a packet of the kind that is looked for"),
        (SensorFrameError::UnknownVersion, c"a packet of a later version of the format"),
        (SensorFrameError::Truncated, c"the packet ends too early"),
        (SensorFrameError::TrailingBytes, c"bytes are left behind the packet's content"),
        (SensorFrameError::WrongCrc, c"the packet was damaged on its way: its crc does not match"),
    ];
    let none = if error < 0 { c"no error of this library" } else { c"no error" };
    TEXTS.iter().find(|(fault, _)| *fault as i32 == error).map_or(none, |(_, text)| text).as_ptr()
}
