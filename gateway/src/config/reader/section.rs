//! One table: its keys as typed values, with faults, origins and what is unknown in it.

use std::ops::RangeInclusive;

use toml::de::{DeTable, DeValue};

use super::Reader;
use crate::config::effective::{Entry, Origin, Shown};
use crate::config::faults::Place;
use crate::config::nearest::nearest;
use crate::config::overrides::Overrides;
use crate::config::values::{Value, Wrong, not_a, show_text};

/// One table under reading.
pub(in crate::config) struct Section<'r, 'd> {
    reader: &'r mut Reader<'d>,
    name: &'static str,
    header: String,
    table: Option<&'d DeTable<'d>>,
    place: Place,
    entries: Vec<Entry>,
    known: Vec<&'static str>,
    /// Where it stands in the listing: before the tables below it, which are finished first.
    listed_at: usize,
}

impl<'r, 'd> Section<'r, 'd> {
    pub(super) fn new(
        reader: &'r mut Reader<'d>,
        name: &'static str,
        header: String,
        table: Option<&'d DeTable<'d>>,
        place: Place,
    ) -> Self {
        let listed_at = reader.effective.sections.len();
        Self { reader, name, header, table, place, entries: Vec::new(), known: Vec::new(), listed_at }
    }

    pub(in crate::config) fn overrides(&self) -> &'d Overrides {
        self.reader.overrides
    }

    /// Any value of the type.
    pub(in crate::config) fn value<T: Value>(&mut self, key: &'static str, default: T) -> T {
        self.checked(key, default, |_| Ok(()))
    }

    /// A value with bounds, the default within them.
    pub(in crate::config) fn within<T: Value + PartialOrd>(
        &mut self,
        key: &'static str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        self.checked(key, default, |value| in_range(value, &range))
    }

    /// A value that passes `check`.
    pub(in crate::config) fn checked<T: Value>(
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
    pub(in crate::config) fn required<T: Value>(
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
    pub(in crate::config) fn optional<T: Value>(
        &mut self,
        key: &'static str,
        check: impl Fn(&T) -> Result<(), Wrong>,
    ) -> Option<T> {
        self.known.push(key);
        let found = self.table?.get(key)?;
        let value = T::read(found.get_ref()).ok_or_else(|| not_a::<T>(found.get_ref()));
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
    pub(in crate::config) fn overridable<T: Value + Clone>(
        &mut self,
        key: &'static str,
        default: T,
        flag: (&'static str, &Option<T>),
        variable: &'static str,
        check: impl Fn(&T) -> Result<(), Wrong>,
    ) -> T {
        let from_file = self.checked(key, default, &check);
        let text = self.overrides().environment.variable(variable).map(|text| DeValue::String(text.into()));
        let from_variable = text.map(|text| (variable, T::read(&text).ok_or_else(|| not_a::<T>(&text))));
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
    pub(in crate::config) fn choice<T: Copy + PartialEq>(
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

    /// The tables `[[name.key]]` below this one, in their order, at most `max`.
    pub(in crate::config) fn tables<T>(
        &mut self,
        key: &'static str,
        max: usize,
        mut read: impl FnMut(&mut Section<'_, 'd>) -> T,
    ) -> Vec<T> {
        self.known.push(key);
        let header = format!("[[{}.{key}]]", self.name);
        let Some(value) = self.table.and_then(|table| table.get(key)) else { return Vec::new() };
        let place = self.reader.source.place(value.span());
        self.reader.each_table(value.get_ref(), &place, (key, header), max, &mut read)
    }

    pub(in crate::config) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Where the value of `key` was given; where its table begins if it was not.
    pub(in crate::config) fn place(&self, key: &str) -> Place {
        match self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.origin) {
            Some(Origin::Flag(name) | Origin::Environment(name)) => Place::Override(name),
            Some(Origin::File { .. } | Origin::Default) | None => self.place_in_file(key),
        }
    }

    fn place_in_file(&self, key: &str) -> Place {
        match self.table.and_then(|table| table.get(key)) {
            Some(value) => self.reader.source.place(value.span()),
            None => self.place.clone(),
        }
    }

    /// A fault of this key, or of the table.
    pub(in crate::config) fn fault(&mut self, key: Option<&str>, message: impl Into<String>, hint: impl Into<String>) {
        let place = key.map_or_else(|| self.place.clone(), |key| self.place(key));
        self.reader.fault(place, message, hint);
    }

    /// Shows what an empty value stands for instead of it.
    pub(in crate::config) fn stands_for(&mut self, key: &'static str, value: &str) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) {
            entry.value = show_text(value);
        }
    }

    /// Marks a key as one that names a secret which was read.
    pub(in crate::config) fn mark_secret(&mut self, key: &'static str) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) {
            entry.secret = true;
        }
    }

    /// Notes the keys that were never read as unknown, and what is in force.
    pub(in crate::config) fn finish(self) {
        for (key, _) in self.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let message = format!("unknown key `{}` in {}", name.escape_debug(), self.header);
                let hint = self.hint_for_unknown(name);
                self.reader.fault(self.reader.source.place(key.span()), message, hint);
            }
        }
        let shown = Shown { header: self.header, entries: self.entries };
        self.reader.effective.sections.insert(self.listed_at, shown);
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
        match self.place_in_file(key) {
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
