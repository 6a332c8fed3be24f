//! Many clients at the gateway's own door, and one that wants it for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use tests::certificates::{Authority, Certificate};
use tests::eventually::{eventually, throughout};
use tests::fleet::{Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::oracle::Oracle;
use tests::publisher::{Connection, Target};
use tests::stored::{KEEP, entries, stored};

use crate::DELIVERY;

const CONNECTIONS: u64 = 1_000;
/// What one quiet connection may cost.
const CONNECTION_MAX_BYTES: u64 = 20 * 1024;
/// All connections stay for so long after the last has come.
const HELD: Duration = Duration::from_secs(3);

/// A client that has sent a message and had its acknowledgement.
async fn client(target: &Target, n: u64) -> Result<Connection> {
    let mut connection = Connection::open(target, &format!("crowd-{n}")).await?;
    connection.push(format!("sensors/crowd-{n}/telemetry"), "{\"t\":21.5}", false)?;
    connection.flush().await?;
    connection.next_ack().await?;
    Ok(connection)
}

async fn connections(gateway: &Gateway) -> Result<u64> {
    gateway.metrics().await?.count("gateway_ingest_connections", &["door=\"listen\""])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_cost_no_more_than_20_kb_each() -> Result<()> {
    let home = Home::new()?;
    let each = crowd(&home, "", &home.listen()).await?;
    println!("{CONNECTIONS} connections: {each} bytes each");
    assert!(each <= CONNECTION_MAX_BYTES, "{each} bytes each");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_over_tls_are_held_at_a_price_that_is_told() -> Result<()> {
    let home = Home::new()?;
    let ca = Authority::new(&home, "ca")?;
    let Certificate { file, key_file } = ca.sign(&home, "gateway")?;
    let keys = format!("tls_cert_file = \"{file}\"\ntls_key_file = \"{key_file}\"\n");
    let each = crowd(&home, &keys, &home.listen_tls(ca.client()?)).await?;
    println!("{CONNECTIONS} connections over TLS: {each} bytes each");
    Ok(())
}

/// Holds all connections for a while; what each costs in memory.
async fn crowd(home: &Home, keys: &str, target: &Target) -> Result<u64> {
    let keys = format!("connections_max = {CONNECTIONS}\n{keys}");
    let config = home.config().without_detection().listen().with(&keys);
    let gateway = Gateway::start(home, &config, "").await?;
    // What the first of all costs is not for each.
    drop(client(target, CONNECTIONS).await?);
    eventually("an empty door", DELIVERY, async || {
        ensure!(connections(&gateway).await? == 0, "somebody is there");
        Ok(())
    })
    .await?;
    let closed = ["door=\"listen\"", "reason=\"peer_closed\""];
    let closed = gateway.metrics().await?.sum("gateway_ingest_disconnects_total", &closed);
    assert_eq!(closed, Some(1.0), "who goes without a word has closed, over TLS too");
    let before = gateway.rss_bytes()?;
    let mut crowd = Vec::new();
    for n in 0..CONNECTIONS {
        crowd.push(client(target, n).await?);
    }
    throughout("all connections", HELD, async || {
        let open = connections(&gateway).await?;
        ensure!(open == CONNECTIONS, "{open} of {CONNECTIONS} are open");
        Ok(())
    })
    .await?;
    let each = gateway.rss_bytes()?.saturating_sub(before) / CONNECTIONS;
    assert!(client(target, CONNECTIONS).await.is_err(), "one more than `connections_max`");
    for connection in &mut crowd {
        connection.ping().await?;
    }
    Ok(each)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_floods_is_slowed_down_and_its_neighbours_lose_nothing() -> Result<()> {
    const MESSAGES_PER_SECOND_MAX: u64 = 1_000;
    /// What the flood has under way: more than it is allowed in some seconds.
    const FLOOD_WINDOW: u64 = 5_000;
    const PLAN: Plan = Plan { name: "neighbour", seed: 71, devices: 20, messages: 3_000, messages_per_second: 1_000 };
    let home = Home::new()?;
    let limit = format!("messages_per_second_max = {MESSAGES_PER_SECOND_MAX}");
    let config = home.config().without_detection().queue(KEEP).listen().with(&limit);
    let gateway = Gateway::start(&home, &config, "").await?;

    let over = Arc::new(AtomicBool::new(false));
    let flood = tokio::spawn(flood(home.listen(), FLOOD_WINDOW, over.clone()));
    let sent = Fleet::start(PLAN, home.listen()).finish().await?;
    over.store(true, Ordering::Relaxed);
    let flooded = flood.await??;
    assert_eq!((sent.acked_total, sent.acked_out_of_order, sent.connections_lost), (PLAN.messages, 0, 0));
    // It may begin with what one second allows.
    let allowed = MESSAGES_PER_SECOND_MAX * (sent.took.as_secs() + 2);
    println!("flood: {flooded} messages taken in {:.1} s beside {}", sent.took.as_secs_f64(), sent.acked_total);
    assert!(flooded > 0 && flooded <= allowed, "{flooded} messages of the flood, {allowed} allowed");
    gateway.terminate().await?;
    let verdict = Oracle::new(&[&sent]).judge_kafka(&entries(&stored(&home).await?));
    assert_eq!((verdict.missing, verdict.repeats, verdict.out_of_order), (0, 0, 0), "{verdict}");
    Ok(())
}

/// Sends as fast as it can, until it is over; how many were acknowledged.
async fn flood(target: Target, window: u64, over: Arc<AtomicBool>) -> Result<u64> {
    let mut connection = Connection::open(&target, "flood").await?;
    let mut acked = 0;
    while !over.load(Ordering::Relaxed) {
        while (connection.inflight() as u64) < window {
            connection.push("sensors/flood/telemetry".into(), "{\"t\":21.5}", false)?;
        }
        connection.flush().await?;
        connection.next_ack().await?;
        acked += 1;
    }
    Ok(acked)
}
