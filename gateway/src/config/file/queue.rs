//! `[queue]`: how much is kept, for how long, and what happens when there is no room.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::{MINUTE, SECOND};
use crate::config::reader::{Reader, Section};
use crate::config::values::{Size, Value, Wrong};
use crate::detect;
use crate::queue::{Config, EngineKind, Log, WhenFull};

/// Two generations, the reserve and what stages need: below that the doors would be held up most of the time.
const MAX_SIZE_MIN: Size = Size(64 << 20);
const MAX_SIZE_MAX: Size = Size(16 << 40);
/// A smaller reserve would not do what it is for: opening the store again on a full disk.
const RESERVE_MIN: Size = Size(Config::BALLAST_BYTES_MIN);
const RESERVE_MAX: Size = Size(1 << 30);
/// Times to live are applied some times a minute, to a sixteenth of them.
const TTL_MIN: Duration = MINUTE;
const TTL_MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// `detect`: it reads records again for as long as their windows are open.
pub(super) fn read(reader: &mut Reader<'_>, data_dir: &Path, detect: Option<&detect::Config>) -> Config {
    let default = Config::in_data_dir(data_dir);
    let mut s = reader.table("queue");
    let engines = EngineKind::ALL.map(|engine| (engine.name(), engine));
    let config = Config {
        engine: s.choice("engine", default.engine, &engines),
        max_bytes: s.within("max_size", Size(default.max_bytes), MAX_SIZE_MIN..=MAX_SIZE_MAX).0,
        when_full: s.choice(
            "when_full",
            default.when_full,
            &[("block", WhenFull::Block), ("drop_oldest", WhenFull::DropOldest)],
        ),
        ttl: [age(&mut s, "raw_ttl"), age(&mut s, "derived_ttl")],
        keep_delivered: age(&mut s, "keep_delivered"),
        commit_interval: s.within("commit_interval", default.commit_interval, Duration::ZERO..=SECOND),
        ballast_bytes: s
            .checked("reserve", Size(default.ballast_bytes), |size| {
                none_or_within(size, Size(0), RESERVE_MIN..=RESERVE_MAX)
            })
            .0,
        quarantine_max_bytes: s.within("quarantine_max", Size(default.quarantine_max_bytes), Size(0)..=MAX_SIZE_MAX).0,
        ..default
    };
    check_room(&mut s, &config);
    check_ages(&mut s, &config, detect);
    s.finish();
    config
}

/// `None` for "0s".
fn age(s: &mut Section<'_, '_>, key: &'static str) -> Option<Duration> {
    let age = s.checked(key, Duration::ZERO, |age| none_or_within(age, Duration::ZERO, TTL_MIN..=TTL_MAX));
    (!age.is_zero()).then_some(age)
}

fn none_or_within<T: Value + PartialOrd>(value: &T, none: T, range: RangeInclusive<T>) -> Result<(), Wrong> {
    if *value == none || range.contains(value) {
        return Ok(());
    }
    let (none, least, most) = (none.show(), range.start().show(), range.end().show());
    let message = format!("is {}, neither {none} nor within {least} to {most}", value.show());
    Err(Wrong::new(message, format!("choose from {least} to {most}, or {none} for none")))
}

/// What is set apart must leave room for records, or the doors would never open.
fn check_room(s: &mut Section<'_, '_>, config: &Config) {
    let least = config.max_bytes_min();
    if config.max_bytes < least {
        let [max_size, reserve, quarantine_max] =
            [config.max_bytes, config.ballast_bytes, config.quarantine_max_bytes].map(|bytes| Size(bytes).show());
        let message = format!(
            "`max_size` {max_size} leaves too little for records beside `reserve` {reserve} and `quarantine_max` {quarantine_max}"
        );
        let least = Size(least.next_multiple_of(1 << 20)).show();
        s.fault(Some("max_size"), message, format!("raise `max_size` to {least} or more, or lower the other two"));
    }
}

fn check_ages(s: &mut Section<'_, '_>, config: &Config, detect: Option<&detect::Config>) {
    let Some(ttl) = config.ttl[Log::Raw as usize] else { return };
    if let Some(keep) = config.keep_delivered.filter(|keep| *keep > ttl) {
        let message = format!("`keep_delivered` {} is longer than `raw_ttl` {}", keep.show(), ttl.show());
        s.fault(Some("keep_delivered"), message, "raise `raw_ttl` or lower `keep_delivered`");
    }
    let Some(detect) = detect else { return };
    let open_for = (detect.window + detect.out_of_order + detect.idle_timeout).max(detect::REVISE_AFTER);
    if ttl < open_for {
        let (ttl, open_for) = (ttl.show(), open_for.show());
        let message = format!("`raw_ttl` {ttl} is shorter than [detect] holds a window open, which is {open_for}");
        s.fault(Some("raw_ttl"), message, format!("raise `raw_ttl` to {open_for} or more, or shorten the windows"));
    }
}
