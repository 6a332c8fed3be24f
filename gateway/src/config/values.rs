//! From one TOML value to one typed value, and back for showing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// For messages: what must be written.
    const FORM: &'static str;

    /// `None`: the value is not of this form.
    fn read(value: &DeValue<'_>) -> Option<Self>;

    /// As TOML.
    fn show(&self) -> String;
}

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) u64);

/// What is wrong with a value that is not of the form wanted.
pub(super) fn not_of_form(value: &DeValue<'_>, form: &str) -> Wrong {
    let found = match value {
        // An arbitrary text is not repeated: the line below the message shows it, if it may be shown.
        DeValue::String(_) => "is not of the form wanted".to_owned(),
        DeValue::Integer(integer) => format!("is the integer {integer}"),
        DeValue::Float(_) => "is a float".to_owned(),
        DeValue::Boolean(_) => "is a boolean".to_owned(),
        DeValue::Datetime(_) => "is a date or time".to_owned(),
        DeValue::Array(_) => "is an array".to_owned(),
        DeValue::Table(_) => "is a table".to_owned(),
    };
    Wrong::new(found, format!("write {form}"))
}

/// A text as TOML.
pub(super) fn show_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn text<'v>(value: &'v DeValue<'_>) -> Option<&'v str> {
    value.as_str()
}

impl Value for bool {
    const FORM: &'static str = "true or false";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u64 {
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
    const FORM: &'static str = "a number";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        match value.as_float() {
            Some(float) => float.as_str().parse().ok(),
            None => u32::try_from(u64::read(value)?).ok().map(f64::from),
        }
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Value for String {
    const FORM: &'static str = "a text in quotes";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        text(value).map(str::to_owned)
    }

    fn show(&self) -> String {
        show_text(self)
    }
}

impl Value for PathBuf {
    const FORM: &'static str = "a path in quotes";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        text(value).filter(|path| !path.contains('\0')).map(PathBuf::from)
    }

    fn show(&self) -> String {
        show_text(&self.to_string_lossy())
    }
}

impl Value for Duration {
    const FORM: &'static str = durations::FORM;

    fn read(value: &DeValue<'_>) -> Option<Self> {
        durations::parse(text(value)?)
    }

    fn show(&self) -> String {
        show_text(&durations::show(*self))
    }
}

impl Value for Size {
    const FORM: &'static str = sizes::FORM;

    fn read(value: &DeValue<'_>) -> Option<Self> {
        sizes::parse(text(value)?)
    }

    fn show(&self) -> String {
        show_text(&sizes::show(*self))
    }
}

impl Value for SocketAddr {
    const FORM: &'static str = "an ip address and a port, such as \"0.0.0.0:1883\" or \"[::1]:1883\"";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        text(value)?.parse().ok()
    }

    fn show(&self) -> String {
        show_text(&self.to_string())
    }
}

impl Value for Vec<String> {
    const FORM: &'static str = "an array of texts, such as [\"sensors/#\"]";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_array()?.iter().map(|item| text(item.get_ref()).map(str::to_owned)).collect()
    }

    fn show(&self) -> String {
        let items: Vec<String> = self.iter().map(|item| show_text(item)).collect();
        format!("[{}]", items.join(", "))
    }
}
