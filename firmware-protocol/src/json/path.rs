//! The dotted name of the field that is being read, on the stack.

use crate::decode::CHANNEL_NAME_MAX_BYTES;

#[derive(Clone)]
pub(super) struct Path {
    text: [u8; CHANNEL_NAME_MAX_BYTES],
    /// Of the whole name, even where `text` holds only its front.
    len: usize,
}

impl Path {
    pub(super) fn new() -> Self {
        Self { text: [0; CHANNEL_NAME_MAX_BYTES], len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.len = len;
    }

    /// Appends a field's key, after a dot if there is something before it.
    pub(super) fn push(&mut self, key: &str) {
        if self.len > 0 {
            self.append(b".");
        }
        self.append(key.as_bytes());
    }

    /// `None` if the name is longer than a channel's may be.
    pub(super) fn as_str(&self) -> Option<&str> {
        // Only whole strings are appended, so what fits is UTF-8.
        self.text.get(..self.len).and_then(|t| std::str::from_utf8(t).ok())
    }

    /// The part after the first `root` bytes and their dot.
    pub(super) fn since(&self, root: usize) -> Option<&str> {
        let begin = if root == 0 { 0 } else { root + 1 };
        self.as_str().and_then(|t| t.get(begin..))
    }

    fn append(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(room) = self.text.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
        }
        self.len = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_too_long_is_whole_again_once_cut() {
        let mut path = Path::new();
        path.push("motor");
        path.push(&"x".repeat(CHANNEL_NAME_MAX_BYTES));
        assert_eq!(path.as_str(), None);
        path.push("y");
        assert_eq!(path.as_str(), None);
        path.truncate("motor".len());
        path.push("rpm");
        assert_eq!(path.as_str(), Some("motor.rpm"));
    }
}
