//! A frame channel by channel, into the caller's buffer.
//!
//! The first fault stays with the frame, so that a caller may look at `sensor_frame_finish` alone.

use core::cell::Cell;
use core::ffi::c_char;

use firmware_protocol::frame::{
    BaseTime, Builder, CHANNEL_NAME_MAX_BYTES, DEVICE_MAX_BYTES, FRAME_MAX_BYTES, Header, Key, Label, RegularSample,
    SAMPLES_MAX, Sample, TEXT_MAX_BYTES, TableId,
};
use firmware_protocol::{BootId, DeviceSeq};

use crate::error::{Result, SensorFrameError, code};
use crate::pointer::{CBool, array, buffer, object, object_mut, text};
use crate::table::{SensorFrameTable, number_of};

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

/// A frame under way. It has nothing to be freed, and keeps pointers to its buffer and its table until it is finished.
#[repr(C)]
pub struct SensorFrame {
    begun: u32,
    fault: i32,
    state: [usize; 32],
}

struct State {
    builder: Builder<'static>,
    /// Null: channels have names.
    table: *const SensorFrameTable,
}

// Enough on 32 and 64 bits, with room for fields to come.
const _: () = assert!(size_of::<State>() <= size_of::<[usize; 32]>());
const _: () = assert!(align_of::<State>() <= align_of::<[usize; 32]>());
/// Tells a frame under way from whatever is in memory before.
const BEGUN: u32 = 0x5347_0001;

/// Begins a frame whose channels are named in it. `out` has `size` bytes; SENSOR_FRAME_MAX_BYTES are always enough.
/// It is not used otherwise until the frame is finished. Returns 0, or an error (which `sensor_frame_finish` gives, too).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_begin(
    frame: *mut SensorFrame,
    header: *const SensorFrameHeader,
    out: *mut u8,
    size: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    code(unsafe { begin(frame, header, core::ptr::null(), out, size) })
}

/// Begins a frame whose channels are those of `table`, which a hello has told to the gateway: it is much shorter.
/// Channels are added by name, in the order of the table, each at most once. The table stays as it is until the frame is
/// finished. Otherwise as `sensor_frame_begin`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_begin_in_table(
    frame: *mut SensorFrame,
    header: *const SensorFrameHeader,
    table: *const SensorFrameTable,
    out: *mut u8,
    size: usize,
) -> i32 {
    let outcome = if table.is_null() {
        Err(SensorFrameError::Pointer)
    } else {
        // SAFETY: promised by the caller.
        unsafe { begin(frame, header, table, out, size) }
    };
    code(outcome)
}

/// # Safety
/// As all functions of this crate.
unsafe fn begin(
    frame: *mut SensorFrame,
    header: *const SensorFrameHeader,
    table: *const SensorFrameTable,
    out: *mut u8,
    size: usize,
) -> Result<usize> {
    // SAFETY: promised by the caller.
    let frame = unsafe { object_mut(frame) }?;
    // SAFETY: promised by the caller.
    let builder = unsafe { builder(header, table, out, size) };
    frame.begun = BEGUN;
    match builder {
        Ok(builder) => {
            frame.fault = 0;
            // SAFETY: it has room for a state, and is aligned for one; both are asserted above.
            unsafe { (&raw mut frame.state).cast::<State>().write(State { builder, table }) };
            Ok(0)
        }
        Err(fault) => {
            frame.fault = fault as i32;
            Err(fault)
        }
    }
}

/// # Safety
/// As all functions of this crate.
unsafe fn builder(
    header: *const SensorFrameHeader,
    table: *const SensorFrameTable,
    out: *mut u8,
    size: usize,
) -> Result<Builder<'static>> {
    // SAFETY: promised by the caller.
    let (header, base) = unsafe { read_header(header) }?;
    // SAFETY: promised by the caller.
    let out = unsafe { buffer(out, size, FRAME_MAX_BYTES) }?;
    if table.is_null() {
        return Ok(Builder::named(&header, base, out));
    }
    // SAFETY: promised by the caller.
    let table = unsafe { object(table) }?;
    Ok(Builder::numbered(&header, base, TableId(table.id), out))
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
    if key.secret_bytes > firmware_protocol::frame::KEY_MAX_BYTES {
        return Err(SensorFrameError::KeyLength);
    }
    // SAFETY: promised by the caller.
    let secret = unsafe { array(key.secret, key.secret_bytes, firmware_protocol::frame::KEY_MAX_BYTES) }?;
    Ok(Key::new(key.id, secret)?)
}

