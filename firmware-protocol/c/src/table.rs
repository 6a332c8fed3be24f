//! The channels of a device: checked once, told by a hello, used by frames.

use core::ffi::c_char;

use firmware_protocol::frame::{
    Builder, CHANNEL_NAME_MAX_BYTES, CHANNELS_MAX, ChannelInfo, FRAME_MAX_BYTES, Kind, TableId, UNIT_MAX_BYTES,
};

use crate::error::{Result, SensorFrameError, code};
use crate::frame::{SensorFrameHeader, SensorFrameKey, read_header, read_key};
use crate::pointer::{CBool, array, buffer, object, object_mut, text};

/// What kind of value a channel has.
#[repr(u8)]
#[derive(Clone, Copy)]
pub enum SensorFrameKind {
    F32 = 0,
    F64 = 1,
    I32 = 2,
    Bool = 3,
    Text = 4,
}

/// A kind as it arrives from C.
pub(crate) type CKind = u8;

/// What a hello tells of one channel.
#[repr(C)]
pub struct SensorFrameChannel {
    /// 1 to 32 bytes, no control characters.
    pub name: *const c_char,
    /// At most 16 bytes, no control characters; NULL or empty if there is none.
    pub unit: *const c_char,
    pub kind: CKind,
    /// Whether `min` and `max` tell the least and the largest value that it can measure.
    pub has_range: CBool,
    pub min: f32,
    pub max: f32,
    /// From one sample to the next, microseconds; 0 if that varies or is not known.
    pub interval_micros: u32,
}

/// The channels of a device, which are to stay where they are; `sensor_frame_table` makes it.
#[repr(C)]
pub struct SensorFrameTable {
    pub channels: *const SensorFrameChannel,
    pub count: usize,
    /// Made from the channels: another table has another id.
    pub id: u32,
}

/// Checks `count` channels, at most 32, and makes a table of them. Returns 0, or an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_table(
    table: *mut SensorFrameTable,
    channels: *const SensorFrameChannel,
    count: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    let id = unsafe { read_channels(channels, count) }.and_then(|infos| Ok(TableId::of(infos)?));
    // SAFETY: promised by the caller.
    let table = unsafe { object_mut(table) };
    let outcome = table.and_then(|table| {
        *table = SensorFrameTable { channels, count, id: id?.0 };
        Ok(0)
    });
    code(outcome)
}

/// Writes a hello, which tells what the channels are: at the device's start, and when the gateway asks for it.
/// Returns how many bytes of `out` are to be sent, or an error. SENSOR_FRAME_MAX_BYTES are always enough.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_hello(
    header: *const SensorFrameHeader,
    table: *const SensorFrameTable,
    out: *mut u8,
    size: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    code(unsafe { hello(header, table, out, size, |hello| Ok(hello.finish()?)) })
}

/// `sensor_frame_hello`, signed: a gateway that knows a key of this device takes no hello without.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_hello_signed(
    header: *const SensorFrameHeader,
    table: *const SensorFrameTable,
    key: *const SensorFrameKey,
    out: *mut u8,
    size: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    let key = unsafe { read_key(key) };
    // SAFETY: promised by the caller.
    code(unsafe { hello(header, table, out, size, |hello| Ok(hello.finish_signed(&key?)?)) })
}

/// # Safety
/// As all functions of this crate.
unsafe fn hello(
    header: *const SensorFrameHeader,
    table: *const SensorFrameTable,
    out: *mut u8,
    size: usize,
    finish: impl FnOnce(Builder<'_>) -> Result<usize>,
) -> Result<usize> {
    // SAFETY: promised by the caller.
    let (header, base) = unsafe { read_header(header) }?;
    // SAFETY: promised by the caller.
    let table: &SensorFrameTable = unsafe { object(table) }?;
    // SAFETY: promised by the caller.
    let channels = unsafe { read_channels(table.channels, table.count) }?;
    // SAFETY: promised by the caller.
    let out = unsafe { buffer(out, size, FRAME_MAX_BYTES) }?;
    finish(Builder::hello(&header, base, channels, out))
}

/// Each is read when its turn comes: a list of all would take a kilobyte of stack.
///
/// # Safety
/// As all functions of this crate.
unsafe fn read_channels<'a>(
    channels: *const SensorFrameChannel,
    count: usize,
) -> Result<impl ExactSizeIterator<Item = ChannelInfo<'a>> + Clone> {
    const REFUSED: ChannelInfo<'_> =
        ChannelInfo { name: "", unit: "", kind: Kind::F32, range: None, interval_micros: 0 };
    // SAFETY: promised by the caller.
    let channels: &[SensorFrameChannel] = unsafe { array(channels, count, CHANNELS_MAX) }?;
    for channel in channels {
        // SAFETY: promised by the caller.
        unsafe { read_channel(channel) }?;
    }
    // SAFETY: promised by the caller. That all can be read was seen above.
    Ok(channels.iter().map(|channel| unsafe { read_channel(channel) }.unwrap_or(REFUSED)))
}

/// # Safety
/// As all functions of this crate.
unsafe fn read_channel(channel: &SensorFrameChannel) -> Result<ChannelInfo<'_>> {
    // SAFETY: promised by the caller.
    let name = unsafe { text(channel.name, CHANNEL_NAME_MAX_BYTES) }?;
    let unit = if channel.unit.is_null() {
        ""
    } else {
        // SAFETY: promised by the caller.
        unsafe { text(channel.unit, UNIT_MAX_BYTES) }?
    };
    let kind = match channel.kind {
        0 => Kind::F32,
        1 => Kind::F64,
        2 => Kind::I32,
        3 => Kind::Bool,
        4 => Kind::Text,
        _ => return Err(SensorFrameError::Malformed),
    };
    let range = (channel.has_range != 0).then_some((channel.min, channel.max));
    Ok(ChannelInfo { name, unit, kind, range, interval_micros: channel.interval_micros })
}

/// The number of the table's channel of this name.
///
/// # Safety
/// As all functions of this crate.
pub(crate) unsafe fn number_of(table: *const SensorFrameTable, name: &str) -> Result<u8> {
    // SAFETY: promised by the caller.
    let table = unsafe { object(table) }?;
    // SAFETY: promised by the caller.
    let channels = unsafe { array(table.channels, table.count, CHANNELS_MAX) }?;
    for (number, channel) in channels.iter().enumerate() {
        // SAFETY: promised by the caller.
        if unsafe { text(channel.name, CHANNEL_NAME_MAX_BYTES) }? == name {
            // At most `CHANNELS_MAX`.
            return Ok(number as u8);
        }
    }
    Err(SensorFrameError::NoChannel)
}
