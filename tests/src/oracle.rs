//! The judge: every acknowledged message is found in every sink, with the right values; how often, and in which order.
//!
//! # Invariants
//! - It compares message by message, never by totals alone: a repeat cannot stand in for a loss.
//! - A reading is judged by its event time, its counter and its value, which all follow from the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::eventually::eventually;
use crate::fleet::{Acked, Sent};
use crate::influx::Influx;
use crate::kafka;
use crate::message::{Device, counter_at};

/// Of what went wrong, so much is shown.
const EXAMPLES_MAX: usize = 5;
/// InfluxDB is asked for the points of so many devices at a time, until they are so many points.
const DEVICES_MAX: usize = 50;
const POINTS_MAX: usize = 50_000;

/// What one or more fleets have a right to find.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    devices: BTreeMap<String, Device>,
    acked: Acked,
    acked_total: u64,
}

/// One sink, judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Messages that were acknowledged and are there.
    pub found: u64,
    /// Acknowledged, and not there.
    pub missing: u64,
    /// Found more than once: each further time counts.
    pub repeats: u64,
    /// Seen for the first time after a later message of the same device.
    pub out_of_order: u64,
    /// Not what the device sent.
    pub wrong: u64,
    examples: Vec<String>,
}

impl Oracle {
    pub fn new(fleets: &[&Sent]) -> Self {
        let mut oracle = Self::default();
        for fleet in fleets {
            oracle.devices.extend(fleet.devices.iter().map(|d| (d.name().to_owned(), d.clone())));
            oracle.acked.extend(fleet.acked.clone());
            oracle.acked_total += fleet.acked_total;
        }
        oracle
    }

    /// Waits until everything is in the bucket.
    ///
    /// # Errors
    /// Something is missing at the deadline, or is wrong.
    pub async fn expect_in_influx(&self, influx: &Influx, deadline: Duration) -> Result<Verdict> {
        eventually(&format!("delivery to InfluxDB's {}", influx.bucket()), deadline, async || {
            let count = influx.count("sensor", "temperature").await?;
            ensure!(count >= self.acked_total, "{count} points of {} messages", self.acked_total);
            self.judge_influx(influx).await?.complete()
        })
        .await
    }

    /// Waits until everything is in the topic.
    ///
    /// # Errors
    /// Something is missing at the deadline, or is wrong.
    pub async fn expect_in_kafka(&self, bootstrap: &str, topic: &str, deadline: Duration) -> Result<Verdict> {
        eventually(&format!("delivery to Kafka's {topic}"), deadline, async || {
            let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
            let least = self.acked_total;
            let entries = spawn_blocking(move || {
                let count = kafka::count(&bootstrap, &topic)?;
                ensure!(count >= least, "{count} entries of {least} messages");
                kafka::read_topic(&bootstrap, &topic)
            });
            self.judge_kafka(&entries.await??).complete()
        })
        .await
    }

    /// Both fields of each point count: a point without one of them is wrong.
    pub async fn judge_influx(&self, influx: &Influx) -> Result<Verdict> {
        let (mut temperatures, mut counters) = (Tally::new(self), Tally::new(self));
        for devices in self.shares() {
            for point in influx.points_of("sensor", "temperature", &devices).await? {
                let Some(device) = self.devices.get(&point.device) else { continue };
                match counter_at(point.at_ns) {
                    Some(n) if device.temperature(n) == point.value => temperatures.seen(&point.device, n),
                    Some(_) | None => temperatures.wrong(format!("{point:?}")),
                }
            }
            for point in influx.points_of("sensor", "n", &devices).await? {
                match counter_at(point.at_ns) {
                    Some(n) if n as f64 == point.value => counters.seen(&point.device, n),
                    Some(_) | None => counters.wrong(format!("{point:?}")),
                }
            }
        }
        let mut verdict = temperatures.verdict();
        let counters = counters.verdict();
        if counters.found != verdict.found || counters.wrong > 0 {
            verdict.wrong += counters.wrong + counters.found.abs_diff(verdict.found);
            verdict.examples.extend(counters.examples);
        }
        // The rows of a query come in no order that means anything.
        verdict.out_of_order = 0;
        Ok(verdict)
    }

    /// Devices by as many as one question is good for.
    fn shares(&self) -> Vec<Vec<&str>> {
        let mut shares = Vec::new();
        let (mut share, mut points) = (Vec::new(), 0);
        for device in self.devices.keys() {
            share.push(device.as_str());
            points += self.acked.get(device).map_or(0, BTreeSet::len);
            if points >= POINTS_MAX || share.len() >= DEVICES_MAX {
                shares.push(std::mem::take(&mut share));
                points = 0;
            }
        }
        shares.push(share);
        shares.retain(|share| !share.is_empty());
        shares
    }

