//! The C interface of `firmware-protocol`: `libsensor_frame.a` and `include/sensor_frame.h`.
//!
//! # What
//! - [`frame`]: a frame channel by channel, from parallel arrays, signed or not.
//! - [`table`]: the channels of a device, their hello, and frames whose channels are numbers of it.
//! - [`serial`]: COBS, and what comes back over a serial line.
//! - [`error`]: one code for each way to fail, with a text.
//!
//! # Invariants
//! - All pointers are looked at before they are used: null, alignment, and how many elements there can be at most.
//! - Flags and enums come in as bytes: any byte is a valid one.
//! - No panic can be reached; `../check` proves it by linking.
//!
//! # Safety
//! What cannot be looked at is the duty of all callers of all functions, and the header says so: a pointer that is not
//! null points at what its type and its count say, and nothing else uses that as long as the function does. A frame
//! under way keeps its buffer, and its table with all channels, until it is finished.
//!
//! # Not here
//! The format: that is the core's. This crate is the only place of the product's own code that speaks to C.
#![no_std]
// It is the same for all, and stands above and in the header.
#![allow(clippy::missing_safety_doc)]

mod error;
mod frame;
mod pointer;
mod serial;
mod table;

pub use error::*;
pub use frame::*;
pub use serial::*;
pub use table::*;

/// Most bytes of one frame.
pub const SENSOR_FRAME_MAX_BYTES: usize = 4096;
/// Most bytes of one frame as it goes over a serial line.
pub const SENSOR_FRAME_COBS_MAX_BYTES: usize = 4115;
/// Most channels of one frame or table.
pub const SENSOR_FRAME_CHANNELS_MAX: usize = 32;
/// Most samples of one channel in one frame.
pub const SENSOR_FRAME_SAMPLES_MAX: usize = 1024;
/// Most bytes of a device's name.
pub const SENSOR_FRAME_DEVICE_MAX_BYTES: usize = 64;
/// Most bytes of a channel's name.
pub const SENSOR_FRAME_CHANNEL_NAME_MAX_BYTES: usize = 32;
/// Most bytes of a channel's unit.
pub const SENSOR_FRAME_UNIT_MAX_BYTES: usize = 16;
/// Most bytes of one sample that is a text.
pub const SENSOR_FRAME_TEXT_MAX_BYTES: usize = 128;
/// Least bytes of a key.
pub const SENSOR_FRAME_KEY_MIN_BYTES: usize = 16;
/// Most bytes of a key.
pub const SENSOR_FRAME_KEY_MAX_BYTES: usize = 64;

// The header's generator reads literals alone.
const _: () = {
    use firmware_protocol::{cobs, frame};
    assert!(SENSOR_FRAME_MAX_BYTES == frame::FRAME_MAX_BYTES);
    assert!(SENSOR_FRAME_COBS_MAX_BYTES == cobs::ENCODED_MAX_BYTES);
    assert!(SENSOR_FRAME_CHANNELS_MAX == frame::CHANNELS_MAX);
    assert!(SENSOR_FRAME_SAMPLES_MAX == frame::SAMPLES_MAX);
    assert!(SENSOR_FRAME_DEVICE_MAX_BYTES == frame::DEVICE_MAX_BYTES);
    assert!(SENSOR_FRAME_CHANNEL_NAME_MAX_BYTES == frame::CHANNEL_NAME_MAX_BYTES);
    assert!(SENSOR_FRAME_UNIT_MAX_BYTES == frame::UNIT_MAX_BYTES);
    assert!(SENSOR_FRAME_TEXT_MAX_BYTES == frame::TEXT_MAX_BYTES);
    assert!(SENSOR_FRAME_KEY_MIN_BYTES == frame::KEY_MIN_BYTES);
    assert!(SENSOR_FRAME_KEY_MAX_BYTES == frame::KEY_MAX_BYTES);
};

/// Cannot be reached; a library without std has to have one.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(feature = "prove-no-panic")]
    {
        unsafe extern "C" {
            fn sensor_frame_has_a_path_that_panics() -> !;
        }
        // SAFETY: it is never called, because there is no such function: a program with this call cannot be linked.
        unsafe { sensor_frame_has_a_path_that_panics() }
    }
    #[cfg(not(feature = "prove-no-panic"))]
    loop {
        core::hint::spin_loop();
    }
}
