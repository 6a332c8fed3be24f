//! Lines of a file, bounded.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use super::Counted;

/// Longest line: the largest payload in base64, with room for what stands around it.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

pub(super) struct Lines {
    from: BufReader<Chain<Cursor<Vec<u8>>, Counted>>,
    line: Vec<u8>,
    number: u64,
}

pub(super) enum Next<'a> {
    /// Its number from 1, and its bytes without the end.
    Line(u64, &'a [u8]),
    TooLong(u64),
    End,
}

impl Lines {
    pub(super) fn new(head: Vec<u8>, rest: Counted) -> Self {
        Self { from: BufReader::new(Cursor::new(head).chain(rest)), line: Vec::new(), number: 0 }
    }

    /// # Errors
    /// The file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Next<'_>> {
        self.line.clear();
        let read = self.from.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(Next::End);
        }
        self.number += 1;
        if read > LINE_BYTES_MAX && self.line.last() != Some(&b'\n') {
            self.from.skip_until(b'\n')?;
            return Ok(Next::TooLong(self.number));
        }
        Ok(Next::Line(self.number, self.line.trim_ascii()))
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("number", &self.number).finish_non_exhaustive()
    }
}

/// For the report of a line that is too long.
pub(super) fn too_long() -> String {
    format!("longer than {LINE_BYTES_MAX} bytes")
}
