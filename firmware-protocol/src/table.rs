//! Channel tables: what the channel numbers of a record mean, in text that travels with the record.
//!
//! A frame may number its channels and tell their names in a hello; Sparkplug B has aliases and births. Who receives such
//! a record first looks up the numbers that are in it, and puts the answer beside the record; so every later reader
//! decodes it without having seen the hello.
//!
//! # Invariants
//! - A record's table has its numbers alone, in the order of the payload, so a reader goes through both together.
//!
//! # Format
//! A line for each number: number, name, unit, kind, with a tab between them; what is empty at the end is left out.
//! Number and kind are decimal; the kind is what the format of the payload calls its data type.

use std::fmt::Write as _;

/// What one number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub number: u64,
    /// Not empty, no control characters.
    pub name: &'a str,
    /// Empty if nothing tells it.
    pub unit: &'a str,
    /// 0 if nothing tells it.
    pub kind: u32,
}

/// Appends a line. A name or unit with control characters would break the text: they become `_`.
pub fn push(out: &mut String, entry: &Entry<'_>) {
    let clean = |out: &mut String, text: &str| out.extend(text.chars().map(|c| if c.is_control() { '_' } else { c }));
    // Writing to a `String` does not fail.
    write!(out, "{}\t", entry.number).unwrap_or_default();
    clean(out, entry.name);
    if !entry.unit.is_empty() || entry.kind != 0 {
        out.push('\t');
        clean(out, entry.unit);
    }
    if entry.kind != 0 {
        write!(out, "\t{}", entry.kind).unwrap_or_default();
    }
    out.push('\n');
}

/// Finds numbers in a table; those that are asked for in the order of the table are found at once.
#[derive(Clone, Debug)]
pub struct Lookup<'a> {
    table: &'a str,
    /// Where the next line begins.
    next: usize,
    /// Where the lines end that were looked at.
    seen: usize,
    latest: Option<Entry<'a>>,
    is_first: bool,
}

impl<'a> Lookup<'a> {
    pub fn new(table: &'a str) -> Self {
        Self { table, next: 0, seen: 0, latest: None, is_first: false }
    }

    /// Lines that are none are passed over.
    #[inline]
    pub fn find(&mut self, number: u64) -> Option<Entry<'a>> {
        if let Some(latest) = self.latest.filter(|latest| latest.number == number) {
            self.is_first = false;
            return Some(latest);
        }
        let before = self.next;
        let found = self.scan(number, self.table.len()).or_else(|| {
            self.next = 0;
            self.scan(number, before)
        })?;
        self.latest = Some(found);
        Some(found)
    }

    /// Whether the entry just found was not come to before, in looking for it or for another one.
    pub fn is_first(&self) -> bool {
        self.is_first
    }

    /// Looks at the lines that begin before `end`.
    #[inline]
    fn scan(&mut self, number: u64, end: usize) -> Option<Entry<'a>> {
        while self.next < end {
            let begin = self.next;
            let (entry, length) = line(self.table.get(begin..).unwrap_or_default());
            self.next += length;
            if let Some(entry) = entry.filter(|entry| entry.number == number) {
                self.is_first = begin >= self.seen;
                self.seen = self.seen.max(self.next);
                return Some(entry);
            }
            self.seen = self.seen.max(self.next);
        }
        None
    }
}

/// The entry on the first line, and the line's length with its end.
#[inline]
fn line(text: &str) -> (Option<Entry<'_>>, usize) {
    let bytes = text.as_bytes();
    let mut parts = [""; 4];
    let mut begin = 0;
    let mut count = 0;
    loop {
        let end = separator(bytes, begin);
        if let Some(part) = parts.get_mut(count) {
            *part = text.get(begin..end).unwrap_or_default();
        }
        count += 1;
        begin = end + 1;
        if bytes.get(end) != Some(&b'\t') {
            return (entry(parts), begin.min(bytes.len()));
        }
    }
}

