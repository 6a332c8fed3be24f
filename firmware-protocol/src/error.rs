//! What can be wrong with a frame.

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
