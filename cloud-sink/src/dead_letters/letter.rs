//! What lies in the dead-letter topic: letters, and marks of those that were redriven. Pure.

use std::collections::BTreeMap;

use firmware_protocol::envelope::{ERROR_DETAIL, ERROR_ORIGIN, ERROR_REASON, SCHEMA};
use serde::{Deserialize, Serialize};

/// Value of the header `schema` of a mark.
pub(super) const MARK_SCHEMA: &str = "redrive/1";

/// A record of the dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Vec<u8>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Where the record was that became a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
}

impl Entry {
    /// The last header of this name: a record may have been a dead letter before.
    fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().rev().find(|(key, _)| key == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    pub(super) fn is_mark(&self) -> bool {
        self.header(SCHEMA) == Some(MARK_SCHEMA)
    }

    pub(super) fn reason(&self) -> &str {
        self.header(ERROR_REASON).unwrap_or("unknown")
    }

    pub(super) fn detail(&self) -> &str {
        self.header(ERROR_DETAIL).unwrap_or_default()
    }

    /// `topic/partition/offset`.
    pub(super) fn origin_text(&self) -> &str {
        self.header(ERROR_ORIGIN).unwrap_or_default()
    }

    pub(super) fn origin(&self) -> Option<Origin<'_>> {
        let mut parts = self.origin_text().rsplitn(3, '/');
        let _offset: i64 = parts.next()?.parse().ok()?;
        let partition = parts.next()?.parse().ok()?;
        Some(Origin { topic: parts.next()?, partition })
    }

    /// Those that the record had before it became a letter.
    pub(super) fn original_headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let ours = |name: &str| [ERROR_REASON, ERROR_DETAIL, ERROR_ORIGIN].contains(&name);
        self.headers.iter().filter(move |(name, _)| !ours(name)).map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

/// Value of a mark: offsets of letters of its own partition, first and last of each run.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) redriven: Vec<(i64, i64)>,
}

impl Mark {
    /// `offsets` are in order.
    pub(super) fn of(offsets: impl Iterator<Item = i64>) -> Self {
        let mut redriven: Vec<(i64, i64)> = Vec::new();
        for offset in offsets {
            match redriven.last_mut() {
                Some((_, last)) if *last + 1 == offset => *last = offset,
                Some(_) | None => redriven.push((offset, offset)),
            }
        }
        Self { redriven }
    }
}

/// Letters that were redriven, of all partitions.
#[derive(Debug, Default)]
pub(super) struct Redriven {
    /// (partition, first) → last.
    runs: BTreeMap<(i32, i64), i64>,
}

impl Redriven {
    /// # Errors
    /// The entry is no mark that this version can read.
    pub(super) fn add(&mut self, mark: &Entry) -> Result<(), serde_json::Error> {
        for (first, last) in serde_json::from_slice::<Mark>(&mark.payload)?.redriven {
            self.runs.insert((mark.partition, first), last);
        }
        Ok(())
    }

    pub(super) fn contains(&self, letter: &Entry) -> bool {
        let before = self.runs.range((letter.partition, i64::MIN)..=(letter.partition, letter.offset)).next_back();
        before.is_some_and(|(_, last)| letter.offset <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(offset: i64, headers: &[(&str, &str)]) -> Entry {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec())));
        Entry { partition: 1, offset, timestamp_ms: None, key: None, payload: vec![], headers: headers.collect() }
    }

    #[test]
    fn a_letter_tells_its_last_reason_and_gives_its_original_headers_back() {
        let twice = letter(
            7,
            &[
                ("topic", "a/b"),
                (ERROR_REASON, "json"),
                (ERROR_ORIGIN, "s.raw/0/3"),
                (ERROR_REASON, "no_route"),
                (ERROR_ORIGIN, "s.raw/2/40"),
            ],
        );
        assert_eq!(twice.reason(), "no_route");
        assert_eq!(twice.origin(), Some(Origin { topic: "s.raw", partition: 2 }));
        assert_eq!(twice.original_headers().collect::<Vec<_>>(), [("topic", Some(b"a/b".as_slice()))]);
        for wrong in ["", "s.raw", "s.raw/x/1", "s.raw/1/", "1/1"] {
            assert_eq!(letter(0, &[(ERROR_ORIGIN, wrong)]).origin(), None, "{wrong}");
        }
    }

    #[test]
    fn marks_name_each_letter_that_was_sent_and_no_other() {
        let mark = Mark::of([3, 4, 5, 9, 12, 13].into_iter());
        assert_eq!(mark.redriven, [(3, 5), (9, 9), (12, 13)]);
        let mut redriven = Redriven::default();
        let mut entry = letter(20, &[(SCHEMA, MARK_SCHEMA)]);
        entry.payload = serde_json::to_vec(&mark).unwrap();
        assert!(entry.is_mark());
        redriven.add(&entry).unwrap();
        let told = |offset| redriven.contains(&letter(offset, &[]));
        assert_eq!((0..15).filter(|offset| told(*offset)).collect::<Vec<_>>(), [3, 4, 5, 9, 12, 13]);
        assert!(!redriven.contains(&Entry { partition: 0, ..letter(3, &[]) }), "partitions count apart");
    }
}
