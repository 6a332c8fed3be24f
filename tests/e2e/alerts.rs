//! Alerts: an incident is one message when it opens and one when it is over, whatever dies in between.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::Value;
use tests::eventually::{eventually, throughout};
use tests::gateway::{Gateway, Home};
use tests::process::Process;
use tests::slack::Slack;
use tests::stack::Mosquitto;

use crate::DELIVERY;

/// Three days and a half of the machines in this many seconds: a day and a half after the learning.
const SECONDS: &str = "14";
const SPEED: &str = "21600";
const SIMULATION_ENDS: Duration = Duration::from_secs(120);
/// After a restart: what would be told twice would be told within this.
const QUIET: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_fake_slack_gets_one_message_for_each_incident_across_kill_9() -> Result<()> {
    let (broker, slack, home) = (Mosquitto::start().await?, Slack::start().await?, Home::new()?);
    let on_mqtt = subscribe(&broker).await?;
    let url_file = home.write("slack-url", &slack.url())?;
    let alerts = format!(
        "[[file]]\nformat = \"ndjson\"\n\
         [[alert]]\nkind = \"slack\"\nurl_file = \"{url_file}\"\nrate_max = 1000\nretry_max = \"1s\"\n\
         [[alert]]\nkind = \"mqtt\"\nurl = \"mqtt://{}\"\nrate_max = 1000\nretry_max = \"1s\"\n",
        broker.address()
    );
    let config = home.config().broker(broker.address()).learning_two_days().with(&alerts);
    slack.set_away(true);
    let gateway = Gateway::start(&home, &config, "").await?;
    gateway.subscribed(&broker.target()).await?;
    let url = format!("mqtt://{}", broker.address());
    let args = ["simulate", "--broker", &url, "--devices", "6", "--seed", "5", "--speed", SPEED, "--seconds", SECONDS];
    let simulation = Process::start("gateway", &args, &[])?;

    eventually("an attempt to tell of an incident", DELIVERY, async || {
        ensure!(slack.attempts() > 0, "none yet");
        Ok(())
    })
    .await?;
    gateway.kill()?;
    slack.set_away(false);
    let gateway = Gateway::start(&home, &config, "").await?;
    let ended = simulation.ended(SIMULATION_ENDS).await?;
    ensure!(ended.status.success(), "{}", ended.stderr);

    eventually("a message for each incident", DELIVERY, async || {
        let metrics = gateway.metrics().await?;
        let read = metrics.count("gateway_detect_windows_total", &[])?;
        ensure!(read > 0, "no windows");
        for channel in ["slack", "mqtt"] {
            let label = format!("channel=\"{channel}\"");
            ensure!(metrics.sum("gateway_alert_pending", &[&label]) == Some(0.0), "{channel} has something to say");
        }
        each_is_told_once(&home, &slack.texts())?;
        each_is_told_once(&home, &texts(&on_mqtt))
    })
    .await?;

    let told = slack.texts().len();
    gateway.kill()?;
    let gateway = Gateway::start(&home, &config, "").await?;
    throughout("what was told is not told again", QUIET, async || {
        ensure!(openings(&slack.texts()).values().all(|n| *n == 1), "{:#?}", slack.texts());
        Ok(())
    })
    .await?;
    println!("{} incidents, {told} messages, two kills", incidents(&home)?.len());
    let ended = gateway.terminate().await?;
    ensure!(
        ended.stdout.lines().filter(|line| line.starts_with("alerts")).all(|line| line.ends_with("balances")),
        "{}",
        ended.stdout
    );
    ensure!(ended.stdout.contains("\nalerts "), "alerts are in the ledger:\n{}", ended.stdout);
    Ok(())
}

/// Each incident that was not taken back is told of; none has two beginnings or two ends.
fn each_is_told_once(home: &Home, texts: &[String]) -> Result<()> {
    let incidents = incidents(home)?;
    ensure!(!incidents.is_empty(), "no incidents");
    let mut messages: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for text in texts {
        let (beginning, end) = messages.entry(id_of(text)?).or_default();
        *if is_end(text) { end } else { beginning } += 1;
    }
    for (id, state) in &incidents {
        let told = messages.get(id.as_str()).copied().unwrap_or_default();
        let wanted: &[(u32, u32)] = match state.as_str() {
            "open" => &[(1, 0)],
            "withdrawn" => &[(1, 1), (0, 0)],
            // Over before it could be told: one message says both.
            _ => &[(1, 1), (0, 1)],
        };
        ensure!(wanted.contains(&told), "{id} is {state} and was told {told:?} times\n{texts:#?}");
    }
    ensure!(messages.keys().all(|id| incidents.contains_key(*id)), "a message about nothing");
    Ok(())
}

fn openings(texts: &[String]) -> BTreeMap<String, u32> {
    let mut openings = BTreeMap::new();
    for text in texts.iter().filter(|text| !is_end(text)) {
        *openings.entry(id_of(text).unwrap_or_default().to_owned()).or_default() += 1;
    }
    openings
}

fn is_end(text: &str) -> bool {
    ["[resolved]", "[new normal]", "[false alarm]"].iter().any(|word| text.starts_with(word))
}

fn id_of(text: &str) -> Result<&str> {
    text.lines().find_map(|line| line.strip_prefix("Incident ")).with_context(|| format!("no incident in {text}"))
}

/// The last state of each incident, by its id, as the file sink has them.
fn incidents(home: &Home) -> Result<BTreeMap<String, String>> {
    let mut incidents = BTreeMap::new();
    for line in home.file_sink()?.lines().filter(|line| line.contains("incident/1")) {
        let record: Value = serde_json::from_str(line)?;
        let text = |key: &str| record[key].as_str().map(str::to_owned).with_context(|| format!("no {key} in {line}"));
        incidents.insert(text("id")?, text("state")?);
    }
    Ok(incidents)
}

type Received = Arc<Mutex<Vec<Value>>>;

/// What the broker got under the topic of alerts.
async fn subscribe(broker: &Mosquitto) -> Result<Received> {
    let address = broker.address();
    let (client, mut events) =
        AsyncClient::new(MqttOptions::new("person", address.ip().to_string(), address.port()), 16);
    client.subscribe("gateway/gw/alerts", QoS::AtLeastOnce).await?;
    while !matches!(events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}
    let received = Received::default();
    let into = received.clone();
    tokio::spawn(async move {
        // Kept, so that the connection is.
        let _client = client;
        while let Ok(event) = events.poll().await {
            if let Event::Incoming(Packet::Publish(publish)) = event
                && let Ok(message) = serde_json::from_slice(&publish.payload)
            {
                into.lock().unwrap_or_else(PoisonError::into_inner).push(message);
            }
        }
    });
    Ok(received)
}

/// A repeat has the id of the message that it repeats.
fn texts(received: &Received) -> Vec<String> {
    let received = received.lock().unwrap_or_else(PoisonError::into_inner);
    let by_id =
        received.iter().map(|message| (message["id"].to_string(), message["text"].as_str().unwrap_or_default()));
    by_id.collect::<BTreeMap<_, _>>().into_values().map(str::to_owned).collect()
}
