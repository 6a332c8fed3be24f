//! Records whose decoder is not there: kept aside, in nobody's way, and brought in once it is.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::config::{TOKEN_ENV, cloud_sink};
use tests::eventually::eventually;
use tests::fleet::{Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::influx::Influx;
use tests::oracle::Oracle;
use tests::process::{Ended, Process};
use tests::publisher::publish_all;
use tests::{kafka, stack};

use crate::DELIVERY;

const PLAN: Plan = Plan { name: "good", seed: 43, devices: 5, messages: 2_000, messages_per_second: 2_000 };
const SENSORS: &str = "id = \"sensors\"\ntopic = \"sensors/{device}/telemetry\"";
const PLANT: &str = "id = \"plant\"\ntopic = \"plant/{device}/state\"";

/// By event time, in milliseconds.
const STRANGE: [(i64, &[u8]); 3] = [
    (1_600_000_000_000, b"{\"ts\":1600000000000,\"bar\":1.5}"),
    (1_600_000_000_010, b"{\"ts\":1600000000010,\"bar\":2.5}"),
    (1_600_000_000_020, b"{\"ts\":1600000000020,\"bar\":3.5}"),
];
/// Frame version 9.
const FROM_THE_FUTURE: &[u8] = b"SG\x09\x00 whatever that will be";

async fn quarantine(arguments: &[&str], influx: &Influx) -> Result<Ended> {
    let arguments = [&["quarantine"], arguments].concat();
    Process::start("gateway", &arguments, &[(TOKEN_ENV, influx.token())])?.ended(Duration::from_secs(60)).await
}

async fn quarantined(gateway: &Gateway, records: u64) -> Result<()> {
    eventually("the books of the quarantine", DELIVERY, async || {
        let metrics = gateway.metrics().await?;
        let quarantined = metrics.count("gateway_forward_quarantined_total", &["sink=\"influx"])?;
        ensure!(quarantined == records, "{quarantined} of {records} quarantined");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_decoder_read_is_brought_in_once_when_there_is_one_beside_the_running_gateway() -> Result<()> {
    let influx = stack::bucket("redrive").await?;
    let home = Home::new()?;
    let before = home.config().listen().influx(influx.url(), &influx).decode(SENSORS);
    let gateway = Gateway::start(&home, &before, influx.token()).await?;

    let fleet = Fleet::start(PLAN, home.listen());
    fleet.acked(PLAN.messages / 4).await?;
    let strange = STRANGE.map(|(_, payload)| ("plant/press/state", payload));
    publish_all(&home.listen(), "strange", &strange).await?;
    let sent = fleet.finish().await?;
    Oracle::new(&[&sent]).expect_in_influx(&influx, DELIVERY).await?;
    quarantined(&gateway, strange.len() as u64).await?;
    assert_eq!(influx.count("sensor", "bar").await?, 0);

    // The gateway runs on as it was; the decoder is in the file alone.
    let after = home.write("after.toml", before.clone().decode(PLANT).as_str())?;
    let config = ["--config", after.as_str()];
    let redriven = quarantine(&[&["redrive"], &config[..]].concat(), &influx).await?;
    assert!(redriven.status.success() && redriven.stdout.contains("influx: 3 records sent"), "{redriven:?}");
    let mut points = influx.points("sensor", "bar").await?;
    points.sort_by_key(|point| point.at_ns);
    let found: Vec<_> = points.iter().map(|p| (p.device.as_str(), p.at_ns / 1_000_000, p.value)).collect();
    assert_eq!(found, [1.5, 2.5, 3.5].iter().zip(STRANGE).map(|(v, (at, _))| ("press", at, *v)).collect::<Vec<_>>());
    let again = quarantine(&[&["redrive"], &config[..]].concat(), &influx).await?;
    assert!(again.status.success() && again.stdout.contains("influx: 0 records sent"), "{again:?}");
    let listed = quarantine(&[&["list"], &config[..]].concat(), &influx).await?;
    assert_eq!(listed.stdout, "nothing is in quarantine\n");

    // The gateway goes on with its quarantine as if nothing had happened; what nobody can read yet stays there.
    publish_all(&home.listen(), "future", &[("sensors/pump/telemetry", FROM_THE_FUTURE)]).await?;
    quarantined(&gateway, strange.len() as u64 + 1).await?;
    let kept = quarantine(&[&["redrive"], &config[..]].concat(), &influx).await?;
    assert_eq!(kept.status.code(), Some(1), "{kept:?}");
    assert!(kept.stdout.contains("influx: 1 record cannot go: frame_version"), "{kept:?}");
    let listed = quarantine(&[&["list"], &config[..]].concat(), &influx).await?;
    assert!(listed.stdout.contains("frame_version") && listed.stdout.lines().count() == 2, "{listed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cloud_sink_puts_records_of_a_later_decoder_aside_and_writes_those_around_them() -> Result<()> {
    let kafka = stack::kafka().await?;
    let bucket = stack::bucket("later").await?;
    let home = Home::new()?;
    let later = format!("{PLANT}\nversion = 2");
    let config = home.config().listen().kafka(kafka.bootstrap(), "later").decode(SENSORS).decode(&later);
    let _gateway = Gateway::start(&home, &config, "").await?;
    let tables =
        format!("{}\n[[decode]]\n{SENSORS}\n[[decode]]\n{PLANT}\n", cloud_sink(kafka.bootstrap(), "later", &bucket)?);
    let sink_file = home.write("cloud-sink.toml", &tables)?;
    let mut sink = Process::start("cloud-sink", &["run", "--config", &sink_file], &[(TOKEN_ENV, bucket.token())])?;

    let good = |payload: &'static [u8]| ("sensors/pump/telemetry", payload);
    let messages = [good(STRANGE[0].1), ("plant/press/state", STRANGE[1].1), good(STRANGE[2].1)];
    publish_all(&home.listen(), "mixed", &messages).await?;
    eventually("points in InfluxDB and the dead letter", DELIVERY, async || {
        let points = bucket.count("sensor", "bar").await?;
        ensure!(points == 2, "{points} of 2 points");
        let letters = kafka::read_topic(kafka.bootstrap(), "later.dead-letters")?;
        let letter = letters.iter().find(|letter| letter.value == STRANGE[1].1);
        ensure!(letter.is_some(), "{} dead letters, none of the later decoder", letters.len());
        let header = |name: &str| letter.and_then(|letter| letter.header(name));
        assert_eq!((header("decoder"), header("error_reason")), (Some("plant/2"), Some("decoder_version")));
        Ok(())
    })
    .await?;
    sink.still_running()
}
