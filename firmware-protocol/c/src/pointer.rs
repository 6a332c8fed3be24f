//! Pointers from C → references, with all checks that can be made.
//!
//! What they give lives as long as the caller says (`'a` is free): no caller keeps it beyond its call, but for the
//! buffer of a frame under way, of which C is told to keep it.

use core::ffi::c_char;
use core::{slice, str};

use crate::error::{Result, SensorFrameError};

/// As C's `bool` arrives: 0 is false, any other byte is true.
pub(crate) type CBool = u8;

/// # Safety
/// `pointer` is null, or points at a `T` that nothing changes during `'a`.
pub(crate) unsafe fn object<'a, T>(pointer: *const T) -> Result<&'a T> {
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(SensorFrameError::Pointer);
    }
    // SAFETY: neither null nor misaligned; the rest is the caller's promise.
    Ok(unsafe { &*pointer })
}

/// # Safety
/// `pointer` is null, or points at a `T` that nothing else reads or changes during `'a`.
pub(crate) unsafe fn object_mut<'a, T>(pointer: *mut T) -> Result<&'a mut T> {
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(SensorFrameError::Pointer);
    }
    // SAFETY: neither null nor misaligned; the rest is the caller's promise.
    Ok(unsafe { &mut *pointer })
}

/// At most `max` elements; of none the pointer is not looked at.
///
/// # Safety
/// `pointer` is null, or points at `count` elements that nothing changes during `'a`.
pub(crate) unsafe fn array<'a, T>(pointer: *const T, count: usize, max: usize) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if count > max {
        return Err(SensorFrameError::TooLarge);
    }
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(SensorFrameError::Pointer);
    }
    // SAFETY: neither null nor misaligned, and short (each `max` is); the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts(pointer, count) })
}

/// A buffer to write to: of a longer one its first `max` bytes.
///
/// # Safety
/// `out` is null, or points at `size` bytes that nothing else reads or changes during `'a`.
pub(crate) unsafe fn buffer<'a>(out: *mut u8, size: usize, max: usize) -> Result<&'a mut [u8]> {
    if out.is_null() {
        return Err(SensorFrameError::Pointer);
    }
    // SAFETY: not null, bytes are always aligned, and it is short; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts_mut(out, size.min(max)) })
}

/// A text that ends with a NUL after at most `max_bytes`: no more is looked at.
///
/// # Safety
/// `text` is null, or points at bytes up to a NUL, or at `max_bytes + 1` of them, that nothing changes during `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, max_bytes: usize) -> Result<&'a str> {
    let text = text.cast::<u8>();
    if text.is_null() {
        return Err(SensorFrameError::Pointer);
    }
    let mut length = 0;
    loop {
        // SAFETY: all bytes before it are none of them NUL, so it belongs to the text.
        let at = unsafe { text.add(length) };
        // SAFETY: as above.
        if unsafe { at.read() } == 0 {
            break;
        }
        if length == max_bytes {
            return Err(SensorFrameError::TooLarge);
        }
        length += 1;
    }
    // SAFETY: these bytes have been read.
    let bytes = unsafe { slice::from_raw_parts(text, length) };
    str::from_utf8(bytes).map_err(|_| SensorFrameError::NotUtf8)
}
