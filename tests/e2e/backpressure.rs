//! No sink is there and the queue is full: nothing more is acknowledged, nothing is lost, nobody is sent away, and memory
//! stays where it was. When the sinks are back, all of it drains.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use rumqttc::mqttbytes::v4::Connect;
use tests::eventually::{eventually, throughout};
use tests::fleet::{Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::link::Link;
use tests::oracle::Oracle;
use tests::publisher::{Connection, Target};
use tests::stack::{self, Kafka, Mosquitto};

use crate::DELIVERY;

/// The least budget that there is; doors are held up 16 MiB before its end.
const BUDGET: &str = "max_size = \"64MiB\"\nreserve = \"4MiB\"\nquarantine_max = \"8MiB\"\nwhen_full = \"block\"";
/// Makes a message of 32 KiB, so that some thousand are more than the budget.
const PADDING: usize = 32 * 1024;
/// For the gateway to run into the limit.
const FULL: Duration = Duration::from_secs(60);
/// More than one and a half of each keep-alive below.
const KEEP_ALIVES: Duration = Duration::from_secs(9);
const BROKER_KEEP_ALIVE: &str = "keep_alive = \"5s\"";
const SENSOR_KEEP_ALIVE_S: u16 = 2;
const SENSOR_PINGS: Duration = Duration::from_secs(1);
/// What memory may move by once all is read ahead that is for sinks that are away (up to four batches of 1 MiB for each lane of
/// InfluxDB, and for Kafka): buffers of attempts to reach them.
const FLAT_BYTES: u64 = 12 << 20;
/// With four fleets' worth of messages under way; the backlog alone is six times as much.
const RSS_MAX_BYTES: u64 = 160 << 20;

/// A sensor that has sent a message which is not acknowledged, and goes on pinging.
async fn waiting_sensor(target: &Target) -> Result<Connection> {
    let connect = Connect { keep_alive: SENSOR_KEEP_ALIVE_S, ..Connect::new("waiting") };
    let (mut connection, _) = Connection::open_as(target, connect).await?;
    connection.push("sensors/waiting/telemetry".into(), "{\"t\":21.5}", false)?;
    connection.flush().await?;
    Ok(connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_sinks_doors_wait_and_memory_is_flat_and_everything_drains_when_they_return() -> Result<()> {
    const BY_BROKER: Plan = Plan { name: "dialled", seed: 81, devices: 8, messages: 1_600, messages_per_second: 400 };
    const BY_LISTEN: Plan = Plan { name: "accepted", seed: 82, devices: 8, messages: 1_600, messages_per_second: 400 };
    let (broker, kafka) = (Mosquitto::start().await?, Arc::new(Kafka::start().await?));
    let influx = stack::bucket("backpressure").await?;
    let far = influx.url().strip_prefix("http://").context("InfluxDB is reached by http")?.parse()?;
    let link = Link::to(far).await?;
    let home = Home::new()?;
    let config = home.config().broker(broker.address()).with(BROKER_KEEP_ALIVE).listen().queue(BUDGET);
    let config = config.influx(&format!("http://{}", link.address()), &influx).kafka(kafka.bootstrap(), "pressure");
    let gateway = Gateway::start(&home, &config, influx.token()).await?;
    gateway.subscribed(&broker.target()).await?;

    link.cut();
    kafka.kill().await?;
    let by_broker = Fleet::start_padded(BY_BROKER, broker.target(), PADDING);
    let by_listen = Fleet::start_padded(BY_LISTEN, home.listen(), PADDING);
    eventually("doors that are held up", FULL, async || {
        ensure!(gateway.metrics().await?.count("gateway_queue_held_up", &[])? == 1, "they are not");
        Ok(())
    })
    .await?;
    let mut sensor = waiting_sensor(&home.listen()).await?;
    let metrics = gateway.metrics().await?;
    let connects = metrics.sum("gateway_ingest_connects_total", &[]);
    // At first sinks read ahead as far as they may; after that nothing more is held.
    let mut rss = Vec::new();
    for _ in 0..2 {
        let mut most = 0;
        throughout("sessions without acknowledgements", KEEP_ALIVES, async || {
            most = gateway.rss_bytes()?.max(most);
            ensure!(most < RSS_MAX_BYTES, "{most} bytes of memory");
            sensor.ping().await?;
            let metrics = gateway.metrics().await?;
            ensure!(metrics.sum("gateway_ingest_connects_total", &[]) == connects, "somebody has reconnected");
            ensure!(
                metrics.count("gateway_ingest_connections", &["door=\"mqtt\""])? == 1,
                "the broker is not connected"
            );
            Ok(())
        })
        .await?;
        rss.push(most);
    }
    let (read_ahead, later) = (rss[0], rss[1]);
    assert!(later <= read_ahead + FLAT_BYTES, "{read_ahead} bytes of memory became {later}");
    let refused = gateway.post("/v1/ingest?topic=sensors/by-http/telemetry", "application/json", b"{\"t\":1}".into());
    let refused = refused.await?;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let retry_after = refused.headers().get("Retry-After").context("no Retry-After")?.to_str()?.parse::<u64>()?;
    assert!(retry_after > 0, "{retry_after}");
    println!("memory while all wait: {}, then {} MiB; Retry-After: {retry_after} s", read_ahead >> 20, later >> 20);

    let waiting = tokio::spawn(async move { sensor.next_ack_while_pinging(SENSOR_PINGS).await });
    kafka.start_again().await?;
    link.restore();
    let (by_broker, by_listen) = (by_broker.finish().await?, by_listen.finish().await?);
    waiting.await??;
    assert_eq!((by_broker.acked_total, by_listen.acked_total), (BY_BROKER.messages, BY_LISTEN.messages));
    assert_eq!((by_listen.acked_out_of_order, by_listen.connections_lost), (0, 0));
    let oracle = Oracle::new(&[&by_broker, &by_listen]);
    let in_influx = oracle.expect_in_influx(&influx, DELIVERY).await?;
    let in_kafka = oracle.expect_in_kafka(kafka.bootstrap(), "pressure.raw", DELIVERY).await?;
    assert_eq!((in_influx.missing, in_kafka.missing, in_kafka.out_of_order), (0, 0, 0), "{in_influx}\n{in_kafka}");
    let metrics = gateway.metrics().await?;
    assert_eq!(metrics.sum("gateway_ingest_connects_total", &["door=\"mqtt\""]), Some(1.0), "one session all along");
    Ok(())
}
