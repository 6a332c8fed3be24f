//! Live records beside the backlog, over a link that carries both only slowly: how late they are, and what the backlog gets.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tests::fleet::{Fleet, Plan, Sent};
use tests::gateway::{Gateway, Home};
use tests::link::Link;
use tests::sight::{Sight, percentile};
use tests::stack;

use crate::subject;

/// Ten devices that send ten messages a second each, for a minute.
const QUIET: Plan = Plan { name: "quiet", seed: 901, devices: 10, messages: 6_000, messages_per_second: 100 };
/// One that sends ten times as much as they all.
const NOISY: Plan = Plan { name: "noisy", seed: 902, devices: 1, messages: 60_000, messages_per_second: 1_000 };
/// Of the link: some three times what comes in.
const BYTES_PER_SECOND: u32 = 60_000;

pub(crate) struct Live {
    pub(crate) quiet_p50: Duration,
    pub(crate) quiet_p99: Duration,
    pub(crate) noisy_p50: Duration,
    pub(crate) noisy_p99: Duration,
    pub(crate) live_per_second: f64,
    pub(crate) drained_per_second: f64,
    pub(crate) attempt_ms: f64,
}

pub(crate) async fn beside_the_backlog(filled: &Home, bucket: &str) -> Result<Live> {
    let influx = stack::bucket(bucket).await?;
    let link = Link::to(influx.url().strip_prefix("http://").context("InfluxDB is reached by http")?.parse()?).await?;
    link.slow(BYTES_PER_SECOND);
    let (home, config) = subject::copy(filled)?;
    let sink = subject::influx_table(&format!("http://{}", link.address()), influx.org(), influx.bucket());
    let gateway = Gateway::start(&home, &config.listen().with(&sink), influx.token()).await?;
    let before = delivered(&gateway).await?;
    let began = Instant::now();
    let sights = (Sight::begin(&influx, &QUIET.devices()), Sight::begin(&influx, &NOISY.devices()));
    let fleets = (Fleet::start(QUIET, home.listen()), Fleet::start(NOISY, home.listen()));
    let (quiet, noisy) = (fleets.0.finish().await?, fleets.1.finish().await?);
    let took = began.elapsed().as_secs_f64();
    let after = delivered(&gateway).await?;
    let late = |sight: Sight, sent: &Sent| {
        let (acked_at, acked) = (sent.acked_at.clone(), sent.acked.clone());
        async move { sight.end(&acked_at, &acked).await }
    };
    let (quiet_late, noisy_late) = (late(sights.0, &quiet).await?, late(sights.1, &noisy).await?);
    let live = (quiet.acked_total + noisy.acked_total) as f64;
    let metrics = gateway.metrics().await?;
    let attempts = |part: &str| metrics.sum(&format!("gateway_forward_send_seconds_{part}"), &["sink=\"influx\""]);
    let attempt_ms = 1e3 * attempts("sum").context("no sum")? / attempts("count").context("no count")?;
    gateway.terminate().await?;
    Ok(Live {
        attempt_ms,
        quiet_p50: percentile(&quiet_late, 50),
        quiet_p99: percentile(&quiet_late, 99),
        noisy_p50: percentile(&noisy_late, 50),
        noisy_p99: percentile(&noisy_late, 99),
        live_per_second: live / took,
        drained_per_second: ((after - before) as f64 - live) / took,
    })
}

async fn delivered(gateway: &Gateway) -> Result<u64> {
    gateway.metrics().await?.count("gateway_ledger_records", &["log=\"raw\"", "fate=\"delivered\""])
}
