//! The kernel's word on the wall clock: whether a time service keeps it. No safe binding has this call.

use super::KernelWord;

/// Changes nothing: no mode is set.
#[allow(unsafe_code, reason = "adjtimex is the only way to ask, and neither std nor rustix has it")]
pub(super) fn word() -> KernelWord {
    // SAFETY: `timex` is a C struct of integers, for which all zeroes is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live `timex` of our own for the whole call, which writes nothing beyond it.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    match state {
        // Refused, as in some sandboxes.
        -1 => KernelWord::Silent,
        _ if timex.status & libc::STA_UNSYNC == 0 => KernelWord::Synchronised,
        _ => KernelWord::Unsynchronised,
    }
}
