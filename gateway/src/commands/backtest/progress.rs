//! How far a run is: a bar on a terminal, lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::text::size;

/// Who waits less than this needs to be told nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the bar is drawn,
const EVERY: Duration = Duration::from_millis(200);
/// and a line is written where there is no terminal.
const EVERY_LINE: Duration = Duration::from_secs(10);
const BAR_CHARS: usize = 30;
/// Back to the begin of the line, and clear it.
const AGAIN: &str = "\r\x1b[K";

pub(super) struct Told {
    files: usize,
    files_done: usize,
    bytes: u64,
    read: Arc<AtomicU64>,
    started: Instant,
    told_at: Instant,
    is_terminal: bool,
    is_drawn: bool,
}

impl Told {
    /// `read` counts the bytes read of all files together.
    pub(super) fn new(files: usize, bytes: u64, read: Arc<AtomicU64>) -> Self {
        let now = Instant::now();
        let is_terminal = std::io::stderr().is_terminal();
        Self { files, files_done: 0, bytes, read, started: now, told_at: now, is_terminal, is_drawn: false }
    }

    /// The next result; `None` once all workers are done.
    pub(super) fn wait<T>(&mut self, results: &Receiver<T>) -> Option<T> {
        loop {
            match results.recv_timeout(EVERY) {
                Ok(result) => {
                    self.files_done += 1;
                    self.tell();
                    return Some(result);
                }
                Err(RecvTimeoutError::Timeout) => self.tell(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn tell(&mut self) {
        let every = if self.is_terminal { EVERY } else { EVERY_LINE };
        if self.started.elapsed() < PATIENCE || self.told_at.elapsed() < every {
            return;
        }
        self.told_at = Instant::now();
        let read = self.read.load(Ordering::Relaxed);
        let line = line((self.files_done, self.files), (read, self.bytes), self.started.elapsed());
        // A line that nobody sees is no reason to stop.
        if self.is_terminal {
            self.is_drawn = true;
            write!(std::io::stderr(), "{AGAIN}{line}").ok();
        } else {
            writeln!(std::io::stderr(), "{line}").ok();
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if self.is_drawn {
            write!(std::io::stderr(), "{AGAIN}").ok();
        }
    }
}

fn line((files_done, files): (usize, usize), (read, bytes): (u64, u64), elapsed: Duration) -> String {
    let share = (read as f64 / bytes.max(1) as f64).min(1.0);
    let full = (share * BAR_CHARS as f64) as usize;
    let bar: String = (0..BAR_CHARS).map(|at| if at < full { '█' } else { '░' }).collect();
    let rate = size((read as f64 / elapsed.as_secs_f64().max(0.001)) as u64);
    format!("{bar} {:3.0} %, {files_done} of {files} files, {rate}/s", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_with_what_was_read_and_never_overflows() {
        let second = Duration::from_secs(1);
        assert!(line((0, 3), (0, 1_000), second).starts_with("░░░"));
        assert!(line((1, 3), (500, 1_000), second).contains(" 50 %, 1 of 3 files, 500 B/s"));
        assert!(line((3, 3), (2_000, 1_000), second).contains("100 %"));
        assert!(line((0, 1), (0, 0), second).contains("  0 %"));
    }
}
