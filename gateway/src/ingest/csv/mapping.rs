//! What the columns of a file mean: the options that tables of the configuration and queries of uploads share.

use serde::{Deserialize, Serialize};

use super::number::Decimal;
use super::timing::{TimeFormat, UtcOffset};
use super::topic::{self, Topic};

/// Longest name of a column, bytes: it becomes a channel, and decoders take no longer ones.
pub(super) const NAME_MAX: usize = 128;
/// Names in a list.
const NAMES_MAX: usize = super::reader::COLUMNS_MAX;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delimiter {
    /// Whichever of the others the first line has most of.
    #[default]
    Auto,
    Comma,
    Semicolon,
    Tab,
}

/// How rows become readings. Empty texts mean: find it out, or there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    #[serde(skip_serializing_if = "is_default", with = "text")]
    pub delimiter: Delimiter,
    #[serde(skip_serializing_if = "is_default", with = "text")]
    pub decimal: Decimal,
    /// Lines before the header.
    #[serde(skip_serializing_if = "is_default")]
    pub skip_lines: u64,
    /// Names of the columns of a file that has no header.
    #[serde(skip_serializing_if = "is_default")]
    pub columns: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub time_column: String,
    /// A column with the date, where `time_column` has the time of day.
    #[serde(skip_serializing_if = "is_default")]
    pub date_column: String,
    #[serde(skip_serializing_if = "is_default", with = "text")]
    pub time_format: TimeFormat,
    #[serde(skip_serializing_if = "is_default", with = "text")]
    pub utc_offset: UtcOffset,
    #[serde(skip_serializing_if = "is_default")]
    pub device_column: String,
    /// The device of all rows.
    #[serde(skip_serializing_if = "is_default")]
    pub device: String,
    /// Columns with readings; empty: all others.
    #[serde(skip_serializing_if = "is_default")]
    pub readings: Vec<String>,
    /// Columns under other names.
    #[serde(skip_serializing_if = "is_default", with = "pairs")]
    pub rename: Vec<(String, String)>,
    #[serde(skip_serializing_if = "is_default", with = "text")]
    pub topic: Topic,
    /// Name of the time in the record, as the decode route has it.
    #[serde(skip_serializing_if = "is_default_time_field")]
    pub time_field: String,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            delimiter: Delimiter::default(),
            decimal: Decimal::default(),
            skip_lines: 0,
            columns: Vec::new(),
            time_column: String::new(),
            date_column: String::new(),
            time_format: TimeFormat::default(),
            utc_offset: UtcOffset::default(),
            device_column: String::new(),
            device: String::new(),
            readings: Vec::new(),
            rename: Vec::new(),
            topic: Topic::default(),
            time_field: "ts".to_owned(),
        }
    }
}