/// Where the next tab or line end is, or the text's end. Eight bytes at a time, as names are too short for a search by
/// larger steps to pay.
#[inline]
fn separator(bytes: &[u8], from: usize) -> usize {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let mut at = from;
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let eight = u64::from_le_bytes(*eight);
        // The lowest bit that is set is of the first byte below 0x20: borrows go up only.
        let controls = eight.wrapping_sub(LOW * 0x20) & !eight & HIGH;
        if controls == 0 {
            at += 8;
            continue;
        }
        at += (controls.trailing_zeros() / 8) as usize;
        if matches!(bytes.get(at), Some(b'\t' | b'\n')) {
            return at;
        }
        at += 1;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'\t' | b'\n')).unwrap_or(rest.len())
}

#[inline]
fn entry([number, name, unit, kind]: [&str; 4]) -> Option<Entry<'_>> {
    if name.is_empty() {
        return None;
    }
    let kind = decimal(kind).and_then(|kind| u32::try_from(kind).ok()).unwrap_or_default();
    Some(Entry { number: decimal(number)?, name, unit, kind })
}

#[inline]
fn decimal(text: &str) -> Option<u64> {
    let mut digits = text.bytes();
    let first = digits.next()?;
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    digits.try_fold(digit(first)?, |value, byte| value.checked_mul(10)?.checked_add(digit(byte)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: [Entry<'static>; 4] = [
        Entry { number: 0, name: "temperature", unit: "degC", kind: 0 },
        Entry { number: 7, name: "Node Control/Rebirth", unit: "", kind: 11 },
        Entry { number: u64::MAX, name: "flow", unit: "l/min", kind: 9 },
        Entry { number: 3, name: "x", unit: "", kind: 0 },
    ];

    fn table() -> String {
        let mut table = String::new();
        for entry in &ENTRIES {
            push(&mut table, entry);
        }
        table
    }

    #[test]
    fn numbers_are_found_in_whatever_order_they_are_asked_for() {
        let table = table();
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 3, 0], [2, 0, 2, 0]] {
            let mut lookup = Lookup::new(&table);
            for i in order {
                assert_eq!(lookup.find(ENTRIES[i].number), Some(ENTRIES[i]), "{order:?}");
                assert_eq!(lookup.find(1), None);
            }
        }
        assert_eq!(Lookup::new("").find(0), None);
    }

    #[test]
    fn it_is_told_whether_an_entry_is_come_to_for_the_first_time() {
        let table = table();
        let mut lookup = Lookup::new(&table);
        let first = |i: usize| lookup.find(ENTRIES[i].number).map(|_| lookup.is_first());
        // The search for the first line again has passed all others.
        assert_eq!([0, 0, 1, 3, 0, 2].map(first), [true, false, true, true, false, false].map(Some));
    }

    #[test]
    fn a_table_is_text_of_a_line_a_number() {
        assert_eq!(
            table(),
            "0\ttemperature\tdegC\n7\tNode Control/Rebirth\t\t11\n18446744073709551615\tflow\tl/min\t9\n3\tx\n"
        );
        let mut broken = String::new();
        push(&mut broken, &Entry { name: "a\tb\nc", ..ENTRIES[3] });
        assert_eq!(broken, "3\ta_b_c\n");
        assert_eq!(Lookup::new("3\nx\ty\n3\t\n3\tx").find(3), Some(ENTRIES[3]));
        assert_eq!(Lookup::new("3\tx\t\t0\tmore\tand more\n").find(3), Some(ENTRIES[3]), "what later versions add");
        // Other control characters, and letters of more bytes, in all places of a step.
        for before in 0..20 {
            let name = format!("{}\r\u{1}°", "n".repeat(before));
            let text = format!("2\ta\n1\t{name}\tu\n3\tx");
            assert_eq!(Lookup::new(&text).find(1), Some(Entry { number: 1, name: &name, unit: "u", kind: 0 }));
            assert_eq!(Lookup::new(&text).find(3), Some(ENTRIES[3]));
        }
    }
}