/// Adds a channel of `count` samples to the frame: `offsets` are microseconds from the base time.
/// `offsets` may be NULL for a single sample, whose time is the base time then. Returns 0, or an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_f32(
    frame: *mut SensorFrame,
    channel: *const c_char,
    offsets: *const i64,
    values: *const f32,
    count: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { samples(frame, channel, offsets, values, count, |v| v) }
}

/// As `sensor_frame_f32`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_f64(
    frame: *mut SensorFrame,
    channel: *const c_char,
    offsets: *const i64,
    values: *const f64,
    count: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { samples(frame, channel, offsets, values, count, |v| v) }
}

/// As `sensor_frame_f32`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_i32(
    frame: *mut SensorFrame,
    channel: *const c_char,
    offsets: *const i64,
    values: *const i32,
    count: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { samples(frame, channel, offsets, values, count, |v| v) }
}

/// As `sensor_frame_f32`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_bool(
    frame: *mut SensorFrame,
    channel: *const c_char,
    offsets: *const i64,
    values: *const CBool,
    count: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { samples(frame, channel, offsets, values, count, |v| v != 0) }
}

/// As `sensor_frame_f32`; each text has at most 128 bytes, and no control characters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_text(
    frame: *mut SensorFrame,
    channel: *const c_char,
    offsets: *const i64,
    values: *const *const c_char,
    count: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    let add =
        |builder: &mut Builder<'static>, label: Label<'_>| unsafe { add_texts(builder, label, offsets, values, count) };
    // SAFETY: promised by the caller.
    unsafe { channel_of(frame, channel, add) }
}

/// Adds a channel of `count` samples of one distance in time: the first is `first` microseconds from the base time,
/// each other one `interval_micros` (at least 1) behind the one before. Returns 0, or an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_f32_every(
    frame: *mut SensorFrame,
    channel: *const c_char,
    first: i64,
    interval_micros: u32,
    values: *const f32,
    count: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { every(frame, channel, first, interval_micros, values, count, |v| v) }
}

/// As `sensor_frame_f32_every`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_f64_every(
    frame: *mut SensorFrame,
    channel: *const c_char,
    first: i64,
    interval_micros: u32,
    values: *const f64,
    count: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { every(frame, channel, first, interval_micros, values, count, |v| v) }
}

/// As `sensor_frame_f32_every`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_i32_every(
    frame: *mut SensorFrame,
    channel: *const c_char,
    first: i64,
    interval_micros: u32,
    values: *const i32,
    count: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { every(frame, channel, first, interval_micros, values, count, |v| v) }
}

/// As `sensor_frame_f32_every`; the gateway gets it as i32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_i16_every(
    frame: *mut SensorFrame,
    channel: *const c_char,
    first: i64,
    interval_micros: u32,
    values: *const i16,
    count: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { every(frame, channel, first, interval_micros, values, count, |v| v) }
}

/// As `sensor_frame_f32_every`; the gateway gets it as i32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_u16_every(
    frame: *mut SensorFrame,
    channel: *const c_char,
    first: i64,
    interval_micros: u32,
    values: *const u16,
    count: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { every(frame, channel, first, interval_micros, values, count, |v| v) }
}

/// As `sensor_frame_f32_every`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_bool_every(
    frame: *mut SensorFrame,
    channel: *const c_char,
    first: i64,
    interval_micros: u32,
    values: *const CBool,
    count: usize,
) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { every(frame, channel, first, interval_micros, values, count, |v| v != 0) }
}

/// Ends the frame. Returns how many bytes of the buffer are to be sent, or the first error since its begin.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_finish(frame: *mut SensorFrame) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { finish(frame, |builder| Ok(builder.finish()?)) }
}

/// `sensor_frame_finish`, and signs the frame: a gateway that knows a key of this device takes no frame without.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_finish_signed(frame: *mut SensorFrame, key: *const SensorFrameKey) -> i32 {
    // SAFETY: promised by the caller.
    let key = unsafe { read_key(key) };
    // SAFETY: promised by the caller.
    unsafe { finish(frame, |builder| Ok(builder.finish_signed(&key?)?)) }
}

