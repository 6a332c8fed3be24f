//! Time that survives a wrong clock: a [`Stamp`] is taken from the monotonic clock and resolved to wall time later.
//!
//! # Invariants
//! - A stamp never goes backwards within one boot, whatever happens to the wall clock.
//! - No timer of the gateway looks at wall time: setting the clock makes nothing come earlier or later.
//! - The only place, besides `main` shells, that asks the operating system for the time.
//! - Once a boot's time is believed it is never exchanged for one that cannot be right.
//!
//! # Flow
//! ```text
//! Clock::read ─Reading─▶ ClockMap::judge ─State─▶ Hold ─▶ ClockMap::observe ─▶ times of this boot's stamps
//! (system, kernel)        (set? plausible?)       (held, released, free)
//! ```
//!
//! # Not here
//! Who is held up, and what is stored: `pipeline::time`.

mod hold;
mod kernel;
mod map;
mod service;
mod simulated;
mod state;
mod system;

use std::time::Duration;

use firmware_protocol::measurement::EventTime;
use tokio::sync::watch;

pub use hold::{Config, Hold, Phase};
pub use map::{ClockMap, Observed, SharedClockMap};
pub use simulated::Simulated;
pub use state::{KernelWord, Reading, State};

/// One start of the machine, from the kernel's boot id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClockBoot(pub u64);

/// When the gateway received something: the boot and the time since it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp {
    pub boot: ClockBoot,
    /// Time since boot, suspend included, nanoseconds.
    pub since_boot_ns: u64,
}

/// How the clock stands, for people and machines that look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    pub phase: Phase,
    /// Raw records that wait until their time is known.
    pub held_records: u64,
}

/// The machine's clock, or a simulated one. Every connection has a copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    boot: ClockBoot,
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    System,
    Simulated(&'static Simulated),
}

impl Clock {
    pub fn system() -> Self {
        Self { boot: system::boot(), source: Source::System }
    }

    pub fn simulated(simulated: &'static Simulated) -> Self {
        Self { boot: simulated.boot(), source: Source::Simulated(simulated) }
    }

    pub fn boot(&self) -> ClockBoot {
        self.boot
    }

    pub fn stamp(&self) -> Stamp {
        let since_boot = match self.source {
            Source::System => system::since_boot(),
            Source::Simulated(simulated) => simulated.since_boot(),
        };
        Stamp { boot: self.boot, since_boot_ns: since_boot.as_nanos() as u64 }
    }

    /// What both clocks show, and what the kernel says of the wall clock.
    pub fn read(&self) -> Reading {
        match self.source {
            Source::System => Reading {
                since_boot_ns: self.stamp().since_boot_ns,
                wall_at_boot_ns: system::wall_at_boot_ns(),
                kernel: kernel::word(),
            },
            Source::Simulated(simulated) => simulated.read(),
        }
    }

    /// What the wall clock shows.
    pub fn shows(&self) -> EventTime {
        self.read().wall()
    }

    /// Whether a time service is there that has only not come round to setting the clock, and nothing else has set it:
    /// the machine has no battery clock.
    pub fn will_be_set(&self) -> bool {
        match self.source {
            Source::System => service::is_there() && !service::has_battery_clock(),
            Source::Simulated(simulated) => simulated.will_be_set(),
        }
    }

    /// For whoever looks at the clock from time to time.
    pub fn ticks(&self) -> Ticks {
        match self.source {
            Source::System => Ticks { changes: None },
            Source::Simulated(simulated) => Ticks { changes: Some(simulated.changes()) },
        }
    }
}

/// When to look at the clock again.
#[derive(Debug)]
pub struct Ticks {
    changes: Option<watch::Receiver<u64>>,
}

impl Ticks {
    /// Waits for `pause`, or with a simulated clock until that has moved.
    pub async fn next(&mut self, pause: Duration) {
        match &mut self.changes {
            // A simulated clock lives as long as the process.
            Some(changes) => changes.changed().await.unwrap_or_default(),
            None => tokio::time::sleep(pause).await,
        }
    }
}
