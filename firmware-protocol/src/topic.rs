//! Topic patterns: MQTT's wildcards, and levels that name the device, the channel or a tag.
//!
//! # Invariants
//! - Wrong patterns are refused when they are made, with the level and the reason; matching cannot fail.
//! - Matching allocates nothing and looks at each byte of the topic at most once.

use std::fmt;

/// What a topic said about where its message is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captures<'t> {
    pub device: Option<&'t str>,
    pub channel: Option<&'t str>,
}

/// A valid topic pattern, such as `plant/+/{device}/{channel}` or `sensors/#`.
///
/// `+` is any one level, `{device}`, `{channel}` and any other `{name}` one that is not empty, and `#`, which must be the
/// last, all that follow, or none. As in MQTT, a wildcard in the first level does not match topics that begin with `$`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    levels: Vec<Level>,
    /// Ends in `#`.
    open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Literal(Box<str>),
    Any,
    Device,
    Channel,
    /// Any other name in braces.
    Tag(Box<str>),
}

impl Level {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) | Self::Any => None,
            Self::Device => Some("device"),
            Self::Channel => Some("channel"),
            Self::Tag(name) => Some(name),
        }
    }
}

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// Which level, counted from 1.
    pub level: usize,
    pub text: String,
    pub fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    Empty,
    /// Longer than [`Pattern::MAX_BYTES`].
    TooLong,
    /// `#` before the last level.
    HashNotLast,
    /// `+` or `#` beside other characters.
    PartOfLevel,
    /// Braces beside other characters, or around something that is no name.
    WrongPlaceholder,
    /// The same name in braces a second time.
    Repeated,
}

impl Pattern {
    /// Far above any real pattern; keeps matching cheap.
    pub const MAX_BYTES: usize = 512;

    /// # Errors
    /// Says which level is wrong, and why.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let error = |level: usize, text: &str, fault| PatternError { level, text: text.to_owned(), fault };
        if pattern.is_empty() {
            return Err(error(1, pattern, Fault::Empty));
        }
        if pattern.len() > Self::MAX_BYTES {
            return Err(error(1, "", Fault::TooLong));
        }
        let mut levels = Vec::new();
        let mut open = false;
        for (i, text) in pattern.split('/').enumerate() {
            if open {
                return Err(error(i, "#", Fault::HashNotLast));
            }
            let level = match text {
                "#" => {
                    open = true;
                    continue;
                }
                "+" => Level::Any,
                "{device}" => Level::Device,
                "{channel}" => Level::Channel,
                other if other.contains(['+', '#']) => return Err(error(i + 1, text, Fault::PartOfLevel)),
                other if other.contains(['{', '}']) => match placeholder(other) {
                    Some(name) => Level::Tag(name.into()),
                    None => return Err(error(i + 1, text, Fault::WrongPlaceholder)),
                },
                other => Level::Literal(other.into()),
            };
            if level.name().is_some() && levels.contains(&level) {
                return Err(error(i + 1, text, Fault::Repeated));
            }
            levels.push(level);
        }
        Ok(Self { levels, open })
    }

    /// Whether a level of the topic names the device.
    pub fn names_device(&self) -> bool {
        self.levels.contains(&Level::Device)
    }

    /// Names in braces other than `{device}` and `{channel}`, and their levels, counted from 0.
    pub fn tag_levels(&self) -> impl Iterator<Item = (&str, usize)> {
        self.levels.iter().enumerate().filter_map(|(i, level)| match level {
            Level::Tag(name) => Some((&**name, i)),
            Level::Literal(_) | Level::Any | Level::Device | Level::Channel => None,
        })
    }

    /// The level, counted from 0, that has this name in braces.
    pub fn level_of(&self, name: &str) -> Option<usize> {
        self.levels.iter().position(|level| level.name() == Some(name))
    }

    pub fn matches<'t>(&self, topic: &'t str) -> Option<Captures<'t>> {
        let mut captures = Captures::default();
        let mut rest = Some(topic);
        for (i, level) in self.levels.iter().enumerate() {
            let (text, after) = split(rest?);
            let hidden = i == 0 && text.starts_with('$');
            let fits = match level {
                Level::Literal(literal) => **literal == *text,
                Level::Any => !hidden,
                Level::Tag(_) => !hidden && !text.is_empty(),
                Level::Device => {
                    captures.device = Some(text);
                    !hidden && !text.is_empty()
                }
                Level::Channel => {
                    captures.channel = Some(text);
                    !hidden && !text.is_empty()
                }
            };
            if !fits {
                return None;
            }
            rest = after;
        }
        let hidden = self.levels.is_empty() && topic.starts_with('$');
        ((self.open && !hidden) || rest.is_none()).then_some(captures)
    }
}

