//! One line of line protocol, as InfluxDB itself reads it, without a copy.
//!
//! # Invariants
//! - Any text is checked whole by [`Line::parse`], in one pass; what the parsed line then gives cannot fail.
//! - What the encoder writes parses back to the same names and values.
//!
//! # Flow
//! ```text
//! measurement[,tag=value…] field=value[,field=value…] [timestamp]
//! ```
//! A backslash before comma, equal sign or space takes their meaning away; before anything else it stands for itself.
//!
//! # Not here
//! Where one line of a text ends and the next begins, because texts in quotes may hold line breaks: see [`next_line`].

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use crate::measurement::EventTime;

/// Most tags of a line.
pub const TAGS_MAX: usize = 64;
/// Most fields of a line.
pub const FIELDS_MAX: usize = crate::decode::CHANNELS_MAX;

/// The unit of a line's timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    #[default]
    Ns,
    Us,
    Ms,
    S,
}

impl Precision {
    /// As InfluxDB 2 names it, and the short names of InfluxDB 1.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "ns" | "n" => Some(Self::Ns),
            "us" | "u" => Some(Self::Us),
            "ms" => Some(Self::Ms),
            "s" => Some(Self::S),
            _ => None,
        }
    }

    fn nanos(self) -> i64 {
        match self {
            Self::Ns => 1,
            Self::Us => 1_000,
            Self::Ms => 1_000_000,
            Self::S => 1_000_000_000,
        }
    }
}

/// A valid line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line<'a> {
    measurement: Name<'a>,
    /// As they stand in the line, without the comma before them.
    tags: &'a str,
    fields: &'a str,
    timestamp: Option<i64>,
}

/// What is wrong with a line, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// Byte of the line, counted from 1.
    pub column: usize,
    pub what: &'static str,
}

/// A measurement, a tag's key or value, or a field's key, as it stands in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(&'a str);

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Finite.
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Bool(bool),
    /// What stands between the quotes.
    Text(&'a str),
}

impl<'a> Line<'a> {
    /// Spaces and a line break around the line are passed over.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &'a str) -> Result<Self, LineFault> {
        let line = text.trim_matches([' ', '\r', '\n']);
        let offset = text.len() - text.trim_start_matches([' ', '\r', '\n']).len();
        let mut cursor = Cursor { line, at: 0 };
        cursor.line().map_err(|fault| LineFault { column: fault.column + offset, ..fault })
    }

    pub fn measurement(&self) -> Name<'a> {
        self.measurement
    }

    /// In the order of the line; no key twice.
    pub fn tags(&self) -> impl Iterator<Item = (Name<'a>, Name<'a>)> + use<'a> {
        tags(self.tags)
    }

    /// In the order of the line; at least one. Of a key that is there twice InfluxDB keeps the last.
    pub fn fields(&self) -> impl Iterator<Item = (Name<'a>, Value<'a>)> + use<'a> {
        let mut cursor = Cursor { line: self.fields, at: 0 };
        std::iter::from_fn(move || {
            let field = cursor.field().ok()?;
            cursor.at += 1;
            Some(field)
        })
    }

    /// The number at the end of the line.
    pub fn timestamp(&self) -> Option<i64> {
        self.timestamp
    }

    /// The line's time; `Ok(None)` if it has none.
    ///
    /// # Errors
    /// It lies beyond what 64 bits of nanoseconds can say.
    pub fn at(&self, precision: Precision) -> Result<Option<EventTime>, &'static str> {
        let Some(timestamp) = self.timestamp else { return Ok(None) };
        let nanos = timestamp.checked_mul(precision.nanos());
        nanos
            .map(|nanos| Some(EventTime(nanos)))
            .ok_or("timestamp lies before 1677 or after 2262: is `precision` right?")
    }
}

impl<'a> Name<'a> {
    /// Without the backslashes that escape.
    pub fn text(self) -> Cow<'a, str> {
        if !self.0.contains('\\') {
            return Cow::Borrowed(self.0);
        }
        let mut out = String::with_capacity(self.0.len());
        self.push_to(&mut out);
        Cow::Owned(out)
    }

    /// Appends [`Self::text`].
    pub fn push_to(self, out: &mut String) {
        if !self.0.contains('\\') {
            return out.push_str(self.0);
        }
        let mut chars = self.0.chars();
        while let Some(c) = chars.next() {
            match (c, chars.clone().next()) {
                ('\\', Some(next @ (',' | '=' | ' '))) => {
                    out.push(next);
                    chars.next();
                }
                // The character after a backslash is no escape of its own.
                ('\\', Some(next)) => {
                    out.extend([c, next]);
                    chars.next();
                }
                (c, _) => out.push(c),
            }
        }
    }

    /// Whether its text is `text`.
    pub fn is(self, text: &str) -> bool {
        match self.0.len().cmp(&text.len()) {
            Ordering::Less => false,
            Ordering::Equal => self.0 == text,
            // Escapes are left out of the text.
            Ordering::Greater => self.0.contains('\\') && self.text() == text,
        }
    }
}

