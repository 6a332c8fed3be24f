//! The topic of a row: a text with columns in it, such as `plant/{line}/{device}`.

use std::fmt;

use firmware_protocol::decode::DEVICE_MAX_BYTES;

use super::fault::RowFault;

/// Longest template, bytes.
const TEMPLATE_MAX: usize = 512;
/// Longest topic of a row, bytes. It becomes a key in databases, so far less than MQTT allows.
const TOPIC_MAX: usize = 1_024;
/// What stands for the device: its column, or the file's name.
const DEVICE: &str = "device";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Device,
    /// A column by name.
    Column(String),
}

/// A proven template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    text: String,
    parts: Vec<Part>,
}

impl Default for Topic {
    /// What the default decode routes take for the telemetry of the device.
    fn default() -> Self {
        let parts = vec![Part::Text("sensors/".into()), Part::Device, Part::Text("/telemetry".into())];
        Self { text: "sensors/{device}/telemetry".to_owned(), parts }
    }
}

impl Topic {
    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > TEMPLATE_MAX {
            return Err(format!("is {} bytes long, outside 1 to {TEMPLATE_MAX}", text.len()));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or("has a { without a }")?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(if name == DEVICE { Part::Device } else { Part::Column(name.trim().to_owned()) });
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        for part in &parts {
            match part {
                Part::Text(text) if text.contains(['+', '#', '}']) || text.chars().any(char::is_control) => {
                    return Err("has one of + # } or a control character, which no topic may have".to_owned());
                }
                Part::Column(name) if name.is_empty() => return Err("has {} without a column's name".to_owned()),
                Part::Text(_) | Part::Device | Part::Column(_) => {}
            }
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

/// Appends a value to a topic. It must not change how many levels the topic has, or one device would pass for another.
pub(super) fn append(topic: &mut String, value: &str) -> Result<(), RowFault> {
    let value = value.trim();
    let too_long = (value.len() > DEVICE_MAX_BYTES).then_some("it is longer than 256 bytes");
    if let Some(why) = check(value).err().or(too_long) {
        return Err(RowFault::topic(value, why));
    }
    topic.push_str(value);
    if topic.len() > TOPIC_MAX {
        return Err(RowFault::topic(value, "the topic gets longer than 1024 bytes"));
    }
    Ok(())
}

/// Whether a value can stand in a topic.
pub(super) fn check(value: &str) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("it is empty");
    }
    if value.contains(['/', '+', '#']) || value.chars().any(char::is_control) {
        return Err("it has one of / + # or a control character");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_columns_in_braces() {
        let topic: Topic = "plant/{line}/{device}".parse().unwrap();
        let column = Part::Column("line".into());
        let expected = [Part::Text("plant/".into()), column, Part::Text("/".into()), Part::Device];
        assert_eq!(topic.parts(), expected);
        let default = Topic::default();
        assert_eq!(default.to_string().parse::<Topic>().unwrap(), default);
    }

    #[test]
    fn templates_that_make_no_topics_are_refused() {
        for text in ["", "a/#", "+/{device}", "a/{device", "a/{}", "a}/b", "a\0b"] {
            assert!(text.parse::<Topic>().is_err(), "{text:?}");
        }
        assert!("x".repeat(513).parse::<Topic>().is_err());
    }

    #[test]
    fn a_value_cannot_add_levels_or_wildcards() {
        let mut topic = "csv/".to_owned();
        append(&mut topic, " motor 1 ").unwrap();
        assert_eq!(topic, "csv/motor 1");
        for value in ["", " ", "a/b", "#", "+", "a\nb"] {
            assert!(append(&mut topic, value).is_err(), "{value:?}");
        }
        assert!(append(&mut topic, &"x".repeat(257)).is_err());
        topic.push_str(&"x".repeat(1_000));
        assert!(append(&mut topic, &"x".repeat(100)).is_err());
    }
}
