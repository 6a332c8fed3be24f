//! From a Kafka record to line protocol, by the decoders and the encoder that the gateway uses.

use std::collections::HashMap;
use std::time::Duration;

use firmware_protocol::decode::{Decoder, Incoming, settle_times};
use firmware_protocol::derived::Derived;
use firmware_protocol::envelope::{Envelope, Schema};
use firmware_protocol::line;
use firmware_protocol::measurement::Measurement;

use crate::dead_letters::Undeliverable;

/// Gateways with a line encoder of their own kept at a time; above it all are made anew.
const GATEWAYS_MAX: usize = 1_000;

/// Turns records into lines. One per process; keeps what makes encoding cheap.
pub struct LineEncoder {
    decoder: Decoder,
    future_max: Duration,
    measurement: Measurement,
    /// The `gateway` tag is constant per encoder.
    by_gateway: HashMap<String, line::Encoder>,
}

impl LineEncoder {
    /// `future_max`: as in the gateways' configuration, so that both write the same points.
    pub fn new(decoder: Decoder, future_max: Duration) -> Self {
        Self { decoder, future_max, measurement: Measurement::default(), by_gateway: HashMap::new() }
    }

    /// Appends the record's points to `out`; returns how many; none for a hello and its like.
    ///
    /// # Errors
    /// What is wrong with the record: `out` may then hold part of it.
    pub fn encode<'h>(
        &mut self,
        payload: &[u8],
        headers: impl Iterator<Item = (&'h str, &'h [u8])>,
        out: &mut Vec<u8>,
    ) -> Result<usize, Undeliverable> {
        let envelope =
            Envelope::from_headers(headers).map_err(|e| Undeliverable { reason: e.reason(), detail: e.to_string() })?;
        if self.by_gateway.len() >= GATEWAYS_MAX && !self.by_gateway.contains_key(envelope.gateway) {
            self.by_gateway.clear();
        }
        let Self { decoder, future_max, measurement, by_gateway } = self;
        let lines = match by_gateway.get_mut(envelope.gateway) {
            Some(lines) => lines,
            None => {
                let gateway = envelope.gateway.to_owned();
                let tags = [("gateway".to_owned(), gateway.clone())];
                by_gateway.entry(gateway).or_insert_with(|| line::Encoder::new(&tags))
            }
        };
        if envelope.schema != Schema::Raw {
            let derived =
                Derived::from_json(payload).map_err(|e| Undeliverable { reason: "derived", detail: e.to_string() })?;
            lines.derived(out, &derived);
            return Ok(1);
        }
        let Envelope { topic, content_type, table, received, retained: is_replay, .. } = envelope;
        let message = Incoming { topic, payload, content_type, received_at: received.at, is_replay, table };
        let route = decoder
            .decode_as(envelope.decoder, message, measurement)
            .map_err(|e| Undeliverable { reason: e.reason(), detail: e.to_string() })?;
        settle_times(measurement, envelope.received, *future_max);
        match lines.measurement(out, &route.measurement, measurement, envelope.queue_seq) {
            0 if measurement.is_announcement => Ok(0),
            0 => Err(Undeliverable { reason: "not_finite", detail: "no reading is a finite number".into() }),
            points => Ok(points),
        }
    }
}

#[cfg(test)]
mod tests {
    use firmware_protocol::decode::{DecoderName, Route};
    use firmware_protocol::frame::{self, BaseTime, Channel, Frame, Samples};
    use firmware_protocol::measurement::{ClockTrust, EventTime, Received};
    use firmware_protocol::{BootId, DeviceSeq};

    use super::*;

    const PAYLOAD: &[u8] = br#"{"ts":1763730000000,"temperature":21.5}"#;

