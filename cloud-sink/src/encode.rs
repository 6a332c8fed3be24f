//! From a Kafka record to line protocol, by the decoders and the encoder that the gateway uses.

use std::collections::HashMap;
use std::time::Duration;

use firmware_protocol::decode::{Decoder, Incoming, settle_times};
use firmware_protocol::derived::Derived;
use firmware_protocol::envelope::{Envelope, Schema};
use firmware_protocol::line;
use firmware_protocol::measurement::Measurement;

/// Gateways with a line encoder of their own kept at a time; above it all are made anew.
const GATEWAYS_MAX: usize = 1_000;

/// Why a record cannot become points. `reason` is a label of few values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undeliverable {
    pub reason: &'static str,
    pub detail: String,
}

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

    /// Appends the record's points to `out`; returns how many, at least one.
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
        let message = Incoming { topic: envelope.topic, payload, received_at: envelope.received.at };
        let route = decoder
            .decode(message, measurement)
            .map_err(|e| Undeliverable { reason: e.reason(), detail: e.to_string() })?;
        settle_times(measurement, envelope.received, *future_max);
        match lines.measurement(out, &route.measurement, measurement, envelope.queue_seq) {
            0 => Err(Undeliverable { reason: "not_finite", detail: "no reading is a finite number".into() }),
            points => Ok(points),
        }
    }
}

#[cfg(test)]
mod tests {
    use firmware_protocol::decode::Route;
    use firmware_protocol::measurement::{ClockTrust, EventTime, Received};

    use super::*;

    const PAYLOAD: &[u8] = br#"{"ts":1763730000000,"temperature":21.5}"#;

    const HOUR: Duration = Duration::from_secs(3_600);
    const RECEIVED: Received = Received::known(EventTime(1_763_730_000_000_000_000));

    fn encode(schema: Schema, gateway: &str, payload: &[u8]) -> Result<String, Undeliverable> {
        encode_received(RECEIVED, schema, gateway, payload)
    }

    fn encode_received(
        received: Received,
        schema: Schema,
        gateway: &str,
        payload: &[u8],
    ) -> Result<String, Undeliverable> {
        let envelope = Envelope {
            schema,
            gateway,
            queue_seq: 7,
            received,
            topic: "sensors/pump/telemetry",
            door: "mqtt",
            retained: false,
            identity: None,
            content_type: "",
        };
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
    fn a_reading_from_the_future_gets_the_received_time_as_the_gateway_itself_would_give_it() {
        let line = encode(Schema::Raw, "gw", br#"{"ts":1863730000000,"temperature":21.5}"#).unwrap();
        assert_eq!(line, "sensor,device=pump,gateway=gw temperature=21.5 1763730000000000007\n");
    }

    #[test]
    fn a_received_time_that_is_not_known_well_is_marked_on_what_depends_on_it() {
        let received = Received { clock: ClockTrust::Unsynchronised, ..RECEIVED };
        let line = encode_received(received, Schema::Raw, "gw", br#"{"temperature":21.5}"#).unwrap();
        assert!(line.starts_with("sensor,clock=unsynchronised,device=pump,gateway=gw "), "{line}");
        let line = encode_received(received, Schema::Raw, "gw", PAYLOAD).unwrap();
        assert!(line.starts_with("sensor,device=pump,gateway=gw "), "the device gave the time: {line}");
    }

    #[test]
    fn what_no_decoder_reads_is_undeliverable_with_its_reason() {
        assert_eq!(encode(Schema::Raw, "gw", b"{\"ts\":").unwrap_err().reason, "json");
        assert_eq!(encode(Schema::Window, "gw", b"{}").unwrap_err().reason, "derived");
    }

    #[test]
    fn a_record_without_headers_is_undeliverable() {
        let mut encoder = LineEncoder::new(Decoder::new(Route::defaults()).unwrap(), HOUR);
        let mut out = Vec::new();
        assert_eq!(encoder.encode(PAYLOAD, std::iter::empty(), &mut out).unwrap_err().reason, "header_missing");
        assert!(out.is_empty());
    }
}
