//! What lies in the queue of a gateway that is stopped or was killed, by `gateway queue export`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::gateway::Home;
use crate::kafka::Entry;
use crate::message::Device;
use crate::process::Process;

/// Some hundred thousand records on a busy machine.
const EXPORT_ENDS: Duration = Duration::from_secs(120);

/// Keys of `[queue]` with which records stay after they are delivered.
pub const KEEP: &str = "keep_delivered = \"1d\"";

/// A record of the raw log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    pub topic: String,
    /// Text as it is; anything else in base64.
    pub payload: String,
    pub qos: u64,
    pub retained: bool,
    pub redelivered: bool,
    pub door: String,
}

/// All records of the raw log, in their order.
///
/// # Errors
/// The queue cannot be read, or a gateway works on it.
pub async fn stored(home: &Home) -> Result<Vec<Stored>> {
    let data_dir = home.data_dir().display().to_string();
    let args = ["queue", "export", "--data-dir", &data_dir, "--log", "raw"];
    let ended = Process::start("gateway", &args, &[])?.ended(EXPORT_ENDS).await?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    ended.stdout.lines().map(record).collect()
}

fn record(line: &str) -> Result<Stored> {
    let line: Value = serde_json::from_str(line)?;
    let text = |key: &str| line[key].as_str().map(str::to_owned);
    Ok(Stored {
        topic: text("topic").with_context(|| format!("no topic: {line}"))?,
        payload: text("payload").or_else(|| text("payload_base64")).with_context(|| format!("no payload: {line}"))?,
        qos: line["qos"].as_u64().with_context(|| format!("no QoS: {line}"))?,
        retained: line["retained"] == true,
        redelivered: line["redelivered"] == true,
        door: text("door").with_context(|| format!("no door: {line}"))?,
    })
}

/// The records as a sink would have them, for the oracle.
pub fn entries(stored: &[Stored]) -> Vec<Entry> {
    let device = |topic: &str| topic.split('/').nth(1).unwrap_or_default().as_bytes().to_vec();
    stored
        .iter()
        .map(|r| Entry { key: Some(device(&r.topic)), value: r.payload.clone().into_bytes(), headers: Vec::new() })
        .collect()
}

/// How often each payload under a topic is there.
pub fn times<'a>(stored: &'a [Stored], topic: &str) -> BTreeMap<&'a str, u64> {
    let mut times = BTreeMap::new();
    for record in stored.iter().filter(|record| record.topic == topic) {
        *times.entry(record.payload.as_str()).or_default() += 1;
    }
    times
}

/// Each of a device's first messages is there once.
///
/// # Errors
/// One is missing or repeated, or is not the device's.
pub fn expect_once(stored: &[Stored], device: &Device, messages: u64) -> Result<()> {
    let mut times = times(stored, &device.topic());
    for n in 0..messages {
        let found = times.remove(device.payload(n).as_str()).unwrap_or_default();
        ensure!(found == 1, "message {n} of {} is there {found} times", device.name());
    }
    ensure!(times.is_empty(), "{} did not send {times:?}", device.name());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(device: &Device, n: u64) -> Stored {
        let line =
            serde_json::json!({ "topic": device.topic(), "payload": device.payload(n), "qos": 2, "door": "listen" });
        record(&line.to_string()).unwrap()
    }

    #[test]
    fn a_message_of_qos_2_that_is_missing_or_repeated_is_noticed() {
        let device = Device::new("d-0".into(), 7);
        let stored = [0, 1, 2].map(|n| line(&device, n));
        assert!(expect_once(&stored, &device, 3).is_ok());
        let said = |stored: &[Stored], messages| expect_once(stored, &device, messages).unwrap_err().to_string();
        assert!(said(&stored, 4).contains("message 3 of d-0 is there 0 times"));
        assert!(said(&[&stored[..], &stored[..1]].concat(), 3).contains("message 0 of d-0 is there 2 times"));
        assert!(said(&stored, 2).contains("did not send"));
    }
}
