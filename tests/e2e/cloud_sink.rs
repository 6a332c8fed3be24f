//! cloud-sink killed in the middle of its work, and given what nobody can read.

use anyhow::{Result, ensure};
use tests::config::{TOKEN_ENV, cloud_sink};
use tests::eventually::eventually;
use tests::fleet::{Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::oracle::Oracle;
use tests::process::Process;
use tests::publisher::publish_all;
use tests::{kafka, stack};

use crate::DELIVERY;

const PLAN: Plan = Plan { name: "cloud", seed: 71, devices: 10, messages: 12_000, messages_per_second: 2_000 };
const POISON: &[u8] = b"{\"ts\":1600000000000,\"temperature\":";

#[tokio::test(flavor = "multi_thread")]
async fn cloud_sink_killed_twice_writes_everything_and_puts_poison_aside() -> Result<()> {
    let kafka = stack::kafka().await?;
    let bucket = stack::bucket("cloud").await?;
    let home = Home::new()?;
    let gateway = Gateway::start(&home, &home.config().listen().kafka(kafka.bootstrap(), "cloud"), "").await?;
    let sink_file = home.write("cloud-sink.toml", &cloud_sink(kafka.bootstrap(), "cloud", &bucket)?)?;
    let start = || Process::start("cloud-sink", &["run", "--config", &sink_file], &[(TOKEN_ENV, bucket.token())]);

    let mut sink = start()?;
    let fleet = Fleet::start(PLAN, home.listen());
    for (acked, written) in [(PLAN.messages / 3, 1), (PLAN.messages * 2 / 3, PLAN.messages / 4)] {
        fleet.acked(acked).await?;
        eventually("points in InfluxDB before the kill", DELIVERY, async || {
            let points = bucket.count("sensor", "n").await?;
            ensure!(points >= written, "{points} of at least {written} points");
            Ok(())
        })
        .await?;
        sink.kill()?;
        sink = start()?;
    }
    publish_all(&home.listen(), "bad", &[("sensors/bad/telemetry", POISON)]).await?;
    let sent = fleet.finish().await?;

    let verdict = Oracle::new(&[&sent]).expect_in_influx(&bucket, DELIVERY).await?;
    assert_eq!(verdict.repeats, 0, "a record written twice is one point: {verdict}");
    eventually("the dead letter", DELIVERY, async || {
        let letters = kafka::read_topic(kafka.bootstrap(), "cloud.dead-letters")?;
        ensure!(letters.iter().any(|l| l.value == POISON), "{} dead letters, none the poison", letters.len());
        Ok(())
    })
    .await?;
    drop(gateway);
    sink.still_running()
}
