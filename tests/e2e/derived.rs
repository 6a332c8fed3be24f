//! What the gateway derives: simulated machines, in frames and in JSON, become windows, anomalies and
//! incidents everywhere.

use std::collections::BTreeSet;
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
async fn windows_anomalies_and_incidents_are_the_same_in_influxdb_in_kafka_and_behind_cloud_sink() -> Result<()> {
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

    eventually("windows, anomalies and incidents in all places", DELIVERY, async || {
        let metrics = gateway.metrics().await?;
        let windows = metrics.count("gateway_detect_windows_total", &[])?;
        let told = kafka::read_topic(kafka.bootstrap(), "derived.anomalies")?;
        let told = told.iter().map(|e| serde_json::from_slice(&e.value)).collect::<Result<Vec<Value>, _>>()?;
        let (anomalies, incidents): (Vec<&Value>, Vec<&Value>) =
            told.iter().partition(|record| record["schema"] == "anomaly/1");
        let alarms = metrics.count("gateway_detect_anomalies_total", &[])?;
        ensure!(anomalies.len() as u64 == alarms, "{alarms} anomalies told, {} in Kafka", anomalies.len());
        // What becomes of one overwrites its point.
        let points = |records: &[&Value], keys: &[&str]| {
            let point = |record: &&Value| keys.iter().map(|key| record[key].to_string()).collect::<Vec<_>>();
            records.iter().map(point).collect::<BTreeSet<_>>().len() as u64
        };
        let anomalies = points(&anomalies, &["device", "channel", "detector", "start_at_ms"]);
        let incidents = points(&incidents, &["device", "opened_at_ms"]);
        for (measurement, field, made) in [
            ("sensor_window", "count", windows),
            ("sensor_anomaly", "score", anomalies),
            ("sensor_incident", "score", incidents),
        ] {
            ensure!(made > 0, "no {measurement}");
            let (in_influx, behind) =
                (direct.count(measurement, field).await?, through_kafka.count(measurement, field).await?);
            ensure!(
                [in_influx, behind] == [made; 2],
                "{made} of {measurement} made, {in_influx} in InfluxDB, {behind} behind cloud-sink"
            );
        }
        let in_kafka = kafka::count(kafka.bootstrap(), "derived.windows")?;
        ensure!(in_kafka == windows, "{windows} windows made, {in_kafka} in Kafka");
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
