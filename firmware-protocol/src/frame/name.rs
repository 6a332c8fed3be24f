//! What names and texts may hold: they go into tags, keys and file names downstream.

use crate::FrameError;

/// Not empty, at most `max_bytes`, no control characters.
pub(super) const fn check_name(name: &str, max_bytes: usize) -> Result<(), FrameError> {
    if name.is_empty() { Err(FrameError::Malformed) } else { check_text(name, max_bytes) }
}

/// As [`check_name`], but may be empty.
pub(super) const fn check_text(text: &str, max_bytes: usize) -> Result<(), FrameError> {
    if text.len() > max_bytes {
        return Err(FrameError::TooLarge);
    }
    if has_control(text.as_bytes()) { Err(FrameError::Malformed) } else { Ok(()) }
}

/// Unicode's category Cc, in UTF-8: 00 to 1f, 7f, and c2 80 to c2 9f.
const fn has_control(mut bytes: &[u8]) -> bool {
    while let [first, behind @ ..] = bytes {
        match (*first, behind) {
            (..0x20 | 0x7f, _) | (0xc2, [0x80..=0x9f, ..]) => return true,
            _ => bytes = behind,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_those_that_unicode_calls_so() {
        for c in (0..=0x0011_0000).filter_map(char::from_u32) {
            let text = format!("a{c}b");
            assert_eq!(has_control(text.as_bytes()), c.is_control(), "{c:?}");
        }
    }
}
