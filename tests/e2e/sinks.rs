//! What each sink is to get, and the ways out that are nobody's in particular: webhooks and MQTT brokers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::Value;
use tests::eventually::eventually;
use tests::gateway::{Gateway, Home, written};
use tests::link::Link;
use tests::process::Ended;
use tests::publisher::publish_all;
use tests::receiver::{POISON, REFUSAL, Receiver};
use tests::stack::Mosquitto;

use crate::DELIVERY;

/// Of a sink, in `log`: by what became of the records.
async fn books(gateway: &Gateway, sink: &str, log: &str, fate: &str) -> Result<u64> {
    let labels = [&*format!("consumer=\"{sink}\""), &format!("log=\"{log}\""), &format!("fate=\"{fate}\"")];
    gateway.metrics().await?.count("gateway_ledger_records", &labels)
}

async fn expect_in_books(gateway: &Gateway, sink: &str, fates: &[(&str, u64)]) -> Result<()> {
    eventually("the books", DELIVERY, async || {
        for (fate, expected) in fates {
            let found = books(gateway, sink, "raw", fate).await?;
            ensure!(found == *expected, "{sink}: {found} {fate}, not {expected}");
        }
        Ok(())
    })
    .await
}

/// The ledger that a gateway tells at its end.
fn expect_balanced(ended: &Ended, sinks: &[&str]) {
    for sink in sinks {
        let rows: Vec<_> = ended.stdout.lines().filter(|line| line.split_whitespace().next() == Some(sink)).collect();
        assert_eq!(rows.len(), 2, "{sink} has a row for each log:\n{}", ended.stdout);
        assert!(rows.iter().all(|row| row.ends_with("balances")), "{rows:#?}");
    }
}