/// Options as texts, for tables and queries alike.
impl Mapping {
    /// Lines that may be passed over before the header.
    pub const SKIP_LINES_MAX: u64 = 1_000;
    /// Keys whose value is one text, with their defaults.
    pub const TEXTS: [(&'static str, &'static str); 10] = [
        ("delimiter", "auto"),
        ("decimal", "."),
        ("time_column", ""),
        ("date_column", ""),
        ("time_format", "auto"),
        ("utc_offset", "+00:00"),
        ("device_column", ""),
        ("device", ""),
        ("topic", "sensors/{device}/telemetry"),
        ("time_field", "ts"),
    ];
    /// Keys whose value is a list of texts.
    pub const LISTS: [&'static str; 3] = ["columns", "readings", "rename"];

    /// Sets an option of [`Self::TEXTS`], or `skip_lines`.
    ///
    /// # Errors
    /// Why the text cannot be its value; completes "`key` …".
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "delimiter" => self.delimiter = value.parse()?,
            "decimal" => self.decimal = value.parse()?,
            "time_format" => self.time_format = value.parse()?,
            "utc_offset" => self.utc_offset = value.parse()?,
            "topic" => self.topic = value.parse()?,
            "time_column" => self.time_column = name_or_empty(value)?,
            "date_column" => self.date_column = name_or_empty(value)?,
            "device_column" => self.device_column = name_or_empty(value)?,
            "time_field" => self.time_field = name(value)?,
            "device" if value.is_empty() => self.device.clear(),
            "device" => {
                topic::check(value).map_err(|why| format!("cannot be part of a topic: {why}"))?;
                self.device = name(value)?;
            }
            "skip_lines" => {
                let lines = value.parse().ok().filter(|lines| *lines <= Self::SKIP_LINES_MAX);
                self.skip_lines = lines.ok_or_else(|| format!("is no number from 0 to {}", Self::SKIP_LINES_MAX))?;
            }
            _ => return Err("is not known".to_owned()),
        }
        Ok(())
    }

    /// Sets an option of [`Self::LISTS`].
    ///
    /// # Errors
    /// As for [`Self::set`].
    pub fn set_list(&mut self, key: &str, values: &[String]) -> Result<(), String> {
        if values.len() > NAMES_MAX {
            return Err(format!("holds {} names, the limit is {NAMES_MAX}", values.len()));
        }
        match key {
            "columns" => self.columns = values.iter().map(|v| name_or_empty(v)).collect::<Result<_, _>>()?,
            "readings" => self.readings = values.iter().map(|v| name(v)).collect::<Result<_, _>>()?,
            "rename" => self.rename = values.iter().map(|v| rename(v)).collect::<Result<_, _>>()?,
            _ => return Err("is not known".to_owned()),
        }
        Ok(())
    }

    /// What cannot go together: the key, and why it cannot; completes "`key` …".
    ///
    /// # Errors
    /// The first such contradiction.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.decimal == Decimal::Comma && self.delimiter == Delimiter::Comma {
            return Err(("decimal", "is a comma, and so is `delimiter`"));
        }
        if !self.date_column.is_empty() && !self.time_format.is_pattern() {
            return Err(("date_column", "needs a `time_format` for both with a space between, such as %d.%m.%Y %H:%M"));
        }
        if !self.device.is_empty() && !self.device_column.is_empty() {
            return Err(("device", "stands beside `device_column`: leave one out"));
        }
        Ok(())
    }
}

/// The name of a column, as headers are compared: without spaces around it.
fn name_or_empty(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.len() > NAME_MAX {
        return Err(format!("is {} bytes long, the limit is {NAME_MAX}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("has control characters".to_owned());
    }
    Ok(text.to_owned())
}

fn name(text: &str) -> Result<String, String> {
    let name = name_or_empty(text)?;
    if name.is_empty() { Err("has an empty name".to_owned()) } else { Ok(name) }
}

fn rename(text: &str) -> Result<(String, String), String> {
    let (old, new) = text.split_once('=').ok_or("is not of the form \"old=new\"")?;
    Ok((name(old)?, name(new)?))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_default_time_field(name: &str) -> bool {
    name == Mapping::default().time_field
}

const DELIMITERS: [(&str, Delimiter); 4] =
    [("auto", Delimiter::Auto), (",", Delimiter::Comma), (";", Delimiter::Semicolon), ("tab", Delimiter::Tab)];
const DECIMALS: [(&str, Decimal); 2] = [(".", Decimal::Point), (",", Decimal::Comma)];

impl Delimiter {
    pub(super) const EACH: [Self; 3] = [Self::Comma, Self::Semicolon, Self::Tab];

    /// `None`: it is to be found out.
    pub(super) fn byte(self) -> Option<u8> {
        match self {
            Self::Auto => None,
            Self::Comma => Some(b','),
            Self::Semicolon => Some(b';'),
            Self::Tab => Some(b'\t'),
        }
    }
}

impl std::fmt::Display for Delimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(word_of(&DELIMITERS, *self))
    }
}

impl std::str::FromStr for Delimiter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = if text == "\t" { "tab" } else { text };
        value_of(&DELIMITERS, text).ok_or_else(|| "is none of \"auto\", \",\", \";\" and \"tab\"".to_owned())
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(word_of(&DECIMALS, *self))
    }
}