/// # Safety
/// As all functions of this crate.
unsafe fn finish(frame: *mut SensorFrame, finish: impl FnOnce(Builder<'static>) -> Result<usize>) -> i32 {
    // SAFETY: promised by the caller.
    let Ok(frame) = (unsafe { object_mut(frame) }) else { return SensorFrameError::Pointer as i32 };
    let was_begun = core::mem::take(&mut frame.begun) == BEGUN;
    match (was_begun, frame.fault) {
        (false, _) => SensorFrameError::NotBegun as i32,
        (true, 0) => {
            // SAFETY: a begun frame without a fault has a state, and it is read once only: the frame counts as not begun.
            let state = unsafe { (&raw const frame.state).cast::<State>().read() };
            code(finish(state.builder))
        }
        (true, fault) => fault,
    }
}

/// # Safety
/// As all functions of this crate.
unsafe fn samples<T: Copy, S: Sample>(
    frame: *mut SensorFrame,
    channel: *const c_char,
    offsets: *const i64,
    values: *const T,
    count: usize,
    value: impl Fn(T) -> S,
) -> i32 {
    let add = |builder: &mut Builder<'static>, label: Label<'_>| {
        // SAFETY: promised by the caller.
        let offsets = unsafe { read_offsets(offsets, count) }?;
        // SAFETY: promised by the caller.
        let values = unsafe { array(values, count, SAMPLES_MAX) }?;
        Ok(builder.samples(label, offsets.iter().zip(values).map(|(offset, v)| (*offset, value(*v))))?)
    };
    // SAFETY: promised by the caller.
    unsafe { channel_of(frame, channel, add) }
}

/// # Safety
/// As all functions of this crate.
unsafe fn add_texts(
    builder: &mut Builder<'static>,
    label: Label<'_>,
    offsets: *const i64,
    values: *const *const c_char,
    count: usize,
) -> Result<()> {
    // SAFETY: promised by the caller.
    let offsets = unsafe { read_offsets(offsets, count) }?;
    // SAFETY: promised by the caller.
    let values = unsafe { array(values, count, SAMPLES_MAX) }?;
    let fault = Cell::new(Ok(()));
    let read = |v: &*const c_char| {
        // SAFETY: promised by the caller.
        let text = unsafe { text(*v, TEXT_MAX_BYTES) };
        text.unwrap_or_else(|reason| {
            fault.set(Err(reason));
            ""
        })
    };
    builder.samples(label, offsets.iter().zip(values).map(|(offset, v)| (*offset, read(v))))?;
    fault.get()
}

/// # Safety
/// As all functions of this crate.
unsafe fn every<T: Copy, S: RegularSample>(
    frame: *mut SensorFrame,
    channel: *const c_char,
    first: i64,
    interval_micros: u32,
    values: *const T,
    count: usize,
    value: impl Fn(T) -> S,
) -> i32 {
    let add = |builder: &mut Builder<'static>, label: Label<'_>| {
        // SAFETY: promised by the caller.
        let values = unsafe { array(values, count, SAMPLES_MAX) }?;
        Ok(builder.every(label, first, interval_micros, values.iter().map(|v| value(*v)))?)
    };
    // SAFETY: promised by the caller.
    unsafe { channel_of(frame, channel, add) }
}

/// # Safety
/// As all functions of this crate.
unsafe fn read_offsets<'a>(offsets: *const i64, count: usize) -> Result<&'a [i64]> {
    if offsets.is_null() && count == 1 {
        return Ok(&[0]);
    }
    // SAFETY: promised by the caller.
    unsafe { array(offsets, count, SAMPLES_MAX) }
}

/// Adds a channel with `add`; what goes wrong stays with the frame.
///
/// # Safety
/// As all functions of this crate.
unsafe fn channel_of(
    frame: *mut SensorFrame,
    channel: *const c_char,
    add: impl FnOnce(&mut Builder<'static>, Label<'_>) -> Result<()>,
) -> i32 {
    // SAFETY: promised by the caller.
    let Ok(frame) = (unsafe { object_mut(frame) }) else { return SensorFrameError::Pointer as i32 };
    if frame.begun != BEGUN {
        return SensorFrameError::NotBegun as i32;
    }
    if frame.fault == 0 {
        // SAFETY: a begun frame without a fault has a state.
        let state = unsafe { &mut *(&raw mut frame.state).cast::<State>() };
        // SAFETY: promised by the caller.
        let label = unsafe { label(state.table, channel) };
        let added = label.and_then(|label| add(&mut state.builder, label));
        frame.fault = code(added.map(|()| 0));
    }
    frame.fault
}

/// # Safety
/// As all functions of this crate.
unsafe fn label<'a>(table: *const SensorFrameTable, channel: *const c_char) -> Result<Label<'a>> {
    // SAFETY: promised by the caller.
    let name = unsafe { text(channel, CHANNEL_NAME_MAX_BYTES) }?;
    if table.is_null() {
        return Ok(Label::Name(name));
    }
    // SAFETY: promised by the caller.
    unsafe { number_of(table, name) }.map(Label::Number)
}
