//! MQTT topic filters: the rules of the standard, checked before a broker refuses them.

use super::values::Wrong;
use crate::queue::Record;

/// # Errors
/// What is wrong with the filter.
pub(super) fn check(filter: &str) -> Result<(), Wrong> {
    let wrong = |why: &str| Err(Wrong::new(format!("holds the topic filter {filter:?}: {why}"), FORM));
    if filter.is_empty() {
        return wrong("it is empty");
    }
    if filter.len() > Record::TOPIC_MAX {
        return Err(Wrong::new(
            format!("holds a topic filter of {} bytes, the limit is {}", filter.len(), Record::TOPIC_MAX),
            FORM,
        ));
    }
    if filter.contains('\0') {
        return wrong("it contains a zero byte");
    }
    let levels: Vec<&str> = filter.split('/').collect();
    for (index, level) in levels.iter().enumerate() {
        if level.contains('#') && (*level != "#" || index + 1 < levels.len()) {
            return wrong("`#` must be the whole last level");
        }
        if level.contains('+') && *level != "+" {
            return wrong("`+` must be a whole level");
        }
    }
    if levels[0] == "$share" && (levels.len() < 3 || levels[1].is_empty() || levels[1] == "+" || levels[1] == "#") {
        return wrong("a shared one is `$share/GROUP/FILTER`");
    }
    Ok(())
}

const FORM: &str = "filters look like \"sensors/#\" or \"plant/+/temperature\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_follow_the_rules_of_the_standard() {
        for good in ["#", "+", "a", "/", "a/b/#", "+/b/+", "a//b", "$share/g/a/#", "a b/é"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "a/#/b", "a#", "#/", "a+/b", "++", "$share/g", "$share//a", "$share/+/a", "a\0b"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
