//! The verbs of the command line: one file each, one function each.

pub mod demo;
mod interrupt;
pub mod simulate;

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 by the wall clock.
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
