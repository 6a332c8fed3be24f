//! Frames that number their channels, before the hello that names them: acknowledged means that they come, whatever
//! happens to the gateway meanwhile.

use anyhow::{Result, ensure};
use firmware_protocol::content_type::FRAME;
use firmware_protocol::frame::{
    BaseTime, ChannelInfo, ChannelTable, FRAME_MAX_BYTES, Hello, Kind, Numbered, NumberedFrame, Samples, encode,
};
use firmware_protocol::{BootId, DeviceSeq};
use reqwest::StatusCode;
use tests::eventually::eventually;
use tests::gateway::{Gateway, Home};
use tests::publisher::{Connection, Target};

use crate::DELIVERY;

const DEVICE: &str = "pump-7";
const TOPIC: &str = "sensors/frames";
const FRAMES: u32 = 50;
const TABLE: ChannelTable<'static> = match ChannelTable::new(&[
    ChannelInfo { name: "flow", unit: "l/min", kind: Kind::F32, range: None, interval_micros: 1_000_000 },
    ChannelInfo { name: "level", unit: "%", kind: Kind::F32, range: None, interval_micros: 0 },
]) {
    Ok(table) => table,
    Err(_) => panic!("it is valid"),
};

fn at_micros(seq: u32) -> i64 {
    1_600_000_000_000_000 + i64::from(seq) * 1_000_000
}

fn encoded(frame: &impl firmware_protocol::frame::Encode) -> Result<Vec<u8>> {
    let mut bytes = vec![0; FRAME_MAX_BYTES];
    let length = encode(frame, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Of the channel 1 alone, "level".
fn numbered(seq: u32) -> Result<Vec<u8>> {
    encoded(&NumberedFrame {
        device: DEVICE,
        boot: BootId(7),
        seq: DeviceSeq(seq),
        base: BaseTime::UnixMicros(at_micros(seq)),
        table: TABLE.id(),
        channels: &[Numbered { number: 1, samples: Samples::F32(&[(0, seq as f32)]) }],
    })
}

fn hello(seq: u32) -> Result<Vec<u8>> {
    let base = BaseTime::UnixMicros(at_micros(seq));
    encoded(&Hello { device: DEVICE, boot: BootId(7), seq: DeviceSeq(seq), base, table: TABLE })
}

/// Sends the frames by MQTT and returns once all are acknowledged.
async fn send(target: &Target, frames: Vec<Vec<u8>>) -> Result<()> {
    let mut connection = Connection::open(target, DEVICE).await?;
    let count = frames.len();
    for frame in frames {
        connection.push(TOPIC.to_owned(), frame, false)?;
    }
    connection.flush().await?;
    for _ in 0..count {
        connection.next_ack().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_that_came_before_their_hello_and_two_kills_are_all_delivered_with_their_names() -> Result<()> {
    let home = Home::new()?;
    let config = home.config().without_detection().listen().with("\n[[file]]");
    let gateway = Gateway::start(&home, &config, "").await?;
    send(&home.listen(), (0..FRAMES).map(numbered).collect::<Result<_>>()?).await?;
    gateway.kill()?;

    let gateway = Gateway::start(&home, &config, "").await?;
    let answer = gateway.post(&format!("/v1/ingest/{TOPIC}"), FRAME, numbered(FRAMES)?).await?;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.text().await?, r#"{"stored":1,"hello_wanted":["pump-7"]}"#);
    let waiting = gateway.metrics().await?.count("gateway_frames_waiting", &[])?;
    assert_eq!(waiting, u64::from(FRAMES) + 1, "the first ones are there again");
    gateway.kill()?;

    let gateway = Gateway::start(&home, &config, "").await?;
    send(&home.listen(), vec![hello(FRAMES + 1)?, numbered(FRAMES + 2)?]).await?;
    let expected = |seq: u32| format!("level={seq} {}000", at_micros(seq));
    eventually("all readings in the file", DELIVERY, async || {
        let lines = home.file_sink()?;
        for seq in (0..FRAMES + 3).filter(|seq| *seq != FRAMES + 1) {
            ensure!(lines.contains(&expected(seq)), "{} is missing:\n{lines}", expected(seq));
        }
        Ok(())
    })
    .await?;
    let lines = home.file_sink()?;
    assert_eq!(lines.lines().count() as u32, FRAMES + 2, "each once:\n{lines}");
    gateway.terminate().await?;
    Ok(())
}
