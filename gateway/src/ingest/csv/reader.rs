//! CSV text in pieces in, rows with their line numbers out. Pure.
//!
//! # Invariants
//! - Memory is bounded by [`ROW_BYTES_MAX`] and one piece, whatever the bytes.
//! - A bad row costs one line: reading goes on with the next line, so that a lost quote does not swallow the file.
//! - [`Reader::position`] is where a reader that is made later goes on with the next row, neither losing nor repeating one.
//! - The work for a byte is bounded: a row has at most [`ROW_LINES_MAX`] lines, so a line is looked at that often at most.

use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};

use super::fault::RowFault;

/// Longest row, bytes: far above any row of readings; with it the buffers of a reader stay under 200 KB.
pub(super) const ROW_BYTES_MAX: usize = 64 << 10;
/// Most lines of one row: text in quotes may hold line breaks.
pub(super) const ROW_LINES_MAX: usize = 64;
/// Most columns of a row.
pub(super) const COLUMNS_MAX: usize = 1_024;
/// The byte order mark of UTF-8, which some programs write first.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Where the next row begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Bytes before it.
    pub(super) offset: u64,
    /// Its line, from 1.
    pub(super) line: u64,
}

impl Default for Position {
    fn default() -> Self {
        Self { offset: 0, line: 1 }
    }
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Item<'r> {
    Row(Row<'r>),
    /// This line is not part of a row that can be used.
    Bad {
        line: u64,
        fault: RowFault,
    },
    /// Push more, or finish.
    NeedInput,
    /// All rows have been seen.
    End,
}

/// What came of passing over a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    Line,
    /// Push more, or finish.
    NeedInput,
    /// There is none.
    End,
}

/// The fields of one row, quotes taken off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'r> {
    /// Where it begins, from 1.
    pub(super) line: u64,
    text: &'r str,
    ends: &'r [usize],
}

impl<'r> Row<'r> {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Empty if there is no such column.
    pub(super) fn field(&self, column: usize) -> &'r str {
        let Some(end) = self.ends.get(column) else { return "" };
        let begin = column.checked_sub(1).map_or(0, |before| self.ends[before]);
        // Fields end where ASCII characters stood, so a cut is never within a character.
        self.text.get(begin..*end).unwrap_or_default()
    }

    pub(super) fn fields(self) -> impl Iterator<Item = &'r str> {
        (0..self.len()).map(move |column| self.field(column))
    }
}

/// A line of the input, without its end.
enum Line {
    Whole { content: std::ops::Range<usize>, next: usize },
    TooLong,
    Missing,
}

/// What the parser made of the lines from the start of a row on.
enum Parsed {
    Row { text: usize, fields: usize, lines: u64, after_first: usize, next: usize },
    Bad { fault: RowFault, next: usize },
    Missing,
    LineTooLong,
}

pub(super) struct Reader {
    core: csv_core::Reader,
    input: Vec<u8>,
    /// The next row begins here in `input`.
    begin: usize,
    at: Position,
    /// As it was after the last item: within a line that is being thrown away, nobody may go on.
    settled: Position,
    /// Where the second line of the last row is in `input`, and its number; until more is pushed.
    second_line: Option<(usize, u64)>,
    is_finished: bool,
    is_discarding: bool,
    /// Rows must have that many.
    columns: Option<usize>,
    text: Box<[u8]>,
    ends: Box<[usize]>,
}

impl Reader {
    pub(super) fn new(delimiter: u8) -> Self {
        Self::resume(delimiter, Position::default(), None)
    }

    /// Goes on where another reader of the same bytes was. Rows with another number of columns are bad; further ones that
    /// are empty are forgiven.
    pub(super) fn resume(delimiter: u8, at: Position, columns: Option<usize>) -> Self {
        let core = ReaderBuilder::new().delimiter(delimiter).terminator(Terminator::Any(b'\n')).build();
        Self {
            core,
            input: Vec::new(),
            begin: 0,
            at,
            settled: at,
            second_line: None,
            is_finished: false,
            is_discarding: false,
            columns,
            text: vec![0; ROW_BYTES_MAX].into(),
            // One more, so that one too many is seen.
            ends: vec![0; COLUMNS_MAX + 1].into(),
        }
    }

