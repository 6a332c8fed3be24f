//! `[detect]`: windows, what may come late, and the one knob of the detectors.

use std::time::Duration;

use super::{DAY, SECOND};
use crate::config::reader::{Reader, Section};
use crate::config::values::{Value, Wrong};
use crate::{clock, detect};

/// A channel's state is some KB: this many are some hundred MB.
const CHANNELS_MAX: u64 = 100_000;
/// The detectors compare days; one alone tells nothing.
const LEARN_MIN: Duration = Duration::from_secs(2 * 86_400);
/// Each hop is judged like a window of its own.
const HOPS_MAX: u32 = 12;
/// Closed windows of each channel are kept in the store for that long, and copied with its generations.
const LATENESS_MAX: Duration = DAY;
/// And no more of them than this: an hour of windows of one second.
const LATE_HOPS_MAX: u32 = 4_096;

/// `clock`: how far ahead of it a reading may be.
pub(super) fn read(reader: &mut Reader<'_>, clock: &clock::Config) -> Option<detect::Config> {
    let default = detect::Config::default();
    let mut s = reader.table("detect");
    let enabled = s.value("enabled", true);
    let window = s.checked("window", default.window, divides_a_day);
    let config = detect::Config {
        window,
        hop: s.checked("hop", default.hop, |hop| divides_a_window(*hop, window)),
        out_of_order: s.within("out_of_order", default.out_of_order, Duration::ZERO..=DAY),
        allowed_lateness: s.within("allowed_lateness", default.allowed_lateness, Duration::ZERO..=LATENESS_MAX),
        early_every: s.checked("early_every", default.early_every, is_none_or_a_second),
        idle_timeout: s.within("idle_timeout", default.idle_timeout, SECOND..=30 * DAY),
        learn: s.within("learn", default.learn, LEARN_MIN..=90 * DAY),
        novel_after: default.novel_after,
        false_alarms_per_month: s.within("false_alarms_per_month", default.false_alarms_per_month, 0.001..=1_000.0),
        channels_max: s.within("channels_max", default.channels_max as u64, 1..=CHANNELS_MAX) as usize,
        samples_max: default.samples_max,
        future_max: clock.future_max,
    };
    check_lateness(&mut s, &config);
    s.finish();
    enabled.then_some(config)
}

pub(in crate::config) fn divides_a_day(window: &Duration) -> Result<(), Wrong> {
    let hint = "choose a part of a day from 1s to 1d, such as \"1m\", \"10m\", \"15m\" or \"1h\"";
    if *window < SECOND || *window > DAY {
        return Err(Wrong::new("is outside 1s to 1d", hint));
    }
    if window.subsec_nanos() != 0 || !DAY.as_secs().is_multiple_of(window.as_secs()) {
        return Err(Wrong::new("does not divide a day into equal windows", hint));
    }
    Ok(())
}

pub(in crate::config) fn divides_a_window(hop: Duration, window: Duration) -> Result<(), Wrong> {
    if hop.is_zero() {
        return Ok(());
    }
    let hint =
        format!("choose \"0s\" for windows side by side, or a part of `window`, such as {}", (window / 2).show());
    let window_shown = window.show();
    if hop < SECOND || hop.subsec_nanos() != 0 || !window.as_secs().is_multiple_of(hop.as_secs()) {
        return Err(Wrong::new(format!("does not divide `window`, which is {window_shown}, into whole seconds"), hint));
    }
    if hop * HOPS_MAX < window {
        return Err(Wrong::new(format!("is less than a {HOPS_MAX}th of `window`, which is {window_shown}"), hint));
    }
    Ok(())
}

fn is_none_or_a_second(every: &Duration) -> Result<(), Wrong> {
    if every.is_zero() || (SECOND..=DAY).contains(every) {
        return Ok(());
    }
    Err(Wrong::new(
        format!("is {}, neither \"0s\" nor within 1s to 1d", every.show()),
        "choose \"30s\", or \"0s\" for none",
    ))
}

fn check_lateness(s: &mut Section<'_, '_>, config: &detect::Config) {
    let hop = if config.hop.is_zero() { config.window } else { config.hop };
    let most = hop.saturating_mul(LATE_HOPS_MAX);
    if config.allowed_lateness > most {
        let (is, hop, most) = (config.allowed_lateness.show(), hop.show(), most.show());
        let message = format!("`allowed_lateness` {is} keeps more than {LATE_HOPS_MAX} windows that start each {hop}");
        s.fault(Some("allowed_lateness"), message, format!("choose {most} or less, or longer windows"));
    }
}
