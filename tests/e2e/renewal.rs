//! Certificates are renewed while the gateway runs: who comes next sees the new one, who is there stays.

use std::time::Duration;

use anyhow::Result;
use tests::certificates::Authority;
use tests::eventually::eventually;
use tests::gateway::{Gateway, Home};
use tests::publisher::{Connection, Target};

/// The gateway looks at its files every few seconds.
const NOTICED: Duration = Duration::from_secs(60);

async fn publish(connection: &mut Connection) -> Result<()> {
    connection.push("sensors/stays/telemetry".into(), "{\"t\":21.5}", false)?;
    connection.flush().await?;
    connection.next_ack().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_who_comes_next_and_cuts_nobody_off() -> Result<()> {
    let home = Home::new()?;
    let (old, new) = (Authority::new(&home, "old")?, Authority::new(&home, "new")?);
    let (shown, next) = (old.sign(&home, "gateway")?, new.sign(&home, "gateway")?);
    let keys = format!("tls_cert_file = \"{}\"\ntls_key_file = \"{}\"\n", shown.file, shown.key_file);
    let config = home.config().without_detection().listen().with(&keys);
    let gateway = Gateway::start(&home, &config, "").await?;
    let knows = |ca: &Authority| anyhow::Ok(home.listen_tls(ca.client()?));
    let (knows_old, knows_new): (Target, Target) = (knows(&old)?, knows(&new)?);
    let mut stays = Connection::open(&knows_old, "stays").await?;
    publish(&mut stays).await?;
    assert!(Connection::open(&knows_new, "comes").await.is_err(), "the new one is not there yet");

    std::fs::copy(&next.key_file, &shown.key_file)?;
    std::fs::copy(&next.file, &shown.file)?;
    eventually("the new certificate", NOTICED, async || Connection::open(&knows_new, "comes").await.map(drop)).await?;
    assert!(Connection::open(&knows_old, "late").await.is_err(), "the old one is shown to nobody any more");
    publish(&mut stays).await?;
    let connects = gateway.metrics().await?.count("gateway_ingest_connects_total", &["door=\"listen\""])?;
    assert_eq!(connects, 2, "who was there has not come anew");
    Ok(())
}
