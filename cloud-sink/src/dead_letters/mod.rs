//! Records that could not be used: put aside with their reason, listed, and sent to their topics once more.
//!
//! # Invariants
//! - A dead letter has the bytes, the key and the headers of the record, and three more headers: why, in full, and where
//!   it was.
//! - A redrive sends each letter once, wherever it is killed and however often it is repeated: what was sent and the mark
//!   that says so are one transaction of Kafka. Marks lie behind their letters in the same partition (schema
//!   `redrive/1`), so retention never takes a mark before its letters, as it would a group's committed offsets.

mod letter;
mod list;
mod put;
mod redrive;
mod scan;

pub use list::list;
pub use put::DeadLetters;
pub use redrive::redrive;

/// Why a record cannot be used. `reason` is a label of few values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undeliverable {
    pub reason: &'static str,
    pub detail: String,
}

/// The beginning of a text, at most so many bytes and never half a letter.
pub(crate) fn head(text: &str, max_bytes: usize) -> &str {
    let mut end = max_bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
