//! Tags of a route's points: from the topic's levels and from the configuration.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{DEVICE_MAX_BYTES, DecodeError, check_length};
use crate::line::Encoder;
use crate::measurement::Measurement;
use crate::topic::Pattern;

/// Most tags of a route, those from the topic included.
const TAGS_MAX: usize = 16;
/// Longest key of a tag, bytes.
const KEY_MAX_BYTES: usize = 64;

/// Sorted by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Tags(Vec<Tag>);

#[derive(Clone, Debug)]
struct Tag {
    key: String,
    value: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    /// Of the topic, counted from 0.
    Level(usize),
}

impl Tags {
    /// Those that are configured, and one for each level that the pattern names otherwise.
    ///
    /// # Errors
    /// Which one cannot be a tag, and why.
    pub(super) fn new(configured: &BTreeMap<String, String>, pattern: &Pattern) -> Result<Self, String> {
        let mut tags = Vec::new();
        for (key, template) in configured {
            check_key(key)?;
            let value = pieces(template, pattern).map_err(|why| format!("`{key}` {why}"))?;
            tags.push(Tag { key: key.clone(), value });
        }
        let from_topic = pattern.tag_levels().filter(|(name, _)| !configured.contains_key(*name));
        tags.extend(from_topic.map(|(name, level)| Tag { key: name.to_owned(), value: vec![Piece::Level(level)] }));
        tags.sort_by(|a, b| a.key.cmp(&b.key));
        if tags.len() > TAGS_MAX {
            return Err(format!("{} tags are beyond the limit of {TAGS_MAX}", tags.len()));
        }
        Ok(Self(tags))
    }

    /// Adds them to a message of this topic, which matches the pattern.
    pub(super) fn push(&self, topic: &str, out: &mut Measurement) -> Result<(), DecodeError> {
        let level = |level: usize| topic.split('/').nth(level).unwrap_or_default();
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Level(number) => level(*number).to_owned(),
        };
        for Tag { key, value } in &self.0 {
            let value = match &value[..] {
                [Piece::Text(text)] => Cow::Borrowed(text.as_str()),
                [Piece::Level(number)] => Cow::Borrowed(level(*number)),
                pieces => Cow::Owned(pieces.iter().map(text).collect::<String>()),
            };
            check_length("tag", &value, DEVICE_MAX_BYTES)?;
            out.push_tag(key, &value);
        }
        Ok(())
    }
}

/// Whether the levels that a pattern names can be tags, and none is a slip of the pen.
pub(super) fn check_names(pattern: &Pattern) -> Result<(), String> {
    for (name, _) in pattern.tag_levels() {
        if let Some(meant) = ["device", "channel"].into_iter().find(|known| is_near(name, known)) {
            return Err(format!("`{{{name}}}` would make a tag: did you mean `{{{meant}}}`?"));
        }
        check_key(name)?;
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), String> {
    if key.is_empty() || key.len() > KEY_MAX_BYTES || key.chars().any(char::is_control) {
        return Err(format!("{key:?} cannot be a tag: use 1 to {KEY_MAX_BYTES} printable bytes"));
    }
    if Encoder::RESERVED_TAGS.contains(&key) || key.starts_with('_') {
        return Err(format!("`{key}` cannot be a tag: lines have it already, or InfluxDB keeps it to itself"));
    }
    Ok(())
}

fn pieces(template: &str, pattern: &Pattern) -> Result<Vec<Piece>, String> {
    if template.is_empty() || template.len() > DEVICE_MAX_BYTES || template.chars().any(char::is_control) {
        return Err(format!("has a value that is not 1 to {DEVICE_MAX_BYTES} printable bytes"));
    }
    let mut out = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("has { without }")?;
        if !before.is_empty() {
            out.push(Piece::Text(before.to_owned()));
        }
        let level = pattern.level_of(name).ok_or_else(|| format!("names `{{{name}}}`, which `topic` does not have"))?;
        out.push(Piece::Level(level));
        rest = after;
    }
    if !rest.is_empty() {
        out.push(Piece::Text(rest.to_owned()));
    }
    Ok(out)
}

/// One letter is wrong, missing or too much.
fn is_near(text: &str, word: &str) -> bool {
    let same = |a: &mut dyn Iterator<Item = char>, b: &mut dyn Iterator<Item = char>| {
        a.zip(b).take_while(|(x, y)| x.eq_ignore_ascii_case(y)).count()
    };
    let longest = text.chars().count().max(word.chars().count());
    let shortest = text.chars().count().min(word.chars().count());
    let front = same(&mut text.chars(), &mut word.chars());
    let back = same(&mut text.chars().rev(), &mut word.chars().rev());
    longest - shortest <= 1 && front + back + 1 >= longest
}