impl<'a> Value<'a> {
    /// Without the backslashes that escape; `None` for all but texts.
    pub fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) if text.contains('\\') => {
                Some(Cow::Owned(text.replace("\\\"", "\"").replace("\\\\", "\\")))
            }
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Float(_) | Self::Integer(_) | Self::Unsigned(_) | Self::Bool(_) => None,
        }
    }

    /// `true` is 1; `None` for texts.
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Float(v) => Some(v),
            Self::Integer(v) => Some(v as f64),
            Self::Unsigned(v) => Some(v as f64),
            Self::Bool(v) => Some(f64::from(u8::from(v))),
            Self::Text(_) => None,
        }
    }
}

/// Splits `text` after its first line: that line with its break, and the rest. `None` at the end.
///
/// A line break in a field's quotes does not end a line. Quotes that never close end with their line, so that one torn
/// line does not take all that follow with it. Bytes that are not UTF-8 spoil their own line only, hence bytes.
pub fn next_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    let first_break = || text.iter().position(|b| *b == b'\n').map(|at| at + 1);
    let end = quoted_end(text).or_else(first_break).unwrap_or(text.len());
    Some(text.split_at(end))
}

/// After the line break that ends the first line, quotes heeded; the text's length if there is none; `None` if a quote
/// stays open.
fn quoted_end(bytes: &[u8]) -> Option<usize> {
    let is_comment = bytes.trim_ascii_start().first() == Some(&b'#');
    // As InfluxDB does it: quotes count in values of fields only, so after a space, and after more `=` than `,`.
    let (mut in_fields, mut open, mut values, mut commas) = (false, false, 0_usize, 0_usize);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\n' if !open => return Some(at + 1),
            b'\\' if bytes.get(at + 1).is_some_and(|next| *next != b'\n' || open) => at += 1,
            b' ' if !open => in_fields = true,
            b'=' if in_fields && !open => values += 1,
            b',' if in_fields && !open => commas += 1,
            b'"' if in_fields && values > commas && !is_comment => open = !open,
            _ => {}
        }
        at += 1;
    }
    (!open).then_some(bytes.len())
}

/// Of a section that was found to be right.
fn tags<'a>(section: &'a str) -> impl Iterator<Item = (Name<'a>, Name<'a>)> + use<'a> {
    let mut cursor = Cursor { line: section, at: 0 };
    std::iter::from_fn(move || {
        let tag = cursor.tag().ok()?;
        cursor.at += 1;
        Some(tag)
    })
}

