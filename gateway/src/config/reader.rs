//! Takes the values out of the TOML tree, one key at a time.
//!
//! # Invariants
//! - Reading a key makes it known: what was never read is an unknown key, so the two cannot differ.
//! - A faulty value is noted and its default goes on, so that one run finds all faults.
//! - Each value that was read is noted with its origin.

use std::ops::RangeInclusive;

use toml::de::{DeTable, DeValue};

use super::effective::{Effective, Entry, Origin, Shown};
use super::faults::{Fault, Place};
use super::nearest::nearest;
use super::overrides::Overrides;
use super::source::Source;
use super::values::{Value, Wrong, not_of_form, show_text};

pub(super) struct Reader<'d> {
    source: &'d Source,
    root: &'d DeTable<'d>,
    overrides: &'d Overrides,
    faults: Vec<Fault>,
    effective: Effective,
    /// Names of the tables that were asked for.
    known: Vec<&'static str>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(source: &'d Source, root: &'d DeTable<'d>, overrides: &'d Overrides) -> Self {
        let effective = Effective { file: source.name().to_owned(), sections: Vec::new() };
        Self { source, root, overrides, faults: Vec::new(), effective, known: Vec::new() }
    }

    pub(super) fn overrides(&self) -> &'d Overrides {
        self.overrides
    }

    /// Whether the file has the table at all, of whatever type.
    pub(super) fn has(&self, name: &str) -> bool {
        self.root.contains_key(name)
    }

    /// Makes a table known that is not read because the file has none.
    pub(super) fn know(&mut self, name: &'static str) {
        self.known.push(name);
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
        let Some(items) = value.get_ref().as_array() else {
            self.fault(place, format!("`{name}` is not an array of tables"), format!("write {header}"));
            return Vec::new();
        };
        if items.len() > max {
            self.fault(place, format!("{} tables {header}, at most {max} are allowed", items.len()), "leave some out");
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

    /// What is in force, or the faults.
    pub(super) fn finish(mut self) -> Result<Effective, Vec<Fault>> {
        for (key, _) in self.root {
            let name = key.get_ref().as_ref();
            if !self.known.contains(&name) {
                let hint = match nearest(name, &self.known) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => format!("the tables are {}", self.known.join(", ")),
                };
                self.faults.push(Fault::new(
                    self.source.place(key.span()),
                    format!("unknown table or key `{name}`"),
                    hint,
                ));
            }
        }
        if self.faults.is_empty() { Ok(self.effective) } else { Err(self.faults) }
    }
}

/// One table under reading.
pub(super) struct Section<'r, 'd> {
    reader: &'r mut Reader<'d>,
    name: &'static str,
    header: String,
    table: Option<&'d DeTable<'d>>,
    place: Place,
    entries: Vec<Entry>,
    known: Vec<&'static str>,
}

impl<'r, 'd> Section<'r, 'd> {
    fn new(
        reader: &'r mut Reader<'d>,
        name: &'static str,
        header: String,
        table: Option<&'d DeTable<'d>>,
        place: Place,
    ) -> Self {
        Self { reader, name, header, table, place, entries: Vec::new(), known: Vec::new() }
    }

