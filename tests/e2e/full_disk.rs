//! No room is left: by the queue's own budget, or on the disk itself. Nothing acknowledged is lost without a word.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use tests::disk::{SmallDisk, disk_bytes};
use tests::eventually::{eventually, throughout};
use tests::fleet::{Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::influx::Influx;
use tests::link::Link;
use tests::oracle::Oracle;
use tests::stack::{self, Mosquitto};

use crate::DELIVERY;

/// The least budget that there is; doors are held up 16 MiB before its end.
const BUDGET: &str = "max_size = \"64MiB\"\nreserve = \"4MiB\"\nquarantine_max = \"8MiB\"";
const BUDGET_BYTES: u64 = 64 << 20;
/// Makes a message of 32 KiB, so that some thousand are more than the budget.
const PADDING: usize = 32 * 1024;
/// For the gateway to run into the limit.
const FULL: Duration = Duration::from_secs(60);
/// More than one and a half of the keep-alive of five seconds, after which a broker gives a silent client up.
const KEEP_ALIVES: Duration = Duration::from_secs(9);
/// Nothing is acknowledged for so long: many commits.
const HOLD: Duration = Duration::from_secs(3);

async fn link_to(influx: &Influx) -> Result<(Link, String)> {
    let far = influx.url().strip_prefix("http://").context("InfluxDB is reached by http")?.parse()?;
    let link = Link::to(far).await?;
    let url = format!("http://{}", link.address());
    Ok((link, url))
}

/// Waits until the gateway says that it holds its doors up, in all places where it says so.
async fn held_up(gateway: &Gateway, why: &str) -> Result<()> {
    eventually("doors that are held up", FULL, async || {
        ensure!(gateway.metrics().await?.count("gateway_queue_held_up", &[])? == 1, "they are not");
        let (status, text) = gateway.get("/readyz").await?;
        ensure!(status == StatusCode::SERVICE_UNAVAILABLE && text.contains(why), "{status} {text}");
        let (status, _) = gateway.get("/healthz").await?;
        ensure!(status == StatusCode::OK, "it is alive all the same");
        Ok(())
    })
    .await
}

async fn doors_open(gateway: &Gateway) -> Result<()> {
    eventually("doors that are open again", DELIVERY, async || {
        ensure!(gateway.metrics().await?.count("gateway_queue_held_up", &[])? == 0, "held up");
        Ok(())
    })
    .await
}

fn within_budget(home: &Home) -> Result<()> {
    let bytes = disk_bytes(&home.queue_dir())?;
    ensure!(bytes <= BUDGET_BYTES, "{bytes} bytes on disk, the budget is {BUDGET_BYTES}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_leaves_messages_at_the_broker_and_keeps_its_session_until_the_sink_is_back() -> Result<()> {
    const PLAN: Plan = Plan { name: "block", seed: 51, devices: 8, messages: 2_400, messages_per_second: 400 };
    let (broker, influx) = (Mosquitto::start().await?, stack::bucket("full-block").await?);
    let (link, url) = link_to(&influx).await?;
    let home = Home::new()?;
    let config = home.config().broker(broker.address()).with("keep_alive = \"5s\"").influx(&url, &influx);
    // With detection: a window that waits for readings must not hold up the doors that they come in by.
    let config = config.queue(BUDGET);
    let gateway = Gateway::start(&home, &config, influx.token()).await?;
    gateway.subscribed(&broker.target()).await?;

    link.cut();
    let sent = Fleet::start_padded(PLAN, broker.target(), PADDING).finish().await?;
    assert_eq!(sent.acked_total, PLAN.messages, "the broker takes them all");
    held_up(&gateway, "queue.max_size").await?;
    let acks = async || gateway.metrics().await?.count("gateway_ingest_acks_total", &["door=\"mqtt\""]);
    let acked = acks().await?;
    assert!(acked < PLAN.messages, "the broker keeps some: {acked} acknowledged");
    throughout("a session without acknowledgements", KEEP_ALIVES, async || {
        within_budget(&home)?;
        let metrics = gateway.metrics().await?;
        ensure!(acks().await? == acked, "held up means no acknowledgement");
        ensure!(metrics.count("gateway_ingest_connects_total", &["door=\"mqtt\""])? == 1, "it has reconnected");
        ensure!(metrics.count("gateway_ingest_connections", &["door=\"mqtt\""])? == 1, "it is connected");
        Ok(())
    })
    .await?;

    link.restore();
    let verdict = Oracle::new(&[&sent]).expect_in_influx(&influx, DELIVERY).await?;
    assert_eq!(verdict.missing, 0, "{verdict}");
    doors_open(&gateway).await?;
    let metrics = gateway.metrics().await?;
    assert_eq!(metrics.count("gateway_ingest_connects_total", &["door=\"mqtt\""])?, 1, "one session all along");
    assert_eq!(metrics.sum("gateway_ledger_balances", &[]), Some(3.0), "of detect, and of the sink in both logs");
    within_budget(&home)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_that_waits_for_a_full_queue_stays_connected() -> Result<()> {
    const PLAN: Plan = Plan { name: "wait", seed: 54, devices: 4, messages: 2_400, messages_per_second: 800 };
    let influx = stack::bucket("full-listen").await?;
    let (link, url) = link_to(&influx).await?;
    let home = Home::new()?;
    let config = home.config().listen().influx(&url, &influx).without_detection().queue(BUDGET);
    let gateway = Gateway::start(&home, &config, influx.token()).await?;

    link.cut();
    let fleet = Fleet::start_padded(PLAN, home.listen(), PADDING);
    held_up(&gateway, "queue.max_size").await?;
    let acked = fleet.acked_total();
    throughout("sensors without acknowledgements", HOLD, async || {
        within_budget(&home)?;
        ensure!(fleet.acked_total() == acked, "held up means no acknowledgement");
        Ok(())
    })
    .await?;

    link.restore();
    let sent = fleet.finish().await?;
    assert_eq!((sent.acked_total, sent.acked_out_of_order, sent.connections_lost), (PLAN.messages, 0, 0));
    let verdict = Oracle::new(&[&sent]).expect_in_influx(&influx, DELIVERY).await?;
    assert_eq!((verdict.missing, verdict.repeats), (0, 0), "{verdict}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_drops_its_oldest_keeps_to_the_budget_and_names_every_record_it_dropped() -> Result<()> {
    /// Batches of 50: two with the sink, one ready and four read ahead in each of two lanes.
    const UNDER_WAY_MAX: f64 = 12.0 * 50.0;
    const PLAN: Plan = Plan { name: "drop", seed: 52, devices: 8, messages: 4_000, messages_per_second: 500 };
    let influx = stack::bucket("full-drop").await?;
    let (link, url) = link_to(&influx).await?;
    let home = Home::new()?;
    let config = home.config().listen().influx(&url, &influx).with("batch_records_max = 50").without_detection();
    let config = config.queue(&format!("{BUDGET}\nwhen_full = \"drop_oldest\""));
    let gateway = Gateway::start(&home, &config, influx.token()).await?;

    link.cut();
    let fleet = Fleet::start_padded(PLAN, home.listen(), PADDING);
    eventually("all messages", FULL, async || {
        within_budget(&home)?;
        ensure!(fleet.acked_total() == PLAN.messages, "{} acknowledged", fleet.acked_total());
        Ok(())
    })
    .await?;
    let sent = fleet.finish().await?;
    assert_eq!(sent.acked_total, PLAN.messages, "sensors notice nothing");

    link.restore();
    eventually("gaps that tell of all that is missing", DELIVERY, async || {
        within_budget(&home)?;
        let metrics = gateway.metrics().await?;
        let raw = ["consumer=\"influx\"", "log=\"raw\""];
        let fate = |fate: &str| metrics.count("gateway_ledger_records", &[raw[0], raw[1], &format!("fate=\"{fate}\"")]);
        let (accepted, delivered, dropped) = (fate("accepted")?, fate("delivered")?, fate("dropped")?);
        ensure!(dropped > 0 && accepted == PLAN.messages, "{dropped} of {accepted} dropped");
        ensure!(accepted == delivered + dropped, "{accepted} accepted, {delivered} delivered, {dropped} dropped");
        ensure!(metrics.count("gateway_ledger_balances", &raw)? == 1, "the books do not balance");
        let gaps = influx.points("sensor_gap", "count").await?;
        let told: f64 = gaps.iter().map(|gap| gap.value).sum();
        // What the sink had under way when it was dropped is delivered all the same.
        let rescued = told - dropped as f64;
        ensure!((0.0..=UNDER_WAY_MAX).contains(&rescued), "{told} in {} gaps, {dropped} dropped", gaps.len());
        ensure!(gaps.iter().all(|gap| gap.device.starts_with("drop-")), "each gap has its device: {gaps:?}");
        let points = influx.count("sensor", "temperature").await?;
        ensure!(points == delivered, "{points} points, {delivered} delivered");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_acknowledgements_and_space_brings_them_back_without_a_restart() -> Result<()> {
    const PLAN: Plan = Plan { name: "enospc", seed: 53, devices: 8, messages: 280, messages_per_second: 40 };
    const DISK_BYTES: u64 = 48 << 20;
    let home = Home::new()?;
    let disk = match SmallDisk::mount(&home.data_dir(), DISK_BYTES) {
        Ok(disk) => disk,
        Err(e) => {
            eprintln!("NOT TESTED: a full disk, because there is none to fill: {e:#}");
            return Ok(());
        }
    };
    let influx = stack::bucket("full-disk").await?;
    let (link, url) = link_to(&influx).await?;
    let config = home.config().listen().influx(&url, &influx).without_detection();
    let config = config.queue("max_size = \"64MiB\"\nquarantine_max = \"8MiB\"");
    let gateway = Gateway::start(&home, &config, influx.token()).await?;

    link.cut();
    let fleet = Fleet::start_padded(PLAN, home.listen(), PADDING);
    fleet.acked(PLAN.messages / 4).await?;
    disk.fill()?;
    held_up(&gateway, "the disk is full").await?;
    // The reserve has made room for what was under way; now that is gone, too.
    disk.fill()?;
    let mut acked = 0;
    eventually("an end of acknowledgements", FULL, async || {
        let before = std::mem::replace(&mut acked, fleet.acked_total());
        ensure!(before == acked, "{} since the last look", acked - before);
        Ok(())
    })
    .await?;
    throughout("a full disk", HOLD, async || {
        ensure!(fleet.acked_total() == acked, "nothing is acknowledged on a full disk");
        let (status, _) = gateway.get("/healthz").await?;
        ensure!(status == StatusCode::OK, "the gateway lives");
        Ok(())
    })
    .await?;
    assert!(acked < PLAN.messages, "{acked} acknowledged");

    disk.empty()?;
    let sent = fleet.finish().await?;
    assert_eq!((sent.acked_total, sent.acked_out_of_order, sent.connections_lost), (PLAN.messages, 0, 0));
    doors_open(&gateway).await?;
    // What is acknowledged is in the file, not in memory.
    gateway.kill()?;
    let _gateway = Gateway::start(&home, &config, influx.token()).await?;
    link.restore();
    let verdict = Oracle::new(&[&sent]).expect_in_influx(&influx, DELIVERY).await?;
    assert_eq!(verdict.missing, 0, "{verdict}");
    Ok(())
}