struct Cursor<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn line(&mut self) -> Result<Line<'a>, LineFault> {
        if self.peek() == Some(b'#') {
            return Err(self.fault("a comment, not a line"));
        }
        let measurement = self.name(|b| matches!(b, b',' | b' '), "no measurement")?;
        let tags = self.tags_section()?;
        if !self.skip_spaces() {
            return Err(self.fault("no fields: a space must stand before them"));
        }
        let fields = self.fields_section()?;
        let spaced = self.skip_spaces();
        let rest = &self.line[self.at..];
        let timestamp = match rest {
            "" => None,
            _ if !spaced => return Err(self.fault("a comma or a space must follow a field")),
            digits => Some(digits.parse().map_err(|_| self.fault("timestamp is not a whole number of 64 bits"))?),
        };
        Ok(Line { measurement, tags, fields, timestamp })
    }

    fn tags_section(&mut self) -> Result<&'a str, LineFault> {
        let mut begin = self.at;
        let (mut count, mut latest) = (0, None);
        while self.peek() == Some(b',') {
            self.at += 1;
            if count == 0 {
                begin = self.at;
            }
            let before = self.at;
            let (key, _) = self.tag()?;
            // Most senders sort them: what is behind the greatest so far is none of those before.
            let is_behind = latest.is_none_or(|Name(latest)| key.0 > latest);
            if !is_behind && tags(&self.line[begin..before]).any(|(known, _)| known == key) {
                return Err(self.fault("a tag's key is there twice"));
            }
            if count == TAGS_MAX {
                return Err(self.fault("more than 64 tags"));
            }
            count += 1;
            if is_behind {
                latest = Some(key);
            }
        }
        Ok(&self.line[begin..self.at])
    }

    fn fields_section(&mut self) -> Result<&'a str, LineFault> {
        let begin = self.at;
        let mut count = 0;
        loop {
            self.check_field()?;
            count += 1;
            if count > FIELDS_MAX {
                return Err(self.fault("more than 256 fields"));
            }
            if self.peek() != Some(b',') {
                return Ok(&self.line[begin..self.at]);
            }
            self.at += 1;
        }
    }

    fn tag(&mut self) -> Result<(Name<'a>, Name<'a>), LineFault> {
        let key = self.key("tag has no key", "tag has no value")?;
        let value = self.name(|b| matches!(b, b',' | b' '), "tag has no value")?;
        Ok((key, value))
    }

    /// As [`Self::field`], but numbers that are plainly numbers are not converted yet: that is half the cost of a line.
    fn check_field(&mut self) -> Result<(), LineFault> {
        self.key("field has no key", "field has no value")?;
        let begin = self.at;
        if self.peek() == Some(b'"') {
            return self.text().map(drop);
        }
        let Name(text) = self.name(|b| matches!(b, b',' | b' '), "field has no value")?;
        if is_plain_number(text.as_bytes()) {
            return Ok(());
        }
        self.at = begin;
        self.value().map(drop)
    }

    fn field(&mut self) -> Result<(Name<'a>, Value<'a>), LineFault> {
        let key = self.key("field has no key", "field has no value")?;
        let value = if self.peek() == Some(b'"') { self.text()? } else { self.value()? };
        Ok((key, value))
    }

    fn key(&mut self, no_key: &'static str, no_value: &'static str) -> Result<Name<'a>, LineFault> {
        let key = self.name(|b| matches!(b, b'=' | b',' | b' '), no_key)?;
        if self.peek() != Some(b'=') {
            return Err(self.fault(no_value));
        }
        self.at += 1;
        Ok(key)
    }

    fn text(&mut self) -> Result<Value<'a>, LineFault> {
        let begin = self.at + 1;
        let mut at = begin;
        loop {
            match self.line.as_bytes().get(at) {
                None => return Err(self.fault("text in quotes does not end")),
                Some(b'\\') => at += 2,
                Some(b'"') => break,
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        if !matches!(self.peek(), None | Some(b',' | b' ')) {
            return Err(self.fault("a comma or a space must follow a text in quotes"));
        }
        Ok(Value::Text(&self.line[begin..at]))
    }

    fn value(&mut self) -> Result<Value<'a>, LineFault> {
        let begin = self.at;
        let Name(text) = self.name(|b| matches!(b, b',' | b' '), "field has no value")?;
        let numeric = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        let value = match text {
            "t" | "T" | "true" | "True" | "TRUE" => Some(Value::Bool(true)),
            "f" | "F" | "false" | "False" | "FALSE" => Some(Value::Bool(false)),
            _ => match text.as_bytes() {
                [.., b'i'] => text[..text.len() - 1].parse().ok().map(Value::Integer),
                [.., b'u'] => text[..text.len() - 1].parse().ok().map(Value::Unsigned),
                // Rust's parser also takes words such as `inf`.
                _ if numeric(text) => text.parse().ok().filter(|v: &f64| v.is_finite()).map(Value::Float),
                _ => None,
            },
        };
        value.ok_or(LineFault {
            column: begin + 1,
            what: "value is no number, true, false or text in quotes that line protocol knows",
        })
    }

    /// Up to an unescaped byte that `ends` it; not empty.
    fn name(&mut self, ends: impl Fn(u8) -> bool, if_empty: &'static str) -> Result<Name<'a>, LineFault> {
        let (begin, bytes) = (self.at, self.line.as_bytes());
        let mut at = begin;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\n' => {
                    self.at = at;
                    return Err(self.fault("a line break outside of quotes: one record is one line"));
                }
                b'\\' if bytes.get(at + 1).is_some_and(|next| *next != b'\n') => at += 2,
                byte if ends(*byte) => break,
                _ => at += 1,
            }
        }
        if at == begin {
            return Err(self.fault(if_empty));
        }
        self.at = at;
        Ok(Name(&self.line[begin..at]))
    }

    /// Whether there were any.
    fn skip_spaces(&mut self) -> bool {
        let rest = &self.line[self.at..];
        let spaces = rest.len() - rest.trim_start_matches(' ').len();
        self.at += spaces;
        spaces > 0
    }

    fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn fault(&self, what: &'static str) -> LineFault {
        LineFault { column: self.at + 1, what }
    }
}

/// Digits with at most one dot among them, and a sign: a finite float whatever the digits.
fn is_plain_number(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let whole = unsigned.iter().take_while(|b| b.is_ascii_digit()).count();
    let is_short = text.len() <= PLAIN_MAX_BYTES;
    is_short
        && whole > 0
        && match unsigned.get(whole..) {
            Some([b'.', decimals @ ..]) => decimals.iter().all(u8::is_ascii_digit),
            Some(rest) => rest.is_empty(),
            None => false,
        }
}

/// Longest number that is taken unread: far from the 309 digits that are beyond a `f64`.
const PLAIN_MAX_BYTES: usize = 32;

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.what)
    }
}

impl std::error::Error for LineFault {}

#[cfg(test)]
mod tests;
