//! Both directions of a serial line, and the gateway's words to a device over any line.

use core::ffi::c_char;

use firmware_protocol::accumulator::Accumulator;
use firmware_protocol::cobs::{ENCODED_MAX_BYTES, encode_cobs};
use firmware_protocol::frame::{
    ACK_MAX_BYTES, DEVICE_MAX_BYTES, FRAME_MAX_BYTES, HELLO_REQUEST_MAX_BYTES, parse_ack, parse_hello_request,
};

use crate::error::{Result, SensorFrameError, code};
use crate::pointer::{array, buffer, object_mut, text};

/// Writes a packet to `out` as it goes over a serial line. Returns how many bytes are to be sent, or an error.
/// SENSOR_FRAME_COBS_MAX_BYTES are always enough. A packet that lies in `out` is an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_cobs(packet: *const u8, bytes: usize, out: *mut u8, size: usize) -> i32 {
    // SAFETY: promised by the caller.
    code(unsafe { cobs(packet, bytes, out, size) })
}

/// # Safety
/// As all functions of this crate.
unsafe fn cobs(packet: *const u8, bytes: usize, out: *mut u8, size: usize) -> Result<usize> {
    let size = size.min(ENCODED_MAX_BYTES);
    let is_before = packet.addr().saturating_add(bytes) <= out.addr();
    let is_behind = out.addr().saturating_add(size) <= packet.addr();
    if bytes > 0 && !is_before && !is_behind {
        return Err(SensorFrameError::Pointer);
    }
    // SAFETY: promised by the caller.
    let packet = unsafe { array(packet, bytes, FRAME_MAX_BYTES) }?;
    // SAFETY: promised by the caller; it shares nothing with the packet.
    let out = unsafe { buffer(out, size, ENCODED_MAX_BYTES) }?;
    Ok(encode_cobs(packet, out)?)
}

/// The identity of a frame that the gateway has on disk.
#[repr(C)]
pub struct SensorFrameAck {
    pub boot: u32,
    pub seq: u32,
}

/// Reads an acknowledgement. Returns 1 if it is for a frame of `device`, which `ack` tells then; 0 if for another
/// device; an error if the packet is no acknowledgement.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_read_ack(
    packet: *const u8,
    bytes: usize,
    device: *const c_char,
    ack: *mut SensorFrameAck,
) -> i32 {
    // SAFETY: promised by the caller.
    code(unsafe { read_ack(packet, bytes, device, ack) })
}

/// # Safety
/// As all functions of this crate.
unsafe fn read_ack(packet: *const u8, bytes: usize, device: *const c_char, ack: *mut SensorFrameAck) -> Result<usize> {
    // SAFETY: promised by the caller.
    let packet = unsafe { array(packet, bytes, FRAME_MAX_BYTES) }?;
    // SAFETY: promised by the caller.
    let device = unsafe { text(device, DEVICE_MAX_BYTES) }?;
    // SAFETY: promised by the caller.
    let ack = unsafe { object_mut(ack) }?;
    let header = parse_ack(packet)?;
    let is_ours = header.device == device;
    if is_ours {
        *ack = SensorFrameAck { boot: header.boot.0, seq: header.seq.0 };
    }
    Ok(is_ours.into())
}

/// Reads a request for a hello. Returns 1 if `device` is asked, 0 if another device is, an error if the packet is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_read_hello_request(
    packet: *const u8,
    bytes: usize,
    device: *const c_char,
) -> i32 {
    // SAFETY: promised by the caller.
    let packet = unsafe { array(packet, bytes, FRAME_MAX_BYTES) };
    // SAFETY: promised by the caller.
    let device = unsafe { text(device, DEVICE_MAX_BYTES) };
    let is_asked = |packet| Ok((parse_hello_request(packet)? == device?).into());
    code(packet.and_then(is_asked))
}

/// What has come of a packet over a serial line. It has nothing to be freed.
#[repr(C)]
pub struct SensorFrameReceiver {
    begun: u32,
    state: [u64; 28],
}

/// Holds what a gateway says to a device.
type Receiver = Accumulator<PACKET_MAX_BYTES>;

const PACKET_MAX_BYTES: usize =
    if ACK_MAX_BYTES > HELLO_REQUEST_MAX_BYTES { ACK_MAX_BYTES } else { HELLO_REQUEST_MAX_BYTES };
// Enough on 32 and 64 bits, with room for fields to come.
const _: () = assert!(size_of::<Receiver>() <= size_of::<[u64; 28]>());
const _: () = assert!(align_of::<Receiver>() <= align_of::<[u64; 28]>());
/// Tells a receiver from whatever is in memory before.
const BEGUN: u32 = 0x5347_0002;

/// Makes a receiver. Returns 0, or an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_receiver(receiver: *mut SensorFrameReceiver) -> i32 {
    // SAFETY: promised by the caller.
    let receiver = unsafe { object_mut(receiver) };
    let outcome = receiver.map(|receiver| {
        // SAFETY: it has room for the state, and is aligned for it; both are asserted above.
        unsafe { (&raw mut receiver.state).cast::<Receiver>().write(Receiver::new()) };
        receiver.begun = BEGUN;
        0
    });
    code(outcome)
}

/// Takes the next byte of the line. Returns 0 as long as more has to come; the length of a packet that is complete
/// with it, at which `packet` points then until the next call; an error for what was thrown away: go on in any case.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sensor_frame_receive(
    receiver: *mut SensorFrameReceiver,
    byte: u8,
    packet: *mut *const u8,
) -> i32 {
    // SAFETY: promised by the caller.
    code(unsafe { receive(receiver, byte, packet) })
}

/// # Safety
/// As all functions of this crate.
unsafe fn receive(receiver: *mut SensorFrameReceiver, byte: u8, packet: *mut *const u8) -> Result<usize> {
    // SAFETY: promised by the caller.
    let receiver = unsafe { object_mut(receiver) }?;
    // SAFETY: promised by the caller.
    let packet = unsafe { object_mut(packet) }?;
    if receiver.begun != BEGUN {
        return Err(SensorFrameError::NotBegun);
    }
    // SAFETY: a receiver that was made has a state.
    let state = unsafe { &mut *(&raw mut receiver.state).cast::<Receiver>() };
    match state.next(&mut &[byte][..]) {
        None => Ok(0),
        Some(Ok(found)) => {
            *packet = found.as_ptr();
            Ok(found.len())
        }
        Some(Err(refused)) => Err(refused.reason.into()),
    }
}
