//! What the gateway derives: simulated machines, in frames and in JSON, become windows and anomalies everywhere.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::config::{TOKEN_ENV, cloud_sink};
use tests::eventually::eventually;
use tests::gateway::{Gateway, Home};
use tests::process::Process;
use tests::{kafka, stack};

use crate::DELIVERY;

/// Three days and a half of the machines in this many seconds: a day and a half after the learning.
const SECONDS: &str = "14";
const SPEED: &str = "21600";
const SIMULATION_ENDS: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn windows_and_anomalies_are_the_same_in_influxdb_in_kafka_and_behind_cloud_sink() -> Result<()> {
    let kafka = stack::kafka().await?;
    let (direct, through_kafka) =
        (stack::bucket("derived-direct").await?, stack::bucket("derived-through-kafka").await?);
    let home = Home::new()?;
    let config = home.config().listen().learning_two_days();
    let config = config.influx(direct.url(), &direct).kafka(kafka.bootstrap(), "derived");
    let gateway = Gateway::start(&home, &config, direct.token()).await?;
    let sink_file = home.write("cloud-sink.toml", &cloud_sink(kafka.bootstrap(), "derived", &through_kafka)?)?;
    let _cloud_sink =
        Process::start("cloud-sink", &["run", "--config", &sink_file], &[(TOKEN_ENV, through_kafka.token())])?;

    let (truth, broker) = (home.write("truth.ndjson", "")?, format!("mqtt://{}", home.listen().address()?));
    let args = ["simulate", "--broker", &broker, "--devices", "6", "--seed", "5", "--speed", SPEED];
    let args = [&args[..], &["--seconds", SECONDS, "--truth", &truth]].concat();
    let ended = Process::start("gateway", &args, &[])?.ended(SIMULATION_ENDS).await?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    let truth = std::fs::read_to_string(&truth)?;
    ensure!(!truth.is_empty(), "the simulation injected faults");

    eventually("windows and anomalies in all places", DELIVERY, async || {
        let metrics = gateway.metrics().await?;
        for (metric, measurement, field, topic) in [
            ("gateway_detect_windows_total", "sensor_window", "count", "derived.windows"),
            ("gateway_detect_anomalies_total", "sensor_anomaly", "score", "derived.anomalies"),
        ] {
            let made = metrics.count(metric, &[])?;
            ensure!(made > 0, "no {measurement}");
            let in_kafka = kafka::count(kafka.bootstrap(), topic)?;
            let (in_influx, behind) =
                (direct.count(measurement, field).await?, through_kafka.count(measurement, field).await?);
            ensure!(
                [in_kafka, in_influx, behind] == [made; 3],
                "{made} of {measurement} made, {in_kafka} in Kafka, {in_influx} in InfluxDB, {behind} behind cloud-sink"
            );
        }
        Ok(())
    })
    .await?;

    let anomalies = kafka::read_topic(kafka.bootstrap(), "derived.anomalies")?;
    let anomalies = anomalies.iter().map(|e| serde_json::from_slice(&e.value)).collect::<Result<Vec<Value>, _>>()?;
    let mut found = 0;
    let faults = truth.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    for fault in &faults {
        let at = |key: &str| fault[key].as_i64().with_context(|| format!("no {key} in {fault}"));
        let (start, end) = (at("start_at_ms")?, at("end_at_ms")?);
        let overlaps = |a: &&Value| a["start_at_ms"].as_i64() < Some(end) && a["end_at_ms"].as_i64() > Some(start);
        found += u32::from(anomalies.iter().filter(overlaps).any(|a| a["device"] == fault["device"]));
    }
    ensure!(found > 0, "not one of {} faults is among {} anomalies", faults.len(), anomalies.len());
    Ok(())
}
