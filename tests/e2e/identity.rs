//! A firmware frame says who it is: through two doors, or again after a crash, it is one record.

use anyhow::Result;
use firmware_protocol::content_type::FRAME;
use firmware_protocol::frame::{BaseTime, Channel, FRAME_MAX_BYTES, Frame, Samples, encode};
use firmware_protocol::{BootId, DeviceSeq};
use reqwest::StatusCode;
use tests::gateway::{Gateway, Home};
use tests::publisher::{Connection, Target};
use tests::stored::{KEEP, stored};

const DEVICE: &str = "pump-7";
const TOPIC: &str = "sensors/pump-7/telemetry";
const FRAMES: u32 = 200;
/// Acknowledged when the kill strikes.
const ACKED: u32 = 60;
/// Sent by HTTP as well, some of them before they come by MQTT.
const BY_HTTP: [std::ops::Range<u32>; 2] = [0..30, 170..230];

fn frame(seq: u32) -> Result<Vec<u8>> {
    let samples = [(0, 20.0 + f64::from(seq) / 10.0)];
    let frame = Frame {
        device: DEVICE,
        boot: BootId(7),
        seq: DeviceSeq(seq),
        base: BaseTime::UnixMicros(1_600_000_000_000_000 + i64::from(seq) * 1_000_000),
        channels: &[Channel { name: "temperature", samples: Samples::F64(&samples) }],
    };
    let mut bytes = vec![0; FRAME_MAX_BYTES];
    let length = encode(&frame, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Sends the first frames by MQTT and returns once so many are acknowledged.
async fn send(target: &Target, acked: u32, again: bool) -> Result<()> {
    let mut connection = Connection::open(target, DEVICE).await?;
    for seq in 0..FRAMES {
        connection.push(TOPIC.to_owned(), frame(seq)?, again)?;
    }
    connection.flush().await?;
    for _ in 0..acked {
        connection.next_ack().await?;
    }
    Ok(())
}

async fn send_by_http(gateway: &Gateway) -> Result<()> {
    for seq in BY_HTTP.into_iter().flatten() {
        let answer = gateway.post(&format!("/v1/ingest/{TOPIC}"), FRAME, frame(seq)?).await?;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "frame {seq}: {}", answer.text().await?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_comes_through_two_doors_and_again_after_a_kill_is_stored_once() -> Result<()> {
    let home = Home::new()?;
    let config = home.config().without_detection().queue(KEEP).listen();
    let gateway = Gateway::start(&home, &config, "").await?;
    send_by_http(&gateway).await?;
    send(&home.listen(), ACKED, false).await?;
    gateway.kill()?;

    let gateway = Gateway::start(&home, &config, "").await?;
    send(&home.listen(), FRAMES, true).await?;
    send_by_http(&gateway).await?;
    let repeats = gateway.metrics().await?.count("gateway_ingest_repeats_total", &[])?;
    gateway.terminate().await?;

    let stored = stored(&home).await?;
    let mut payloads: Vec<&str> = stored.iter().map(|record| record.payload.as_str()).collect();
    payloads.sort_unstable();
    payloads.dedup();
    println!("{} frames, {} records, {repeats} repeats since the kill", BY_HTTP[1].end, stored.len());
    let sent = BY_HTTP[1].end as usize;
    assert_eq!((payloads.len(), stored.len()), (sent, sent));
    assert!(repeats >= u64::from(ACKED), "{repeats}");
    Ok(())
}
