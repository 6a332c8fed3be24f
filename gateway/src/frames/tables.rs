//! What channel numbers mean, by who sends them, in bounded memory. Pure.
//!
//! # Invariants
//! - All follows from the stored records in their order, so that a replay gives the same.
//! - At most [`TABLES_PER_SENDER`] tables of a sender, and [`BYTES_MAX`] in all: the senders heard longest ago are
//!   forgotten for new ones. Who is forgotten is asked again.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use firmware_protocol::table::{self, Entry};
use serde::{Deserialize, Serialize};

use crate::queue::Record;

/// The one in use, and those that frames on their way may still be of: a device has a new one when its firmware changes.
const TABLES_PER_SENDER: usize = 4;
/// Tables of all senders: 4 000 devices with a full table of 1 KiB.
const BYTES_MAX: usize = 4 << 20;
/// Senders are forgotten by this part of all at a time, so that looking for them costs little.
const FORGET_PART: usize = 16;
/// What a table takes beside its text and its lines.
const TABLE_BYTES: usize = size_of::<Table>() + size_of::<Sender>();

/// The meaning of some numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// As `firmware_protocol::table` has it, by rising numbers.
    text: Bytes,
    /// Each number, and where its line ends. A number may be there twice: readers take the name that they mean.
    lines: Vec<(u64, usize)>,
}

impl Table {
    pub(super) fn new<'a>(entries: impl IntoIterator<Item = Entry<'a>>) -> Self {
        let mut entries: Vec<_> = entries.into_iter().filter(|entry| !entry.name.is_empty()).collect();
        entries.sort_by_key(|entry| entry.number);
        let (mut text, mut lines) = (String::new(), Vec::with_capacity(entries.len()));
        for entry in &entries {
            table::push(&mut text, entry);
            lines.push((entry.number, text.len()));
        }
        Self { text: text.into(), lines }
    }

    fn of_text(text: String) -> Self {
        let mut end = 0;
        let line = |line: &str| {
            end += line.len();
            let number = line.split('\t').next().and_then(|number| number.parse().ok());
            number.map(|number| (number, end))
        };
        let lines = text.split_inclusive('\n').filter_map(line).collect();
        Self { text: text.into(), lines }
    }

    /// What these numbers mean, in their order, without those that it does not know; nothing if it is longer than what a
    /// record takes.
    pub(super) fn part(&self, numbers: &[u64]) -> Bytes {
        if numbers.iter().eq(self.lines.iter().map(|(number, _)| number)) {
            return fitting(self.text.clone());
        }
        let mut text = Vec::new();
        for number in numbers {
            let Range { start, end } = self.lines_of(*number);
            let begins = |line: usize| line.checked_sub(1).map_or(0, |before| self.lines[before].1);
            text.extend_from_slice(&self.text[begins(start)..begins(end)]);
        }
        fitting(text.into())
    }

    pub(super) fn has(&self, number: u64) -> bool {
        !self.lines_of(number).is_empty()
    }

    fn lines_of(&self, number: u64) -> Range<usize> {
        let start = self.lines.partition_point(|(n, _)| *n < number);
        let count = self.lines[start..].iter().take_while(|(n, _)| *n == number).count();
        start..start + count
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.lines.len() * size_of::<(u64, usize)>() + TABLE_BYTES
    }
}

fn fitting(text: Bytes) -> Bytes {
    if text.len() > Record::TABLE_MAX { Bytes::new() } else { text }
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    known: HashMap<String, Sender>,
    /// Counts the times that a sender was heard.
    heard: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Sender {
    heard_at: u64,
    /// By id, the newest at the end.
    tables: Vec<(u32, Table)>,
}

/// What a snapshot has of a sender.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved {
    name: String,
    heard_at: u64,
    tables: Vec<(u32, String)>,
}

