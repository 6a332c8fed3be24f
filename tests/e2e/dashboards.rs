//! Grafana's dashboards and alert rules over what the pipeline writes: each query returns data, each metric exists.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use firmware_protocol::derived::{Derived, Gap};
use firmware_protocol::envelope::{Envelope, Schema, Topics};
use firmware_protocol::measurement::{EventTime, Received};
use serde_json::{Value, json};
use tests::config::{TOKEN_ENV, cloud_sink};
use tests::eventually::eventually;
use tests::gateway::{Gateway, Home, http_client};
use tests::grafana::{self, Choice, Chosen, Range, Variables};
use tests::influx::Influx;
use tests::metrics::Metrics;
use tests::process::Process;
use tests::publisher::publish_all;
use tests::stack;

use crate::DELIVERY;

const PREFIX: &str = "dashboards";
/// Three days and a half of the machines in this many seconds: a day and a half after the learning.
const SECONDS: &str = "14";
const SPEED: &str = "21600";
const ENDS: Duration = Duration::from_secs(120);
/// Longer than the machines' past.
const RANGE_S: u64 = 4 * 86_400;
const POISON: &[u8] = b"{\"ts\":1600000000000,\"temperature\":";

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_and_alert_rules_are_of_grafanas_published_schema() -> Result<()> {
    let rules = grafana::check().await?;
    assert!(rules.len() >= 9, "{rules:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_dashboards_and_alert_rules_returns_data_of_the_pipeline() -> Result<()> {
    let kafka = stack::kafka().await?;
    let influx = stack::bucket("unrelated-to-dashboards").await?.other(PREFIX);
    let home = Home::new()?;
    let sink_file = home.write("cloud-sink.toml", &cloud_sink(kafka.bootstrap(), PREFIX, &influx)?)?;
    let env = [(TOKEN_ENV, influx.token())];
    let made = Process::start("cloud-sink", &["setup", "--config", &sink_file], &env)?.ended(ENDS).await?;
    ensure!(made.status.success(), "{}", made.stderr);
    // A second sink that is away, so that attempts fail.
    let config = home.config().listen().learning_two_days().kafka(kafka.bootstrap(), PREFIX);
    let config = config.influx("http://127.0.0.1:9", &influx);
    let gateway = Gateway::start(&home, &config, influx.token()).await?;
    let sink = Process::start("cloud-sink", &["run", "--config", &sink_file], &env)?;

    let broker = format!("mqtt://{}", home.listen().address()?);
    let args =
        ["simulate", "--broker", &broker, "--devices", "6", "--seed", "5", "--speed", SPEED, "--seconds", SECONDS];
    let simulated = Process::start("gateway", &args, &[])?.ended(ENDS).await?;
    ensure!(simulated.status.success(), "{}", simulated.stderr);
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    publish_all(&home.listen(), "bad", &[("sensors/bad/telemetry", POISON)]).await?;
    give_up_records_and_open_an_incident(kafka.bootstrap(), now_s).await?;
    eventually("all of it in InfluxDB", DELIVERY, async || {
        let windows = gateway.metrics().await?.count("gateway_detect_windows_total", &[])?;
        let there = influx.count("sensor_window", "count").await?;
        ensure!(windows > 0 && there == windows, "{there} of {windows} windows");
        ensure!(influx.count("sensor_gap", "count").await? == 1, "no gap");
        let open = influx.count("sensor_incident", "windows").await?;
        ensure!(open >= 2, "{open} incidents");
        Ok(())
    })
    .await?;
    for (rollup, window_s) in [("1m", 60), ("10m", 600), ("1h", 3_600)] {
        let task = format!("{PREFIX} to {PREFIX}_{rollup}");
        influx.run_task(&task, now_s / window_s * window_s, ENDS).await?;
    }

    let range = Range { start: influx.time(now_s - RANGE_S).await?, stop: influx.time(now_s).await? };
    let mut queries = 0;
    for (file, dashboard) in grafana::dashboards()? {
        for choice in [Choice::All, Choice::EachTicked] {
            let chosen = grafana::variables(&dashboard, &influx, &range, choice).await.context(file.clone())?;
            queries += all_return_data(&file, &dashboard, &chosen, &influx, &range).await?;
            for (name, value) in grafana::custom_options(&dashboard) {
                let chosen = chosen.clone().into_iter().chain([(name, Chosen::One(value))]).collect();
                all_return_data(&file, &dashboard, &chosen, &influx, &range).await?;
            }
        }
    }
    assert!(queries > 60, "{queries} queries of panels");
    let rules = grafana::check().await?;
    for rule in &rules {
        if let Some(query) = &rule.flux {
            let flux = grafana::flux(query, &Variables::new(), influx.bucket(), &range)?;
            let rows = influx.query_rows(&flux).await.with_context(|| rule.title.clone())?;
            ensure!(!rows.is_empty(), "{}: no data:\n{flux}", rule.title);
        }
    }

    let (gateway, sink) = (gateway.metrics().await?, scrape(&sink).await?);
    let dashboards = grafana::dashboards()?;
    let promql = dashboards.values().flat_map(grafana::promql_queries);
    let promql = promql.chain(rules.iter().filter_map(|rule| rule.promql.as_deref()));
    for name in promql.flat_map(grafana::metric_names) {
        let there = gateway.sum(name, &[]).or(sink.sum(name, &[]));
        ensure!(there.is_some(), "neither gateway nor cloud-sink tells {name}");
    }
    Ok(())
}

/// What the simulated machines do not bring about: of the device that a dashboard shows first.
async fn give_up_records_and_open_an_incident(bootstrap: &str, now_s: u64) -> Result<()> {
    let (at_ms, device) = (i64::try_from(now_s * 1_000)? - 7_200_000, "motor-1");
    let gap = Derived::Gap(Gap {
        device: device.into(),
        from_at_ms: at_ms,
        to_at_ms: at_ms + 60_000,
        count: 12,
        at_least: false,
        reason: "expired".into(),
    });
    let incident: Derived = serde_json::from_value(json!({
        "schema": "incident/1", "id": "00000000000000bb", "device": device, "revision": 0, "state": "open",
        "severity": "high", "title": "motor-1: current: the level jumps", "opened_at_ms": at_ms, "start_at_ms": at_ms,
        "peak_at_ms": at_ms, "end_at_ms": at_ms + 600_000, "score": 4.5, "windows": 1,
        "channels": [{ "channel": "current", "share": 1.0 }], "kinds": ["step"],
        "evidence": { "channel": "current", "detector": "window", "kind": "step", "feature": "largest step",
            "value": 7.5, "expected_low": 1.0, "expected_high": 3.0, "summary": "the level jumps" },
    }))?;
    let topics = Topics::new(PREFIX);
    for (queue_seq, derived) in [(1 << 40, gap), (1 << 41, incident)] {
        let schema = Schema::of(&derived);
        let envelope = Envelope {
            schema,
            gateway: "gw",
            queue_seq,
            received: Received::known(EventTime::from_millis(at_ms)),
            topic: "",
            door: "detect",
            retained: false,
            identity: None,
            content_type: "",
            table: "",
            decoder: None,
        };
        tests::kafka::put(bootstrap, topics.of(schema), &envelope, device, &derived.to_json()).await?;
    }
    Ok(())
}

/// Returns how many queries there are.
async fn all_return_data(
    file: &str,
    dashboard: &Value,
    chosen: &Variables,
    influx: &Influx,
    range: &Range,
) -> Result<usize> {
    let queries = grafana::flux_queries(dashboard);
    for (place, query) in &queries {
        let flux = grafana::flux(query, chosen, influx.bucket(), range)?;
        let rows = influx.query_rows(&flux).await.with_context(|| format!("{file}: {place}:\n{flux}"))?;
        ensure!(!rows.is_empty(), "{file}: {place} returns no data:\n{flux}");
    }
    Ok(queries.len())
}

/// cloud-sink's metrics, at the address that its log names.
async fn scrape(sink: &Process) -> Result<Metrics> {
    let log = sink.stderr();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let address = lines.into_iter().find_map(|line| line["address"].as_str().map(str::to_owned));
    let url = format!("http://{}/metrics", address.context("cloud-sink says no address")?);
    Ok(Metrics::new(http_client()?.get(url).send().await?.error_for_status()?.text().await?))
}
