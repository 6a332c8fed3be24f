//! `[frames]`: what is remembered of firmware frames.

use std::time::Duration;

use super::{DAY, SECOND};
use crate::config::reader::Reader;
use crate::frames::Config;

/// Shorter than this, a message that merely overtook another would be told as missing.
const GAP_AFTER_MIN: Duration = SECOND;
/// Some 600 bytes each.
const DEVICES_MAX: u64 = 100_000;
const DEVICES_MIN: u64 = 100;

pub(super) fn read(reader: &mut Reader<'_>) -> Config {
    let default = Config::default();
    let mut s = reader.table("frames");
    let config = Config {
        gap_after: s.within("gap_after", default.gap_after, GAP_AFTER_MIN..=DAY),
        devices_max: s.within("devices_max", default.devices_max as u64, DEVICES_MIN..=DEVICES_MAX) as usize,
    };
    s.finish();
    config
}
