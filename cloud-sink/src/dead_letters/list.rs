//! `dead-letters list`: the newest letters, as a table or as JSON lines.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::head;
use super::letter::{Entry, Redriven};
use super::scan::scan;
use crate::archive::layout::utc;
use crate::config::Kafka;

/// The detail is cut to this in the table, bytes.
const DETAIL_SHOWN_BYTES: usize = 100;

/// What is shown of a letter.
#[derive(Debug, Serialize)]
struct Shown {
    /// RFC 3339, UTC, of when it was put aside.
    at: String,
    partition: i32,
    offset: i64,
    reason: String,
    device: String,
    origin: String,
    bytes: usize,
    redriven: bool,
    detail: String,
    #[serde(skip)]
    timestamp_ms: i64,
}

/// Text of the newest `limit` letters, the oldest of them first.
///
/// # Errors
/// Kafka does not answer.
pub fn list(kafka: &Kafka, topic: &str, limit: usize, as_json: bool) -> anyhow::Result<String> {
    let mut redriven = Redriven::default();
    let mut letters: BTreeMap<i32, VecDeque<(Shown, Entry)>> = BTreeMap::new();
    let mut total = 0_u64;
    scan(kafka, topic, |entry| {
        if entry.is_mark() {
            return Ok(redriven.add(&entry)?);
        }
        total += 1;
        let newest = letters.entry(entry.partition).or_default();
        if newest.len() >= limit {
            newest.pop_front();
        }
        newest.push_back((Shown::of(&entry), Entry { payload: Vec::new(), headers: Vec::new(), ..entry }));
        Ok(())
    })?;
    let mark = |(mut shown, entry): (Shown, Entry)| {
        shown.redriven = redriven.contains(&entry);
        shown
    };
    let mut shown: Vec<Shown> = letters.into_values().flatten().map(mark).collect();
    shown.sort_by_key(|letter| (letter.timestamp_ms, letter.partition, letter.offset));
    let shown = &shown[shown.len().saturating_sub(limit)..];
    if as_json {
        let lines = shown.iter().map(|letter| serde_json::to_string(letter).map(|line| line + "\n"));
        return Ok(lines.collect::<Result<_, _>>()?);
    }
    Ok(table(shown, total))
}

impl Shown {
    fn of(entry: &Entry) -> Self {
        let timestamp_ms = entry.timestamp_ms.unwrap_or_default();
        Self {
            at: utc(timestamp_ms),
            partition: entry.partition,
            offset: entry.offset,
            reason: entry.reason().to_owned(),
            device: entry.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned(),
            origin: entry.origin_text().to_owned(),
            bytes: entry.payload.len(),
            redriven: false,
            detail: entry.detail().to_owned(),
            timestamp_ms,
        }
    }
}

fn table(letters: &[Shown], total: u64) -> String {
    let mut text = String::new();
    for letter in letters {
        let Shown { at, reason, device, origin, bytes, detail, .. } = letter;
        let mark = if letter.redriven { " (redriven)" } else { "" };
        // What a sensor sent must not steer the terminal.
        let clean = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        let (device, detail) = (clean(device), clean(head(detail, DETAIL_SHOWN_BYTES)));
        text += &format!("{at}  {reason}{mark}  {device}  {origin}  {bytes} B  {detail}\n");
    }
    text + &format!("{} of {total} dead letters\n", letters.len())
}
