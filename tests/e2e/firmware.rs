//! Frames of firmware that others wrote: an encoder in Python, made from the specification alone, some of whose devices
//! sign. The gateway takes them as they were meant, and nothing that only looks like them.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use firmware_protocol::crc::crc32;
use firmware_protocol::decode::{Decoder, Incoming, Route};
use firmware_protocol::frame::{ChannelView, Label, Parsed, TableId, parse};
use firmware_protocol::measurement::{EventTime, Measurement};
use firmware_protocol::table;
use tests::eventually::eventually;
use tests::gateway::{Gateway, Home};
use tests::publisher::publish_all;

use crate::DELIVERY;

const SEED: &str = "5";
const MESSAGES: usize = 300;
const KEY_ID: &str = "7";
const SECRET: &str = "000102030405060708090a0b0c0d0e0f";
const TOPIC: &str = "plant/frames";
const NOW: EventTime = EventTime(1_772_366_400_000_000_000);

/// What the encoder says of one of its messages.
#[derive(serde::Deserialize)]
struct Meant {
    file: PathBuf,
    device: String,
    signed: bool,
}

/// Name and unit of each channel, by device and table.
type Tables = HashMap<(String, TableId), Vec<(String, String)>>;

fn messages(dir: &Path) -> Result<Vec<(Meant, Vec<u8>)>> {
    let encoder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware-protocol/tests/independent/random_messages.py");
    let status = Command::new("python3")
        .arg(encoder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["--seed", SEED, "--count", &MESSAGES.to_string(), "--key", SECRET, "--key-id", KEY_ID, "--out"])
        .arg(dir)
        .status()?;
    ensure!(status.success(), "the encoder ended with {status}");
    let lines = std::fs::read_to_string(dir.join("expected.ndjson"))?;
    let read = |line: &str| {
        let meant: Meant = serde_json::from_str(line)?;
        let bytes = std::fs::read(dir.join(&meant.file))?;
        Ok((meant, bytes))
    };
    lines.lines().map(read).collect()
}

/// A key for each device that signs; what a line of the file cannot hold is any text.
fn keys(messages: &[(Meant, Vec<u8>)]) -> String {
    let signers: BTreeSet<_> =
        messages.iter().filter(|(meant, _)| meant.signed).map(|(meant, _)| &meant.device).collect();
    signers
        .into_iter()
        .map(|device| format!("{} {KEY_ID} {SECRET}\n", device.replace(char::is_whitespace, "*")))
        .collect()
}

/// How many of the messages have something for a sink, or are hellos; the others hold no reading, or times that no
/// database can say.
fn decodable(messages: &[(Meant, Vec<u8>)]) -> Result<usize> {
    let decoder = Decoder::new(Route::defaults()).map_err(anyhow::Error::msg)?;
    let (mut tables, mut out, mut decoded) = (Tables::new(), Measurement::default(), 0);
    for (meant, payload) in messages {
        let table = match parse(payload)? {
            Parsed::Hello(hello) => {
                let channels = hello.channels().map(|c| (c.name.to_owned(), c.unit.to_owned())).collect();
                tables.insert((meant.device.clone(), hello.table), channels);
                String::new()
            }
            Parsed::Samples(view) => match view.table {
                Some(id) => text(view.channels(), tables.get(&(meant.device.clone(), id)).context("no hello before")?),
                None => String::new(),
            },
        };
        let message =
            Incoming { topic: TOPIC, payload, content_type: "", received_at: NOW, is_replay: false, table: &table };
        decoded += usize::from(decoder.decode(message, &mut out).is_ok());
    }
    Ok(decoded)
}

fn text<'a>(channels: impl Iterator<Item = ChannelView<'a>>, names: &[(String, String)]) -> String {
    let mut text = String::new();
    for channel in channels {
        if let Label::Number(number) = channel.label
            && let Some((name, unit)) = names.get(usize::from(number))
        {
            table::push(&mut text, &table::Entry { number: number.into(), name, unit, kind: 0 });
        }
    }
    text
}

/// `frame` with one bit of its MAC turned, and the CRC of that.
fn forged(frame: &[u8]) -> Vec<u8> {
    let mut forged = frame[..frame.len() - 4].to_vec();
    if let Some(last_of_mac) = forged.last_mut() {
        *last_of_mac ^= 1;
    }
    let crc = crc32(&forged);
    forged.extend(crc.to_le_bytes());
    forged
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_made_from_the_specification_alone_are_taken_and_forged_ones_refused() -> Result<()> {
    let home = Home::new()?;
    let dir = tempfile::tempdir()?;
    let messages = messages(dir.path())?;
    let keys = home.write("frames.keys", &keys(&messages))?;
    let config = home.config().without_detection().listen();
    let config = config.with(&format!("\n[frames]\nkeys_file = {keys:?}\n\n[[file]]"));
    let gateway = Gateway::start(&home, &config, "").await?;

    let sent: Vec<_> = messages.iter().map(|(_, bytes)| (TOPIC, bytes.as_slice())).collect();
    publish_all(&home.listen(), "field", &sent).await?;
    let decodable = decodable(&messages)? as u64;
    eventually("all frames at the sink", DELIVERY, async || {
        let metrics = gateway.metrics().await?;
        let delivered = metrics.count("gateway_forward_delivered_total", &["sink=\"file", "log=\"raw"])?;
        let quarantined = metrics.sum("gateway_forward_quarantined_total", &["sink=\"file"]).unwrap_or_default() as u64;
        let expected = (decodable, MESSAGES as u64 - decodable);
        ensure!((delivered, quarantined) == expected, "{delivered} and {quarantined}, not {expected:?}");
        Ok(())
    })
    .await?;
    let metrics = gateway.metrics().await?;
    assert_eq!(metrics.sum("gateway_frames_refused_total", &[]).unwrap_or_default(), 0.0);
    assert_eq!(metrics.count("gateway_frames_waiting", &[])?, 0);
    assert!(decodable > MESSAGES as u64 / 2, "{decodable}");

    let (_, signed) = messages.iter().find(|(meant, _)| meant.signed).context("some devices sign")?;
    publish_all(&home.listen(), "forger", &[(TOPIC, &forged(signed)), (TOPIC, signed)]).await?;
    eventually("the forged frame refused", DELIVERY, async || {
        let metrics = gateway.metrics().await?;
        let refused = metrics.count("gateway_frames_refused_total", &["reason=\"mac_wrong"])?;
        ensure!(refused == 1, "{refused}");
        Ok(())
    })
    .await?;
    let kept = std::fs::read_dir(home.data_dir().join("quarantine/frames"))?.collect::<std::io::Result<Vec<_>>>()?;
    assert!(!kept.is_empty(), "its bytes are kept");
    gateway.terminate().await?;
    Ok(())
}
