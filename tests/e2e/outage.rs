//! A sink is away for a while: the other one goes on, and the one that was away gets everything.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::eventually::eventually;
use tests::fleet::{Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::link::Link;
use tests::oracle::Oracle;
use tests::stack::{self, Kafka};

use crate::DELIVERY;

/// For the gateway to notice that a sink is away.
const NOTICED: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn influxdb_gets_everything_after_it_was_away_and_kafka_does_not_wait_for_it() -> Result<()> {
    const PLAN: Plan = Plan { name: "influx-away", seed: 31, devices: 10, messages: 6_000, messages_per_second: 1_000 };
    let kafka = stack::kafka().await?;
    let influx = stack::bucket("influx-away").await?;
    let far = influx.url().strip_prefix("http://").context("InfluxDB is reached by http")?.parse()?;
    let link = Link::to(far).await?;
    let home = Home::new()?;
    let config = home.config().listen().influx(&format!("http://{}", link.address()), &influx);
    let config = config.kafka(kafka.bootstrap(), "influx-away");
    let gateway = Gateway::start(&home, &config, influx.token()).await?;

    let fleet = Fleet::start(PLAN, home.listen());
    fleet.acked(PLAN.messages / 3).await?;
    link.cut();
    let sent = fleet.finish().await?;
    assert_eq!(sent.acked_total, PLAN.messages, "sensors notice nothing");
    let oracle = Oracle::new(&[&sent]);
    let in_kafka = oracle.expect_in_kafka(kafka.bootstrap(), "influx-away.raw", DELIVERY).await?;
    assert_eq!((in_kafka.repeats, in_kafka.out_of_order), (0, 0), "{in_kafka}");
    noticed(&gateway, "influx").await?;
    let meanwhile = oracle.judge_influx(&influx).await?;
    assert!(meanwhile.missing > 0, "the cut came while messages were under way: {meanwhile}");

    link.restore();
    let verdict = oracle.expect_in_influx(&influx, DELIVERY).await?;
    assert_eq!(verdict.repeats, 0, "a batch that is sent again lands on the same points: {verdict}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_gets_everything_after_it_was_killed_and_influxdb_does_not_wait_for_it() -> Result<()> {
    const PLAN: Plan = Plan { name: "kafka-away", seed: 32, devices: 10, messages: 6_000, messages_per_second: 1_000 };
    let kafka = Arc::new(Kafka::start().await?);
    let influx = stack::bucket("kafka-away").await?;
    let home = Home::new()?;
    let config = home.config().listen().influx(influx.url(), &influx).kafka(kafka.bootstrap(), "away");
    let gateway = Gateway::start(&home, &config, influx.token()).await?;

    let fleet = Fleet::start(PLAN, home.listen());
    fleet.acked(PLAN.messages / 3).await?;
    kafka.kill().await?;
    let sent = fleet.finish().await?;
    assert_eq!(sent.acked_total, PLAN.messages, "sensors notice nothing");
    let oracle = Oracle::new(&[&sent]);
    let in_influx = oracle.expect_in_influx(&influx, DELIVERY).await?;
    assert_eq!(in_influx.repeats, 0, "{in_influx}");
    noticed(&gateway, "kafka").await?;

    kafka.start_again().await?;
    let verdict = oracle.expect_in_kafka(kafka.bootstrap(), "away.raw", DELIVERY).await?;
    assert_eq!(verdict.out_of_order, 0, "order holds on retry: {verdict}");
    println!("Kafka was killed: {verdict}");
    Ok(())
}

/// Waits until the gateway says that the sink is away.
async fn noticed(gateway: &Gateway, sink: &str) -> Result<()> {
    let sink = format!("sink=\"{sink}");
    eventually("a sink that is down on /metrics", NOTICED, async || {
        let metrics = gateway.metrics().await?;
        let up = metrics.sum("gateway_forward_up", &[&sink]);
        let retries = metrics.sum("gateway_forward_retries_total", &[&sink]);
        ensure!(up == Some(0.0) && retries > Some(0.0), "{sink}: up {up:?}, retries {retries:?}");
        Ok(())
    })
    .await
}
