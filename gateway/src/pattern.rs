//! Patterns for names, in which `*` stands for any characters, none too. They are for whole names.

/// Whether the pattern is for the text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    pieces_match(pattern.split('*'), text)
}

/// As [`matches`], of a pattern that was split at its stars. Each piece is looked for once, from left to right, so it takes
/// time in proportion to pattern times text at worst.
pub(crate) fn pieces_match(mut pieces: impl DoubleEndedIterator<Item = impl AsRef<str>>, text: &str) -> bool {
    let Some(rest) = pieces.next().and_then(|first| text.strip_prefix(first.as_ref())) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    let Some(mut rest) = rest.strip_suffix(last.as_ref()) else { return false };
    pieces.all(|piece| match rest.split_once(piece.as_ref()) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_for_whole_names() {
        for (pattern, name) in [("*", ""), ("pump-*", "pump-7"), ("*-7", "pump-7"), ("a*b*c", "axbxc"), ("a", "a")] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("pump-*", "a-pump-7"), ("a", "ab"), ("a*a", "a"), ("a*b*b", "ab"), ("", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
