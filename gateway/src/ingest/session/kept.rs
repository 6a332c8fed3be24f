//! What outlives a connection: which QoS 2 messages were taken and not released, and which filters are subscribed.
//!
//! # Invariants
//! - It changes in the same transaction as the records that it speaks of, so that a QoS 2 message is stored once whatever
//!   crashes when.

use serde::{Deserialize, Serialize};

/// First byte of the stored form.
const VERSION: u8 = 1;

/// One client's session at `listen`, or ours at a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::ingest) struct Kept {
    /// How long it outlives the connection, seconds; [`u32::MAX`]: for ever.
    pub(in crate::ingest) expiry_s: u32,
    /// Of the client at `listen`, or ours at the broker: there it may name some that the broker has dropped.
    pub(in crate::ingest) filters: Vec<String>,
    /// With which our filters are subscribed.
    pub(in crate::ingest) qos: u8,
    /// QoS 2 messages that are stored and whose PUBREL has not come. Ascending.
    pub(in crate::ingest) taken: Vec<u16>,
}

impl Kept {
    /// Notes a QoS 2 message. `false`: it is stored already.
    pub(super) fn take(&mut self, packet_id: u16) -> bool {
        match self.taken.binary_search(&packet_id) {
            Ok(_) => false,
            Err(place) => {
                self.taken.insert(place, packet_id);
                true
            }
        }
    }

    /// Forgets a QoS 2 message: its id is free. `false`: it was not known.
    pub(super) fn release(&mut self, packet_id: u16) -> bool {
        match self.taken.binary_search(&packet_id) {
            Ok(place) => {
                self.taken.remove(place);
                true
            }
            Err(_) => false,
        }
    }

    pub(super) fn taken_count(&self) -> usize {
        self.taken.len()
    }

    pub(in crate::ingest) fn to_bytes(&self) -> Vec<u8> {
        // Writing to a vector cannot fail.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// `None`: written by another version, or damaged.
    pub(in crate::ingest) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, body) = bytes.split_first()? else { return None };
        postcard::from_bytes(body).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_comes_back_from_its_bytes() {
        let mut kept = Kept { expiry_s: 7, filters: vec!["gateway/#".into()], qos: 2, ..Kept::default() };
        assert!([9, 3, 65_535].into_iter().all(|id| kept.take(id)));
        assert_eq!(Kept::from_bytes(&kept.to_bytes()), Some(kept.clone()));
        assert_eq!(Kept::from_bytes(&[]), None);
        assert_eq!(Kept::from_bytes(&[VERSION + 1, 0, 0, 0, 0]), None);
    }

    #[test]
    fn a_message_is_taken_once_until_it_is_released() {
        let mut kept = Kept::default();
        assert!(kept.take(5) && !kept.take(5));
        assert!(kept.release(5) && !kept.release(5));
        assert!(kept.take(5));
    }
}
