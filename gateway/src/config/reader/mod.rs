//! Takes the values out of the TOML tree, one key at a time.
//!
//! # Invariants
//! - Reading a key makes it known: what was never read is an unknown key, so the two cannot differ.
//! - A faulty value is noted and its default goes on, so that one run finds all faults.
//! - Each value that was read is noted with its origin.

mod section;

use toml::de::{DeTable, DeValue};

use super::effective::Effective;
use super::faults::{Fault, Place};
use super::nearest::nearest;
use super::overrides::Overrides;
use super::source::Source;

pub(super) use section::Section;

pub(super) struct Reader<'d> {
    source: &'d Source,
    root: &'d DeTable<'d>,
    overrides: &'d Overrides,
    faults: Vec<Fault>,
    effective: Effective,
    /// Names of the tables that were asked for.
    known: Vec<&'static str>,
    passes_over_the_rest: bool,
}

impl<'d> Reader<'d> {
    pub(super) fn new(source: &'d Source, root: &'d DeTable<'d>, overrides: &'d Overrides) -> Self {
        let effective = Effective { file: source.name().to_owned(), sections: Vec::new() };
        Self { source, root, overrides, faults: Vec::new(), effective, known: Vec::new(), passes_over_the_rest: false }
    }

    pub(super) fn overrides(&self) -> &'d Overrides {
        self.overrides
    }

    /// Whether the file has the table at all, of whatever type.
    pub(super) fn has(&self, name: &str) -> bool {
        self.root.contains_key(name)
    }

    pub(super) fn fault(&mut self, place: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.faults.push(Fault::new(place, message, hint));
    }

    /// The table `[name]`; all defaults if the file has none.
    pub(super) fn table<'r>(&'r mut self, name: &'static str) -> Section<'r, 'd> {
        self.known.push(name);
        let header = format!("[{name}]");
        let (table, place) = match self.root.get(name) {
            None => (None, Place::File),
            Some(value) => {
                let place = self.source.place(value.span());
                if value.get_ref().as_table().is_none() {
                    self.fault(place.clone(), format!("`{name}` is not a table"), format!("write {header} once"));
                }
                (value.get_ref().as_table(), place)
            }
        };
        Section::new(self, name, header, table, place)
    }

    /// The table `[name]`, if the file has it.
    pub(super) fn optional_table<'r>(&'r mut self, name: &'static str) -> Option<Section<'r, 'd>> {
        if self.has(name) {
            return Some(self.table(name));
        }
        self.known.push(name);
        None
    }

    /// The tables `[[name]]`, in their order, at most `max`.
    pub(super) fn tables<T>(
        &mut self,
        name: &'static str,
        max: usize,
        mut read: impl FnMut(&mut Section<'_, 'd>) -> T,
    ) -> Vec<T> {
        self.known.push(name);
        let header = format!("[[{name}]]");
        let Some(value) = self.root.get(name) else { return Vec::new() };
        let place = self.source.place(value.span());
        self.each_table(value.get_ref(), &place, (name, header), max, &mut read)
    }

    /// Reads each table of an array; `named`: its name and its header.
    fn each_table<T>(
        &mut self,
        value: &'d DeValue<'d>,
        place: &Place,
        (name, header): (&'static str, String),
        max: usize,
        read: &mut impl FnMut(&mut Section<'_, 'd>) -> T,
    ) -> Vec<T> {
        let Some(items) = value.as_array() else {
            self.fault(place.clone(), format!("`{name}` is not an array of tables"), format!("write {header}"));
            return Vec::new();
        };
        if items.len() > max {
            let message = format!("{} tables {header}, at most {max} are allowed", items.len());
            self.fault(place.clone(), message, "leave some out");
        }
        let mut out = Vec::new();
        for item in items.iter().take(max) {
            let place = self.source.place(item.span());
            match item.get_ref().as_table() {
                Some(table) => {
                    let mut section = Section::new(self, name, header.clone(), Some(table), place);
                    out.push(read(&mut section));
                    section.finish();
                }
                None => self.fault(
                    place,
                    format!("`{name}` holds something that is not a table"),
                    format!("write {header}"),
                ),
            }
        }
        out
    }

    /// Tables that were not asked for are somebody else's.
    pub(super) fn pass_over_the_rest(&mut self) {
        self.passes_over_the_rest = true;
    }

    /// What is in force, or the faults.
    pub(super) fn finish(mut self) -> Result<Effective, Vec<Fault>> {
        for (key, _) in self.root {
            let name: &str = key.get_ref();
            if !self.passes_over_the_rest && !self.known.contains(&name) {
                let message = format!("unknown table or key `{}`", name.escape_debug());
                self.faults.push(Fault::new(self.source.place(key.span()), message, self.hint_for_unknown(name)));
            }
        }
        if self.faults.is_empty() { Ok(self.effective) } else { Err(self.faults) }
    }

    fn hint_for_unknown(&self, name: &str) -> String {
        let sections = &self.effective.sections;
        let home = sections.iter().find(|section| section.entries.iter().any(|entry| entry.key == name));
        match (home, nearest(name, &self.known)) {
            (Some(section), _) => format!("`{name}` belongs below {}", section.header),
            (None, Some(known)) => format!("did you mean `{known}`?"),
            (None, None) => format!("the tables are {}", self.known.join(", ")),
        }
    }
}
