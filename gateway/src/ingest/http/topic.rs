//! The topic that a request's records get.

use crate::queue::Record;

/// Where the request names none.
pub(super) const DEFAULT: &str = "http/ingest";

/// Why a text is no topic name; completes "the topic …".
pub(super) type Fault = &'static str;

/// MQTT's rules for the name of a topic.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(topic: &str) -> Result<(), Fault> {
    if topic.is_empty() {
        return Err("is empty");
    }
    if topic.len() > Record::TOPIC_MAX {
        return Err("is longer than 65535 bytes");
    }
    if topic.contains(['+', '#']) {
        return Err("has a wildcard, `+` or `#`: name one topic");
    }
    if topic.contains('\0') {
        return Err("has a zero byte");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_follow_the_rules_of_mqtt() {
        for good in [DEFAULT, "a", "/", "a//b", "hall 2/é", &"x".repeat(Record::TOPIC_MAX)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "a/+/b", "a/#", "a+", "a\0b", &"x".repeat(Record::TOPIC_MAX + 1)] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"x".repeat(Record::TOPIC_MAX + 1)).unwrap_err().contains(&Record::TOPIC_MAX.to_string()));
    }
}
