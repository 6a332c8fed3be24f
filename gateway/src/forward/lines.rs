//! Records to InfluxDB line protocol, for every sink that wants lines.

use std::sync::Arc;
use std::time::Duration;

use firmware_protocol::decode::{Decoder, Incoming, settle_times};
use firmware_protocol::derived::Derived;
use firmware_protocol::line;
use firmware_protocol::measurement::{ClockTrust, Measurement};

use super::filter::{Name, Patterns};
use super::{Labels, Times, Undeliverable};
use crate::clock::SharedClockMap;
use crate::queue::{Log, QueueSeq, Record};

/// Keeps its buffers, so that a stream is encoded without an allocation per record.
pub(super) struct Lines {
    decoder: Arc<Decoder>,
    clock: SharedClockMap,
    future_max: Duration,
    /// Readings of other channels are left out.
    channels: Patterns<Name>,
    encoder: line::Encoder,
    measurement: Measurement,
    out: Vec<u8>,
}

impl Lines {
    pub(super) fn new(decoder: Arc<Decoder>, clock: SharedClockMap, future_max: Duration, labels: &Labels) -> Self {
        let tags = [("gateway".to_owned(), labels.gateway.clone()), ("site".to_owned(), labels.site.clone())];
        let (encoder, measurement) = (line::Encoder::new(&tags), Measurement::default());
        Self { decoder, clock, future_max, channels: Patterns::default(), encoder, measurement, out: Vec::new() }
    }

    /// The same, of these channels alone.
    pub(super) fn of_channels(self, channels: &Patterns<Name>) -> Self {
        Self { channels: channels.clone(), ..self }
    }

    pub(super) fn push(&mut self, log: Log, seq: QueueSeq, record: &Record) -> Result<Times, Undeliverable> {
        match log {
            Log::Raw => self.push_raw(seq, record),
            Log::Derived => {
                let derived = derived(record)?;
                self.encoder.derived(&mut self.out, &derived);
                Ok(Times::default())
            }
        }
    }

    fn push_raw(&mut self, seq: QueueSeq, record: &Record) -> Result<Times, Undeliverable> {
        let received = self.clock.resolve(record.received);
        let content_type = record.content_type();
        let incoming = Incoming {
            topic: topic(record)?,
            payload: &record.payload,
            content_type,
            received_at: received.at,
            is_replay: record.is_replay(),
            table: record.table(),
        };
        let route = self
            .decoder
            .decode(incoming, &mut self.measurement)
            .map_err(|e| Undeliverable { reason: e.reason(), detail: e.to_string() })?;
        if !self.channels.takes_all() && !self.measurement.is_announcement {
            self.measurement.retain_channels(|channel| self.channels.takes(channel));
            if self.measurement.is_empty() {
                return Ok(Times { is_left_out: true, ..Times::default() });
            }
        }
        let future = settle_times(&mut self.measurement, received, self.future_max);
        match self.encoder.measurement(&mut self.out, &route.measurement, &self.measurement, seq.0) {
            // A hello, or the end of a session: nothing to be written, and nothing amiss.
            0 if self.measurement.is_announcement => Ok(Times::default()),
            0 => Err(Undeliverable { reason: "not_finite", detail: "no reading is a finite number".into() }),
            _ => Ok(Times { future, is_marked: self.measurement.clock != ClockTrust::Set, is_left_out: false }),
        }
    }

    /// All lines since they were last cleared.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// For sinks that change lines once more.
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Keeps the allocation.
    pub(super) fn clear(&mut self) {
        self.out.clear();
    }
}

/// The topic as text: MQTT says that it is, other doors may not.
pub(super) fn topic(record: &Record) -> Result<&str, Undeliverable> {
    std::str::from_utf8(&record.topic)
        .map_err(|e| Undeliverable { reason: "topic_not_utf8", detail: format!("topic is not UTF-8: {e}") })
}

pub(super) fn derived(record: &Record) -> Result<Derived, Undeliverable> {
    Derived::from_json(&record.payload)
        .map_err(|e| Undeliverable { reason: "derived", detail: format!("derived record is of another version: {e}") })
}

#[cfg(test)]
mod tests {
    use firmware_protocol::frame::{BaseTime, ChannelTable, Hello, encode};
    use firmware_protocol::{BootId, DeviceSeq};

    use super::*;
    use crate::clock::{ClockBoot, ClockMap};
    use crate::forward::testing::{decoder, frame, gap, labels, record, retained};
    use crate::queue::Door;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn lines() -> Lines {
        let mut map = ClockMap::default();
        map.set(ClockBoot(1), 1_700_000_000_000_000_000);
        let shared = SharedClockMap::default();
        shared.restore(&map.to_bytes());
        Lines::new(decoder(), shared, HOUR, &labels())
    }

    fn text(lines: &Lines) -> &str {
        std::str::from_utf8(lines.bytes()).unwrap()
    }

