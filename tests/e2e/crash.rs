//! kill -9 in the middle of the stream: what was acknowledged arrives, whatever the gateway had in memory.

use anyhow::Result;
use tests::fleet::{Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::message::{Device, Random};
use tests::once::{OnceSensor, OnceSent};
use tests::oracle::{Oracle, Verdict};
use tests::stack::{self, Mosquitto};
use tests::stored::{KEEP, entries, expect_once, stored};

use crate::DELIVERY;

/// `GATEWAY_TEST_LONG=1`, set by `./tests/run --long`: the full number of messages and kills.
const LONG_ENV: &str = "GATEWAY_TEST_LONG";

#[tokio::test(flavor = "multi_thread")]
async fn what_listen_acknowledged_survives_kill_9() -> Result<()> {
    const PLAN: Plan =
        Plan { name: "listen-crash", seed: 21, devices: 20, messages: 15_000, messages_per_second: 3_000 };
    let kafka = stack::kafka().await?;
    let influx = stack::bucket("listen-crash").await?;
    let home = Home::new()?;
    let config = home.config().listen().influx(influx.url(), &influx).kafka(kafka.bootstrap(), "listen-crash");
    let mut gateway = Gateway::start(&home, &config, influx.token()).await?;

    let fleet = Fleet::start(PLAN, home.listen());
    for kill_at in kills_at(&PLAN, 2) {
        fleet.acked(kill_at).await?;
        gateway.kill()?;
        gateway = Gateway::start(&home, &config, influx.token()).await?;
    }
    let sent = fleet.finish().await?;
    assert!(sent.connections_lost >= 2, "each kill cut at least one connection: {}", sent.connections_lost);
    assert_eq!(sent.acked_out_of_order, 0, "PUBACKs come in the order of the PUBLISHes");

    let oracle = Oracle::new(&[&sent]);
    let in_influx = oracle.expect_in_influx(&influx, DELIVERY).await?;
    let in_kafka = oracle.expect_in_kafka(kafka.bootstrap(), "listen-crash.raw", DELIVERY).await?;
    report("listen, two kills", &in_influx, &in_kafka);
    assert_eq!(in_kafka.out_of_order, 0, "{in_kafka}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_three_times_under_load() -> Result<()> {
    let messages = if is_long() { 200_000 } else { 30_000 };
    let plan = Plan { name: "load", seed: 22, devices: 50, messages, messages_per_second: 5_000 };
    let (broker, kafka) = (Mosquitto::start().await?, stack::kafka().await?);
    let influx = stack::bucket("load").await?;
    let home = Home::new()?;
    let config = home.config().broker(broker.address());
    let config = config.influx(influx.url(), &influx).kafka(kafka.bootstrap(), "load");
    let mut gateway = Gateway::start(&home, &config, influx.token()).await?;
    gateway.subscribed(&broker.target()).await?;

    let fleet = Fleet::start(plan.clone(), broker.target());
    for kill_at in kills_at(&plan, 3) {
        fleet.acked(kill_at).await?;
        gateway.kill()?;
        gateway = Gateway::start(&home, &config, influx.token()).await?;
    }
    let sent = fleet.finish().await?;
    assert_eq!(sent.acked_total, messages);

    let oracle = Oracle::new(&[&sent]);
    let in_influx = oracle.expect_in_influx(&influx, 2 * DELIVERY).await?;
    let in_kafka = oracle.expect_in_kafka(kafka.bootstrap(), "load.raw", 2 * DELIVERY).await?;
    report(&format!("{messages} messages in {:.0} s, three kills", sent.took.as_secs_f64()), &in_influx, &in_kafka);
    assert_eq!(in_kafka.out_of_order, 0, "{in_kafka}");
    Ok(())
}

/// Kills come as fast as the gateway starts: a kill may strike it while it still reads what the last one left.
#[tokio::test(flavor = "multi_thread")]
async fn kill_again_and_again_loses_nothing_that_listen_acknowledged_and_repeats_nothing_of_qos_2() -> Result<()> {
    const SENSORS: u64 = 4;
    let kills = if is_long() { 100 } else { 8 };
    let plan =
        Plan { name: "again", seed: 23, devices: 20, messages: 2_000 * (kills + 1), messages_per_second: 10_000 };
    let home = Home::new()?;
    let config = home.config().without_detection().queue(KEEP).listen();
    let mut gateway = Gateway::start(&home, &config, "").await?;

    let device = |n| Device::new(format!("once-{n}"), plan.seed + n);
    let sensors: Vec<OnceSensor> = (0..SENSORS).map(|n| OnceSensor::start(device(n), home.listen())).collect();
    let fleet = Fleet::start(plan.clone(), home.listen());
    for kill_at in kills_at(&plan, kills) {
        fleet.acked(kill_at).await?;
        gateway.kill()?;
        gateway = Gateway::start(&home, &config, "").await?;
    }
    let sent = fleet.finish().await?;
    let mut once = Vec::new();
    for sensor in sensors {
        once.push(sensor.finish().await?);
    }
    gateway.kill()?;

    let stored = stored(&home).await?;
    let verdict = Oracle::new(&[&sent]).judge_kafka(&entries(&stored)).complete()?;
    let sum = |of: fn(&OnceSent) -> u64| once.iter().map(of).sum::<u64>();
    println!(
        "{kills} kills in {:.0} s\n  QoS 1: {verdict}\n  QoS 2: {} messages, {} packets sent again over {} connections",
        sent.took.as_secs_f64(),
        sum(|s| s.messages),
        sum(|s| s.sent_again),
        sum(|s| s.connections_lost) + SENSORS,
    );
    assert_eq!((sent.acked_out_of_order, verdict.out_of_order), (0, 0), "{verdict}");
    assert!(sum(|s| s.sent_again) > 0, "kills struck messages under way");
    assert_eq!(sum(|s| s.sessions_lost), 0, "a kept session is there again");
    once.iter().try_for_each(|s| expect_once(&stored, &s.device, s.messages))
}

pub(crate) fn is_long() -> bool {
    std::env::var_os(LONG_ENV).is_some()
}

/// Where in the stream to kill: seeded, one in each equal part, so that the gateway lives for a while between them.
fn kills_at(plan: &Plan, kills: u64) -> Vec<u64> {
    let mut random = Random::new(plan.seed);
    let part = plan.messages / (kills + 1);
    (0..kills).map(|i| part / 2 + i * part + random.below(part)).collect()
}

/// Shown by `./tests/run kill -- --nocapture`, and when a scenario fails.
fn report(what: &str, in_influx: &Verdict, in_kafka: &Verdict) {
    println!("{what}\n  InfluxDB: {in_influx}\n  Kafka:    {in_kafka}");
}
