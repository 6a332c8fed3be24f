//! `[frames]`: what is remembered of firmware frames, and who must sign them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::{DAY, SECOND};
use crate::config::reader::{Reader, Section};
use crate::frames::{Config, Keys};

/// Shorter than this, a message that merely overtook another would be told as missing.
const GAP_AFTER_MIN: Duration = SECOND;
/// Some 600 bytes each.
const DEVICES_MAX: u64 = 100_000;
const DEVICES_MIN: u64 = 100;
/// Shorter than this, no device answers a request in time.
const HELLO_WAIT_MIN: Duration = SECOND;
/// A hundred thousand keys; a larger file is the wrong file.
const KEYS_FILE_MAX_BYTES: u64 = 32 << 20;

pub(super) fn read(reader: &mut Reader<'_>) -> Config {
    let default = Config::default();
    let mut s = reader.table("frames");
    let config = Config {
        gap_after: s.within("gap_after", default.gap_after, GAP_AFTER_MIN..=DAY),
        devices_max: s.within("devices_max", default.devices_max as u64, DEVICES_MIN..=DEVICES_MAX) as usize,
        hello_wait: s.within("hello_wait", default.hello_wait, HELLO_WAIT_MIN..=DAY),
        keys: keys(&mut s),
    };
    s.finish();
    config
}

fn keys(s: &mut Section<'_, '_>) -> Keys {
    let Some(path) = s.optional::<PathBuf>("keys_file", |_| Ok(())) else { return Keys::default() };
    let text = fs::metadata(&path).and_then(|file| match file.len() {
        0..=KEYS_FILE_MAX_BYTES => fs::read_to_string(&path),
        bytes => Err(std::io::Error::other(format!("{bytes} bytes are more than the limit of {KEYS_FILE_MAX_BYTES}"))),
    });
    let (message, hint) = match text.as_deref().map(Keys::parse) {
        Ok(Ok(keys)) if !keys.is_empty() => return keys,
        Ok(Ok(_none)) => (
            format!("`keys_file` names {}, which holds no key", path.display()),
            "write a line `DEVICE-PATTERN KEY-ID HEX` for each key, or leave `keys_file` out",
        ),
        Ok(Err(error)) => (
            format!("`keys_file` names {}: {error}", path.display()),
            "each line is a device's name or a pattern with *, a number from 0 to 255, and 16 to 64 bytes in hexadecimal digits",
        ),
        Err(error) => (
            format!("`keys_file` names {}, which cannot be read: {error}", path.display()),
            "the file must exist and be readable by the gateway's user",
        ),
    };
    s.fault(Some("keys_file"), message, hint);
    Keys::default()
}
