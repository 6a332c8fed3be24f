//! The names of a file's columns: which of them a mapping means.

use firmware_protocol::decode::DEVICE_MAX_BYTES;

use super::fault::shortened;
use super::mapping::{Delimiter, Mapping, NAME_MAX};
use super::plan::{Piece, Reading, Refusal, quoted};
use super::topic::{self, Part};

/// Names of the column with the time, where none is configured; compared without case.
const TIME_NAMES: [&str; 6] = ["ts", "time", "timestamp", "datetime", "date_time", "_time"];
/// Names of the column with the device.
const DEVICE_NAMES: [&str; 4] = ["device", "device_id", "sensor", "sensor_id"];
/// Names of columns that a message lists.
const LISTED_MAX: usize = 12;

/// The names, without spaces around them.
pub(super) struct Header<'h> {
    pub(super) names: &'h [String],
}

impl Header<'_> {
    pub(super) fn check_repeated(&self) -> Result<(), Refusal> {
        for (i, name) in self.names.iter().enumerate() {
            if name.len() > NAME_MAX {
                return Err(Refusal::LongName { column: i + 1, bytes: name.len() });
            }
            if !name.is_empty() && self.names[..i].contains(name) {
                return Err(Refusal::Repeated(shortened(name)));
            }
        }
        Ok(())
    }

    pub(super) fn find(&self, name: &str) -> Result<usize, Refusal> {
        let exact = self.names.iter().position(|n| n == name);
        let found = exact.or_else(|| self.names.iter().position(|n| n.eq_ignore_ascii_case(name)));
        found.ok_or_else(|| Refusal::NoColumn { name: shortened(name), columns: self.listed() })
    }

    pub(super) fn optional(&self, name: &str) -> Result<Option<usize>, Refusal> {
        if name.is_empty() { Ok(None) } else { self.find(name).map(Some) }
    }

    fn one_of(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.names.iter().position(|n| n.eq_ignore_ascii_case(name)))
    }

    pub(super) fn time(&self, name: &str) -> Result<usize, Refusal> {
        let configured = self.optional(name)?;
        configured.or_else(|| self.one_of(&TIME_NAMES)).ok_or_else(|| Refusal::NoTime { columns: self.listed() })
    }

    pub(super) fn device(&self, mapping: &Mapping) -> Result<Option<usize>, Refusal> {
        if !mapping.device.is_empty() {
            return Ok(None);
        }
        Ok(self.optional(&mapping.device_column)?.or_else(|| self.one_of(&DEVICE_NAMES)))
    }

    pub(super) fn topic(
        &self,
        mapping: &Mapping,
        device: Option<usize>,
        file_stem: &str,
    ) -> Result<Vec<Piece>, Refusal> {
        let piece = |part: &Part| match part {
            Part::Text(text) => Ok(Piece::Text(text.clone())),
            Part::Column(name) => self.find(name).map(Piece::Column),
            Part::Device => match device {
                Some(column) => Ok(Piece::Column(column)),
                None if !mapping.device.is_empty() => Ok(Piece::Text(mapping.device.clone())),
                None => {
                    let too_long = (file_stem.len() > DEVICE_MAX_BYTES).then_some("it is too long");
                    match topic::check(file_stem).err().or(too_long) {
                        None => Ok(Piece::Text(file_stem.to_owned())),
                        Some(why) => Err(Refusal::Device { name: shortened(file_stem), why }),
                    }
                }
            },
        };
        mapping.topic.parts().iter().map(piece).collect()
    }

    pub(super) fn readings(&self, mapping: &Mapping, columns: Vec<usize>) -> Result<Vec<Reading>, Refusal> {
        for (old, _) in &mapping.rename {
            self.find(old)?;
        }
        let mut names: Vec<&str> = Vec::with_capacity(columns.len());
        let mut readings = Vec::with_capacity(columns.len());
        for column in columns {
            let own = self.names[column].as_str();
            let renamed = mapping.rename.iter().find(|(old, _)| old.eq_ignore_ascii_case(own));
            let name = renamed.map_or(own, |(_, new)| new);
            if name == mapping.time_field {
                return Err(Refusal::TimeField(shortened(own)));
            }
            if names.contains(&name) {
                return Err(Refusal::Repeated(shortened(name)));
            }
            names.push(name);
            readings.push(Reading { column, key: [b",".to_vec(), quoted(name), b":".to_vec()].concat() });
        }
        Ok(readings)
    }

    /// For messages.
    pub(super) fn listed(&self) -> String {
        let names: Vec<String> = self.names.iter().take(LISTED_MAX).map(|n| format!("`{}`", shortened(n))).collect();
        let more = self.names.len().saturating_sub(LISTED_MAX);
        if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
    }
}

/// The byte between the fields of a header line: the one that is there most often outside of quotes.
pub(super) fn detect_delimiter(line: &[u8]) -> u8 {
    let mut counts = Delimiter::EACH.map(|delimiter| (0_usize, delimiter));
    let mut is_quoted = false;
    for byte in line {
        is_quoted ^= *byte == b'"';
        let found = counts.iter_mut().find(|(_, delimiter)| !is_quoted && delimiter.byte() == Some(*byte));
        if let Some((count, _)) = found {
            *count += 1;
        }
    }
    // Of equally many the first one: commas.
    let most = counts.into_iter().rev().max_by_key(|(count, _)| *count);
    most.and_then(|(_, delimiter)| delimiter.byte()).unwrap_or(b',')
}

/// The delimiter that spreadsheets name in a line of its own: `sep=;`.
pub(super) fn named_delimiter(line: &[u8]) -> Option<u8> {
    match line {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] => {
            Delimiter::EACH.into_iter().filter_map(Delimiter::byte).find(|byte| byte == delimiter)
        }
        _ => None,
    }
}
