//! MQTT clients that others wrote, at the gateway's own door: paho puts its promises to the test one by one, and
//! mosquitto_pub and mosquitto_sub do what people do with them. The queue holds what they were promised, and no more.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::certificates::Authority;
use tests::config::GatewayConfig;
use tests::gateway::{Gateway, Home};
use tests::interop::{self, Sent, expect_stored};
use tests::stored::{KEEP, stored};

const PACKET_MAX: u64 = 64 << 10;
const RECEIVE_MAX: u64 = 12;

fn config(home: &Home) -> GatewayConfig {
    home.config().queue(KEEP).listen()
}

/// Where the door is, for the promises.
fn door(home: &Home, more: Value) -> Result<Value> {
    let address = home.listen().address()?;
    let mut door = json!({ "host": "127.0.0.1", "port": address.port() });
    let (door_keys, more) = (door.as_object_mut().context("an object")?, more);
    door_keys.extend(more.as_object().context("an object")?.clone());
    Ok(door)
}

/// Ends the gateway and compares.
async fn expect_in_queue(gateway: Gateway, home: &Home, sent: &[Sent]) -> Result<()> {
    // Wills come when their clients have gone.
    gateway.accepted(sent.len() as u64).await?;
    let ended = gateway.terminate().await?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    expect_stored(&stored(home).await?, sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_finds_each_promise_of_the_open_door_kept() -> Result<()> {
    let home = Home::new()?;
    let config = config(&home).with(&format!("packet_max = \"{PACKET_MAX}B\"\nreceive_max = {RECEIVE_MAX}"));
    let gateway = Gateway::start(&home, &config, "").await?;
    let door = door(&home, json!({ "packet_max": PACKET_MAX, "receive_max": RECEIVE_MAX }))?;
    let sent = interop::paho(&home, "open", &door).await?.all_kept()?;
    expect_in_queue(gateway, &home, &sent).await
}

/// The one user of the secured doors, and what the rule for it says.
const USER: &str = "pump";
const PASSWORD: &str = "correct horse";
const RULE: &str = "[[listen.allow]]\nusers = [\"*\"]\nclient_ids = [\"pump-*\"]\npublish = [\"sensors/{user}/#\"]\n\
                    read = [\"gateway/+/status\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn paho_finds_each_promise_of_the_door_with_tls_passwords_and_rules_kept() -> Result<()> {
    let home = Home::new()?;
    let (ours, foreign) = (Authority::new(&home, "ours")?, Authority::new(&home, "foreign")?);
    let certificate = ours.sign(&home, "gateway")?;
    let users = home.write("users", "")?;
    interop::set_password(&users, USER, PASSWORD).await?;
    let (file, key_file) = (&certificate.file, &certificate.key_file);
    let config = config(&home)
        .with(&format!("tls_cert_file = \"{file}\"\ntls_key_file = \"{key_file}\"\nusers_file = \"{users}\"\n{RULE}"));
    let gateway = Gateway::start(&home, &config, "").await?;
    let more = json!({ "ca": ours.file, "foreign_ca": foreign.file, "user": USER, "password": PASSWORD });
    let door = door(&home, more)?;
    let mut sent = interop::paho(&home, "secured", &door).await?.all_kept()?;
    sent.extend(mosquitto_over_tls(&home, &ours).await?);
    let log = gateway.log();
    assert!(!log.contains(PASSWORD), "the password is in the log:\n{log}");
    expect_in_queue(gateway, &home, &sent).await
}

/// The same door for mosquitto_pub; what it says of a wrong password.
async fn mosquitto_over_tls(home: &Home, ca: &Authority) -> Result<Vec<Sent>> {
    let port = home.listen().address()?.port().to_string();
    let mut sent = Vec::new();
    for version in ["mqttv311", "mqttv5"] {
        let topic = format!("sensors/{USER}/{version}");
        let publish = async |password| {
            let args = ["-p", &port, "-V", version, "-q", "2", "-t", &topic, "-m", "1", "-i", "pump-mosquitto"];
            let args = [&args[..], &["-h", "127.0.0.1", "--cafile", &ca.file, "-u", USER, "-P", password]].concat();
            interop::mosquitto("mosquitto_pub", &args).await
        };
        let published = publish(PASSWORD).await?;
        ensure!(published.status.success() && published.stderr.is_empty(), "{published:?}");
        sent.push(Sent::new(&topic, "1", 2, false));
        let refused = publish("wrong").await?;
        ensure!(!refused.status.success() && refused.stderr.to_lowercase().contains("bad user"), "{refused:?}");
    }
    Ok(sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_finds_each_promise_of_the_door_that_wants_certificates_kept() -> Result<()> {
    let home = Home::new()?;
    let (ours, foreign) = (Authority::new(&home, "ours")?, Authority::new(&home, "foreign")?);
    let (certificate, client) = (ours.sign(&home, "gateway")?, ours.sign(&home, USER)?);
    let stranger = foreign.sign(&home, USER)?;
    let (file, key_file) = (&certificate.file, &certificate.key_file);
    let config = config(&home).with(&format!(
        "tls_cert_file = \"{file}\"\ntls_key_file = \"{key_file}\"\ntls_client_ca_file = \"{}\"\n\
         tls_client_auth = \"required\"\nidentity_from_certificate = true\n\
         [[listen.allow]]\npublish = [\"sensors/{{user}}/#\"]\n",
        ours.file
    ));
    let gateway = Gateway::start(&home, &config, "").await?;
    let more = json!({
        "ca": ours.file,
        "certificate": [client.file, client.key_file],
        "foreign_certificate": [stranger.file, stranger.key_file],
    });
    let sent = interop::paho(&home, "certificates", &door(&home, more)?).await?.all_kept()?;
    expect_in_queue(gateway, &home, &sent).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_pub_is_stored_once_and_mosquitto_sub_is_told_of_the_gateway_and_of_nothing_else() -> Result<()> {
    const LINES: u64 = 200;
    let home = Home::new()?;
    let gateway = Gateway::start(&home, &config(&home), "").await?;
    let port = home.listen().address()?.port().to_string();
    let lines: String = (0..LINES).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let file = home.write("lines", &lines)?;
    let mut sent = Vec::new();
    for version in ["mqttv311", "mqttv5"] {
        for qos in 0..=2 {
            let topic = format!("sensors/pub-{version}-{qos}/telemetry");
            let args = ["-p", &port, "-V", version, "-q", &qos.to_string(), "-t", &topic, "-i", &topic];
            interop::publish_lines(&file, &args).await?;
            sent.extend(lines.lines().map(|line| Sent::new(&topic, line, qos, false)));
        }
        let args = ["-p", &port, "-V", version, "-C", "1", "-W", "20", "-v"];
        let told = interop::mosquitto("mosquitto_sub", &[&args[..], &["-t", "gateway/#"]].concat()).await?;
        ensure!(told.status.success() && told.stdout == "gateway/gw/status {\"status\":\"online\"}\n", "{told:?}");
        let told = interop::mosquitto("mosquitto_sub", &[&args[..], &["-t", "sensors/#"]].concat()).await?;
        ensure!(told.stdout.is_empty() && told.stderr.contains("denied"), "{told:?}");
    }
    expect_in_queue(gateway, &home, &sent).await
}
