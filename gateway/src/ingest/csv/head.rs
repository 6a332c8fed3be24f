//! The beginning of a file: which delimiter it has, what its columns are called, where its rows begin. Pure.

use super::header::{detect_delimiter, named_delimiter};
use super::mapping::Mapping;
use super::plan::{Plan, Refusal};
use super::reader::{Item, Position, Reader, Skipped};

/// Longest beginning of a file that is read to find the header: the lines to be passed over, and it.
pub(super) const HEAD_BYTES_MAX: usize = 1 << 20;

/// What the beginning of a file told.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) plan: Plan,
    pub(super) delimiter: u8,
    /// Of the first row.
    pub(super) rows: Position,
}

impl Head {
    /// Reads the head from the first bytes of a file: all of it, or at least [`HEAD_BYTES_MAX`].
    ///
    /// # Errors
    /// The file cannot be imported with this mapping.
    pub(super) fn read(first_bytes: &[u8], mapping: &Mapping, file_stem: &str) -> Result<Self, Refusal> {
        let mut reader = Reader::new(mapping.delimiter.byte().unwrap_or(b','));
        reader.push(first_bytes);
        reader.finish();
        for _ in 0..mapping.skip_lines {
            match reader.skip_line() {
                Skipped::Line => {}
                Skipped::NeedInput | Skipped::End => return Err(Refusal::Empty),
            }
        }
        let line = reader.peek_line().ok_or(Refusal::Empty)?;
        let named = named_delimiter(line);
        if named.is_some() {
            reader.skip_line();
        }
        let detected = named.unwrap_or_else(|| reader.peek_line().map_or(b',', detect_delimiter));
        let delimiter = mapping.delimiter.byte().unwrap_or(detected);
        reader.set_delimiter(delimiter);
        let header = if mapping.columns.is_empty() { names(&mut reader)? } else { mapping.columns.clone() };
        let plan = Plan::new(mapping, &header, file_stem)?;
        Ok(Self { plan, delimiter, rows: reader.position() })
    }

    /// A reader of the rows from there on: `rows`, or where another reader was.
    pub(super) fn reader(&self, at: Position) -> Reader {
        Reader::resume(self.delimiter, at, Some(self.plan.columns()))
    }
}

fn names(reader: &mut Reader) -> Result<Vec<String>, Refusal> {
    match reader.next() {
        Item::Row(row) => {
            let mut names: Vec<String> = row.fields().map(|name| name.trim().to_owned()).collect();
            // Loggers that end each line with a delimiter: the column behind it has no name and no values.
            while names.len() > 1 && names.last().is_some_and(String::is_empty) {
                names.pop();
            }
            Ok(names)
        }
        Item::Bad { fault, .. } => Err(Refusal::Header(fault)),
        Item::NeedInput | Item::End => Err(Refusal::Empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Head, Refusal> {
        Head::read(text.as_bytes(), &Mapping::default(), "motor-1")
    }

    #[test]
    fn the_delimiter_is_the_one_that_the_header_has_most_of() {
        for (text, delimiter) in [
            ("ts,a,b\n", b','),
            ("ts;\"a,b,c\";d\r\n", b';'),
            ("ts\ta\n", b'\t'),
            ("\u{FEFF}ts;a\n", b';'),
            ("\n\nts,a", b','),
            ("sep=;\nts;a,b,c,d\n", b';'),
        ] {
            let head = head(text).unwrap();
            assert_eq!(head.delimiter, delimiter, "{text:?}");
            assert_eq!(head.rows.offset, text.len() as u64, "{text:?}");
        }
    }

    #[test]
    fn what_stands_before_the_header_is_passed_over_as_it_is() {
        let mapping = Mapping { skip_lines: 2, ..Mapping::default() };
        let head = Head::read(b"Logger \"X\n\nts,a\n1,2\n", &mapping, "f").unwrap();
        assert_eq!(head.rows, Position { offset: 16, line: 4 });
    }

    #[test]
    fn a_file_without_header_is_read_by_the_names_that_are_given() {
        let mapping = Mapping { columns: vec!["ts".into(), "a".into()], ..Mapping::default() };
        let head = Head::read(b"1772366400;2\n", &mapping, "f").unwrap();
        assert_eq!((head.rows, head.delimiter), (Position::default(), b';'));
    }

    #[test]
    fn a_file_without_columns_is_refused() {
        assert_eq!(head("").unwrap_err(), Refusal::Empty);
        assert_eq!(head("\n\r\n").unwrap_err(), Refusal::Empty);
        let mapping = Mapping { skip_lines: 3, ..Mapping::default() };
        assert_eq!(Head::read(b"a\n", &mapping, "f").unwrap_err(), Refusal::Empty);
        assert!(matches!(head(&"x".repeat(100_000)), Err(Refusal::Empty | Refusal::Header(_))));
    }
}
