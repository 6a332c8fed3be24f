//! Signs of a time service and of a battery clock on this machine.
//!
//! A machine without these signs is not waited for: containers and test machines have neither, and their clock is right.

use std::fs;
use std::path::Path;

/// What systemd-timesyncd, chrony, ntpsec and ntpd, and openntpd have while they run. A container does not see those of
/// its host.
const SIGNS: [&str; 6] = [
    "/run/systemd/timesync",
    "/run/chrony/chronyd.sock",
    "/run/chrony/chronyd.pid",
    "/run/ntpd.pid",
    "/run/ntpsec",
    "/run/ntpd.sock",
];
const BATTERY_CLOCKS: &str = "/sys/class/rtc";

pub(super) fn is_there() -> bool {
    SIGNS.iter().any(|path| Path::new(path).exists())
}

pub(super) fn has_battery_clock() -> bool {
    fs::read_dir(BATTERY_CLOCKS).is_ok_and(|mut clocks| clocks.next().is_some())
}