/// The name in `{name}`: letters, digits, `_` and `-`.
fn placeholder(text: &str) -> Option<&str> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// The first level, and the rest after its slash. By hand, because levels are too short for `split_once` to pay.
fn split(topic: &str) -> (&str, Option<&str>) {
    let end = topic.bytes().position(|b| b == b'/').unwrap_or(topic.len());
    (&topic[..end], topic.get(end + 1..))
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, text, fault } = self;
        match fault {
            Fault::Empty => f.write_str("pattern is empty: use `#` for all topics"),
            Fault::TooLong => write!(f, "pattern is longer than {} bytes", Pattern::MAX_BYTES),
            Fault::HashNotLast => write!(f, "level {level}: `#` must be the last level"),
            Fault::PartOfLevel => write!(f, "level {level} `{text}`: `+` and `#` must stand alone between slashes"),
            Fault::WrongPlaceholder => {
                write!(
                    f,
                    "level {level} `{text}`: `{{device}}`, `{{channel}}` or another `{{name}}` must stand alone between slashes"
                )
            }
            Fault::Repeated => write!(f, "level {level}: `{text}` may appear once"),
        }
    }
}

impl std::error::Error for PatternError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(topic).is_some()
    }

    #[test]
    fn wildcards_match_as_mqtt_says() {
        for (pattern, topic) in [
            ("#", "a/b"),
            ("a/#", "a/b/c"),
            ("a/#", "a"),
            ("a/+", "a/b"),
            ("a/+", "a/"),
            ("+/+", "/a"),
            ("+", "a"),
            ("a//b", "a//b"),
            ("$SYS/#", "$SYS/broker"),
        ] {
            assert!(matches(pattern, topic), "{pattern} should match {topic}");
        }
        for (pattern, topic) in [
            ("a", "a/b"),
            ("a/b", "a"),
            ("a/+", "a"),
            ("a/+", "a/b/c"),
            ("+", "/a"),
            ("a/#", "ab"),
            ("A", "a"),
            ("#", "$SYS/broker"),
            ("+/broker", "$SYS/broker"),
            ("{device}/broker", "$SYS/broker"),
        ] {
            assert!(!matches(pattern, topic), "{pattern} should not match {topic}");
        }
    }

    #[test]
    fn placeholders_give_the_level_that_they_stand_for() {
        let pattern = Pattern::new("plant/+/{device}/{channel}/#").unwrap();
        let captures = pattern.matches("plant/hall 2/pump-7/flow/raw").unwrap();
        assert_eq!(captures, Captures { device: Some("pump-7"), channel: Some("flow") });
        assert_eq!(pattern.matches("plant/hall 2//flow"), None, "a device needs a name");
        assert!(pattern.names_device());
        assert!(!Pattern::new("plant/+/x").unwrap().names_device());
    }

    #[test]
    fn other_names_stand_for_levels_that_become_tags() {
        let pattern = Pattern::new("{site}/+/{device}/{room_2}").unwrap();
        assert_eq!(pattern.tag_levels().collect::<Vec<_>>(), [("site", 0), ("room_2", 3)]);
        assert_eq!(pattern.level_of("device"), Some(2));
        assert_eq!(pattern.level_of("rack"), None);
        assert!(pattern.matches("berlin/x/pump-7/hall").is_some());
        assert_eq!(pattern.matches("/x/pump-7/hall"), None, "a site needs a name");
    }

    #[test]
    fn wrong_patterns_are_refused_with_level_and_reason() {
        for (pattern, message) in [
            ("", "pattern is empty: use `#` for all topics"),
            ("a/#/b", "level 2: `#` must be the last level"),
            ("a/b+", "level 2 `b+`: `+` and `#` must stand alone between slashes"),
            (
                "a/{de v}",
                "level 2 `{de v}`: `{device}`, `{channel}` or another `{name}` must stand alone between slashes",
            ),
            (
                "x{device}",
                "level 1 `x{device}`: `{device}`, `{channel}` or another `{name}` must stand alone between slashes",
            ),
            ("{device}/a/{device}", "level 3: `{device}` may appear once"),
            ("{site}/a/{site}", "level 3: `{site}` may appear once"),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap_err().to_string(), message);
        }
        assert_eq!(Pattern::new(&"x".repeat(Pattern::MAX_BYTES + 1)).unwrap_err().fault, Fault::TooLong);
    }
}
