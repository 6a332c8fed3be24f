//! One line on standard error, for a person who waits.

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::super::interrupt::stop_on_signal;
use crate::queue::offline::Progress;
use crate::shutdown::Stop;
use crate::text::grouped;

/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(200);
/// Back to the begin of the line, and clear it.
const AGAIN: &str = "\r\x1b[K";

/// Tells on a terminal how far it is, and breaks off at a signal.
pub(super) struct Told {
    stop: Stop,
    told_at: Option<Instant>,
    is_terminal: bool,
}

impl Told {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { stop: stop_on_signal(None)?, told_at: None, is_terminal: std::io::stderr().is_terminal() })
    }

    pub(super) fn tell(&mut self, progress: Progress) -> ControlFlow<()> {
        if self.stop.is_requested() {
            return ControlFlow::Break(());
        }
        if self.is_terminal && self.told_at.is_none_or(|at| at.elapsed() >= EVERY) {
            self.told_at = Some(Instant::now());
            let Progress { generations_done, generations, records } = progress;
            let line = format!("{AGAIN}{generations_done} of {generations} generations, {} records", grouped(records));
            // A line that nobody sees is no reason to stop.
            write!(std::io::stderr(), "{line}").ok();
        }
        ControlFlow::Continue(())
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if self.told_at.is_some() {
            write!(std::io::stderr(), "{AGAIN}").ok();
        }
    }
}
