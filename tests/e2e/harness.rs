//! The harness itself against real servers: a judge that cannot say "missing" proves nothing.

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tests::browser::Browser;
use tests::fleet::{Fleet, Plan, Sent};
use tests::link::Link;
use tests::oracle::Oracle;
use tests::publisher::Target;
use tests::stack::{self, Mosquitto};

use crate::DELIVERY;

const PLAN: Plan = Plan { name: "harness", seed: 1, devices: 5, messages: 500, messages_per_second: 5_000 };

/// A fleet that nobody but the broker listened to.
async fn sent() -> Result<Sent> {
    let broker = Mosquitto::start().await?;
    let sent = Fleet::start(PLAN, broker.target()).finish().await?;
    ensure!(sent.acked_total == PLAN.messages && sent.connections_lost == 0, "{sent:?}");
    Ok(sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_lost_its_connections_sends_again_what_was_not_acknowledged() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let link = Link::to(broker.address()).await?;
    let fleet = Fleet::start(Plan { messages: 5_000, ..PLAN }, Target::Broker(link.address()));
    fleet.acked(1_000).await?;
    link.cut();
    let when_cut = fleet.acked_total();
    link.restore();
    let sent = fleet.finish().await?;
    assert!(when_cut < sent.acked_total, "cut in the middle: at {when_cut}");
    assert_eq!((sent.acked_total, sent.acked_out_of_order), (5_000, 0));
    assert!(sent.connections_lost > 0, "the cut was noticed");
    assert!(sent.acked.values().all(|counters| counters.len() == 1_000), "each message once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oracle_notices_what_influxdb_lacks_and_what_is_wrong_there() -> Result<()> {
    let sent = sent().await?;
    let oracle = Oracle::new(&[&sent]);
    let influx = stack::bucket("harness").await?;
    let line = |device: &tests::message::Device, n: u64, temperature: f64| {
        let at_ns = 1_600_000_000_000_000_000 + n * 10_000_000;
        format!("sensor,device={} n={n},temperature={temperature} {at_ns}\n", device.name())
    };
    let device = &sent.devices[0];
    let all_but_one = sent.devices.iter().flat_map(|d| (0..100).map(move |n| (d, n))).skip(1);
    influx.write(all_but_one.map(|(d, n)| line(d, n, d.temperature(n))).collect()).await?;
    let verdict = oracle.judge_influx(&influx).await?;
    assert_eq!((verdict.found, verdict.missing, verdict.wrong), (499, 1, 0), "{verdict}");

    influx.write(line(device, 0, device.temperature(0) + 1.0)).await?;
    let verdict = oracle.judge_influx(&influx).await?;
    assert_eq!((verdict.missing, verdict.wrong), (1, 2), "{verdict}");

    influx.write(line(device, 0, device.temperature(0))).await?;
    let verdict = oracle.expect_in_influx(&influx, DELIVERY).await?;
    assert_eq!((verdict.found, verdict.missing, verdict.repeats, verdict.wrong), (500, 0, 0, 0), "{verdict}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oracle_notices_what_kafka_lacks_and_what_is_repeated_there() -> Result<()> {
    let sent = sent().await?;
    let oracle = Oracle::new(&[&sent]);
    let kafka = stack::kafka().await?;
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create()?;
    let send = |device: &tests::message::Device, n: u64| {
        let payload = device.payload(n);
        let record = BaseRecord::to("harness.raw").key(device.name()).payload(&payload);
        producer.send(record).map_err(|(e, _)| e)
    };
    for (device, n) in sent.devices.iter().flat_map(|d| (0..100).map(move |n| (d, n))).skip(1) {
        send(device, n)?;
    }
    send(&sent.devices[0], 99)?;
    producer.flush(DELIVERY)?;
    let entries = tests::kafka::read_topic(kafka.bootstrap(), "harness.raw")?;
    let verdict = oracle.judge_kafka(&entries);
    assert_eq!((verdict.found, verdict.missing, verdict.repeats), (499, 1, 1), "{verdict}");

    send(&sent.devices[0], 0)?;
    producer.flush(DELIVERY)?;
    let verdict = oracle.expect_in_kafka(kafka.bootstrap(), "harness.raw", DELIVERY).await?;
    assert_eq!((verdict.found, verdict.repeats, verdict.out_of_order), (500, 1, 1), "{verdict}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_runs_scripts_and_reports_what_a_page_complains_about() -> Result<()> {
    let browser = Browser::start().await?;
    browser.open("data:text/html,<title>quiet</title><p>text</p>").await?;
    assert_eq!(browser.run("return document.title").await?, "quiet");
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    browser.open("data:text/html,<script>console.error('broken chart')</script>").await?;
    let complaints = browser.complaints().await?;
    assert!(complaints.iter().any(|c| c.contains("broken chart")), "{complaints:?}");
    let screenshot = browser.screenshot().await?;
    assert!(screenshot.starts_with("iVBORw0KGgo"), "a PNG begins so in base64: {:?}", screenshot.get(..16));
    browser.run("throw 1").await.err().context("an exception in the page is an error")?;
    Ok(())
}
