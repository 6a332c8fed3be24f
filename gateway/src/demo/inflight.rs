//! The publishing half of an MQTT session, pure: what was sent and not acknowledged, under a bound.
//!
//! # Invariants
//! - A message is counted as acknowledged only by the PUBACK with its packet id.
//! - After a reconnect everything unacknowledged goes out again, in order, marked as a repeat.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use rumqttc::QoS;
use rumqttc::mqttbytes::v4::Publish;

/// DUP in the first byte of a PUBLISH.
const DUP: u8 = 0b1000;

struct Unacked {
    packet_id: u16,
    /// As it was written; the first byte is marked when it is written again.
    packet: Bytes,
}

pub struct Inflight {
    unacked: VecDeque<Unacked>,
    max: usize,
    last_id: u16,
}

impl Inflight {
    pub fn new(max: u16) -> Self {
        Self { unacked: VecDeque::new(), max: usize::from(max), last_id: 0 }
    }

    /// Whether one more message may go out now.
    pub fn has_room(&self) -> bool {
        // Ids are given in turn, so the first collision would be with the oldest one.
        self.unacked.len() < self.max && self.unacked.front().is_none_or(|u| u.packet_id != next_id(self.last_id))
    }

    pub fn is_empty(&self) -> bool {
        self.unacked.is_empty()
    }

    /// Writes a QoS 1 message and remembers it. Only while [`Self::has_room`].
    pub fn publish(
        &mut self,
        topic: &str,
        payload: Bytes,
        out: &mut BytesMut,
    ) -> Result<(), rumqttc::mqttbytes::Error> {
        debug_assert!(self.has_room());
        let mut publish = Publish::from_bytes(topic, QoS::AtLeastOnce, payload);
        publish.pkid = next_id(self.last_id);
        let start = out.len();
        publish.write(out)?;
        self.last_id = publish.pkid;
        self.unacked.push_back(Unacked { packet_id: publish.pkid, packet: Bytes::copy_from_slice(&out[start..]) });
        Ok(())
    }

    /// Whether the id was one that we wait for.
    pub fn acknowledge(&mut self, packet_id: u16) -> bool {
        // Brokers acknowledge in order, so it is the first one.
        let found = self.unacked.iter().position(|u| u.packet_id == packet_id);
        found.is_some_and(|i| self.unacked.remove(i).is_some())
    }

    /// Writes everything unacknowledged again. Returns how many that are.
    pub fn repeat(&mut self, out: &mut BytesMut) -> u64 {
        for unacked in &self.unacked {
            let start = out.len();
            out.extend_from_slice(&unacked.packet);
            out[start] |= DUP;
        }
        self.unacked.len() as u64
    }
}

fn next_id(id: u16) -> u16 {
    // 0 is no packet id.
    id.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use rumqttc::mqttbytes::v4::Packet;

    use super::*;

    fn read(bytes: &mut BytesMut) -> Publish {
        let Packet::Publish(publish) = Packet::read(bytes, 1_024).unwrap() else { panic!("no PUBLISH") };
        publish
    }

    fn with(messages: &[&'static str]) -> (Inflight, BytesMut) {
        let (mut inflight, mut out) = (Inflight::new(3), BytesMut::new());
        for m in messages {
            inflight.publish("t", Bytes::from_static(m.as_bytes()), &mut out).unwrap();
        }
        (inflight, out)
    }

    #[test]
    fn a_full_window_has_room_again_after_an_acknowledgement() {
        let (mut inflight, _) = with(&["a", "b", "c"]);
        assert!(!inflight.has_room());
        assert!(inflight.acknowledge(1));
        assert!(inflight.has_room());
    }

    #[test]
    fn an_acknowledgement_counts_once_and_a_foreign_one_not_at_all() {
        let (mut inflight, _) = with(&["a"]);
        assert!(!inflight.acknowledge(9));
        assert!(inflight.acknowledge(1));
        assert!(!inflight.acknowledge(1));
        assert!(inflight.is_empty());
    }

    #[test]
    fn what_was_not_acknowledged_is_repeated_in_order_with_the_same_ids_and_marked() {
        let (mut inflight, _) = with(&["a", "b", "c"]);
        inflight.acknowledge(2);
        let mut out = BytesMut::new();
        assert_eq!(inflight.repeat(&mut out), 2);
        for (id, payload) in [(1, "a"), (3, "c")] {
            let p = read(&mut out);
            assert_eq!((p.pkid, p.dup, p.payload.as_ref()), (id, true, payload.as_bytes()));
        }
    }

    #[test]
    fn ids_go_round_without_zero_and_never_meet_one_in_use() {
        let (mut inflight, mut out) = (Inflight::new(500), BytesMut::new());
        inflight.publish("t", Bytes::new(), &mut out).unwrap();
        for _ in 0..65_534 {
            inflight.publish("t", Bytes::new(), &mut out).unwrap();
            let id = inflight.last_id;
            assert!(id > 1);
            assert!(inflight.acknowledge(id));
        }
        assert!(!inflight.has_room(), "the next id is still unacknowledged");
        assert!(inflight.acknowledge(1));
        inflight.publish("t", Bytes::new(), &mut out).unwrap();
        assert_eq!(inflight.last_id, 1);
    }
}