impl Tables {
    pub(super) fn get(&self, sender: &str, id: u32) -> Option<&Table> {
        self.known.get(sender)?.tables.iter().rev().find(|(known, _)| *known == id).map(|(_, table)| table)
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// A record of this sender was stored.
    pub(super) fn heard(&mut self, sender: &str) {
        if let Some(sender) = self.known.get_mut(sender) {
            self.heard += 1;
            sender.heard_at = self.heard;
        }
    }

    /// Takes the place of the sender's table of this id.
    pub(super) fn learn(&mut self, name: &str, id: u32, table: Table) {
        self.heard += 1;
        let sender = self.known.entry(name.to_owned()).or_default();
        sender.heard_at = self.heard;
        self.bytes += table.bytes();
        if let Some(at) = sender.tables.iter().position(|(known, _)| *known == id) {
            self.bytes -= sender.tables.remove(at).1.bytes();
        } else if sender.tables.len() == TABLES_PER_SENDER {
            self.bytes -= sender.tables.remove(0).1.bytes();
        }
        sender.tables.push((id, table));
        self.make_room();
    }

    /// Forgets the senders heard longest ago, if all take too much; never the one that was heard just now.
    fn make_room(&mut self) {
        while self.bytes > BYTES_MAX && self.known.len() > 1 {
            let mut heard: Vec<_> = self.known.values().map(|sender| sender.heard_at).collect();
            let count = (heard.len() / FORGET_PART).clamp(1, heard.len() - 1);
            let (_, &mut stays_from, _) = heard.select_nth_unstable(count);
            self.known.retain(|_, sender| {
                let stays = sender.heard_at >= stays_from;
                if !stays {
                    self.bytes -= sender.tables.iter().map(|(_, table)| table.bytes()).sum::<usize>();
                }
                stays
            });
        }
    }

    /// Forgets all whose names begin so.
    pub(super) fn forget_below(&mut self, prefix: &str) {
        self.known.retain(|name, sender| {
            let stays = !name.starts_with(prefix);
            if !stays {
                self.bytes -= sender.tables.iter().map(|(_, table)| table.bytes()).sum::<usize>();
            }
            stays
        });
    }

    /// Sorted by name.
    pub(super) fn save(&self) -> Vec<Saved> {
        let text = |table: &Table| String::from_utf8_lossy(&table.text).into_owned();
        let saved = |(name, sender): (&String, &Sender)| Saved {
            name: name.clone(),
            heard_at: sender.heard_at,
            tables: sender.tables.iter().map(|(id, table)| (*id, text(table))).collect(),
        };
        let mut all: Vec<_> = self.known.iter().map(saved).collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    pub(super) fn restored(saved: Vec<Saved>) -> Self {
        let mut tables = Self::default();
        for Saved { name, heard_at, tables: of_sender } in saved {
            let of_sender: Vec<_> = of_sender.into_iter().map(|(id, text)| (id, Table::of_text(text))).collect();
            tables.bytes += of_sender.iter().map(|(_, table)| table.bytes()).sum::<usize>();
            tables.heard = tables.heard.max(heard_at);
            tables.known.insert(name, Sender { heard_at, tables: of_sender });
        }
        tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[(u64, &str)]) -> Table {
        Table::new(names.iter().map(|(number, name)| Entry { number: *number, name, unit: "", kind: 0 }))
    }

    #[test]
    fn a_payload_gets_the_numbers_that_it_uses_in_its_own_order() {
        let table = table(&[(7, "flow"), (0, "level"), (300, "door")]);
        let part = |numbers: &[u64]| String::from_utf8(table.part(numbers).to_vec()).unwrap();
        assert_eq!(part(&[0, 7, 300]), "0\tlevel\n7\tflow\n300\tdoor\n");
        assert_eq!(part(&[300, 0]), "300\tdoor\n0\tlevel\n");
        assert_eq!(part(&[7, 8]), "7\tflow\n");
        assert_eq!(part(&[]), "");
        assert!(table.has(300) && !table.has(8));
    }

    #[test]
    fn two_names_of_one_number_both_go_with_it() {
        let table = table(&[(9, "flow"), (1, "level"), (9, "door")]);
        assert_eq!(&table.part(&[9])[..], b"9\tflow\n9\tdoor\n");
    }

    #[test]
    fn a_part_that_no_record_takes_is_left_out() {
        let name = "n".repeat(100);
        let table = Table::new((0..1_000).map(|number| Entry { number, name: &name, unit: "", kind: 0 }));
        assert!(table.part(&(0..1_000).collect::<Vec<_>>()).is_empty());
        assert!(!table.part(&[1, 2]).is_empty());
    }

    #[test]
    fn a_sender_has_few_tables_and_all_of_them_are_bounded() {
        let mut tables = Tables::default();
        for id in 0..10 {
            tables.learn("a", id, table(&[(0, "flow")]));
        }
        assert_eq!((0..10).filter(|id| tables.get("a", *id).is_some()).collect::<Vec<_>>(), [6, 7, 8, 9]);
        let long = "n".repeat(1_000);
        for sender in 0..10_000 {
            tables.heard("a");
            tables.learn(&sender.to_string(), 0, table(&[(0, &long)]));
            assert!(tables.bytes <= BYTES_MAX);
        }
        assert!(tables.get("a", 9).is_some(), "it was heard all the time");
        assert!(tables.get("9999", 0).is_some() && tables.get("0", 0).is_none());
    }

    #[test]
    fn what_is_saved_comes_back_as_it_was() {
        let mut tables = Tables::default();
        tables.learn("b", 1, table(&[(3, "flow"), (0, "level")]));
        tables.learn("a", 2, table(&[(u64::MAX, "door")]));
        tables.heard("b");
        let again = Tables::restored(tables.save());
        assert_eq!(again.get("b", 1), tables.get("b", 1));
        assert_eq!((again.bytes, again.heard, again.len()), (tables.bytes, tables.heard, 2));
        assert_eq!(again.get("a", 2).unwrap().part(&[u64::MAX]), tables.get("a", 2).unwrap().part(&[u64::MAX]));
    }
}
