//! A clock that stands still until it is told to move: twenty minutes pass in no time, and a boot can be in 1970.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use firmware_protocol::measurement::EventTime;
use tokio::sync::watch;

use super::{ClockBoot, KernelWord, Reading};

/// Lives as long as the process, so that a [`super::Clock`] stays a plain value.
#[derive(Debug)]
pub struct Simulated {
    boot: ClockBoot,
    since_boot_ns: AtomicU64,
    wall_at_boot_ns: AtomicI64,
    is_synchronised: AtomicBool,
    will_be_set: AtomicBool,
    moves: watch::Sender<u64>,
}

impl Simulated {
    /// The machine has just been started, and its wall clock shows `wall`; the kernel does not call it synchronised.
    pub fn boot_at(boot: ClockBoot, wall: EventTime) -> &'static Self {
        Box::leak(Box::new(Self {
            boot,
            since_boot_ns: AtomicU64::new(0),
            wall_at_boot_ns: AtomicI64::new(wall.0),
            is_synchronised: AtomicBool::new(false),
            will_be_set: AtomicBool::new(false),
            moves: watch::Sender::default(),
        }))
    }

    /// Time goes on, on both clocks.
    pub fn pass(&self, time: Duration) {
        self.since_boot_ns.fetch_add(time.as_nanos() as u64, Ordering::SeqCst);
        self.moved();
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, wall: EventTime) {
        self.wall_at_boot_ns.store(wall.0.saturating_sub_unsigned(self.since_boot_ns()), Ordering::SeqCst);
        self.moved();
    }

    /// A time service sets the wall clock.
    pub fn synchronise(&self, wall: EventTime) {
        self.is_synchronised.store(true, Ordering::SeqCst);
        self.set_wall(wall);
    }

    /// A time service is there, and no battery clock.
    pub fn expect_to_be_set(&self) {
        self.will_be_set.store(true, Ordering::SeqCst);
    }

    pub(super) fn boot(&self) -> ClockBoot {
        self.boot
    }

    pub(super) fn since_boot(&self) -> Duration {
        Duration::from_nanos(self.since_boot_ns())
    }

    pub(super) fn read(&self) -> Reading {
        let is_synchronised = self.is_synchronised.load(Ordering::SeqCst);
        Reading {
            since_boot_ns: self.since_boot_ns(),
            wall_at_boot_ns: self.wall_at_boot_ns.load(Ordering::SeqCst),
            kernel: if is_synchronised { KernelWord::Synchronised } else { KernelWord::Unsynchronised },
        }
    }

    pub(super) fn will_be_set(&self) -> bool {
        self.will_be_set.load(Ordering::SeqCst)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.moves.subscribe()
    }

    fn since_boot_ns(&self) -> u64 {
        self.since_boot_ns.load(Ordering::SeqCst)
    }

    fn moved(&self) {
        self.moves.send_modify(|moves| *moves += 1);
    }
}
