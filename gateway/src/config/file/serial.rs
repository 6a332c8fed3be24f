//! `[[serial]]`: lines to read frames from.

use std::path::{Path, PathBuf};

use super::{MINUTE, SECOND, name, normal};
use crate::config::reader::{Reader, Section};
use crate::config::values::Wrong;
use crate::ingest::SerialConfig;

/// Each line has a task, and up to 1 MiB of frames on their way.
const LINES_MAX: usize = 16;
const NAME_THE_DEVICE: &str =
    "name the device, such as \"/dev/ttyUSB0\"; a link in /dev/serial/by-id stays the same at another port";

pub(super) fn read(reader: &mut Reader<'_>) -> Vec<SerialConfig> {
    let mut seen: Vec<SerialConfig> = Vec::new();
    reader.tables("serial", LINES_MAX, |s| {
        let config = line(s);
        if seen.iter().any(|other| other.name == config.name) {
            let message = format!("two lines have the name \"{}\"", config.name);
            s.fault(Some("name"), message, "give each [[serial]] its own `name`");
        }
        if !config.path.as_os_str().is_empty() && seen.iter().any(|other| normal(&other.path) == normal(&config.path)) {
            let message = format!("two lines have the path {}", config.path.display());
            s.fault(Some("path"), message, "leave one of them out: two readers would take each other's bytes");
        }
        seen.push(config.clone());
        config
    })
}

fn line(s: &mut Section<'_, '_>) -> SerialConfig {
    let default = SerialConfig::new("");
    SerialConfig {
        name: name(s, &default.name),
        path: s.required("path", NAME_THE_DEVICE, |path: &PathBuf| not_empty(path)).unwrap_or_default(),
        baud: s.checked("baud", u64::from(default.baud), is_standard) as u32,
        rtscts: s.value("rtscts", default.rtscts),
        ack: s.value("ack", default.ack),
        reopen_max: s.within("reopen_max", default.reopen_max, SECOND / 10..=MINUTE),
    }
}

fn not_empty(path: &Path) -> Result<(), Wrong> {
    if path.as_os_str().is_empty() { Err(Wrong::new("is empty", NAME_THE_DEVICE)) } else { Ok(()) }
}

fn is_standard(baud: &u64) -> Result<(), Wrong> {
    if SerialConfig::BAUDS.iter().any(|standard| u64::from(*standard) == *baud) {
        return Ok(());
    }
    let rates: Vec<String> = SerialConfig::BAUDS.iter().map(u32::to_string).collect();
    Err(Wrong::new(format!("is {baud}, which is not a standard rate"), format!("choose from {}", rates.join(", "))))
}
