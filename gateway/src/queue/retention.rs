//! How long records are kept: which are too old, and which delivered ones are young enough to stay.

use std::sync::Arc;
use std::time::Duration;

use super::config::Config;
use super::generations::Sealed;
use super::record::{Log, QueueSeq};
use super::shared::Shared;
use crate::clock::Stamp;

/// Indexed by `Log`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Retention {
    /// Records before these have outlived their time to live.
    pub(super) expired: [QueueSeq; 2],
    /// Records from these on are young enough to be kept although they are delivered.
    pub(super) young: [QueueSeq; 2],
}

/// Applies times to live, for whoever knows what time it is.
#[derive(Clone)]
pub struct Sweeper {
    pub(super) shared: Arc<Shared>,
}

impl Sweeper {
    /// `age_of` tells how long ago a record was received, if that is known. What has expired goes with the next commit,
    /// which is asked for.
    pub fn sweep(&self, age_of: &dyn Fn(Stamp) -> Option<Duration>) {
        *self.shared.retention() = of(&self.shared.view.sealed(), &self.shared.config, age_of);
        self.shared.books_changed(Duration::ZERO);
    }
}

/// Whole generations are judged, by their newest record; one of unknown age counts as young.
pub(super) fn of(sealed: &[Sealed], config: &Config, age_of: &dyn Fn(Stamp) -> Option<Duration>) -> Retention {
    let older_than = |limit: Duration, log: usize| {
        let is_older = |s: &&Sealed| {
            let held = &s.held[log];
            held.runs.end().is_none() || age_of(held.newest).is_some_and(|age| age >= limit)
        };
        sealed.iter().take_while(is_older).filter_map(|s| s.held[log].runs.end()).max().unwrap_or_default()
    };
    let logs = Log::ALL.map(|log| log as usize);
    Retention {
        expired: logs.map(|log| config.ttl[log].map_or(QueueSeq(0), |ttl| older_than(ttl, log))),
        young: logs.map(|log| config.keep_delivered.map_or(QueueSeq(0), |keep| older_than(keep, log))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ClockBoot;
    use crate::queue::generations::generation::Held;
    use crate::queue::runs::Run;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn sealed(number: u32, first: u64, end: u64, hours: u64) -> Sealed {
        let mut raw = Held { newest: Stamp { boot: ClockBoot(1), since_boot_ns: hours }, ..Held::default() };
        raw.runs.add(Run::new(QueueSeq(first), QueueSeq(end)));
        Sealed { number, held: [raw, Held::default()] }
    }

    /// It is ten o'clock; what was received in another boot has no known time.
    fn age_of(stamp: Stamp) -> Option<Duration> {
        (stamp.boot == ClockBoot(1)).then(|| HOUR * 10u32.saturating_sub(stamp.since_boot_ns as u32))
    }

    #[test]
    fn whole_generations_expire_by_their_newest_record() {
        let generations = [sealed(1, 0, 10, 2), sealed(2, 10, 30, 5), sealed(3, 30, 40, 9)];
        let mut config = Config::new("queue");
        config.ttl[0] = Some(5 * HOUR);
        config.keep_delivered = Some(8 * HOUR);
        let retention = of(&generations, &config, &age_of);
        assert_eq!(retention.expired, [QueueSeq(30), QueueSeq(0)]);
        assert_eq!(retention.young, [QueueSeq(10), QueueSeq(0)]);
        assert_eq!(of(&generations, &Config::new("queue"), &age_of), Retention::default());
    }

    #[test]
    fn a_generation_of_unknown_age_stays_and_keeps_those_after_it() {
        let mut unknown = sealed(1, 0, 10, 0);
        unknown.held[0].newest.boot = ClockBoot(7);
        let mut config = Config::new("queue");
        config.ttl[0] = Some(HOUR);
        assert_eq!(of(&[unknown, sealed(2, 10, 20, 0)], &config, &age_of), Retention::default());
    }

    #[test]
    fn a_clock_that_was_set_back_expires_nothing() {
        let mut config = Config::new("queue");
        config.ttl[0] = Some(HOUR);
        assert_eq!(of(&[sealed(1, 0, 10, 99)], &config, &age_of), Retention::default());
    }
}
