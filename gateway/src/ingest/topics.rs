//! Topic names and filters, by the rules of MQTT.

/// Whether messages can be published to it: not empty, no wildcard, no NUL.
pub(super) fn is_name(topic: &[u8]) -> bool {
    !topic.is_empty() && !topic.iter().any(|byte| matches!(byte, b'#' | b'+' | 0))
}

/// Whether a subscription can have it.
pub(super) fn is_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    let mut well_formed = !filter.is_empty() && !filter.contains('\0');
    while let Some(level) = levels.next() {
        let is_last = levels.peek().is_none();
        well_formed &= !level.contains('#') || (level == "#" && is_last);
        well_formed &= !level.contains('+') || level == "+";
    }
    well_formed
}

/// Whether a filter takes a topic, or reaches as far as another filter. Wildcards at the start leave out `$…` topics.
pub(super) fn allows(filter: &[u8], wanted: &[u8]) -> bool {
    if wanted.first() == Some(&b'$') && matches!(filter.first(), Some(b'+' | b'#')) {
        return false;
    }
    let mut wanted = wanted.split(|byte| *byte == b'/');
    for level in filter.split(|byte| *byte == b'/') {
        match (level, wanted.next()) {
            // Matches the parent, too.
            (b"#", _) => return true,
            (b"+", Some(other)) if other != b"#" => {}
            (level, Some(other)) if level == other => {}
            (_, Some(_) | None) => return false,
        }
    }
    wanted.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_what_the_standard_says() {
        for (filter, topic) in
            [("a/#", "a"), ("a/#", "a/b/c"), ("a/+", "a/b"), ("+/b", "a/b"), ("#", "a"), ("a", "a"), ("a/+/c", "a//c")]
        {
            assert!(allows(filter.as_bytes(), topic.as_bytes()), "{filter} {topic}");
        }
        for (filter, topic) in [("a/+", "a"), ("a/+", "a/b/c"), ("a", "a/b"), ("a/b", "a"), ("b/#", "a/b")] {
            assert!(!allows(filter.as_bytes(), topic.as_bytes()), "{filter} {topic}");
        }
    }

    #[test]
    fn names_have_no_wildcards_and_filters_have_them_in_their_places() {
        assert!(is_name(b"a/b c/\xc3\xa9") && !is_name(b"") && !is_name(b"a/+") && !is_name(b"#") && !is_name(b"a\0"));
        assert!(["#", "+", "a/+/#", "/", "a//b"].into_iter().all(is_filter));
        assert!(!["", "a#", "#/a", "a/b+", "a\0"].into_iter().any(is_filter));
    }
}
