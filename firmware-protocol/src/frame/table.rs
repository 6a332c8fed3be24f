//! What a device's channels are, by number: told once in a hello, used by frames.
//!
//! # Invariants
//! - A [`ChannelTable`] is valid: it is made at compile time, or its faults come back when it is made.
//! - The content decides the id, so a table of an id never changes.

use super::name::{check_name, check_text};
use super::{CHANNEL_NAME_MAX_BYTES, CHANNELS_MAX, Kind, UNIT_MAX_BYTES};
use crate::FrameError;

/// The CRC-32 of a table's encoding, which tells it from all others of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableId(pub u32);

/// What a hello tells of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelInfo<'a> {
    /// 1 to [`CHANNEL_NAME_MAX_BYTES`], no control characters.
    pub name: &'a str,
    /// At most [`UNIT_MAX_BYTES`], no control characters; empty if there is none.
    pub unit: &'a str,
    pub kind: Kind,
    /// The least and the largest value that it can measure; both finite.
    pub range: Option<(f32, f32)>,
    /// From one sample to the next, microseconds; 0 if that varies or is not known.
    pub interval_micros: u32,
}

/// The channels of a device; a channel's number is its index.
///
/// ```
/// use firmware_protocol::frame::{ChannelInfo, ChannelTable, Kind};
///
/// static TABLE: ChannelTable<'static> = match ChannelTable::new(&[
///     ChannelInfo { name: "flow", unit: "l/min", kind: Kind::F32, range: Some((0.0, 80.0)), interval_micros: 100_000 },
///     ChannelInfo { name: "door", unit: "", kind: Kind::Bool, range: None, interval_micros: 0 },
/// ]) {
///     Ok(table) => table,
///     Err(_) => panic!("a name is empty, too long or there twice"),
/// };
/// assert_eq!(TABLE.number_of("door"), Some(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelTable<'a> {
    channels: &'a [ChannelInfo<'a>],
    id: TableId,
}

impl<'a> ChannelTable<'a> {
    /// # Errors
    /// `TooLarge` beyond a limit of the format; `DuplicateChannel`; `Malformed` for an empty name, control characters,
    /// or a range that is not finite or upside down.
    pub const fn new(channels: &'a [ChannelInfo<'a>]) -> Result<Self, FrameError> {
        if channels.len() > CHANNELS_MAX {
            return Err(FrameError::TooLarge);
        }
        let mut crc = Crc(!0).varint(channels.len() as u32);
        let mut rest = channels;
        while let [channel, behind @ ..] = rest {
            if let Err(fault) = channel.check() {
                return Err(fault);
            }
            if channel.is_among(behind) {
                return Err(FrameError::DuplicateChannel);
            }
            crc = channel.add_to(crc);
            rest = behind;
        }
        Ok(Self { channels, id: TableId(!crc.0) })
    }

    pub const fn id(&self) -> TableId {
        self.id
    }

    pub const fn channels(&self) -> &'a [ChannelInfo<'a>] {
        self.channels
    }

    pub fn number_of(&self, name: &str) -> Option<u8> {
        // There are at most `CHANNELS_MAX`.
        self.channels.iter().position(|channel| channel.name == name).map(|i| i as u8)
    }
}

impl TableId {
    /// [`ChannelTable::new`] for channels that are not held as a slice of [`ChannelInfo`].
    ///
    /// # Errors
    /// As [`ChannelTable::new`].
    pub fn of<'c>(channels: impl ExactSizeIterator<Item = ChannelInfo<'c>> + Clone) -> Result<Self, FrameError> {
        if channels.len() > CHANNELS_MAX {
            return Err(FrameError::TooLarge);
        }
        let mut crc = Crc(!0).varint(channels.len() as u32);
        let mut rest = channels;
        while let Some(channel) = rest.next() {
            channel.check()?;
            if rest.clone().any(|later| later.name == channel.name) {
                return Err(FrameError::DuplicateChannel);
            }
            crc = channel.add_to(crc);
        }
        Ok(Self(!crc.0))
    }
}

impl ChannelInfo<'_> {
    /// On its own.
    const fn check(&self) -> Result<(), FrameError> {
        if let Err(fault) = check_name(self.name, CHANNEL_NAME_MAX_BYTES) {
            return Err(fault);
        }
        if let Err(fault) = check_text(self.unit, UNIT_MAX_BYTES) {
            return Err(fault);
        }
        match self.range {
            Some(range) if !is_range(range) => Err(FrameError::Malformed),
            Some(_) | None => Ok(()),
        }
    }

    const fn is_among(&self, others: &[ChannelInfo<'_>]) -> bool {
        let mut rest = others;
        while let [channel, behind @ ..] = rest {
            if is_same(self.name.as_bytes(), channel.name.as_bytes()) {
                return true;
            }
            rest = behind;
        }
        false
    }

    const fn add_to(&self, crc: Crc) -> Crc {
        let crc = crc.text(self.name).text(self.unit).byte(self.kind as u8);
        let crc = match self.range {
            None => crc.byte(0),
            Some((min, max)) => crc.byte(1).bytes(&min.to_le_bytes()).bytes(&max.to_le_bytes()),
        };
        crc.varint(self.interval_micros)
    }
}

/// Whether the bounds are finite and in order.
pub(super) const fn is_range((min, max): (f32, f32)) -> bool {
    min.is_finite() && max.is_finite() && min <= max
}

const fn is_same(mut a: &[u8], mut b: &[u8]) -> bool {
    while let ([x, behind_x @ ..], [y, behind_y @ ..]) = (a, b) {
        if *x != *y {
            return false;
        }
        (a, b) = (behind_x, behind_y);
    }
    a.is_empty() && b.is_empty()
}

/// [`crate::crc::crc32`] in pieces, when the table is compiled: bit by bit, without a table of its own. It takes what
/// `Writer` writes of a hello's channels.
#[derive(Clone, Copy)]
struct Crc(u32);

impl Crc {
    const fn byte(self, byte: u8) -> Self {
        let mut crc = self.0 ^ byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 };
            bit += 1;
        }
        Self(crc)
    }

    const fn bytes(mut self, mut bytes: &[u8]) -> Self {
        while let [first, behind @ ..] = bytes {
            self = self.byte(*first);
            bytes = behind;
        }
        self
    }

    const fn varint(mut self, mut value: u32) -> Self {
        while value >= 0x80 {
            self = self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8)
    }

    const fn text(self, text: &str) -> Self {
        self.varint(text.len() as u32).bytes(text.as_bytes())
    }
}
