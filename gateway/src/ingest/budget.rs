//! Bytes in flight of all connections of a door together: a thousand busy sensors must not take a thousand times what one
//! may.
//!
//! # Invariants
//! - The worst case is `TOTAL_MAX_BYTES` plus `SHARE_BYTES` and one read per connection.
//! - Nobody is woken for it: a connection held back has receipts to come, and those wake it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::session::IN_FLIGHT_MAX_BYTES;

/// Beyond it each connection is held to its share.
const TOTAL_MAX_BYTES: usize = 16 * IN_FLIGHT_MAX_BYTES;
/// What a connection may always have in flight: some 120 messages of 100 bytes.
const SHARE_BYTES: usize = 32 * 1024;

#[derive(Clone, Default)]
pub(super) struct Budget(Arc<AtomicUsize>);

impl Budget {
    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

/// One connection's part; given back when dropped.
pub(super) struct Share {
    budget: Budget,
    bytes: usize,
}

impl Share {
    /// The connection has `bytes` in flight now; how many it may have.
    pub(super) fn update(&mut self, bytes: usize) -> usize {
        if bytes != self.bytes {
            // Wraps around for a decrease, as it should.
            self.budget.0.fetch_add(bytes.wrapping_sub(self.bytes), Ordering::Relaxed);
            self.bytes = bytes;
        }
        if self.budget.0.load(Ordering::Relaxed) < TOTAL_MAX_BYTES { IN_FLIGHT_MAX_BYTES } else { SHARE_BYTES }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.update(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_may_have_much_and_many_only_their_share() {
        let budget = Budget::default();
        let mut shares: Vec<Share> = (0..17).map(|_| budget.share()).collect();
        let limits: Vec<usize> = shares.iter_mut().map(|s| s.update(IN_FLIGHT_MAX_BYTES)).collect();
        assert_eq!(limits[..15], [IN_FLIGHT_MAX_BYTES; 15]);
        assert_eq!(limits[15..], [SHARE_BYTES; 2]);
        assert_eq!(shares[0].update(0), SHARE_BYTES);
        assert_eq!(shares[0].update(0), SHARE_BYTES);
        shares.truncate(2);
        assert_eq!(shares[0].update(0), IN_FLIGHT_MAX_BYTES);
        drop(shares);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }
}
