//! From one TOML value to one typed value, and back for showing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::{durations, sizes};

/// Why a value cannot be used; said of a key, as in "`qos` is 2, outside 0 to 1".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) hint: String,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// A type that a key can have.
pub(super) trait Value: Sized {
    /// For messages: what it is.
    const WHAT: &'static str;
    /// For hints: what to write.
    const FORM: &'static str;

    /// `None`: the value is not of this form.
    fn read(value: &DeValue<'_>) -> Option<Self>;

    /// As TOML.
    fn show(&self) -> String;
}

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) u64);

/// Whole per cent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Percent(pub(super) u8);

/// Longest text that a message repeats, characters.
const REPEATED_MAX: usize = 40;

/// What is wrong with a value that is not a `T`.
pub(super) fn not_a<T: Value>(value: &DeValue<'_>) -> Wrong {
    let found = match value {
        DeValue::String(text) => show_text(&text.chars().take(REPEATED_MAX).collect::<String>()),
        // Numbers are not repeated: one may be a secret in the wrong place.
        DeValue::Integer(_) => "an integer".to_owned(),
        DeValue::Float(_) => "a float".to_owned(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    };
    Wrong::new(format!("is {found}, not {}", T::WHAT), format!("write {}", T::FORM))
}

/// A text as TOML.
pub(super) fn show_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn text<'v>(value: &'v DeValue<'_>) -> Option<&'v str> {
    value.as_str()
}

impl Value for bool {
    const WHAT: &'static str = "true or false";
    const FORM: &'static str = "true or false";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u64 {
    const WHAT: &'static str = "a whole number of at least 0";
    const FORM: &'static str = "a whole number of at least 0";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        let integer = value.as_integer()?;
        u64::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for f64 {
    const WHAT: &'static str = "a number";
    const FORM: &'static str = "a number";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        match value.as_float() {
            Some(float) => float.as_str().parse().ok(),
            None => {
                let integer = value.as_integer()?;
                let whole = i64::from_str_radix(integer.as_str(), integer.radix()).ok()?;
                i32::try_from(whole).ok().map(f64::from)
            }
        }
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Value for String {
    const WHAT: &'static str = "a text";
    const FORM: &'static str = "a text in quotes";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        text(value).map(str::to_owned)
    }

    fn show(&self) -> String {
        show_text(self)
    }
}

impl Value for PathBuf {
    const WHAT: &'static str = "a path";
    const FORM: &'static str = "a path in quotes";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        text(value).filter(|path| !path.contains('\0')).map(PathBuf::from)
    }

    fn show(&self) -> String {
        show_text(&self.to_string_lossy())
    }
}

impl Value for Duration {
    const WHAT: &'static str = "a duration";
    const FORM: &'static str = durations::FORM;

    fn read(value: &DeValue<'_>) -> Option<Self> {
        durations::parse(text(value)?)
    }

    fn show(&self) -> String {
        show_text(&durations::show(*self))
    }
}

impl Value for Size {
    const WHAT: &'static str = "a size";
    const FORM: &'static str = sizes::FORM;

    fn read(value: &DeValue<'_>) -> Option<Self> {
        sizes::parse(text(value)?)
    }

    fn show(&self) -> String {
        show_text(&sizes::show(*self))
    }
}

impl Value for Percent {
    const WHAT: &'static str = "a percentage";
    const FORM: &'static str = "a whole number and %, such as \"50%\"";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        text(value)?.strip_suffix('%')?.parse().ok().map(Self)
    }

    fn show(&self) -> String {
        show_text(&format!("{}%", self.0))
    }
}

impl Value for SocketAddr {
    const WHAT: &'static str = "an ip address with a port";
    const FORM: &'static str = "an ip address and a port, such as \"0.0.0.0:1883\" or \"[::1]:1883\"";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        text(value)?.parse().ok()
    }

    fn show(&self) -> String {
        show_text(&self.to_string())
    }
}

impl Value for BTreeMap<String, String> {
    const WHAT: &'static str = "a table of texts";
    const FORM: &'static str = "a table of texts, such as { floor = \"2\" }";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        read_map(value)
    }

    fn show(&self) -> String {
        show_map(self)
    }
}

impl Value for BTreeMap<String, f64> {
    const WHAT: &'static str = "a table of numbers";
    const FORM: &'static str = "a table of numbers, such as { ON = 1.0, OFF = 0.0 }";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        read_map(value)
    }

    fn show(&self) -> String {
        show_map(self)
    }
}

fn read_map<T: Value>(value: &DeValue<'_>) -> Option<BTreeMap<String, T>> {
    let entry = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        Some((key.get_ref().clone().into_owned(), T::read(value.get_ref())?))
    };
    value.as_table()?.iter().map(entry).collect()
}

fn show_map<T: Value>(map: &BTreeMap<String, T>) -> String {
    let entries: Vec<String> =
        map.iter().map(|(key, value)| format!("{} = {}", show_text(key), value.show())).collect();
    if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
}

impl Value for Vec<String> {
    const WHAT: &'static str = "an array of texts";
    const FORM: &'static str = "an array of texts, such as [\"sensors/#\"]";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_array()?.iter().map(|item| text(item.get_ref()).map(str::to_owned)).collect()
    }

    fn show(&self) -> String {
        let items: Vec<String> = self.iter().map(|item| show_text(item)).collect();
        format!("[{}]", items.join(", "))
    }
}