    /// Where the row after the last item begins.
    pub(super) fn position(&self) -> Position {
        self.settled
    }

    /// More of the file. Memory stays bounded only if that is done when `next` asks for it.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.second_line = None;
        if self.begin > 0 {
            self.input.drain(..self.begin);
            self.begin = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// The file has ended.
    pub(super) fn finish(&mut self) {
        self.is_finished = true;
    }

    /// Passes over a line as it stands: what is not CSV before the header.
    pub(super) fn skip_line(&mut self) -> Skipped {
        self.skip_bom();
        if self.is_discarding {
            return match self.discard() {
                Item::NeedInput => Skipped::NeedInput,
                Item::Bad { .. } | Item::Row(_) | Item::End => Skipped::Line,
            };
        }
        match self.line_at(self.begin) {
            Line::Whole { next, .. } => self.consume(next, 1),
            Line::TooLong => {
                self.is_discarding = true;
                return self.skip_line();
            }
            Line::Missing if self.is_finished => return Skipped::End,
            Line::Missing => return Skipped::NeedInput,
        }
        self.settled = self.at;
        Skipped::Line
    }

    /// The next line without consuming it, for a look at which delimiter it has.
    pub(super) fn peek_line(&mut self) -> Option<&[u8]> {
        self.skip_bom();
        self.skip_blank_lines();
        match self.line_at(self.begin) {
            Line::Whole { content, .. } => self.input.get(content),
            Line::TooLong | Line::Missing => None,
        }
    }

    pub(super) fn set_delimiter(&mut self, delimiter: u8) {
        self.core = ReaderBuilder::new().delimiter(delimiter).terminator(Terminator::Any(b'\n')).build();
    }

    #[allow(clippy::should_implement_trait, reason = "it lends its row")]
    pub(super) fn next(&mut self) -> Item<'_> {
        self.skip_bom();
        self.second_line = None;
        if self.is_discarding {
            return self.discard();
        }
        self.skip_blank_lines();
        let line = self.at.line;
        let (text, fields) = match self.parse() {
            Parsed::Row { text, fields, lines, after_first, next } => {
                self.consume(next, lines);
                self.second_line = (lines > 1).then_some((after_first, line + 1));
                (text, fields)
            }
            Parsed::Bad { fault, next } => {
                self.consume(next, 1);
                self.settled = self.at;
                return Item::Bad { line, fault };
            }
            Parsed::Missing if self.is_finished => {
                self.settled = self.at;
                return Item::End;
            }
            Parsed::Missing => return Item::NeedInput,
            Parsed::LineTooLong => return self.discard(),
        };
        self.settled = self.at;
        match std::str::from_utf8(&self.text[..text]) {
            Ok(text) => Item::Row(Row { line, text, ends: &self.ends[..fields] }),
            Err(_) => Item::Bad { line, fault: RowFault::NotUtf8 },
        }
    }

    /// The last row is of no use: if it has several lines, a quote may be wrong, and what follows its first line is read
    /// again as rows.
    pub(super) fn give_up_row(&mut self) {
        if let Some((at, line)) = self.second_line.take() {
            self.at.offset -= (self.begin - at) as u64;
            self.at.line = line;
            self.begin = at;
            self.settled = self.at;
        }
    }

