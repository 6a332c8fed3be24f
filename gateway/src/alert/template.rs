//! Bodies of generic webhooks: JSON with placeholders such as `{incident.title}`.
//!
//! In a JSON text a placeholder becomes its value as text, escaped; elsewhere it becomes a JSON value, so
//! `{"score": {incident.score}}` has a number. What is rendered is JSON whatever the values are: this is proven once, when
//! the configuration is read, for where a placeholder stands does not depend on values.

use serde_json::Value;

use super::message::Message;

/// A proven template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A value by its place in [`Message::to_json`].
    Value {
        path: &'static str,
        is_in_text: bool,
    },
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    #[error("has the placeholder {{{name}}}, which stands for nothing")]
    Unknown { name: String },
    #[error("is no JSON once its placeholders are filled: {why}")]
    NotJson { why: String },
}

/// Placeholders, and where their values are. Those of incidents are of the worst one, and null in a test.
const PLACEHOLDERS: [(&str, &str); 30] = [
    ("id", "/id"),
    ("kind", "/kind"),
    ("title", "/title"),
    ("text", "/text"),
    ("repeat", "/repeat"),
    ("severity", "/severity"),
    ("count", "/count"),
    ("gateway", "/gateway"),
    ("site", "/site"),
    ("page_url", "/page_url"),
    ("svg", "/svg"),
    ("incident.id", "/incidents/0/id"),
    ("incident.device", "/incidents/0/device"),
    ("incident.state", "/incidents/0/state"),
    ("incident.severity", "/incidents/0/severity"),
    ("incident.title", "/incidents/0/title"),
    ("incident.start_at_ms", "/incidents/0/start_at_ms"),
    ("incident.peak_at_ms", "/incidents/0/peak_at_ms"),
    ("incident.end_at_ms", "/incidents/0/end_at_ms"),
    ("incident.duration_s", "/incidents/0/duration_s"),
    ("incident.score", "/incidents/0/score"),
    ("incident.windows", "/incidents/0/windows"),
    ("incident.channel", "/incidents/0/channel"),
    ("incident.detector", "/incidents/0/detector"),
    ("incident.kind", "/incidents/0/kind"),
    ("incident.feature", "/incidents/0/feature"),
    ("incident.value", "/incidents/0/value"),
    ("incident.expected_low", "/incidents/0/expected_low"),
    ("incident.expected_high", "/incidents/0/expected_high"),
    ("incident.summary", "/incidents/0/summary"),
];

impl Template {
    /// # Errors
    /// A placeholder is not known, or what comes out would not be JSON.
    pub fn parse(text: &str) -> Result<Self, TemplateFault> {
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let (mut is_in_text, mut rest) = (false, text);
        while let Some(next) = rest.chars().next() {
            if let Some((name, after)) = placeholder(rest) {
                let unknown = || TemplateFault::Unknown { name: name.to_owned() };
                let (_, path) = PLACEHOLDERS.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(Piece::Value { path, is_in_text });
                rest = after;
                continue;
            }
            // An escaped character never ends a text.
            let taken: usize = if is_in_text && next == '\\' {
                rest.chars().take(2).map(char::len_utf8).sum()
            } else {
                next.len_utf8()
            };
            is_in_text ^= next == '"';
            let (character, after) = rest.split_at(taken);
            plain += character;
            rest = after;
        }
        pieces.push(Piece::Text(plain));
        let template = Self { pieces };
        serde_json::from_str::<Value>(&template.fill(&Value::Null))
            .map_err(|why| TemplateFault::NotJson { why: why.to_string() })?;
        Ok(template)
    }

    /// Names that can stand in braces.
    pub fn placeholders() -> impl Iterator<Item = &'static str> {
        PLACEHOLDERS.into_iter().map(|(name, _)| name)
    }

    pub(super) fn render(&self, message: &Message) -> String {
        self.fill(&message.to_json())
    }

    fn fill(&self, values: &Value) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out += text,
                Piece::Value { path, is_in_text } => {
                    let value = values.pointer(path).unwrap_or(&Value::Null);
                    out += &if *is_in_text { escaped(value) } else { value.to_string() };
                }
            }
        }
        out
    }
}

/// The name in braces at the start of `text`, and what comes after. In JSON itself a brace is never followed by a word and
/// a brace.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    let is_name = |c: char| c.is_ascii_lowercase() || c == '.' || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, after))
}

/// As the inside of a JSON text; what is not there is empty.
fn escaped(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => Value::String(text.clone()).to_string(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Value::String(value.to_string()).to_string()
        }
    };
    text[1..text.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use firmware_protocol::derived::{Incident, IncidentState};
    use proptest::prelude::*;

    use super::*;
    use crate::alert::outbox::Kind;
    use crate::alert::settings::{Http, Target};
    use crate::alert::testing::{config, incident, letter, sender};
    use crate::secret::Secret;

    fn message(incident: Incident) -> Message {
        let http = Http { url: Secret::new("http://x"), token: None, headers: Vec::new(), ca_file: None };
        Message::of(letter(vec![(Kind::Opened, incident)]), &config("hook", Target::Slack(http)), &sender())
    }

    #[test]
    fn values_stand_in_texts_as_text_and_elsewhere_as_values() {
        let template =
            r#"{"a": "\"{incident.device}\" {incident.score}", "b": {incident.score}, "c": {severity}, "d": {}}"#;
        let filled = Template::parse(template).unwrap().render(&message(incident(7, 0, IncidentState::Open)));
        assert_eq!(filled, r#"{"a": "\"pump-7\" 3.5", "b": 3.5, "c": "high", "d": {}}"#);
    }

    #[test]
    fn what_is_unknown_or_no_json_is_a_fault() {
        let unknown = Template::parse(r#"{"a": "{incident.titel}"}"#).unwrap_err();
        assert_eq!(unknown.to_string(), "has the placeholder {incident.titel}, which stands for nothing");
        for text in ["", "{", r#"{"a": {title}"#, r#"{"a": "{title}}"#, r#"{"{title}": }"#, r#"{"a": x{title}}"#] {
            assert!(matches!(Template::parse(text), Err(TemplateFault::NotJson { .. })), "{text}");
        }
    }

    #[test]
    fn a_test_message_fills_a_template_too() {
        let template = Template::parse(r#"{"device": "{incident.device}", "score": {incident.score}}"#).unwrap();
        let http = Http { url: Secret::new("http://x"), token: None, headers: Vec::new(), ca_file: None };
        let test = Message::test(&config("hook", Target::Slack(http)), &sender());
        assert_eq!(template.render(&test), r#"{"device": "", "score": null}"#);
    }

    #[test]
    fn each_placeholder_stands_for_something() {
        let json = Message { svg: Some("<svg/>".into()), ..message(incident(7, 0, IncidentState::Open)) }.to_json();
        for (name, path) in PLACEHOLDERS {
            assert!(json.pointer(path).is_some(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn whatever_devices_are_called_the_body_is_json_and_says_so(device in any::<String>(), score in any::<f64>()) {
            let template = Template::parse(r#"{"d": "{incident.device}", "e": {incident.device}, "s": {incident.score}}"#).unwrap();
            let incident = Incident { device: device.clone(), score, ..incident(7, 0, IncidentState::Open) };
            let filled: Value = serde_json::from_str(&template.render(&message(incident))).unwrap();
            prop_assert!(device.len() > 512 || (filled["d"] == device.as_str() && filled["e"] == device.as_str()));
        }
    }
}
