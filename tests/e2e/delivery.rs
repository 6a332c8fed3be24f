//! A backlog and what comes in, over a bad link, with kills in the drain: nothing is lost, the present goes first, and the
//! ledger balances.

use anyhow::{Context, Result, ensure};
use tests::eventually::eventually;
use tests::fleet::{Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::link::Link;
use tests::oracle::Oracle;
use tests::sight::{Sight, percentile};
use tests::stack::{self, Kafka};

use crate::DELIVERY;
use crate::crash::is_long;

/// Kafka is sent payloads and headers as they are; its backlog drains in the order in which it came in, before what is live.
const KAFKA_BYTES_PER_SECOND: u32 = 2_000_000;

/// How much there is to do.
struct Load {
    backlog: Plan,
    live: Plan,
    /// Kills in the drain.
    kills: u64,
    /// Of the link while backlog and live records share it.
    bytes_per_second: u32,
}

impl Load {
    fn new() -> Self {
        let (long, kills) = if is_long() { (true, 20) } else { (false, 1) };
        let backlog = Plan {
            name: "backlog",
            seed: 41,
            devices: 20,
            messages: if long { 1_000_000 } else { 30_000 },
            messages_per_second: if long { 20_000 } else { 10_000 },
        };
        let live = Plan {
            name: "live",
            seed: 42,
            devices: 10,
            messages: if long { 24_000 } else { 1_000 },
            messages_per_second: 200,
        };
        Self { backlog, live, kills, bytes_per_second: 80_000 }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_records_go_beside_the_backlog_of_an_outage_and_kills_lose_nothing_in_any_sink() -> Result<()> {
    let Load { backlog, live, kills, bytes_per_second } = Load::new();
    let kafka_link = Link::to_nowhere().await?;
    let kafka = Kafka::start_behind(&kafka_link).await?;
    let influx = stack::bucket("delivery").await?;
    let far = influx.url().strip_prefix("http://").context("InfluxDB is reached by http")?.parse()?;
    let link = Link::to(far).await?;
    let home = Home::new()?;
    let config = home.config().without_detection().listen();
    let config = config.influx(&format!("http://{}", link.address()), &influx).with("timeout = \"2s\"");
    let config = config.kafka(&kafka_link.address().to_string(), "delivery");
    let mut gateway = Gateway::start(&home, &config, influx.token()).await?;

    let idle_bytes = gateway.rss_bytes()?;
    let mut most_bytes = 0;

    link.cut();
    kafka_link.cut();
    let behind = Fleet::start(backlog, home.listen()).finish().await?;
    link.half_open();
    kafka_link.half_open();
    let fleet = Fleet::start(live.clone(), home.listen());
    fleet.acked(live.messages / 8).await?;
    if is_long() {
        link.corrupt();
        kafka_link.corrupt();
        fleet.acked(live.messages / 4).await?;
    }
    link.slow(bytes_per_second);
    kafka_link.slow(KAFKA_BYTES_PER_SECOND);
    let watch = Sight::begin(&influx, &live.devices());
    let rest = live.messages - live.messages / 4;
    for kill in 1..=kills {
        fleet.acked(live.messages / 4 + rest * kill / (kills + 1)).await?;
        most_bytes = gateway.rss_bytes()?.max(most_bytes);
        gateway.kill()?;
        gateway = Gateway::start(&home, &config, influx.token()).await?;
    }
    let now = fleet.finish().await?;
    link.restore();
    kafka_link.restore();

    let oracle = Oracle::new(&[&behind, &now]);
    let in_influx = oracle.expect_in_influx(&influx, 2 * DELIVERY).await?;
    // A kill may swallow PUBACKs: what is sent again then is a message of its own, and a point of its own.
    let unanswered_max = kills * Fleet::UNACKED_MAX;
    assert!(in_influx.repeats <= unanswered_max, "each point is there once: {in_influx}");
    let in_kafka = oracle.expect_in_kafka(kafka.bootstrap(), "delivery.raw", 2 * DELIVERY).await?;
    assert_eq!(in_kafka.out_of_order, 0, "strict order, over kills too: {in_kafka}");
    let latencies = watch.end(&now.acked_at, &now.acked).await?;
    println!(
        "{} messages behind, {} live at {bytes_per_second} bytes/s, {kills} kills\n  InfluxDB: {in_influx}\n  Kafka:    {in_kafka}\n  \
         PUBACK to InfluxDB of live ones: p50 {:?}, p90 {:?}, p99 {:?}\n  memory before the kills: {} KiB, idle {} KiB",
        behind.acked_total,
        now.acked_total,
        percentile(&latencies, 50),
        percentile(&latencies, 90),
        percentile(&latencies, 99),
        most_bytes / 1_024,
        idle_bytes / 1_024,
    );
    settled(&gateway, behind.acked_total + now.acked_total).await
}

/// Waits until the ledger says that all is delivered; it balances all the time.
async fn settled(gateway: &Gateway, messages: u64) -> Result<()> {
    eventually("a ledger in which all is delivered", DELIVERY, async || {
        let metrics = gateway.metrics().await?;
        let balances = metrics.sum("gateway_ledger_balances", &[]);
        let rows = metrics.sum("gateway_ledger_balances", &["log=\"raw\""]);
        ensure!(balances >= rows && rows == Some(2.0), "{balances:?} of the rows balance");
        for sink in ["influx", "kafka"] {
            let consumer = format!("consumer=\"{sink}\"");
            let labels = [consumer.as_str(), "log=\"raw\"", "fate=\"delivered\""];
            let delivered = metrics.count("gateway_ledger_records", &labels)?;
            // A kill may swallow a PUBACK: what is sent again then is a record of its own.
            ensure!(delivered >= messages, "{sink}: {delivered} of {messages} delivered");
            let waiting = metrics.sum("gateway_sink_backlog_records", &[&format!("sink=\"{sink}\"")]);
            ensure!(waiting == Some(0.0), "{sink}: {waiting:?} records wait");
        }
        Ok(())
    })
    .await
}