impl std::str::FromStr for Decimal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        value_of(&DECIMALS, text).ok_or_else(|| "is neither \".\" nor \",\"".to_owned())
    }
}

fn word_of<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

fn value_of<T: Copy>(words: &[(&'static str, T)], text: &str) -> Option<T> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
}

/// Serde's form of what is a text to users.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr<Err = String>, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

/// Serde's form of renames: `old=new`.
mod pairs {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(pairs: &[(String, String)], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(pairs.iter().map(|(old, new)| format!("{old}={new}")))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<(String, String)>, D::Error> {
        let texts = Vec::<String>::deserialize(d)?;
        texts.iter().map(|text| super::rename(text).map_err(D::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_set() -> Mapping {
        let mut mapping = Mapping::default();
        for (key, value) in [
            ("delimiter", ";"),
            ("decimal", ","),
            ("skip_lines", "3"),
            ("time_column", "Zeit"),
            ("date_column", "Datum"),
            ("time_format", "%d.%m.%Y %H:%M"),
            ("utc_offset", "+01:00"),
            ("device_column", "Gerät"),
            ("topic", "plant/{line}/{device}"),
            ("time_field", "time"),
        ] {
            mapping.set(key, value).unwrap();
        }
        for (key, value) in [("columns", "a"), ("readings", "b"), ("rename", "b=c")] {
            mapping.set_list(key, &[value.to_owned()]).unwrap();
        }
        mapping
    }

    #[test]
    fn a_mapping_survives_being_written_down() {
        for mapping in [Mapping::default(), all_set(), Mapping { device: "m".into(), ..Mapping::default() }] {
            let json = serde_json::to_string(&mapping).unwrap();
            assert_eq!(serde_json::from_str::<Mapping>(&json).unwrap(), mapping, "{json}");
        }
    }

    #[test]
    fn what_is_left_at_its_default_is_not_written_so_that_later_options_change_no_identity() {
        assert_eq!(serde_json::to_string(&Mapping::default()).unwrap(), "{}");
    }

    #[test]
    fn the_defaults_of_the_keys_are_those_of_the_mapping() {
        let mut mapping = all_set();
        mapping.set("skip_lines", "0").unwrap();
        Mapping::TEXTS.iter().for_each(|(key, default)| mapping.set(key, default).unwrap());
        Mapping::LISTS.iter().for_each(|key| mapping.set_list(key, &[]).unwrap());
        assert_eq!(mapping, Mapping::default());
    }

    #[test]
    fn values_that_cannot_be_used_are_refused() {
        let mut mapping = Mapping::default();
        for (key, value) in [
            ("delimiter", "|"),
            ("decimal", "'"),
            ("skip_lines", "1001"),
            ("skip_lines", "-1"),
            ("time_format", "seconds"),
            ("utc_offset", "CET"),
            ("topic", "a/#"),
            ("time_field", ""),
            ("device", "a/b"),
            ("time_column", "a\nb"),
            ("colour", "red"),
        ] {
            assert!(mapping.set(key, value).is_err(), "{key} = {value}");
        }
        assert!(mapping.set_list("rename", &["a".into()]).is_err());
        assert!(mapping.set_list("readings", &["".into()]).is_err());
        assert!(mapping.set_list("columns", &vec![String::new(); NAMES_MAX + 1]).is_err());
        assert_eq!(mapping, Mapping::default());
    }

    #[test]
    fn contradictions_are_told() {
        let commas = Mapping { decimal: Decimal::Comma, delimiter: Delimiter::Comma, ..Mapping::default() };
        let date = Mapping { date_column: "d".into(), ..Mapping::default() };
        let devices = Mapping { device: "d".into(), device_column: "c".into(), ..Mapping::default() };
        assert_eq!([commas, date, devices].map(|m| m.check().unwrap_err().0), ["decimal", "date_column", "device"]);
        assert_eq!(all_set().check(), Ok(()));
    }
}
