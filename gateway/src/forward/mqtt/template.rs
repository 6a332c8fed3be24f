//! Topics of messages, with names in braces.

use std::fmt;

use crate::text::cut;

/// Of MQTT.
const TOPIC_MAX_BYTES: usize = 65_535;

/// A topic such as `gateway/{gateway}/{log}/{device}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(Placeholder),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    Gateway,
    Log,
    Device,
    Channel,
    Topic,
}

impl Placeholder {
    const ALL: [Self; 5] = [Self::Gateway, Self::Log, Self::Device, Self::Channel, Self::Topic];

    fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Log => "log",
            Self::Device => "device",
            Self::Channel => "channel",
            Self::Topic => "topic",
        }
    }
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateFault {
    #[error("is empty")]
    Empty,
    #[error("holds + or #, or a zero byte, which no topic can that is published to")]
    Wildcard,
    #[error("has a brace that opens and does not close, or the other way round")]
    Brace,
    #[error("has the placeholder {{{name}}}, which stands for nothing here")]
    Unknown { name: String },
}

impl TopicTemplate {
    /// Of derived records.
    pub const NAMES: [&str; 4] = ["gateway", "log", "device", "channel"];
    /// Of raw ones: what their channels are only a decoder knows.
    pub const RAW_NAMES: [&str; 4] = ["gateway", "log", "device", "topic"];

    /// `names`: those that may stand in braces.
    ///
    /// # Errors
    /// See [`TemplateFault`].
    pub fn parse(text: &str, names: &[&str]) -> Result<Self, TemplateFault> {
        if text.is_empty() {
            return Err(TemplateFault::Empty);
        }
        if text.contains(['+', '#', '\0']) {
            return Err(TemplateFault::Wildcard);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let Some((before, after)) = rest.split_once('{') else {
                push_text(&mut parts, rest)?;
                break;
            };
            push_text(&mut parts, before)?;
            let (name, after) = after.split_once('}').ok_or(TemplateFault::Brace)?;
            let known = Placeholder::ALL.into_iter().find(|p| p.name() == name && names.contains(&name));
            parts.push(Part::Name(known.ok_or_else(|| TemplateFault::Unknown { name: name.to_owned() })?));
            rest = after;
        }
        Ok(Self(parts))
    }

    /// Names that hold `+`, `#` or a zero byte get `_` for it; a `/` stays and makes levels.
    pub(super) fn render<'v>(&self, value: impl Fn(Placeholder) -> &'v str) -> String {
        let mut topic = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => topic.push_str(text),
                Part::Name(name) => {
                    topic.extend(value(*name).chars().map(|c| if matches!(c, '+' | '#' | '\0') { '_' } else { c }));
                }
            }
        }
        topic.truncate(cut(&topic, TOPIC_MAX_BYTES).len());
        topic
    }

    /// What all topics begin with: levels that hold no name but the gateway's.
    pub fn first_levels(&self, gateway: &str) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(more) => text.push_str(more),
                Part::Name(Placeholder::Gateway) => text.push_str(gateway),
                Part::Name(Placeholder::Log | Placeholder::Device | Placeholder::Channel | Placeholder::Topic) => {
                    text.truncate(text.rfind('/').unwrap_or(0));
                    return text;
                }
            }
        }
        text
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), TemplateFault> {
    if text.contains('}') {
        return Err(TemplateFault::Brace);
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(())
}

impl fmt::Display for TopicTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Name(name) => write!(f, "{{{}}}", name.name()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TopicTemplate, TemplateFault> {
        TopicTemplate::parse(text, &TopicTemplate::NAMES)
    }

    #[test]
    fn names_are_filled_in_and_cannot_be_wildcards() {
        let template = parse("gw/{gateway}/{log}-of/{device}").unwrap();
        let value = |name| match name {
            Placeholder::Gateway => "edge",
            Placeholder::Log => "windows",
            Placeholder::Device => "hall/a+#",
            Placeholder::Channel | Placeholder::Topic => "x",
        };
        assert_eq!(template.render(value), "gw/edge/windows-of/hall/a__");
        assert_eq!(template.to_string(), "gw/{gateway}/{log}-of/{device}");
    }

    #[test]
    fn what_could_not_be_published_to_is_refused() {
        assert_eq!(parse(""), Err(TemplateFault::Empty));
        assert_eq!(parse("a/+"), Err(TemplateFault::Wildcard));
        assert_eq!(parse("a/{device"), Err(TemplateFault::Brace));
        assert_eq!(parse("a}/{device}"), Err(TemplateFault::Brace));
        assert_eq!(parse("{topic}"), Err(TemplateFault::Unknown { name: "topic".into() }), "derived records have none");
        assert!(TopicTemplate::parse("{topic}", &TopicTemplate::RAW_NAMES).is_ok());
    }

    #[test]
    fn the_first_levels_are_those_that_are_always_the_same() {
        for (text, levels) in [
            ("gateway/{gateway}/{log}/{device}", "gateway/edge"),
            ("a/b-{device}/c", "a"),
            ("{device}/x", ""),
            ("a/b", "a/b"),
        ] {
            assert_eq!(parse(text).unwrap().first_levels("edge"), levels, "{text}");
        }
    }
}
