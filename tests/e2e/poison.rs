//! Messages that nobody can read, among good ones: counted and kept, and in nobody's way.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use firmware_protocol::crc::crc32;
use firmware_protocol::frame::{BaseTime, Channel, FRAME_MAX_BYTES, Frame, Samples, encode};
use firmware_protocol::{BootId, DeviceSeq};
use tests::eventually::eventually;
use tests::fleet::{Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::link::Link;
use tests::oracle::Oracle;
use tests::publisher::publish_all;
use tests::stack;

use crate::DELIVERY;

const PLAN: Plan = Plan { name: "good", seed: 41, devices: 5, messages: 2_000, messages_per_second: 2_000 };

/// Topic, payload, and the reason under which it is counted.
type Poison = (&'static str, Vec<u8>, &'static str);

const JSON: &str = "sensors/bad/telemetry";
/// Decoded by `ROUTES`.
const ARRAYS: &str = "arrays/bad";
const CBOR: &str = "cbor/bad";
const ROUTES: &str = r#"topic = "arrays/{device}"
[[decode.channels]]
path = "a[*]"
every = "1ms"

[[decode]]
topic = "cbor/{device}"
format = "cbor"

[[decode]]
topic = "sensors/{device}/telemetry""#;

/// One of each kind that devices are known to send.
fn poison() -> Result<Vec<Poison>> {
    let text = |topic, payload: &str, reason| (topic, payload.as_bytes().to_vec(), reason);
    let samples = Samples::F32(&[(0, 1.5)]);
    let channels = ["flow", "flux"].map(|name| Channel { name, samples });
    let base = BaseTime::UnixMicros(1_600_000_000_000_000);
    let mut frame = vec![0; FRAME_MAX_BYTES];
    let length =
        encode(&Frame { device: "bad", boot: BootId(1), seq: DeviceSeq(1), base, channels: &channels }, &mut frame)?;
    frame.truncate(length);
    let sealed = |content: &[u8]| [content, &crc32(content).to_le_bytes()].concat();
    let content = &frame[..length - 4];
    let place = content.windows(4).position(|four| four == b"flux").context("the frame has its channel")?;
    let twice = [&content[..place], b"flow", &content[place + 4..]].concat();
    let mut damaged = frame.clone();
    damaged[length / 2] ^= 1;
    Ok(vec![
        text(JSON, "{\"ts\":1600000000000,\"temperature\":", "json"),
        (JSON, b"\xff\xfe\x00\x01".to_vec(), "not_a_number"),
        (JSON, b"{\"a\":\"\xff\",\"b\":1}".to_vec(), "not_utf8"),
        text(JSON, "", "not_a_number"),
        text(JSON, "{\"ts\":\"the day after\",\"temperature\":1}", "bad_time"),
        text(JSON, "{\"ts\":1600000000000,\"state\":\"no number in it\"}", "no_readings"),
        text(JSON, "{\"temperature\":1,\"temperature\":2}", "duplicate_channel"),
        (JSON, [b"{\"a\":".repeat(1_000), b"1".to_vec(), b"}".repeat(1_000)].concat(), "too_deep"),
        text(JSON, &format!("{{\"{}\":1}}", "x".repeat(10_000)), "too_large"),
        text(ARRAYS, &format!("{{\"a\":[{}0]}}", "0,".repeat(100_000)), "too_large"),
        (CBOR, b"\xa1\x61x\xf9\x7e\x00".to_vec(), "not_finite"),
        (CBOR, b"\xa1\x61x\xf9\x7c\x00".to_vec(), "not_finite"),
        (CBOR, b"\xa1\x61x\x9b\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), "cbor"),
        (JSON, damaged, "frame_crc"),
        (JSON, frame[..3].to_vec(), "frame_truncated"),
        (JSON, sealed(&twice), "frame_duplicate_channel"),
        (JSON, sealed(&[content, &vec![0; FRAME_MAX_BYTES]].concat()), "frame_too_large"),
        (JSON, sealed(b"SG\x09\x00whatever that will be"), "frame_version"),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_quarantined_and_counted_and_the_good_messages_around_it_are_stored() -> Result<()> {
    let kafka = stack::kafka().await?;
    let influx = stack::bucket("poison").await?;
    let home = Home::new()?;
    let config = home.config().listen().influx(influx.url(), &influx).kafka(kafka.bootstrap(), "poison").decode(ROUTES);
    let gateway = Gateway::start(&home, &config, influx.token()).await?;

    let fleet = Fleet::start(PLAN, home.listen());
    fleet.acked(PLAN.messages / 4).await?;
    // Poison is acknowledged like any message: a sensor that sent it would only send it again.
    let poison = poison()?;
    let messages: Vec<_> = poison.iter().map(|(topic, payload, _)| (*topic, payload.as_slice())).collect();
    publish_all(&home.listen(), "bad", &messages).await?;
    let sent = fleet.finish().await?;

    let oracle = Oracle::new(&[&sent]);
    oracle.expect_in_influx(&influx, DELIVERY).await?;
    oracle.expect_in_kafka(kafka.bootstrap(), "poison.raw", DELIVERY).await?;
    let mut reasons = BTreeMap::<_, u64>::new();
    for (_, _, reason) in &poison {
        *reasons.entry(*reason).or_default() += 1;
    }
    eventually("the books of the poison", DELIVERY, async || {
        let metrics = gateway.metrics().await?;
        for (reason, expected) in &reasons {
            let labels = ["sink=\"influx", &format!("reason=\"{reason}\"")];
            let quarantined = metrics.sum("gateway_forward_quarantined_total", &labels).unwrap_or_default() as u64;
            ensure!(quarantined == *expected, "{quarantined} of {expected} `{reason}` quarantined");
        }
        let quarantined = metrics.count("gateway_forward_quarantined_total", &["sink=\"influx"])?;
        ensure!(quarantined == poison.len() as u64, "{quarantined} of {} quarantined by InfluxDB's sink", poison.len());
        let undecodable = metrics.count("gateway_detect_undecodable_total", &[])?;
        ensure!(undecodable == poison.len() as u64, "{undecodable} of {} undecodable for detection", poison.len());
        Ok(())
    })
    .await?;

    let entries = tests::kafka::read_topic(kafka.bootstrap(), "poison.raw")?;
    let mut kept = String::new();
    for file in std::fs::read_dir(home.data_dir().join("quarantine/influx"))? {
        kept += &std::fs::read_to_string(file?.path())?;
    }
    for (_, payload, reason) in &poison {
        assert!(entries.iter().any(|e| e.value == *payload), "raw goes to Kafka as it came: {reason}");
        let line = format!("\"payload_base64\":\"{}\"", BASE64_STANDARD.encode(payload));
        assert!(kept.lines().any(|kept| kept.contains(&line) && kept.contains(reason)), "kept byte for byte: {reason}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_point_that_influxdb_refuses_among_5000_is_kept_with_its_words_and_the_others_are_stored() -> Result<()> {
    const MESSAGES: usize = 5_000;
    const FIRST_AT_MS: usize = 1_600_000_000_000;
    let influx = stack::bucket("conflict").await?;
    // From now on `mode` is a text for this measurement.
    influx.write(format!("sensor,device=other mode=\"auto\" {FIRST_AT_MS}000000\n")).await?;
    let home = Home::new()?;
    // The link is cut until all is there, so that it goes out in full batches.
    let link = Link::to(influx.url().strip_prefix("http://").context("InfluxDB is reached by http")?.parse()?).await?;
    link.cut();
    let config = home.config().listen().influx(&format!("http://{}", link.address()), &influx);
    let gateway = Gateway::start(&home, &config, influx.token()).await?;
    let payloads: Vec<String> = (0..MESSAGES)
        .map(|i| format!("{{\"ts\":{},\"n\":{i}{}}}", FIRST_AT_MS + i, if i == 3_210 { ",\"mode\":2" } else { "" }))
        .collect();
    let messages: Vec<_> = payloads.iter().map(|payload| ("sensors/press/telemetry", payload.as_bytes())).collect();
    publish_all(&home.listen(), "press", &messages).await?;
    gateway.accepted(MESSAGES as u64).await?;
    link.restore();

    eventually("all points but one", DELIVERY, async || {
        let stored = influx.count("sensor", "n").await?;
        ensure!(stored == MESSAGES as u64 - 1, "{stored} points");
        let quarantined = gateway.metrics().await?.count("gateway_forward_quarantined_total", &["sink=\"influx"])?;
        ensure!(quarantined == 1, "{quarantined} quarantined");
        Ok(())
    })
    .await?;
    let mut kept = String::new();
    for file in std::fs::read_dir(home.data_dir().join("quarantine/influx"))? {
        kept += &std::fs::read_to_string(file?.path())?;
    }
    assert_eq!(kept.lines().count(), 1, "{kept}");
    assert!(kept.contains(&BASE64_STANDARD.encode(&payloads[3_210])), "{kept}");
    assert!(kept.contains("field type conflict: input field") && kept.contains("mode"), "the server's words: {kept}");
    Ok(())
}
