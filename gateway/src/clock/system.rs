//! What the operating system tells.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::ClockBoot;

/// The kernel's boot id; on a system without one the boot is told apart by its wall-clock start.
pub(super) fn boot() -> ClockBoot {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    ClockBoot(u64::from_str_radix(&digits, 16).unwrap_or_else(|_| wall_at_boot_ns().unsigned_abs() / 10_000_000_000))
}

/// Suspend included.
pub(super) fn since_boot() -> Duration {
    let t = clock_gettime(ClockId::Boottime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// Of a few readings the one with the least time between the two clocks: a busy machine may take the processor away in
/// between, which must not look like a clock that was set.
pub(super) fn wall_at_boot_ns() -> i64 {
    const READINGS: usize = 3;
    let reading = || {
        let before = since_boot();
        let t = clock_gettime(ClockId::Realtime);
        let took = since_boot().saturating_sub(before);
        (took, (t.tv_sec as i64) * 1_000_000_000 + t.tv_nsec as i64 - (before + took / 2).as_nanos() as i64)
    };
    std::array::from_fn::<_, READINGS, _>(|_| reading()).into_iter().min().map_or(0, |(_, at)| at)
}