    pub(super) fn overrides(&self) -> &'d Overrides {
        self.reader.overrides
    }

    /// Any value of the type.
    pub(super) fn value<T: Value>(&mut self, key: &'static str, default: T) -> T {
        self.checked(key, default, |_| Ok(()))
    }

    /// A value with bounds, the default within them.
    pub(super) fn within<T: Value + PartialOrd>(
        &mut self,
        key: &'static str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        self.checked(key, default, |value| in_range(value, &range))
    }

    /// A value that passes `check`.
    pub(super) fn checked<T: Value>(
        &mut self,
        key: &'static str,
        default: T,
        check: impl Fn(&T) -> Result<(), Wrong>,
    ) -> T {
        self.optional(key, check).unwrap_or_else(|| {
            self.note(key, default.show(), Origin::Default);
            default
        })
    }

    /// A value without a default; a fault if the file has none.
    pub(super) fn required<T: Value>(
        &mut self,
        key: &'static str,
        hint: &str,
        check: impl Fn(&T) -> Result<(), Wrong>,
    ) -> Option<T> {
        if !self.has(key) {
            self.fault(None, format!("{} has no `{key}`", self.header), hint);
        }
        self.optional(key, check)
    }

    /// A value that passes `check`, if the file has one.
    pub(super) fn optional<T: Value>(
        &mut self,
        key: &'static str,
        check: impl Fn(&T) -> Result<(), Wrong>,
    ) -> Option<T> {
        self.known.push(key);
        let found = self.table?.get(key)?;
        let value = T::read(found.get_ref()).ok_or_else(|| not_of_form(found.get_ref(), T::FORM));
        match value.and_then(|value| check(&value).map(|()| value)) {
            Ok(value) => {
                let origin = self.file_origin(key);
                self.note(key, value.show(), origin);
                Some(value)
            }
            Err(wrong) => {
                self.fault(Some(key), format!("`{key}` {}", wrong.message), wrong.hint);
                None
            }
        }
    }

    /// A value that a flag or a variable may override, the flag before the variable.
    pub(super) fn overridable<T: Value + Clone>(
        &mut self,
        key: &'static str,
        default: T,
        flag: (&'static str, &Option<T>),
        variable: &'static str,
        check: impl Fn(&T) -> Result<(), Wrong>,
    ) -> T {
        let from_file = self.checked(key, default, &check);
        let text = self.overrides().environment.variable(variable).map(|text| DeValue::String(text.into()));
        let from_variable = text.map(|text| (variable, T::read(&text).ok_or_else(|| not_of_form(&text, T::FORM))));
        let from_flag = flag.1.clone().map(|value| (flag.0, Ok(value)));
        let mut value = from_file;
        for (given, origin) in [(from_variable, Origin::Environment(variable)), (from_flag, Origin::Flag(flag.0))] {
            let Some((name, read)) = given else { continue };
            match read.and_then(|read| check(&read).map(|()| read)) {
                Ok(read) => {
                    value = read;
                    self.note(key, value.show(), origin);
                }
                Err(wrong) => {
                    let message = format!("`{}.{key}` {}", self.name, wrong.message);
                    self.reader.fault(Place::Override(name), message, wrong.hint);
                }
            }
        }
        value
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy + PartialEq>(
        &mut self,
        key: &'static str,
        default: T,
        choices: &[(&'static str, T)],
    ) -> T {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let known = |text: &String| {
            if names.contains(&text.as_str()) {
                return Ok(());
            }
            let hint = match nearest(text, &names) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => format!("write one of \"{}\"", names.join("\", \"")),
            };
            Err(Wrong::new(format!("is {}, which is not one of the choices", show_text(text)), hint))
        };
        let default_name = choices.iter().find(|(_, choice)| *choice == default).map_or("", |(name, _)| name);
        let name = self.checked(key, default_name.to_owned(), known);
        choices.iter().find(|(choice, _)| *choice == name).map_or(default, |(_, choice)| *choice)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Where the value of `key` is; where its table begins if it is not in the file.
    pub(super) fn place(&self, key: &str) -> Place {
        match self.table.and_then(|table| table.get(key)) {
            Some(value) => self.reader.source.place(value.span()),
            None => self.place.clone(),
        }
    }

    /// A fault of this key, or of the table.
    pub(super) fn fault(&mut self, key: Option<&str>, message: impl Into<String>, hint: impl Into<String>) {
        let place = key.map_or_else(|| self.place.clone(), |key| self.place(key));
        self.reader.fault(place, message, hint);
    }

    /// Shows what an empty value stands for instead of it.
    pub(super) fn stands_for(&mut self, key: &'static str, value: &str) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) {
            entry.value = show_text(value);
        }
    }

    /// Marks a key as one that names a secret which was read.
    pub(super) fn mark_secret(&mut self, key: &'static str) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) {
            entry.secret = true;
        }
    }

    /// Notes the keys that were never read as unknown, and what is in force.
    pub(super) fn finish(self) {
        for (key, _) in self.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let message = format!("unknown key `{name}` in {}", self.header);
                let hint = self.hint_for_unknown(name);
                self.reader.fault(self.reader.source.place(key.span()), message, hint);
            }
        }
        self.reader.effective.sections.push(Shown { header: self.header, entries: self.entries });
    }

    fn hint_for_unknown(&self, name: &str) -> String {
        let [file, variable] = [format!("{name}_file"), format!("{name}_env")];
        if self.known.contains(&file.as_str()) {
            return format!("secrets do not belong into this file: name where it is with `{file}` or `{variable}`");
        }
        match nearest(name, &self.known) {
            Some(known) => format!("did you mean `{known}`?"),
            None if self.known.is_empty() => format!("{} has no options", self.header),
            None => format!("the keys here are {}", self.known.join(", ")),
        }
    }

    fn file_origin(&self, key: &str) -> Origin {
        match self.place(key) {
            Place::At { line, .. } => Origin::File { line },
            Place::File | Place::Override(_) => Origin::Default,
        }
    }

    /// The last word about a key counts.
    fn note(&mut self, key: &'static str, value: String, origin: Origin) {
        let entry = Entry { key, value, origin, secret: false };
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(noted) => *noted = entry,
            None => self.entries.push(entry),
        }
    }
}

fn in_range<T: Value + PartialOrd>(value: &T, range: &RangeInclusive<T>) -> Result<(), Wrong> {
    if range.contains(value) {
        return Ok(());
    }
    let (least, most) = (range.start().show(), range.end().show());
    Err(Wrong::new(format!("is {}, outside {least} to {most}", value.show()), format!("choose from {least} to {most}")))
}
