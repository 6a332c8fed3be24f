//! Whom frames are from, and with which key they are signed.

use core::ffi::c_char;

use firmware_protocol::frame::{BaseTime, DEVICE_MAX_BYTES, Header, KEY_MAX_BYTES, Key};
use firmware_protocol::{BootId, DeviceSeq};

use crate::error::{Result, SensorFrameError};
use crate::pointer::{CBool, array, object, text};

/// Whom a frame is from, which one it is, and the time that its samples count from.
#[repr(C)]
pub struct SensorFrameHeader {
    /// The device's name: 1 to 64 bytes, no control characters.
    pub device: *const c_char,
    /// Counts the device's starts, or is drawn at random at each. No two starts have the same.
    pub boot: u32,
    /// Counts frames and hellos since that start, from 0.
    pub seq: u32,
    /// True: `base_micros` counts from 1970-01-01T00:00:00Z. False: the device has no clock, and it counts from its
    /// start; the receiver takes the time of receipt for the newest sample's.
    pub has_clock: CBool,
    /// Microseconds; not negative without a clock.
    pub base_micros: i64,
}

/// A secret that device and gateway share.
#[repr(C)]
pub struct SensorFrameKey {
    /// The number by which the gateway knows it.
    pub id: u8,
    pub secret: *const u8,
    /// 16 to 64; 32 random bytes are best.
    pub secret_bytes: usize,
}

/// # Safety
/// As all functions of this crate.
pub(crate) unsafe fn read_header<'a>(header: *const SensorFrameHeader) -> Result<(Header<'a>, BaseTime)> {
    // SAFETY: promised by the caller.
    let header: &SensorFrameHeader = unsafe { object(header) }?;
    // SAFETY: promised by the caller.
    let device = unsafe { text(header.device, DEVICE_MAX_BYTES) }?;
    let base = if header.has_clock != 0 {
        BaseTime::UnixMicros(header.base_micros)
    } else {
        BaseTime::SinceBootMicros(header.base_micros.try_into().map_err(|_| SensorFrameError::Malformed)?)
    };
    Ok((Header { device, boot: BootId(header.boot), seq: DeviceSeq(header.seq) }, base))
}

/// # Safety
/// As all functions of this crate.
pub(crate) unsafe fn read_key<'a>(key: *const SensorFrameKey) -> Result<Key<'a>> {
    // SAFETY: promised by the caller.
    let key: &SensorFrameKey = unsafe { object(key) }?;
    if key.secret_bytes > KEY_MAX_BYTES {
        return Err(SensorFrameError::KeyLength);
    }
    // SAFETY: promised by the caller.
    let secret = unsafe { array(key.secret, key.secret_bytes, KEY_MAX_BYTES) }?;
    Ok(Key::new(key.id, secret)?)
}