/// Of device and counter.
fn message(device: &str, n: u64) -> (String, Vec<u8>) {
    let at_ms = 1_600_000_000_000 + n * 60_000;
    let payload = format!(r#"{{"ts":{at_ms},"n":{n},"temperature":{}}}"#, 15 + n % 10);
    (format!("sensors/{device}/telemetry"), payload.into_bytes())
}

async fn publish(home: &Home, client: &str, messages: &[(String, Vec<u8>)]) -> Result<()> {
    let messages: Vec<_> = messages.iter().map(|(topic, payload)| (topic.as_str(), payload.as_slice())).collect();
    publish_all(&home.listen(), client, &messages).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sink_gets_what_its_filter_names_and_the_rest_is_counted_as_filtered() -> Result<()> {
    let home = Home::new()?;
    let [pumps, heat, line] = ["pumps", "heat", "line"].map(|name| home.data_dir().join(name));
    let file = |name: &str, dir: &Path, keys: &str| format!("[[file]]\nname = \"{name}\"\ndir = {dir:?}\n{keys}\n");
    let config = home
        .config()
        .listen()
        .without_detection()
        .with(&file("pumps", &pumps, "format = \"ndjson\"\ndevices = [\"pump-*\", \"!pump-2\"]"))
        .with(&file("heat", &heat, "channels = [\"temperature\"]\ntopics = [\"sensors/+/telemetry\"]"))
        .with(&file("line", &line, "logs = [\"windows\", \"gaps\"]"));
    let gateway = Gateway::start(&home, &config, "").await?;
    let devices = ["pump-1", "pump-2", "fan-1"];
    let mut messages: Vec<_> = devices.iter().flat_map(|device| (0..10).map(|n| message(device, n))).collect();
    // No reading of this one is of the channel, and the other one's topic is not wanted.
    messages.push(("sensors/pump-1/telemetry".to_owned(), br#"{"ts":1600000000001,"flow":1}"#.to_vec()));
    messages.push(("sensors/pump-1/temperature".to_owned(), b"20".to_vec()));
    publish(&home, "sensor", &messages).await?;

    expect_in_books(&gateway, "pumps", &[("accepted", 32), ("delivered", 12), ("filtered", 20)]).await?;
    expect_in_books(&gateway, "heat", &[("accepted", 32), ("delivered", 30), ("filtered", 2)]).await?;
    expect_in_books(&gateway, "line", &[("accepted", 32), ("delivered", 0), ("filtered", 32)]).await?;
    let ended = gateway.terminate().await?;
    expect_balanced(&ended, &["pumps", "heat", "line"]);

    let topics: BTreeSet<String> = written(&pumps)?
        .lines()
        .map(|line| Ok(serde_json::from_str::<Value>(line)?["topic"].as_str().context("no topic")?.to_owned()))
        .collect::<Result<_>>()?;
    let expected = ["sensors/pump-1/telemetry", "sensors/pump-1/temperature"].map(str::to_owned);
    assert_eq!(topics, BTreeSet::from(expected));
    let heat = written(&heat)?;
    assert_eq!(heat.lines().count(), 30);
    assert!(heat.lines().all(|line| line.contains(" temperature=") && !line.contains("n=")), "{heat}");
    assert_eq!(written(&line)?, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_busy_then_gone_gets_all_but_what_it_refuses() -> Result<()> {
    let receiver = Receiver::start().await?;
    let link = Link::to(receiver.address()).await?;
    let home = Home::new()?;
    let url = format!("http://{}/in", link.address());
    let webhook = format!("[[webhook]]\nname = \"hook\"\nurl = \"{url}\"\nretry_max = \"1s\"\ntimeout = \"2s\"");
    let config = home.config().listen().without_detection().with(&webhook);
    receiver.set_busy(true);
    let gateway = Gateway::start(&home, &config, "").await?;

    let mut messages: Vec<_> = (0..300).map(|n| message("pump-1", n)).collect();
    messages[150].1 = format!(r#"{{"ts":1600000000000,"text":"{POISON}"}}"#).into_bytes();
    publish(&home, "sensor", &messages[..200]).await?;
    eventually("it was turned away", DELIVERY, async || {
        ensure!(receiver.turned_away() > 0, "nothing came");
        Ok(())
    })
    .await?;
    receiver.set_busy(false);
    expect_in_books(&gateway, "hook", &[("delivered", 199), ("quarantined", 1)]).await?;
    link.cut();
    publish(&home, "sensor", &messages[200..250]).await?;
    gateway.kill()?;
    let gateway = Gateway::start(&home, &config, "").await?;
    publish(&home, "sensor", &messages[250..]).await?;
    link.restore();
    expect_in_books(&gateway, "hook", &[("accepted", 300), ("delivered", 299), ("quarantined", 1)]).await?;

    let mut seqs: Vec<u64> = Vec::new();
    for line in receiver.lines() {
        let line: Value = serde_json::from_str(&line)?;
        if line["schema"] == "raw/1" {
            seqs.push(line["seq"].as_u64().context("no seq")?);
        }
    }
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs, (0..300).filter(|n| *n != 150).collect::<Vec<_>>());
    let kept = written(&home.data_dir().join("quarantine/hook"))?;
    assert!(kept.contains(POISON) && kept.contains(REFUSAL), "{kept}");
    let ended = gateway.terminate().await?;
    expect_balanced(&ended, &["hook"]);
    Ok(())
}

type Heard = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// What the broker has under `gateway/gw`, for a session that it keeps while the client, or itself, is away.
async fn subscribe(broker: &Mosquitto) -> Result<Heard> {
    let address = broker.address();
    let mut options = MqttOptions::new("person", address.ip().to_string(), address.port());
    options.set_clean_session(false);
    let (client, mut events) = AsyncClient::new(options, 16);
    client.subscribe("gateway/gw/#", QoS::AtLeastOnce).await?;
    while !matches!(events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}
    let heard = Heard::default();
    let into = heard.clone();
    tokio::spawn(async move {
        // Kept, so that the connection is.
        let _client = client;
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    let message = (publish.topic, publish.payload.to_vec());
                    into.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    Ok(heard)
}

/// Payloads by topic, each once, in the order in which they came first.
fn by_topic(heard: &Heard) -> BTreeMap<String, Vec<String>> {
    let mut by_topic: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (topic, payload) in heard.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let (payloads, payload) = (by_topic.entry(topic.clone()).or_default(), String::from_utf8_lossy(payload));
        if !payloads.iter().any(|known| *known == payload) {
            payloads.push(payload.into_owned());
        }
    }
    by_topic
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_in_between_has_raw_messages_and_windows_in_the_end() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let heard = subscribe(&broker).await?;
    let home = Home::new()?;
    let sink = format!(
        "[[mqtt_sink]]\nurl = \"mqtt://{}\"\nlogs = [\"raw\", \"windows\"]\nretain = [\"windows\"]\nretry_max = \"1s\"",
        broker.address()
    );
    let config = home.config().listen().with(&sink);
    let gateway = Gateway::start(&home, &config, "").await?;
    let raw = |n: u64| String::from_utf8_lossy(&message("pump-1", n).1).into_owned();
    let expect = async |messages: u64| {
        let expected: Vec<_> = (0..messages).map(raw).collect();
        eventually("all is at the broker", DELIVERY, async || {
            let windows = gateway.metrics().await?.count("gateway_detect_windows_total", &[])?;
            ensure!(windows >= messages / 10 - 2, "{windows} windows of {messages} minutes");
            let by_topic = by_topic(&heard);
            let found = |topic: &str| by_topic.get(topic).map(Vec::as_slice).unwrap_or_default();
            let payloads = found("gateway/gw/raw/sensors/pump-1/telemetry");
            ensure!(payloads == expected, "{} of {messages} messages, or in another order", payloads.len());
            let told = found("gateway/gw/windows/pump-1");
            ensure!(told.len() as u64 == windows, "{} of {windows} windows", told.len());
            Ok(())
        })
        .await
    };
    publish(&home, "sensor", &(0..60).map(|n| message("pump-1", n)).collect::<Vec<_>>()).await?;
    expect(60).await?;
    broker.save().await?;
    broker.kill().await?;
    publish(&home, "sensor", &(60..120).map(|n| message("pump-1", n)).collect::<Vec<_>>()).await?;
    broker.start_again().await?;
    expect(120).await?;

    let status = by_topic(&heard)["gateway/gw/mqtt-out/status"].clone();
    assert_eq!(status, [r#"{"status":"online"}"#]);
    let ended = gateway.terminate().await?;
    expect_balanced(&ended, &["mqtt-out"]);
    eventually("it says good-bye", DELIVERY, async || {
        let status = by_topic(&heard)["gateway/gw/mqtt-out/status"].clone();
        ensure!(status.last().is_some_and(|last| last.contains("offline")), "{status:?}");
        Ok(())
    })
    .await
}