    #[test]
    fn a_record_without_a_time_of_its_own_gets_the_resolved_time_of_receipt() {
        let mut lines = lines();
        lines.push(Log::Raw, QueueSeq(0), &record("sensors/press-07", br#"{"temperature":21.5}"#)).unwrap();
        assert_eq!(text(&lines), "sensor,device=press-07,gateway=edge-1 temperature=21.5 1700000000002000000\n");
    }

    #[test]
    fn readings_of_other_channels_are_left_out_and_a_record_without_any_is_not_for_this_sink() {
        let channels = Patterns::parse(["temp*", "!temp-raw"]).unwrap();
        let mut lines = lines().of_channels(&channels);
        let both = record("sensors/a", br#"{"temp":1,"temp-raw":7,"flow":2,"ts":1700000000123}"#);
        let neither = record("sensors/a", br#"{"flow":2,"ts":1700000000123}"#);
        assert!(!lines.push(Log::Raw, QueueSeq(0), &both).unwrap().is_left_out);
        assert!(lines.push(Log::Raw, QueueSeq(1), &neither).unwrap().is_left_out);
        assert_eq!(text(&lines), "sensor,device=a,gateway=edge-1 temp=1 1700000000123000000\n");
        let poison = lines.push(Log::Raw, QueueSeq(2), &record("sensors/a", b"?"));
        assert_eq!(poison.unwrap_err().reason, "not_a_number");
    }

    #[test]
    fn points_of_one_time_are_told_apart_by_the_queues_sequence() {
        let mut lines = lines();
        for seq in [5, 6] {
            let record = record("sensors/a", br#"{"x":1,"ts":1700000000000}"#);
            lines.push(Log::Raw, QueueSeq(seq), &record).unwrap();
        }
        let times: Vec<_> = text(&lines).lines().map(|l| l.rsplit(' ').next().unwrap()).collect();
        assert_eq!(times, ["1700000000000000005", "1700000000000000006"]);
    }

    #[test]
    fn a_frame_is_the_same_point_wherever_the_queue_has_it() {
        let mut lines = lines();
        for seq in [5, 1_000_006] {
            lines.push(Log::Raw, QueueSeq(seq), &frame()).unwrap();
        }
        let line = "sensor,device=pump-7,gateway=edge-1 flow=1.5 1700000000000000000\n";
        assert_eq!(text(&lines), [line, line].concat());
    }

    #[test]
    fn a_retained_copy_without_a_time_of_its_own_is_no_reading_but_a_sensors_own_message_is() {
        let mut lines = lines();
        let timeless = retained(record("sensors/a", br#"{"x":1}"#));
        assert_eq!(lines.push(Log::Raw, QueueSeq(0), &timeless).unwrap_err().reason, "retained");
        assert_eq!(lines.bytes(), b"");
        let of_sensor = Record { door: Door::Listen, ..timeless };
        lines.push(Log::Raw, QueueSeq(0), &of_sensor).unwrap();
        lines.push(Log::Raw, QueueSeq(0), &retained(record("sensors/a", br#"{"x":1,"ts":1700000000000}"#))).unwrap();
        assert_eq!(text(&lines).lines().count(), 2);
    }

    #[test]
    fn a_reading_from_the_future_is_written_with_the_time_of_receipt_and_told() {
        let mut lines = lines();
        let an_hour_and_a_bit_ahead = record("sensors/a", br#"{"x":1,"ts":1700003600003}"#);
        let times = lines.push(Log::Raw, QueueSeq(0), &an_hour_and_a_bit_ahead).unwrap();
        assert_eq!(times, Times { future: 1, ..Times::default() });
        assert_eq!(text(&lines), "sensor,device=a,gateway=edge-1 x=1 1700000000002000000\n");
    }

    #[test]
    fn a_time_of_receipt_that_is_not_known_is_marked_and_a_time_of_the_device_is_not() {
        let clock = SharedClockMap::default();
        clock.write().note(ClockBoot(1), 0);
        let mut lines = Lines::new(decoder(), clock, HOUR, &labels());
        let times = lines.push(Log::Raw, QueueSeq(0), &record("sensors/a", br#"{"x":1}"#)).unwrap();
        assert_eq!(times, Times { is_marked: true, ..Times::default() });
        assert_eq!(text(&lines), "sensor,clock=unsynchronised,device=a,gateway=edge-1 x=1 2000000\n");
        lines.clear();
        let times = lines.push(Log::Raw, QueueSeq(0), &record("sensors/a", br#"{"x":1,"ts":1700003600003}"#)).unwrap();
        assert_eq!(times, Times::default(), "and nothing is known to be in the future");
        assert_eq!(text(&lines), "sensor,device=a,gateway=edge-1 x=1 1700003600003000000\n");
    }

    #[test]
    fn a_hello_is_taken_and_leaves_no_line() {
        let mut lines = lines();
        let table = ChannelTable::new(&[]).unwrap();
        let base = BaseTime::SinceBootMicros(0);
        let hello = Hello { device: "pump-7", boot: BootId(1), seq: DeviceSeq(0), base, table };
        let mut bytes = [0; 64];
        let length = encode(&hello, &mut bytes).unwrap();
        assert!(lines.push(Log::Raw, QueueSeq(0), &record("sensors/a", &bytes[..length])).is_ok());
        assert_eq!(lines.bytes(), b"");
    }

    #[test]
    fn derived_records_become_points_of_their_own() {
        let mut lines = lines();
        lines.push(Log::Derived, QueueSeq(0), &gap("press-07")).unwrap();
        assert!(text(&lines).starts_with("sensor_gap,device=press-07,gateway=edge-1,reason=lost "), "{}", text(&lines));
    }

    #[test]
    fn a_record_that_cannot_be_decoded_leaves_no_line_and_tells_why() {
        let mut lines = lines();
        for (topic, payload, log) in [
            ("elsewhere/a", &b"{\"x\":1}"[..], Log::Raw),
            ("sensors/a", b"{\"x\":", Log::Raw),
            ("sensors/a", b"{\"x\":\"high\"}", Log::Raw),
            ("", b"{\"schema\":\"window/99\"}", Log::Derived),
        ] {
            let why = lines.push(log, QueueSeq(0), &record(topic, payload)).unwrap_err();
            assert!(!why.reason.is_empty() && !why.detail.is_empty());
            assert_eq!(lines.bytes(), b"");
        }
    }
}
