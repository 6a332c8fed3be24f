//! What there is to be, from the configuration. Pure.

use std::time::Duration;

use firmware_protocol::envelope::Topics;

use super::plan::RETENTION_MS;
use super::rollup;
use super::state::{Bucket, Kept, State, Task, Topic};
use crate::config::{Config, Influx, Setup, retention};

/// Topics, buckets and tasks; Grafana's part is added by who knows where it goes.
pub(super) fn wanted(config: &Config) -> State {
    let setup = &config.setup;
    let mut state = State::default();

    let topics = Topics::new(&config.kafka.topic_prefix);
    let (partitions, days) = (setup.partitions.get(), &setup.topic_days);
    for (name, partitions, days) in [
        (topics.raw, partitions, days.raw),
        (topics.windows, partitions, days.windows),
        (topics.anomalies, partitions, days.anomalies),
        (topics.gaps, partitions, days.gaps),
        // Few and read by people: one partition keeps them in the order in which they were put aside.
        (topics.dead_letters, 1, days.dead_letters),
    ] {
        let kept = kept(days).as_millis().to_string();
        // Compaction keeps the last record of each key, and the key is the device: it would delete all others.
        let settings = [("cleanup.policy".to_owned(), "delete".to_owned()), (RETENTION_MS.to_owned(), kept)];
        let replication = setup.replication.map(|r| r.get());
        state.topics.insert(name, Topic { partitions, replication, settings: settings.into() });
    }

    if let Some(influx) = &config.influx {
        buckets(&mut state, influx, setup);
    }
    state
}

fn buckets(state: &mut State, influx: &Influx, setup: &Setup) {
    let (bucket, days) = (&influx.bucket, &setup.bucket_days);
    let kept_in = |days| Bucket { id: String::new(), kept: Kept::of_secs(kept(days).as_secs()) };
    state.buckets.insert(bucket.clone(), kept_in(days.raw));
    for (rollup, days) in rollup::ALL.into_iter().zip([days.rollup_1m, days.rollup_10m, days.rollup_1h]) {
        state.buckets.insert(rollup.bucket(bucket), kept_in(days));
        let flux = rollup.flux(&influx.org, bucket, Duration::from_secs(setup.rollup_late_s));
        state.tasks.insert(rollup.task(bucket), Task { id: String::new(), flux, active: true });
    }
}

fn kept(days: f64) -> Duration {
    retention(days).expect("the configuration was checked")
}
