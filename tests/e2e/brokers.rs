//! The `mqtt` door and the brokers that it dials: HiveMQ beside mosquitto, restarts of either side, shared subscriptions.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::config::GatewayConfig;
use tests::eventually::eventually;
use tests::fleet::{Acked, Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::interop::publish_lines;
use tests::message::Random;
use tests::oracle::Oracle;
use tests::publisher::{Target, publish_all};
use tests::stack::{self, Mosquitto};
use tests::stored::{KEEP, Stored, entries, stored, times};

use crate::DELIVERY;

/// One connection of the gateway for each version and QoS, each with a topic of its own.
const VERSIONS: [&str; 2] = ["3.1.1", "5"];

/// Messages of one part of the shared subscription.
const SHARED: u64 = 500;

/// Messages of the scenario itself, with QoS 1.
const IN_PASSING: [&str; 2] = [r#"{"probe":1}"#, r#"{"fence":1}"#];

fn connections() -> impl Iterator<Item = (&'static str, u64)> {
    VERSIONS.into_iter().flat_map(|version| (0..=2).map(move |qos| (version, qos)))
}

fn topic(version: &str, qos: u64) -> String {
    format!("hive/v{version}/{qos}")
}

fn dial(config: GatewayConfig, broker: SocketAddr, name: &str, filter: &str, keys: &str) -> GatewayConfig {
    config.with(&format!(
        "\n[[mqtt]]\nname = \"{name}\"\nurl = \"mqtt://{broker}\"\nsubscribe = [\"{filter}\"]\nreconnect_max = \"1s\"\n{keys}"
    ))
}

async fn received(gateway: &Gateway) -> Result<u64> {
    Ok(gateway.metrics().await?.sum("gateway_ingest_messages_total", &["door=\"mqtt\""]).unwrap_or_default() as u64)
}

async fn connects(gateway: &Gateway) -> Result<u64> {
    Ok(gateway.metrics().await?.sum("gateway_ingest_connects_total", &["door=\"mqtt\""]).unwrap_or_default() as u64)
}

/// Waits until what is published under a topic reaches the gateway.
async fn subscribed(gateway: &Gateway, broker: &Target, topic: &str) -> Result<()> {
    let before = received(gateway).await?;
    eventually(&format!("subscription to {topic}"), DELIVERY, async || {
        publish_all(broker, "probe", &[(topic, br#"{"probe":1}"#)]).await?;
        ensure!(received(gateway).await? > before, "nothing has come");
        Ok(())
    })
    .await
}

/// Publishes 100 messages for each connection with QoS 2, so that each gets its own QoS, and says what they were.
async fn publish_for_all(home: &Home, broker: SocketAddr, part: &str) -> Result<Vec<String>> {
    let lines: Vec<String> = (0..100).map(|n| format!("{{\"{part}\":{n}}}")).collect();
    let file =
        home.write(&format!("lines-{part}"), &lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    let port = broker.port().to_string();
    for (version, qos) in connections() {
        let topic = topic(version, qos);
        publish_lines(&file, &["-p", &port, "-V", "mqttv5", "-q", "2", "-t", &topic, "-i", &format!("{part}-{topic}")])
            .await?;
    }
    Ok(lines)
}

/// Waits until a message has come that was published after all others: a broker keeps the order.
async fn fenced(home: &Home, broker: &Target, topic: &str) -> Result<()> {
    publish_all(broker, "fence", &[(topic, br#"{"fence":1}"#)]).await?;
    eventually(&format!("all messages under {topic}"), DELIVERY, async || {
        let files = home.file_sink()?;
        let device = topic.strip_prefix("sensors/").and_then(|rest| rest.strip_suffix("/telemetry")).unwrap_or(topic);
        let mut lines = files.lines().filter(|line| line.contains(&format!("device={device},")));
        ensure!(lines.any(|line| line.contains(" fence=1")), "the last one has not come");
        Ok(())
    })
    .await
}

/// How often each of these messages came through one connection.
fn counts(stored: &[Stored], topic: &str, messages: &[String]) -> Vec<u64> {
    let times = times(stored, topic);
    messages.iter().map(|m| times.get(m.as_str()).copied().unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hivemq_brings_each_qos_in_both_versions_and_keeps_the_sessions_while_the_gateway_is_away() -> Result<()> {
    let broker = stack::hivemq().await?;
    let target = Target::Broker(broker);
    let home = Home::new()?;
    let mut config = home.config().without_detection().queue(KEEP).with("[[file]]");
    for (version, qos) in connections() {
        let name = format!("v{}-{qos}", version.replace('.', ""));
        let keys = format!("version = \"{version}\"\nqos = {qos}\nclient_id = \"hive-{name}\"");
        config = dial(config, broker, &name, &topic(version, qos), &keys);
    }
    let gateway = Gateway::start(&home, &config, "").await?;
    for (version, qos) in connections() {
        subscribed(&gateway, &target, &topic(version, qos)).await?;
    }

    let before = received(&gateway).await?;
    let here = publish_for_all(&home, broker, "here").await?;
    eventually("messages", DELIVERY, async || {
        let messages = received(&gateway).await? - before;
        ensure!(messages >= 600, "{messages} of 600");
        Ok(())
    })
    .await?;
    gateway.kill()?;
    let away = publish_for_all(&home, broker, "away").await?;
    let gateway = Gateway::start(&home, &config, "").await?;
    // QoS 0 is for those who are there.
    for (version, _) in connections().filter(|(_, qos)| *qos == 0) {
        subscribed(&gateway, &target, &topic(version, 0)).await?;
    }
    let back = publish_for_all(&home, broker, "back").await?;
    for (version, qos) in connections() {
        fenced(&home, &target, &topic(version, qos)).await?;
    }
    let kept = gateway.log().matches("\"session_present\":true").count();
    assert_eq!(kept, 6, "the broker has kept each session");
    gateway.terminate().await?;

    let stored = stored(&home).await?;
    for (version, qos) in connections() {
        let topic = topic(version, qos);
        let record_qos =
            stored.iter().filter(|r| r.topic == topic && !IN_PASSING.contains(&r.payload.as_str())).map(|r| r.qos);
        assert_eq!(record_qos.collect::<BTreeSet<_>>(), BTreeSet::from([qos]), "{topic} has its own QoS");
        let of = |messages| counts(&stored, &topic, messages);
        match qos {
            0 => assert!(of(&back).iter().all(|n| *n == 1), "{topic}: {:?}", of(&back)),
            // A kill between the fsync and the PUBACK brings a message again.
            1 => assert!([&here, &away, &back].iter().all(|m| of(m).iter().all(|n| *n >= 1)), "{topic}"),
            _ => assert!([&here, &away, &back].iter().all(|m| of(m).iter().all(|n| *n == 1)), "{topic}"),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_share_a_subscription_at_hivemq_and_each_message_is_stored_by_one_of_them() -> Result<()> {
    let broker = stack::hivemq().await?;
    let target = Target::Broker(broker);
    let homes = [Home::new()?, Home::new()?];
    let start = async |n: usize| {
        let config = homes[n].config().without_detection().queue(KEEP);
        let keys = format!("version = \"5\"\nclient_id = \"sharer-{n}\"");
        let config = dial(config, broker, "mqtt", "$share/gateways/shared/#", &keys);
        Gateway::start(&homes[n], &config, "").await
    };
    let publish = async |part: &str| {
        let lines: Vec<String> = (0..SHARED).map(|n| format!("{part} {n}")).collect();
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let (file, port) = (homes[0].write(part, &text)?, broker.port().to_string());
        publish_lines(&file, &["-p", &port, "-V", "mqttv5", "-q", "1", "-t", "shared/data", "-i", part]).await?;
        anyhow::Ok(lines)
    };

    // How a broker divides what both could have is its affair, so each is seen to be a sharer when it is alone.
    let mut parts = Vec::new();
    for (n, part) in ["first", "second"].into_iter().enumerate() {
        let gateway = start(n).await?;
        subscribed(&gateway, &target, "shared/probe").await?;
        let before = received(&gateway).await?;
        parts.push(publish(part).await?);
        shared(&[&gateway], before).await?;
        gateway.terminate().await?;
    }
    let (first, second) = (start(0).await?, start(1).await?);
    for gateway in [&first, &second] {
        eventually("a connection", DELIVERY, async || {
            ensure!(connects(gateway).await? > 0, "not yet");
            Ok(())
        })
        .await?;
    }
    let before = received(&first).await? + received(&second).await?;
    parts.push(publish("both").await?);
    shared(&[&first, &second], before).await?;
    first.terminate().await?;
    second.terminate().await?;

    let stored = [stored(&homes[0]).await?, stored(&homes[1]).await?];
    let share = |n: usize, part: usize| counts(&stored[n], "shared/data", &parts[part]);
    for part in 0..parts.len() {
        let (first, second) = (share(0, part), share(1, part));
        println!("part {part}: {} and {}", first.iter().sum::<u64>(), second.iter().sum::<u64>());
        assert!(first.iter().zip(&second).all(|(a, b)| a + b == 1), "each message once");
    }
    assert!(share(0, 0).iter().all(|n| *n == 1) && share(1, 1).iter().all(|n| *n == 1), "each has what it had alone");
    Ok(())
}

/// Waits until a part has come, to whichever of the gateways.
async fn shared(gateways: &[&Gateway], before: u64) -> Result<()> {
    eventually("shared messages", DELIVERY, async || {
        let mut messages = 0;
        for gateway in gateways {
            messages += received(gateway).await?;
        }
        ensure!(messages >= before + SHARED, "{} of {SHARED}", messages - before);
        Ok(())
    })
    .await
}

/// Messages that are in one set and not in the other.
fn without(all: &Acked, others: &Acked) -> Acked {
    let rest = all.iter().map(|(device, counters)| {
        let others = others.get(device);
        (device.clone(), counters.iter().filter(|n| !others.is_some_and(|o| o.contains(n))).copied().collect())
    });
    rest.collect()
}

fn total(acked: &Acked) -> usize {
    acked.values().map(BTreeSet::len).sum()
}

/// What the gateway says it waits for, in milliseconds.
fn reconnect_pauses_ms(log: &str) -> Result<Vec<f64>> {
    let lines = log.lines().filter(|line| line.contains("next_try_in"));
    lines.map(|line| pause_ms(line).with_context(|| format!("unreadable: {line}"))).collect()
}

fn pause_ms(line: &str) -> Option<f64> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = line.get("next_try_in").or_else(|| line["fields"].get("next_try_in"))?.as_str()?;
    let number = text.trim_end_matches(|c: char| c.is_alphabetic());
    let unit = match &text[number.len()..] {
        "s" => 1e3,
        "ms" => 1.0,
        "µs" => 1e-3,
        "ns" => 1e-6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * unit)
}

/// mosquitto holds what it took in memory and writes its file at its end, or when asked. A kill takes with it what it
/// acknowledged since: that is lost by the broker, before the gateway could have it. So each kill comes right after the
/// broker was asked, in the middle of the load, and what it acknowledged between the two is no debt of the gateway.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_20_times_under_load_loses_no_message_that_it_kept() -> Result<()> {
    const RESTARTS: u64 = 20;
    const PLAN: Plan = Plan { name: "restarts", seed: 61, devices: 10, messages: 16_000, messages_per_second: 1_000 };
    let broker = Mosquitto::start().await?;
    let home = Home::new()?;
    let config = home.config().broker(broker.address()).without_detection().queue(KEEP).with("[[file]]");
    let gateway = Gateway::start(&home, &config, "").await?;
    gateway.subscribed(&broker.target()).await?;

    let mut random = Random::new(PLAN.seed);
    let (mut at_risk, mut kills) = (Acked::new(), 0);
    let fleet = Fleet::start(PLAN, broker.target());
    for restart in 0..RESTARTS {
        fleet.acked(PLAN.messages / (RESTARTS + 1) * (restart + 1)).await?;
        // The first is a kill, so that there is one; then as the seed says.
        if restart == 0 || random.below(2) == 0 {
            let before = fleet.acked_by_now();
            broker.save().await?;
            broker.kill().await?;
            kills += 1;
            for (device, counters) in without(&fleet.acked_by_now(), &before) {
                at_risk.entry(device).or_default().extend(counters);
            }
        } else {
            broker.stop().await?;
        }
        broker.start_again().await?;
        eventually("the next connection to the broker", DELIVERY, async || {
            let connects = connects(&gateway).await?;
            ensure!(connects > restart + 1, "{connects} connections after {} restarts", restart + 1);
            Ok(())
        })
        .await?;
    }
    let mut sent = fleet.finish().await?;
    assert_eq!(sent.acked_total, PLAN.messages);
    let (at_risk_total, everything) = (total(&at_risk), sent.acked.clone());
    sent.acked = without(&everything, &at_risk);
    fenced(&home, &broker.target(), "sensors/fence/telemetry").await?;
    let (log, connects) = (gateway.log(), connects(&gateway).await?);
    gateway.terminate().await?;

    let records = entries(&stored(&home).await?);
    let verdict = Oracle::new(&[&sent]).judge_kafka(&records);
    sent.acked = everything;
    let with_risk = Oracle::new(&[&sent]).judge_kafka(&records);
    let mut pauses = reconnect_pauses_ms(&log)?;
    pauses.sort_by(f64::total_cmp);
    println!(
        "{RESTARTS} restarts, {kills} of them kills: {verdict}\n  {at_risk_total} acknowledged between save and kill, \
         {} of them lost by the broker\n  {connects} connections, pauses in ms: {pauses:.0?}",
        with_risk.missing
    );
    verdict.complete()?;
    let (first, last) = (pauses.first().context("no pause")?, pauses.last().context("no pause")?);
    assert!(pauses.len() as u64 >= RESTARTS && last > &(2.0 * first), "pauses are spread: {pauses:?}");
    Ok(())
}
