//! The hold as it is stored, so that a restart goes on with it.

use crate::clock::{ClockBoot, Stamp};
use crate::queue::{Monitor, QueueSeq};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The first record whose time is not known.
    pub(super) from: QueueSeq,
    pub(super) began: Stamp,
    /// The records were let go all the same.
    pub(super) is_released: bool,
}

impl Held {
    const BYTES: usize = 25;

    /// What was stored; `None` if that is nothing, or cannot be read.
    pub(super) fn restore(monitor: &Monitor, state: &str) -> Option<Self> {
        match monitor.state(state) {
            Ok(bytes) => Self::from_bytes(&bytes?),
            Err(error) => {
                tracing::error!(%error, "Which records wait for the clock cannot be read: they go out as they are.");
                None
            }
        }
    }

    /// What is to be held by a gateway that starts now, if its clock turns out not to be set. The raw log ends at `end`.
    pub(super) fn after_start(stored: Option<Self>, now: Stamp, end: QueueSeq) -> Self {
        match stored {
            Some(held) if held.began.boot == now.boot => held,
            // Those of the boot before wait on: its time is estimated by that of this one.
            Some(held) if !held.is_released => Self { began: now, ..held },
            Some(_) | None => Self { from: end, began: now, is_released: false },
        }
    }

    /// `from`, boot and time since boot of its beginning, little endian; 1 if it is released.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let words = [self.from.0, self.began.boot.0, self.began.since_boot_ns].map(u64::to_le_bytes).concat();
        [words, vec![u8::from(self.is_released)]].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let (words, released) = bytes.as_chunks::<8>();
        let word = |i: usize| u64::from_le_bytes(words[i]);
        let began = Stamp { boot: ClockBoot(word(1)), since_boot_ns: word(2) };
        Some(Self { from: QueueSeq(word(0)), began, is_released: released == [1] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: QueueSeq = QueueSeq(90);

    fn stamp(boot: u64, since_boot_ns: u64) -> Stamp {
        Stamp { boot: ClockBoot(boot), since_boot_ns }
    }

    fn held(is_released: bool) -> Held {
        Held { from: QueueSeq(7), began: stamp(1, 5), is_released }
    }

    #[test]
    fn a_restart_goes_on_with_the_hold_of_its_boot() {
        for is_released in [false, true] {
            assert_eq!(Held::after_start(Some(held(is_released)), stamp(1, 60), END), held(is_released));
        }
    }

    #[test]
    fn the_next_boot_holds_what_the_last_one_held_but_not_what_it_had_let_go() {
        let now = stamp(2, 60);
        assert_eq!(Held::after_start(Some(held(false)), now, END), Held { began: now, ..held(false) });
        let new = Held { from: END, began: now, is_released: false };
        assert_eq!(Held::after_start(Some(held(true)), now, END), new);
        assert_eq!(Held::after_start(None, now, END), new);
    }

    #[test]
    fn a_hold_comes_back_from_its_bytes() {
        for is_released in [false, true] {
            assert_eq!(Held::from_bytes(&held(is_released).to_bytes()), Some(held(is_released)));
        }
        assert_eq!(Held::from_bytes(&[0; 24]), None);
    }
}
