//! When a fleet's points are first seen in InfluxDB: the time from PUBACK to there, with the time of a query in it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::fleet::{Acked, AckedAt};
use crate::influx::Influx;
use crate::message::{Device, counter_at};

/// Of event time, in which a device's messages lie 10 ms apart: the last 500 of each are looked at again. What comes later
/// than these counts as not seen.
const LOOKED_BACK_NS: i64 = 5_000_000_000;

/// Asks InfluxDB again and again. Dropping it ends that.
pub struct Sight {
    began: Instant,
    end: watch::Sender<bool>,
    task: JoinHandle<Result<BTreeMap<(String, u64), Instant>>>,
}

impl Sight {
    pub fn begin(influx: &Influx, devices: &[Device]) -> Self {
        let (end, ended) = watch::channel(false);
        let influx = influx.clone();
        let devices: Vec<String> = devices.iter().map(|device| device.name().to_owned()).collect();
        let task = tokio::spawn(async move {
            let mut seen = BTreeMap::new();
            let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
            // The oldest of the newest points of the devices: what is older was seen.
            let mut from_ns = 0;
            // Without its other end nobody waits for what is seen.
            while !*ended.borrow() && ended.has_changed().is_ok() {
                let points = influx.points_since("sensor", "n", &devices, from_ns).await?;
                let now = Instant::now();
                let mut newest = BTreeMap::new();
                for point in points {
                    let at = newest.entry(point.device.clone()).or_insert(point.at_ns);
                    *at = point.at_ns.max(*at);
                    if let Some(n) = counter_at(point.at_ns) {
                        seen.entry((point.device, n)).or_insert(now);
                    }
                }
                from_ns = newest.into_values().min().map_or(from_ns, |least| from_ns.max(least - LOOKED_BACK_NS));
            }
            Ok(seen)
        });
        Self { began: Instant::now(), end, task }
    }

    /// From acknowledgement to sight, sorted, of what was acknowledged since the beginning; what was not seen by now counts
    /// with its time so far.
    ///
    /// # Errors
    /// The server did not answer once, or nothing was seen.
    pub async fn end(self, acked_at: &AckedAt, acked: &Acked) -> Result<Vec<Duration>> {
        self.end.send_replace(true);
        let now = Instant::now();
        let seen = self.task.await??;
        let mut latencies = Vec::new();
        for (device, at) in acked_at {
            for (n, at) in at.iter().filter(|(n, at)| **at >= self.began && acked[device].contains(*n)) {
                let seen = seen.get(&(device.clone(), *n)).unwrap_or(&now);
                latencies.push(seen.saturating_duration_since(*at));
            }
        }
        latencies.sort_unstable();
        ensure!(!latencies.is_empty(), "no record was seen that was acknowledged meanwhile");
        Ok(latencies)
    }
}

/// Of sorted values, which are not none.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}
