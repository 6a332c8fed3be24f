//! `cloud-sink setup` on real servers: what it makes, what it mends, what it leaves alone; and what its tasks work out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::config::{TOKEN_ENV, cloud_sink};
use tests::gateway::Home;
use tests::influx::{Influx, column};
use tests::process::{Ended, Process};
use tests::{kafka, stack};

const END: Duration = Duration::from_secs(90);
const TASK_ENDS: Duration = Duration::from_secs(60);
const HOUR_S: u64 = 3_600;
const DAY_MS: &str = "86400000";
const WEEK_MS: &str = "604800000";

async fn setup(home: &Home, config: &str, influx: &Influx, flags: &[&str]) -> Result<Ended> {
    let file = home.write("cloud-sink.toml", config)?;
    let args = [&["setup", "--config", &file], flags].concat();
    Process::start("cloud-sink", &args, &[(TOKEN_ENV, influx.token())])?.ended(END).await
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_makes_all_that_is_missing_once_and_then_finds_nothing_to_do() -> Result<()> {
    let kafka = stack::kafka().await?;
    let influx = stack::bucket("unrelated").await?.other("setup-new");
    let home = Home::new()?;
    let config = cloud_sink(kafka.bootstrap(), "setup-new", &influx)?;

    let dry = setup(&home, &config, &influx, &["--dry-run"]).await?;
    assert_eq!(dry.status.code(), Some(3), "a dry run that finds drift says so: {dry:?}");
    assert_eq!(dry.stdout.lines().count(), 5 + 4 + 3, "topics, buckets, tasks:\n{}", dry.stdout);
    assert_eq!(kafka::partitions(kafka.bootstrap(), "setup-new.raw")?, 0, "a dry run makes no topic");
    assert_eq!(influx.buckets().await?, [""; 0], "a dry run makes no bucket");

    let made = setup(&home, &config, &influx, &[]).await?;
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert_eq!(made.stdout.replace(": done\n", "\n"), dry.stdout, "it does what the dry run said");
    assert_eq!(kafka::partitions(kafka.bootstrap(), "setup-new.raw")?, 12);
    assert_eq!(kafka::partitions(kafka.bootstrap(), "setup-new.dead-letters")?, 1);
    let kept = kafka::settings(kafka.bootstrap(), "setup-new.raw").await?;
    assert_eq!(kept, BTreeMap::from([("cleanup.policy", "delete"), ("retention.ms", WEEK_MS)].map(owned)));
    assert_eq!(influx.retention_s().await?, 30 * 24 * HOUR_S);
    assert_eq!(influx.other("setup-new_1h").retention_s().await?, 0, "hours stay for ever");

    for flags in [&[][..], &["--dry-run"], &["--shorten"]] {
        let again = setup(&home, &config, &influx, flags).await?;
        assert_eq!((again.status.code(), &*again.stdout), (Some(0), "nothing to do\n"), "{flags:?}");
    }
    Ok(())
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_told_and_mended_and_nothing_is_made_smaller_unasked() -> Result<()> {
    let kafka = stack::kafka().await?;
    let influx = stack::bucket("setup-drift").await?;
    let home = Home::new()?;
    let config = cloud_sink(kafka.bootstrap(), "setup-drift", &influx)?;
    let made = setup(&home, &config, &influx, &[]).await?;
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert!(
        made.stdout
            .starts_with("bucket setup-drift: points stay for ever, wanted 30 d: left, less would delete points"),
        "the bucket was there before:\n{}",
        made.stdout
    );

    influx.set_retention_s(HOUR_S).await?;
    influx.change_task("setup-drift to setup-drift_1m", &json!({ "status": "inactive" })).await?;
    influx.change_task("setup-drift to setup-drift_1h", &json!({ "every": "2h" })).await?;
    let others = [("cleanup.policy", "delete"), ("retention.ms", DAY_MS), ("max.message.bytes", "2000000")];
    kafka::set(kafka.bootstrap(), "setup-drift.raw", &others).await?;
    let drift = [
        "topic setup-drift.raw: retention.ms is 86400000, wanted 604800000: change",
        "bucket setup-drift: points stay 3600 s, wanted 30 d: change",
        "task setup-drift to setup-drift_1h: its script differs: replace",
        "task setup-drift to setup-drift_1m: is not active: activate",
    ];
    let dry = setup(&home, &config, &influx, &["--dry-run"]).await?;
    assert_eq!((dry.status.code(), dry.stdout.lines().collect::<Vec<_>>()), (Some(3), drift.to_vec()));
    assert_eq!(influx.retention_s().await?, HOUR_S, "a dry run changes nothing");
    let mended = setup(&home, &config, &influx, &[]).await?;
    assert_eq!(mended.status.code(), Some(0), "{mended:?}");
    assert_eq!(influx.retention_s().await?, 30 * 24 * HOUR_S);
    let settings = kafka::settings(kafka.bootstrap(), "setup-drift.raw").await?;
    assert_eq!(settings.get("retention.ms").map(String::as_str), Some(WEEK_MS));
    assert_eq!(settings.get("max.message.bytes").map(String::as_str), Some("2000000"), "what is not ours stays");
    assert_eq!(setup(&home, &config, &influx, &[]).await?.stdout, "nothing to do\n");

    let smaller = format!("{config}\n[setup]\npartitions = 6\ntopic_days.raw = 1\nbucket_days.raw = 1\n");
    let left = [
        "topic setup-drift.anomalies: partitions are 12, wanted 6: left, Kafka cannot take any away",
        "topic setup-drift.raw: retention.ms is 604800000, wanted 86400000: left, less would delete records; --shorten does it",
        "bucket setup-drift: points stay 30 d, wanted 1 d: left, less would delete points; --shorten does it",
        "nothing to do",
    ];
    let told = setup(&home, &smaller, &influx, &[]).await?;
    for line in left {
        assert!(told.stdout.lines().any(|said| said == line), "{line} is not in\n{}", told.stdout);
    }
    let shortened = setup(&home, &smaller, &influx, &["--shorten"]).await?;
    assert_eq!(shortened.status.code(), Some(0), "{shortened:?}");
    assert_eq!(influx.retention_s().await?, 24 * HOUR_S);
    let settings = kafka::settings(kafka.bootstrap(), "setup-drift.raw").await?;
    assert_eq!(settings.get("retention.ms").map(String::as_str), Some(DAY_MS));

    let wider = format!("{config}\n[setup]\npartitions = 16\n");
    let widened = setup(&home, &wider, &influx, &[]).await?;
    assert_eq!(widened.status.code(), Some(0), "{widened:?}");
    assert_eq!(kafka::partitions(kafka.bootstrap(), "setup-drift.windows")?, 16);
    Ok(())
}

/// Readings of an hour: one each ten seconds, n of its place.
const STEP_S: u64 = 10;
const READINGS: u64 = HOUR_S / STEP_S;

#[tokio::test(flavor = "multi_thread")]
async fn rollups_have_mean_min_max_and_count_of_whole_windows_and_take_late_readings() -> Result<()> {
    let kafka = stack::kafka().await?;
    let influx = stack::bucket("setup-rollup").await?;
    let home = Home::new()?;
    let config = cloud_sink(kafka.bootstrap(), "setup-rollup", &influx)?;
    let made = setup(&home, &config, &influx, &[]).await?;
    assert_eq!(made.status.code(), Some(0), "{made:?}");

    let end_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / HOUR_S * HOUR_S;
    let start_s = end_s - HOUR_S;
    let mut lines = String::new();
    // From 20 s before the hour until 10 s after: what is outside must not count.
    for i in 0..READINGS + 3 {
        let (at, n) = (start_s - 2 * STEP_S + i * STEP_S, i as f64 - 2.0);
        writeln!(lines, "sensor,device=d,gateway=g n={n},word.x=\"on\" {at}000000000")?;
        writeln!(lines, "sensor_window,device=d,channel=n,gateway=g mean={n} {at}000000000")?;
    }
    influx.write(lines).await?;
    for (name, window_s) in [("1m", 60), ("10m", 600), ("1h", HOUR_S)] {
        influx.run_task(&format!("setup-rollup to setup-rollup_{name}"), end_s, TASK_ENDS).await?;
        let bucket = influx.other(&format!("setup-rollup_{name}"));
        let expected: Figures = (0..HOUR_S / window_s).map(|i| figures(i, window_s, start_s)).collect();
        let found = rollups(&bucket, start_s, end_s).await?;
        assert_eq!(found, expected, "{name}");
    }

    let late = format!("sensor,device=d,gateway=g n=1000 {}000000000\n", start_s + 5);
    influx.write(late).await?;
    influx.run_task("setup-rollup to setup-rollup_1m", end_s, TASK_ENDS).await?;
    let found = rollups(&influx.other("setup-rollup_1m"), start_s, end_s).await?;
    assert_eq!(found.get(&start_s), Some(&[1_015.0 / 7.0, 0.0, 1_000.0, 7.0]), "the late reading is in its minute");
    assert_eq!(found.len(), 60, "and no minute came twice");
    Ok(())
}

/// Start of a window, seconds since 1970 → mean, min, max, count.
type Figures = BTreeMap<u64, [f64; 4]>;

fn figures(window: u64, window_s: u64, start_s: u64) -> (u64, [f64; 4]) {
    let count = window_s / STEP_S;
    let (first, last) = ((window * count) as f64, ((window + 1) * count - 1) as f64);
    (start_s + window * window_s, [(first + last) / 2.0, first, last, count as f64])
}

/// All that the bucket has of measurement `sensor`, device `d`; it must have nothing else but the window before the hour.
async fn rollups(bucket: &Influx, from_s: u64, to_s: u64) -> Result<Figures> {
    let flux = format!(
        "from(bucket: \"{}\") |> range(start: 0) |> map(fn: (r) => ({{at: uint(v: r._time) / uint(v: 1000000000), \
         measurement: r._measurement, field: r._field, device: r.device, gateway: r.gateway, value: float(v: r._value)}})) \
         |> group()",
        bucket.bucket()
    );
    let mut found = Figures::new();
    for row in bucket.query_rows(&flux).await? {
        let value = |name| column(&row, name);
        let series = (value("measurement")?, value("device")?, value("gateway")?);
        ensure!(series == ("sensor", "d", "g"), "{row:?}");
        let at: u64 = value("at")?.parse()?;
        let place = ["n_mean", "n_min", "n_max", "n_count"].iter().position(|f| Ok(*f) == value("field").map_err(drop));
        let place = place.with_context(|| format!("an unexpected field: {row:?}"))?;
        if (from_s..to_s).contains(&at) {
            found.entry(at).or_insert([f64::NAN; 4])[place] = value("value")?.parse()?;
        } else {
            ensure!(at < from_s, "a window that was not over: {row:?}");
        }
    }
    Ok(found)
}
