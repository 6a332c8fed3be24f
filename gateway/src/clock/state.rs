//! One look at the clocks, and what to think of the wall clock after it.

use firmware_protocol::measurement::EventTime;

/// 2024-01-01, before any gateway ran: a clock that shows an earlier day has not been set since power came.
pub(super) const BELIEVABLE_FROM: EventTime = EventTime(1_704_067_200_000_000_000);

/// What the wall clock is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The kernel says that a time service keeps it.
    Synchronised,
    /// It may be right, and nobody says that it is not.
    #[default]
    Unverified,
    /// It shows a time that lies before 2024, or before one that this gateway has seen already.
    Wrong,
}

impl State {
    pub const ALL: [Self; 3] = [Self::Synchronised, Self::Unverified, Self::Wrong];

    /// For metrics and the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Synchronised => "synchronised",
            Self::Unverified => "unverified",
            Self::Wrong => "wrong",
        }
    }
}

/// What the kernel says of its wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelWord {
    Synchronised,
    Unsynchronised,
    /// It may not be asked here.
    Silent,
}

/// One look at the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub since_boot_ns: u64,
    /// What the wall clock would have shown at this boot's zero.
    pub wall_at_boot_ns: i64,
    pub kernel: KernelWord,
}

impl Reading {
    /// What the wall clock shows.
    pub fn wall(&self) -> EventTime {
        EventTime(self.wall_at_boot_ns.saturating_add_unsigned(self.since_boot_ns))
    }
}