    /// Feeds line after line to csv-core until a row is whole.
    fn parse(&mut self) -> Parsed {
        self.core.reset();
        let (mut text, mut fields, mut at, mut lines) = (0, 0, self.begin, 0);
        let mut after_first = self.begin;
        loop {
            let (content, next) = match self.line_at(at) {
                Line::Whole { content, next } => (content, next),
                Line::Missing if lines == 0 || !self.is_finished => return Parsed::Missing,
                Line::Missing => return Parsed::Bad { fault: RowFault::OpenQuote, next: after_first },
                Line::TooLong if lines == 0 => return Parsed::LineTooLong,
                Line::TooLong => return Parsed::Bad { fault: RowFault::OpenQuote, next: after_first },
            };
            lines += 1;
            if lines == 1 {
                after_first = next;
            }
            if lines > 1 && (next - self.begin > ROW_BYTES_MAX || lines > ROW_LINES_MAX as u64) {
                return Parsed::Bad { fault: RowFault::OpenQuote, next: after_first };
            }
            for piece in [&self.input[content], b"\n"] {
                let mut piece = piece;
                // An empty piece would mean the end of the file to csv-core.
                while !piece.is_empty() {
                    let (result, read, written, ended) =
                        self.core.read_record(piece, &mut self.text[text..], &mut self.ends[fields..]);
                    (text, fields) = (text + written, fields + ended);
                    piece = &piece[read..];
                    match result {
                        ReadRecordResult::InputEmpty => {}
                        ReadRecordResult::OutputFull => {
                            return Parsed::Bad { fault: RowFault::TooLong, next: after_first };
                        }
                        ReadRecordResult::OutputEndsFull => {
                            return Parsed::Bad { fault: RowFault::TooManyColumns, next: after_first };
                        }
                        ReadRecordResult::Record | ReadRecordResult::End => {
                            return match self.wrong_columns(text, fields) {
                                Some(fault) => Parsed::Bad { fault, next: after_first },
                                None => Parsed::Row { text, fields, lines, after_first, next },
                            };
                        }
                    }
                }
            }
            at = next;
        }
    }

    fn wrong_columns(&self, text: usize, fields: usize) -> Option<RowFault> {
        if fields > COLUMNS_MAX {
            return Some(RowFault::TooManyColumns);
        }
        let expected = self.columns?;
        let last = expected.checked_sub(1).and_then(|last| self.ends.get(last)).copied();
        let rest_is_empty = fields > expected && last == Some(text);
        (fields != expected && !rest_is_empty).then_some(RowFault::Columns { found: fields, expected })
    }

    fn line_at(&self, at: usize) -> Line {
        let rest = &self.input[at..];
        match rest.iter().position(|b| *b == b'\n') {
            Some(length) if length > ROW_BYTES_MAX => Line::TooLong,
            Some(length) => {
                let content = at..at + length;
                let has_cr = length > 0 && rest[length - 1] == b'\r';
                Line::Whole { content: content.start..content.end - usize::from(has_cr), next: content.end + 1 }
            }
            None if rest.len() > ROW_BYTES_MAX => Line::TooLong,
            None if self.is_finished && !rest.is_empty() => {
                let end = self.input.len() - usize::from(rest.ends_with(b"\r"));
                Line::Whole { content: at..end, next: self.input.len() }
            }
            None => Line::Missing,
        }
    }

    /// Throws a line away that is too long to be kept.
    fn discard(&mut self) -> Item<'static> {
        self.is_discarding = true;
        let line = self.at.line;
        match self.input[self.begin..].iter().position(|b| *b == b'\n') {
            Some(length) => self.consume(self.begin + length + 1, 1),
            None => {
                self.consume(self.input.len(), 0);
                if !self.is_finished {
                    return Item::NeedInput;
                }
            }
        }
        self.is_discarding = false;
        self.settled = self.at;
        Item::Bad { line, fault: RowFault::TooLong }
    }

    fn consume(&mut self, to: usize, lines: u64) {
        self.at.offset += (to - self.begin) as u64;
        self.at.line += lines;
        self.begin = to;
    }

    fn skip_bom(&mut self) {
        if self.at.offset == 0 && self.input[self.begin..].starts_with(BOM) {
            self.consume(self.begin + BOM.len(), 0);
        }
    }

    fn skip_blank_lines(&mut self) {
        while matches!(self.input.get(self.begin), Some(b'\r' | b'\n'))
            && let Line::Whole { content, next } = self.line_at(self.begin)
            && content.is_empty()
        {
            self.consume(next, 1);
        }
    }
}

#[cfg(test)]
mod tests;
