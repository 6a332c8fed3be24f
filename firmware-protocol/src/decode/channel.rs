//! One `[[decode.channels]]` table: what a channel is called, and how the numbers that are sent become its readings.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::paths::Path;
use super::route::{Format, RouteFault, check_name};
use crate::measurement::UNIT_MAX_BYTES;
use crate::units::{self, Linear};

/// One `[[decode.channels]]` table of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Channel {
    /// Path of the value in JSON and CBOR; for all other formats the channel's name as the payload has it.
    pub path: String,
    /// Name of the channel; empty: as without this table.
    pub name: String,
    /// Unit in which the value is sent; empty: the one that the payload tells.
    pub unit: String,
    /// Unit of the readings; empty: as it is sent.
    pub to: String,
    /// Readings are value · `scale` + `offset`, in `unit`, before it is converted to `to`.
    pub scale: f64,
    pub offset: f64,
    /// Readings below are dropped and counted; in `to`.
    pub min: Option<f64>,
    /// Readings above are dropped and counted; in `to`.
    pub max: Option<f64>,
    /// Texts that stand for numbers; those are not scaled or converted.
    pub words: BTreeMap<String, f64>,
    /// The value is text and stays it.
    pub text: bool,
    /// Time between the elements of an array of values, such as `10ms`; empty: each element has its own time.
    pub every: String,
    /// Which element of such an array the message's time is that of.
    pub time_of: TimeOf,
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            path: String::new(),
            name: String::new(),
            unit: String::new(),
            to: String::new(),
            scale: 1.0,
            offset: 0.0,
            min: None,
            max: None,
            words: BTreeMap::new(),
            text: false,
            every: String::new(),
            time_of: TimeOf::Last,
        }
    }
}

/// Which element of an array of samples was measured at the time of its message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeOf {
    /// The message was sent when the array was full.
    #[default]
    Last,
    First,
}

impl TimeOf {
    pub const ALL: [(&'static str, Self); 2] = [("last", Self::Last), ("first", Self::First)];
}

impl Channel {
    /// Most `words`.
    pub const WORDS_MAX: usize = 64;

    /// What is wrong with it, in a route of this format.
    pub fn faults(&self, format: Format) -> Vec<RouteFault> {
        let mut faults = Vec::new();
        let mut note = |field: &'static str, result: Result<(), String>| {
            faults.extend(result.err().map(|message| RouteFault::new(field, message)));
        };
        let path = Path::new(&self.path);
        let has_scalars = path.as_ref().is_ok_and(Path::ends_in_every_element);
        note("path", path.map(drop));
        if !self.name.is_empty() {
            note("name", check_name(&self.name));
        }
        for (field, unit) in [("unit", &self.unit), ("to", &self.to)] {
            if unit.len() > UNIT_MAX_BYTES {
                note(field, Err(format!("{} bytes are beyond the limit of {UNIT_MAX_BYTES}", unit.len())));
            }
        }
        if !self.to.is_empty() {
            if self.unit.is_empty() && !format.tells_units() {
                note("to", Err("needs `unit`: payloads of this format do not tell theirs".into()));
            }
            match units::find(&self.to) {
                Err(why) => note("to", Err(why.to_string())),
                Ok(_) if self.unit.is_empty() => {}
                Ok(_) => note("unit", units::conversion(&self.unit, &self.to).map(drop).map_err(|why| why.to_string())),
            }
        }
        for (field, value) in
            [("scale", Some(self.scale)), ("offset", Some(self.offset)), ("min", self.min), ("max", self.max)]
        {
            if value.is_some_and(|value| !value.is_finite()) {
                note(field, Err("is not finite".into()));
            }
        }
        if self.scale == 0.0 {
            note("scale", Err("is 0: all readings would be the same".into()));
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            note("min", Err(format!("{min} is above `max` {max}: nothing lies between them")));
        }
        if self.words.len() > Self::WORDS_MAX {
            note("words", Err(format!("{} words are beyond the limit of {}", self.words.len(), Self::WORDS_MAX)));
        }
        if let Some((word, _)) = self.words.iter().find(|(_, value)| !value.is_finite()) {
            note("words", Err(format!("`{word}` stands for no finite number")));
        }
        let changes_numbers = self.linear() != Linear::IDENTITY || self.min.is_some() || self.max.is_some();
        if self.text && (changes_numbers || !self.words.is_empty()) {
            note("text", Err("is true, and the value is to be a number, too: take one of them out".into()));
        }
        match self.every() {
            Err(why) => note("every", Err(why)),
            Ok(None) if has_scalars => {
                note(
                    "every",
                    Err("is missing: the path ends in [*], whose elements have no times of their own".into()),
                );
            }
            Ok(Some(_)) if !has_scalars => note("every", Err("is for paths that end in [*]".into())),
            Ok(_) => {}
        }
        faults
    }

    /// From what is sent to a reading, as far as the configuration alone tells it.
    pub(super) fn linear(&self) -> Linear {
        let scaled = Linear::scale(self.scale, self.offset);
        match units::conversion(&self.unit, &self.to) {
            Ok(converted) if !self.unit.is_empty() && !self.to.is_empty() => scaled.then(converted),
            Ok(_) | Err(_) => scaled,
        }
    }

    /// Between two samples of an array.
    pub(super) fn every(&self) -> Result<Option<Duration>, String> {
        const FORM: &str = "is no time such as \"10ms\", \"250us\" or \"1s\"";
        if self.every.is_empty() {
            return Ok(None);
        }
        let digits = self.every.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = self.every.split_at(digits);
        let number: u64 = number.parse().map_err(|_| FORM)?;
        let nanos: u64 = match unit {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            _ => return Err(FORM.into()),
        };
        let every = number.checked_mul(nanos).map(Duration::from_nanos);
        let in_range = every.filter(|every| !every.is_zero() && *every <= EVERY_MAX);
        in_range.map(Some).ok_or_else(|| "is outside 1ns to 1h".to_owned())
    }
}

/// Far above the interval of any samples that are sent together; keeps times of arrays in range.
const EVERY_MAX: Duration = Duration::from_secs(3_600);