    pub fn judge_kafka(&self, entries: &[kafka::Entry]) -> Verdict {
        let mut tally = Tally::new(self);
        for entry in entries {
            // Of another fleet, or poison: raw goes to Kafka undecoded.
            let Some(device) = entry.key.as_deref().and_then(|key| self.devices.get(str::from_utf8(key).ok()?)) else {
                continue;
            };
            let message: Value = serde_json::from_slice(&entry.value).unwrap_or_default();
            match message["n"].as_u64() {
                Some(n) if device.payload(n).as_bytes() == entry.value => tally.seen(device.name(), n),
                Some(_) | None => tally.wrong(String::from_utf8_lossy(&entry.value).into_owned()),
            }
        }
        tally.verdict()
    }
}

impl Verdict {
    /// # Errors
    /// Something is missing or wrong.
    pub fn complete(self) -> Result<Self> {
        ensure!(self.missing == 0 && self.wrong == 0, "{self}");
        Ok(self)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found, missing, repeats, out_of_order, wrong, examples } = self;
        write!(f, "{found} found, {missing} missing, {repeats} repeats, {out_of_order} out of order, {wrong} wrong")?;
        if examples.is_empty() { Ok(()) } else { write!(f, "; such as {}", examples.join("; ")) }
    }
}

/// Counts one pass over a sink.
struct Tally<'a> {
    oracle: &'a Oracle,
    /// How often each message was seen, by device and counter.
    seen: BTreeMap<&'a str, BTreeMap<u64, u64>>,
    verdict: Verdict,
}

impl<'a> Tally<'a> {
    fn new(oracle: &'a Oracle) -> Self {
        Self { oracle, seen: BTreeMap::new(), verdict: Verdict::default() }
    }

    fn seen(&mut self, device: &str, n: u64) {
        let Some((device, _)) = self.oracle.devices.get_key_value(device) else { return };
        let seen = self.seen.entry(device).or_default();
        let latest = seen.last_key_value().map(|(n, _)| *n);
        let times = seen.entry(n).or_default();
        *times += 1;
        if *times > 1 {
            self.verdict.repeats += 1;
        } else if latest.is_some_and(|latest| latest > n) {
            self.verdict.out_of_order += 1;
        }
    }

    fn wrong(&mut self, example: String) {
        self.verdict.wrong += 1;
        self.example(|| format!("wrong: {example}"));
    }

    fn verdict(mut self) -> Verdict {
        for (device, acked) in &self.oracle.acked {
            let seen = self.seen.remove(device.as_str()).unwrap_or_default();
            for n in acked {
                if seen.contains_key(n) {
                    self.verdict.found += 1;
                } else {
                    self.verdict.missing += 1;
                    self.example(|| format!("missing: {device} {n}"));
                }
            }
        }
        self.verdict
    }

    fn example(&mut self, example: impl FnOnce() -> String) {
        if self.verdict.examples.len() < EXAMPLES_MAX {
            self.verdict.examples.push(example());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle(acked: u64) -> (Oracle, Device) {
        let device = Device::new("d-0".into(), 7);
        let oracle = Oracle {
            devices: BTreeMap::from([("d-0".to_owned(), device.clone())]),
            acked: BTreeMap::from([("d-0".to_owned(), (0..acked).collect())]),
            acked_total: acked,
        };
        (oracle, device)
    }

    fn entry(device: &Device, n: u64) -> kafka::Entry {
        kafka::Entry { key: Some(device.name().into()), value: device.payload(n).into_bytes(), headers: Vec::new() }
    }

    #[test]
    fn a_repeat_does_not_stand_in_for_a_loss() {
        let (oracle, device) = oracle(3);
        let verdict = oracle.judge_kafka(&[entry(&device, 0), entry(&device, 2), entry(&device, 2)]);
        assert_eq!((verdict.found, verdict.missing, verdict.repeats), (2, 1, 1));
        assert!(verdict.complete().unwrap_err().to_string().contains("missing: d-0 1"));
    }

    #[test]
    fn a_message_that_was_sent_and_not_acknowledged_may_be_there() {
        let (oracle, device) = oracle(1);
        assert!(oracle.judge_kafka(&[entry(&device, 0), entry(&device, 1)]).complete().is_ok());
    }

    #[test]
    fn a_changed_payload_is_wrong() {
        let (oracle, device) = oracle(1);
        let mut changed = entry(&device, 0);
        changed.value.push(b' ');
        let verdict = oracle.judge_kafka(&[entry(&device, 0), changed]);
        assert_eq!(verdict.wrong, 1);
    }

    #[test]
    fn the_first_sight_of_an_earlier_message_is_out_of_order_and_a_repeat_is_not() {
        let (oracle, device) = oracle(4);
        let entries = [0, 1, 3, 1, 2].map(|n| entry(&device, n));
        let verdict = oracle.judge_kafka(&entries);
        assert_eq!((verdict.out_of_order, verdict.repeats), (1, 1));
    }
}
