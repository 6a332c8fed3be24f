//! Watches whether a source still sends: a broker may have forgotten what we subscribed to, and all looks well.

use std::time::Duration;

use tokio::time::Instant;

/// Looks four times in the time that is too long.
pub(super) struct Silence {
    /// Zero: nobody minds.
    after: Duration,
    /// Messages of this connection when it last looked.
    messages: u64,
    /// Since when there are no more.
    since: Instant,
    looked_at: Instant,
    is_told: bool,
}

impl Silence {
    pub(super) fn new(after: Duration, now: Instant) -> Self {
        Self { after, messages: 0, since: now, looked_at: now, is_told: false }
    }

    /// It was told that the source is silent, and the source has not sent since.
    pub(super) fn is_told(&self) -> bool {
        self.is_told
    }

    /// A connection begins.
    pub(super) fn begin(&mut self, now: Instant) {
        (self.messages, self.since, self.looked_at) = (0, now, now);
    }

    /// When to look again; `None`: never.
    pub(super) fn look_at(&self) -> Option<Instant> {
        (!self.after.is_zero()).then(|| self.looked_at + self.after / 4)
    }

    /// The connection has brought so many messages by now. For how long there were none, the first time that it is too
    /// long.
    pub(super) fn look(&mut self, messages: u64, now: Instant) -> Option<Duration> {
        self.looked_at = now;
        if messages != self.messages {
            (self.messages, self.since, self.is_told) = (messages, now, false);
        }
        let silent_for = now.duration_since(self.since);
        if self.is_told || silent_for < self.after {
            return None;
        }
        self.is_told = true;
        Some(silent_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_silence_is_told_once_until_the_source_sends_again() {
        let start = Instant::now();
        let mut silence = Silence::new(4 * MINUTE, start);
        silence.begin(start);
        assert_eq!(silence.look_at(), Some(start + MINUTE));
        assert_eq!(silence.look(7, start + MINUTE), None);
        assert_eq!(silence.look(7, start + 4 * MINUTE), None, "since it was last heard");
        assert_eq!(silence.look(7, start + 5 * MINUTE), Some(4 * MINUTE));
        // The next connection is as silent: there is no use in making a third.
        silence.begin(start + 6 * MINUTE);
        assert_eq!(silence.look(0, start + 60 * MINUTE), None);
        assert!(silence.is_told());
        assert_eq!(silence.look(1, start + 61 * MINUTE), None);
        assert!(!silence.is_told());
        assert_eq!(silence.look(1, start + 65 * MINUTE), Some(4 * MINUTE));
    }

    #[test]
    fn nobody_minds_if_none_was_wished() {
        assert_eq!(Silence::new(Duration::ZERO, Instant::now()).look_at(), None);
    }
}
