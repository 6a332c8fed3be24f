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
    rest: &'a str,
    latest: Option<Entry<'a>>,
}

impl<'a> Lookup<'a> {
    pub fn new(table: &'a str) -> Self {
        Self { table, rest: table, latest: None }
    }

    /// Lines that are none are passed over.
    pub fn find(&mut self, number: u64) -> Option<Entry<'a>> {
        if let Some(latest) = self.latest.filter(|latest| latest.number == number) {
            return Some(latest);
        }
        let before = self.rest.len();
        let found = self.scan(number, 0).or_else(|| {
            self.rest = self.table;
            self.scan(number, before)
        })?;
        self.latest = Some(found);
        Some(found)
    }

    /// Goes on until no more than `end` bytes are left.
    fn scan(&mut self, number: u64, end: usize) -> Option<Entry<'a>> {
        while self.rest.len() > end {
            let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
            self.rest = rest;
            if let Some(entry) = entry(line).filter(|entry| entry.number == number) {
                return Some(entry);
            }
        }
        None
    }
}

fn entry(line: &str) -> Option<Entry<'_>> {
    let mut parts = line.split('\t');
    let number = parts.next()?.parse().ok()?;
    let name = parts.next().filter(|name| !name.is_empty())?;
    let unit = parts.next().unwrap_or_default();
    let kind = parts.next().unwrap_or_default().parse().unwrap_or_default();
    Some(Entry { number, name, unit, kind })
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
    fn a_table_is_text_of_a_line_a_number() {
        assert_eq!(
            table(),
            "0\ttemperature\tdegC\n7\tNode Control/Rebirth\t\t11\n18446744073709551615\tflow\tl/min\t9\n3\tx\n"
        );
        let mut broken = String::new();
        push(&mut broken, &Entry { name: "a\tb\nc", ..ENTRIES[3] });
        assert_eq!(broken, "3\ta_b_c\n");
        assert_eq!(Lookup::new("3\nx\ty\n3\t\n3\tx").find(3), Some(ENTRIES[3]));
    }
}
