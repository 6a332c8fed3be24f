//! Which devices must sign their frames, and with which keys.
//!
//! A file of lines `PATTERN KEY-ID HEX`: device names with `*` for any text, a number from 0 to 255, and 16 to 64 bytes in
//! hexadecimal digits. Empty lines, and lines that begin with `#`, are passed over.
//!
//! # Invariants
//! - A device that a pattern names is believed only what it has signed with a key of one of its patterns.
//! - Keys are never shown.

use std::collections::HashMap;
use std::fmt;

use firmware_protocol::frame::{KEY_MAX_BYTES, KEY_MIN_BYTES, Key, Signature};

use crate::pattern;

/// Devices with a key of their own: some 150 bytes each.
const NAMED_MAX: usize = 100_000;
/// Patterns with a `*`: each is compared with the device's name of each frame.
const PATTERNS_MAX: usize = 100;

/// The keys of a file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// By the whole name of the device.
    named: HashMap<String, Vec<Secret>>,
    patterns: Vec<(String, Secret)>,
}

/// A key and its id.
#[derive(Clone, PartialEq, Eq)]
struct Secret {
    id: u8,
    bytes: Vec<u8>,
}

/// Why a file is not one of keys; lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("line {0} is not `DEVICE-PATTERN KEY-ID HEX`")]
    Parts(usize),
    #[error("line {line}: the key's id is {id:?}, not a number from 0 to 255")]
    Id { line: usize, id: String },
    #[error("line {0}: the key is not written in hexadecimal digits, two for each byte")]
    Hex(usize),
    #[error("line {line}: the key has {bytes} bytes, not {KEY_MIN_BYTES} to {KEY_MAX_BYTES}")]
    Length { line: usize, bytes: usize },
    #[error("line {line}: {pattern} has a key {id} already")]
    Twice { line: usize, pattern: String, id: u8 },
    #[error("line {0} is a key too many: {NAMED_MAX} may be for names, {PATTERNS_MAX} for patterns with a *")]
    TooMany(usize),
}

/// What a frame's signature says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// No pattern names the device: signed or not, it is taken for what it says.
    NotAsked,
    /// The device made it.
    Proven,
    /// No signature, and the device must sign.
    Missing,
    /// None of the device's keys has this id.
    UnknownKey,
    /// The signature is another's.
    Wrong,
}

impl Keys {
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let mut keys = Self::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                keys.add(line, at + 1)?;
            }
        }
        Ok(keys)
    }

    fn add(&mut self, line: &str, number: usize) -> Result<(), KeysError> {
        let (pattern, secret) = rule(line, number)?;
        let is_pattern = pattern.contains('*');
        let is_twice = if is_pattern {
            self.patterns.iter().any(|(known, s)| *known == pattern && s.id == secret.id)
        } else {
            self.named.get(&pattern).is_some_and(|secrets| secrets.iter().any(|s| s.id == secret.id))
        };
        if is_twice {
            return Err(KeysError::Twice { line: number, pattern, id: secret.id });
        }
        let is_full = if is_pattern { self.patterns.len() == PATTERNS_MAX } else { self.named.len() == NAMED_MAX };
        if is_full {
            return Err(KeysError::TooMany(number));
        }
        if is_pattern {
            self.patterns.push((pattern, secret));
        } else {
            self.named.entry(pattern).or_default().push(secret);
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.named.values().map(Vec::len).sum::<usize>() + self.patterns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn of<'k>(&'k self, device: &'k str) -> impl Iterator<Item = &'k Secret> {
        let by_pattern = self.patterns.iter().filter(move |(pattern, _)| pattern::matches(pattern, device));
        self.named.get(device).into_iter().flatten().chain(by_pattern.map(|(_, secret)| secret))
    }

    pub(super) fn judge(&self, device: &str, frame: &[u8]) -> Judged {
        let mut of_device = self.of(device).peekable();
        if of_device.peek().is_none() {
            return Judged::NotAsked;
        }
        let Some(signature) = Signature::of(frame) else { return Judged::Missing };
        let mut judged = Judged::UnknownKey;
        for Secret { id, bytes } in of_device.filter(|secret| secret.id == signature.key_id) {
            // Their lengths were checked when they were read.
            if Key::new(*id, bytes).is_ok_and(|key| signature.is_by(&key)) {
                return Judged::Proven;
            }
            judged = Judged::Wrong;
        }
        judged
    }
}

/// Without the keys.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("count", &self.len()).finish_non_exhaustive()
    }
}

fn rule(line: &str, number: usize) -> Result<(String, Secret), KeysError> {
    // Names may have spaces: id and key are the last two.
    let (rest, hex) = line.rsplit_once(char::is_whitespace).ok_or(KeysError::Parts(number))?;
    let (pattern, id) = rest.trim_end().rsplit_once(char::is_whitespace).ok_or(KeysError::Parts(number))?;
    let id = id.parse().map_err(|_| KeysError::Id { line: number, id: id.to_owned() })?;
    let bytes = bytes_of(hex).ok_or(KeysError::Hex(number))?;
    if Key::new(id, &bytes).is_err() {
        return Err(KeysError::Length { line: number, bytes: bytes.len() });
    }
    Ok((pattern.trim_end().to_owned(), Secret { id, bytes }))
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0F";

    #[test]
    fn a_line_is_pattern_id_and_key_and_what_is_none_is_told_with_its_number() {
        let keys = Keys::parse(&format!("# keys\n\npump-* 1 {HEX}\n  hall 3 pump\t2   {HEX}{HEX}  \n")).unwrap();
        assert_eq!((keys.len(), keys.named["hall 3 pump"][0].id, keys.patterns[0].0.as_str()), (2, 2, "pump-*"));
        assert_eq!(keys.patterns[0].1.bytes[..3], [0, 1, 2]);
        let error = |text: &str| Keys::parse(text).unwrap_err();
        assert_eq!(error("\npump"), KeysError::Parts(2));
        assert_eq!(error(&format!("pump 256 {HEX}")), KeysError::Id { line: 1, id: "256".into() });
        assert_eq!(error("pump 1 0g"), KeysError::Hex(1));
        assert_eq!(error("pump 1 001"), KeysError::Hex(1));
        assert_eq!(error("pump 1 0011"), KeysError::Length { line: 1, bytes: 2 });
        let twice = format!("pump 1 {HEX}\npump 1 {HEX}");
        assert_eq!(error(&twice), KeysError::Twice { line: 2, pattern: "pump".into(), id: 1 });
    }

    #[test]
    fn a_pattern_is_like_whole_names_alone() {
        for (pattern, name, is) in [
            ("pump-7", "pump-7", true),
            ("pump-7", "pump-70", false),
            ("pump-*", "pump-", true),
            ("*", "", true),
            ("*-7", "pump-7", true),
            ("p*-*7", "pump-17", true),
            ("p*-*7", "pump17", false),
            ("ab*ba", "aba", false),
            ("a*b*a", "aba", true),
        ] {
            assert_eq!(pattern::matches(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn keys_are_never_shown() {
        assert_eq!(format!("{:?}", Keys::parse(&format!("a 1 {HEX}")).unwrap()), "Keys { count: 1, .. }");
    }
}
