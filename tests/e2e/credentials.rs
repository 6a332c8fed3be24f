//! Secrets that are wrong at first: loud, and nothing is lost until a person has mended them, without a restart.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::archive::{self, Message};
use tests::certificates::Authority;
use tests::eventually::eventually;
use tests::fleet::{Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::oracle::Oracle;
use tests::process::Process;
use tests::stack::{self, Kafka};

use crate::DELIVERY;

/// For the gateway to say what is wrong.
const SAID: Duration = Duration::from_secs(60);
const PASSWORD: &str = "sesame";

/// Waits until the log holds a line of the sink with these words.
async fn says(gateway: &Gateway, sink: &str, words: &str) -> Result<()> {
    let sink = format!("\"sink\":\"{sink}\"");
    eventually(&format!("{words:?} in the log"), SAID, async || {
        let log = gateway.log();
        ensure!(log.lines().any(|line| line.contains(&sink) && line.contains(words)), "{log}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_wrong_token_nothing_is_lost_and_the_right_one_in_its_file_brings_all_in() -> Result<()> {
    const PLAN: Plan = Plan { name: "token", seed: 81, devices: 5, messages: 2_000, messages_per_second: 2_000 };
    let influx = stack::bucket("token").await?;
    let home = Home::new()?;
    let token_file = home.write("token", "not-the-token\n")?;
    let config = home.config().listen().influx_by_file(&influx, &token_file);
    let gateway = Gateway::start(&home, &config, "").await?;
    let sent = Fleet::start(PLAN, home.listen()).finish().await?;
    assert_eq!(sent.acked_total, PLAN.messages, "sensors notice nothing");
    says(&gateway, "influx", "does not know the token: replace it in `token_file`").await?;
    assert_eq!(influx.count("sensor", "n").await?, 0);

    home.write("token", &format!("{}\n", influx.token()))?;
    let verdict = Oracle::new(&[&sent]).expect_in_influx(&influx, DELIVERY).await?;
    assert_eq!((verdict.missing, verdict.repeats, verdict.wrong), (0, 0, 0), "{verdict}");
    assert_eq!(gateway.metrics().await?.sum("gateway_forward_quarantined_total", &[]).unwrap_or_default(), 0.0);
    Ok(())
}

async fn secure_kafka(home: &Home, authority: &Authority) -> Result<Kafka> {
    let broker = authority.sign(home, "broker")?;
    let pem = [std::fs::read_to_string(&broker.key_file)?, std::fs::read_to_string(&broker.file)?].concat();
    Kafka::start_secure(home.write("broker-all.pem", &pem)?, authority.file.clone(), PASSWORD).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_with_tls_and_a_login_gets_all_once_a_wrong_password_is_mended() -> Result<()> {
    const PLAN: Plan = Plan { name: "login", seed: 82, devices: 5, messages: 2_000, messages_per_second: 2_000 };
    const SINKS: [&str; 2] = ["plain", "scram-sha-512"];
    let home = Home::new()?;
    let authority = Authority::new(&home, "kafka-ca")?;
    let kafka = secure_kafka(&home, &authority).await?;
    let own = authority.sign(&home, "gateway")?;
    let mut config = home.config().listen().without_detection();
    for sasl in SINKS {
        let password_file = home.write(&format!("{sasl}-password"), "mellon\n")?;
        config = config.kafka(kafka.secure_bootstrap()?, sasl).with(&format!(
            "name = \"{sasl}\"\nsasl = \"{sasl}\"\nusername = \"gw\"\npassword_file = \"{password_file}\"\ntls = true\n\
             tls_ca_file = \"{}\"\ntls_cert_file = \"{}\"\ntls_key_file = \"{}\"",
            authority.file, own.file, own.key_file
        ));
    }
    let gateway = Gateway::start(&home, &config, "").await?;
    let sent = Fleet::start(PLAN, home.listen()).finish().await?;
    assert_eq!(sent.acked_total, PLAN.messages, "sensors notice nothing");
    for sasl in SINKS {
        says(&gateway, sasl, "correct `sasl`, `username` or the password").await?;
    }

    let oracle = Oracle::new(&[&sent]);
    for sasl in SINKS {
        home.write(&format!("{sasl}-password"), &format!("{PASSWORD}\n"))?;
    }
    for sasl in SINKS {
        let verdict = oracle.expect_in_kafka(kafka.bootstrap(), &format!("{sasl}.raw"), DELIVERY).await?;
        assert_eq!((verdict.missing, verdict.out_of_order), (0, 0), "{verdict}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cloud_sink_reads_kafka_with_tls_and_a_login() -> Result<()> {
    const TOPIC: &str = "guarded.raw";
    const RECORDS: usize = 500;
    let home = Home::new()?;
    let authority = Authority::new(&home, "kafka-ca")?;
    let kafka = secure_kafka(&home, &authority).await?;
    let own = authority.sign(&home, "cloud-sink")?;
    archive::create_topic(kafka.bootstrap(), TOPIC, 1).await?;
    let message = |i| Message {
        device: "press-1".into(),
        topic: "sensors/press-1/telemetry".into(),
        payload: format!("{{\"n\":{i}}}").into_bytes(),
        decoder: None,
    };
    let messages: Vec<Message> = (0..RECORDS).map(message).collect();
    let sent = archive::produce(kafka.bootstrap(), TOPIC, &messages).await?;

    let root = home.data_dir().join("archive");
    let password_file = home.write("password", &format!("{PASSWORD}\n"))?;
    let toml = format!(
        "[kafka]\nbootstrap = \"{}\"\ntopic_prefix = \"guarded\"\ntls = true\ntls_ca_file = \"{}\"\n\
         tls_cert_file = \"{}\"\ntls_key_file = \"{}\"\nsasl = \"scram-sha-512\"\nusername = \"gw\"\n\
         password_file = \"{password_file}\"\n[archive]\nurl = \"file://{}\"\nmax_age_s = 1\n",
        kafka.secure_bootstrap()?,
        authority.file,
        own.file,
        own.key_file,
        root.display()
    );
    let mut sink = Process::start("cloud-sink", &["run", "--config", &home.write("cloud-sink.toml", &toml)?], &[])?;
    eventually("all of it in the archive", DELIVERY, async || {
        sink.still_running()?;
        let (_, rows) = archive::progress(&root)?;
        ensure!(rows == RECORDS as u64, "{rows} of {RECORDS} rows");
        Ok(())
    })
    .await?;
    ensure!(archive::read(&root, TOPIC)? == sent, "what is in the archive is not what was sent");
    Ok(())
}
