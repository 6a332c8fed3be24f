//! Messages that nobody can read, among good ones: counted and kept, and in nobody's way.

use anyhow::{Result, ensure};
use tests::eventually::eventually;
use tests::fleet::{Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::oracle::Oracle;
use tests::publisher::publish_all;
use tests::stack;

use crate::DELIVERY;

const PLAN: Plan = Plan { name: "good", seed: 41, devices: 5, messages: 2_000, messages_per_second: 2_000 };

const POISON: [(&str, &[u8]); 6] = [
    ("sensors/bad/telemetry", b"{\"ts\":1600000000000,\"temperature\":"),
    ("sensors/bad/telemetry", b"\xff\xfe\x00\x01"),
    ("sensors/bad/telemetry", b""),
    ("sensors/bad/telemetry", b"{\"ts\":\"the day after\",\"temperature\":1}"),
    ("sensors/bad/telemetry", b"{\"ts\":1600000000000,\"state\":\"no number in it\"}"),
    ("sensors/bad/telemetry", b"[[[[[[[[[[[[[[[["),
];

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_quarantined_and_counted_and_the_good_messages_around_it_are_stored() -> Result<()> {
    let kafka = stack::kafka().await?;
    let influx = stack::bucket("poison").await?;
    let home = Home::new()?;
    let config = home.config().listen().influx(influx.url(), &influx).kafka(kafka.bootstrap(), "poison");
    let gateway = Gateway::start(&home, &config, influx.token()).await?;

    let fleet = Fleet::start(PLAN, home.listen());
    fleet.acked(PLAN.messages / 4).await?;
    // Poison is acknowledged like any message: a sensor that sent it would only send it again.
    publish_all(&home.listen(), "bad", &POISON).await?;
    let sent = fleet.finish().await?;

    let oracle = Oracle::new(&[&sent]);
    oracle.expect_in_influx(&influx, DELIVERY).await?;
    oracle.expect_in_kafka(kafka.bootstrap(), "poison.raw", DELIVERY).await?;
    let poison = POISON.len() as u64;
    eventually("the books of the poison", DELIVERY, async || {
        let metrics = gateway.metrics().await?;
        let quarantined = metrics.count("gateway_forward_quarantined_total", &["sink=\"influx"])?;
        ensure!(quarantined == poison, "{quarantined} of {poison} quarantined by InfluxDB's sink");
        let undecodable = metrics.count("gateway_detect_undecodable_total", &[])?;
        ensure!(undecodable == poison, "{undecodable} of {poison} undecodable for detection");
        Ok(())
    })
    .await?;

    let entries = tests::kafka::read_topic(kafka.bootstrap(), "poison.raw")?;
    for (_, payload) in POISON {
        assert!(entries.iter().any(|e| e.value == payload), "raw goes to Kafka as it came: {payload:?}");
    }
    Ok(())
}