    const HOUR: Duration = Duration::from_secs(3_600);
    const RECEIVED: Received = Received::known(EventTime(1_763_730_000_000_000_000));
    const ENVELOPE: Envelope<'static> = Envelope {
        schema: Schema::Raw,
        gateway: "gw",
        queue_seq: 7,
        received: RECEIVED,
        topic: "sensors/pump/telemetry",
        door: "mqtt",
        retained: false,
        identity: None,
        content_type: "",
        table: "",
        decoder: None,
    };

    fn encode(schema: Schema, gateway: &str, payload: &[u8]) -> Result<String, Undeliverable> {
        encode_as(Envelope { schema, gateway, ..ENVELOPE }, payload)
    }

    fn encode_as(envelope: Envelope<'_>, payload: &[u8]) -> Result<String, Undeliverable> {
        let mut headers = Vec::new();
        envelope.write_headers(|key, value| headers.push((key, value.to_vec())));
        let mut encoder = LineEncoder::new(Decoder::new(Route::defaults()).unwrap(), HOUR);
        let mut out = Vec::new();
        encoder.encode(payload, headers.iter().map(|(k, v)| (*k, v.as_slice())), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_raw_record_becomes_the_point_that_the_gateway_itself_would_write() {
        let line = encode(Schema::Raw, "gw", PAYLOAD).unwrap();
        assert_eq!(line, "sensor,device=pump,gateway=gw temperature=21.5 1763730000000000007\n");
    }

    #[test]
    fn a_frame_is_the_same_point_whatever_its_sequence_in_the_queue() {
        let channels = [Channel { name: "flow", samples: Samples::F32(&[(0, 1.5)]) }];
        let base = BaseTime::UnixMicros(1_763_730_000_000_000);
        let frame = Frame { device: "pump-7", boot: BootId(3), seq: DeviceSeq(9), base, channels: &channels };
        let mut bytes = [0; 256];
        let length = frame::encode(&frame, &mut bytes).unwrap();
        for queue_seq in [7, 8] {
            let line = encode_as(Envelope { queue_seq, ..ENVELOPE }, &bytes[..length]).unwrap();
            assert_eq!(line, "sensor,device=pump-7,gateway=gw flow=1.5 1763730000000000000\n");
        }
    }

    #[test]
    fn a_retained_copy_without_a_time_of_its_own_is_no_point() {
        let retained = Envelope { retained: true, ..ENVELOPE };
        assert_eq!(encode_as(retained, br#"{"temperature":21.5}"#).unwrap_err().reason, "retained");
        assert!(encode_as(retained, PAYLOAD).is_ok());
    }

    #[test]
    fn the_content_type_travels_with_the_record_and_decides() {
        let payload = b"sensor,gateway=elsewhere temperature=21.5 1763730000";
        let content_type = "application/vnd.influx.line-protocol; precision=s";
        let line = encode_as(Envelope { content_type, ..ENVELOPE }, payload).unwrap();
        assert_eq!(line, "sensor,device=pump,gateway=gw temperature=21.5 1763730000000000007\n");
        assert_eq!(encode(Schema::Raw, "gw", payload).unwrap_err().reason, "not_a_number");
    }

    #[test]
    fn a_reading_from_the_future_gets_the_received_time_as_the_gateway_itself_would_give_it() {
        let line = encode(Schema::Raw, "gw", br#"{"ts":1863730000000,"temperature":21.5}"#).unwrap();
        assert_eq!(line, "sensor,device=pump,gateway=gw temperature=21.5 1763730000000000007\n");
    }

    #[test]
    fn a_received_time_that_is_not_known_well_is_marked_on_what_depends_on_it() {
        let received = Received { clock: ClockTrust::Unsynchronised, ..RECEIVED };
        let line = encode_as(Envelope { received, ..ENVELOPE }, br#"{"temperature":21.5}"#).unwrap();
        assert!(line.starts_with("sensor,clock=unsynchronised,device=pump,gateway=gw "), "{line}");
        let line = encode_as(Envelope { received, ..ENVELOPE }, PAYLOAD).unwrap();
        assert!(line.starts_with("sensor,device=pump,gateway=gw "), "the device gave the time: {line}");
    }

    #[test]
    fn what_no_decoder_reads_is_undeliverable_with_its_reason() {
        assert_eq!(encode(Schema::Raw, "gw", b"{\"ts\":").unwrap_err().reason, "json");
        assert_eq!(encode(Schema::Window, "gw", b"{}").unwrap_err().reason, "derived");
    }

    #[test]
    fn a_record_of_a_decoder_that_is_not_here_is_undeliverable_and_says_which_table_to_copy() {
        let encode = |name: &str| encode_as(Envelope { decoder: DecoderName::parse(name), ..ENVELOPE }, PAYLOAD);
        assert!(encode("sensors/{device}/telemetry/1").is_ok());
        for (name, reason) in [("sensors/{device}/telemetry/2", "decoder_version"), ("zigbee/1", "decoder_unknown")] {
            let why = encode(name).unwrap_err();
            assert_eq!(why.reason, reason);
            assert!(why.detail.contains("copy its [[decode]] table"), "{}", why.detail);
        }
    }

    #[test]
    fn a_record_without_headers_is_undeliverable() {
        let mut encoder = LineEncoder::new(Decoder::new(Route::defaults()).unwrap(), HOUR);
        let mut out = Vec::new();
        assert_eq!(encoder.encode(PAYLOAD, std::iter::empty(), &mut out).unwrap_err().reason, "header_missing");
        assert!(out.is_empty());
    }
}
