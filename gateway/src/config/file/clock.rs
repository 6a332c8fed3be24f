//! `[clock]`: what happens while the machine's clock, or a device's, cannot be right.

use std::time::Duration;

use super::{DAY, HOUR, SECOND};
use crate::clock::Config;
use crate::config::reader::Reader;

/// Records of a month without a clock are of use to nobody.
const HOLD_MAX: Duration = Duration::from_secs(30 * 86_400);

pub(super) fn read(reader: &mut Reader<'_>) -> Config {
    let default = Config::default();
    let mut s = reader.table("clock");
    let config = Config {
        hold_max: s.within("hold_max", default.hold_max, Duration::ZERO..=HOLD_MAX),
        wait_for_sync: s.within("wait_for_sync", default.wait_for_sync, Duration::ZERO..=HOUR),
        future_max: s.within("future_max", default.future_max, SECOND..=30 * DAY),
    };
    s.finish();
    config
}
