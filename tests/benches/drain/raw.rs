//! The same records by the clients alone: no queue, no decoder, no books. What is sent lies ready in memory.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tests::gateway::http_client;
use tests::process::cpu_seconds;

use crate::BATCH_RECORDS;
use crate::subject::{Drained, devices, message};

/// As the gateway compresses.
const GZIP_LEVEL: u32 = 1;
/// As the gateway's producer.
const LINGER_MS: &str = "5";
const FLUSH_TIMEOUT: Duration = Duration::from_secs(120);

/// Line protocol from memory, gzip, one request after the other by reqwest.
pub(crate) async fn influx(url: &str, org: &str, bucket: &str, token: &str, records: u64) -> Result<Drained> {
    let devices = devices();
    let bodies: Vec<Vec<u8>> = (0..records)
        .step_by(BATCH_RECORDS as usize)
        .map(|first| {
            let mut lines = Vec::new();
            for n in first..records.min(first + BATCH_RECORDS) {
                let (device, n) = message(&devices, n);
                let at_ns = (1_600_000_000_000 + n * 10) * 1_000_000;
                let line = writeln!(
                    lines,
                    "sensor,device={},gateway=gw n={n},temperature={} {at_ns}",
                    device.name(),
                    device.temperature(n)
                );
                line.context("to memory")?;
            }
            Ok(lines)
        })
        .collect::<Result<_>>()?;
    let client = http_client()?;
    let (began, cpu_before) = (Instant::now(), own_cpu_s()?);
    for lines in bodies {
        let mut gzip = GzEncoder::new(Vec::with_capacity(lines.len() / 4), Compression::new(GZIP_LEVEL));
        gzip.write_all(&lines)?;
        let request = client.post(format!("{url}/api/v2/write")).query(&[("org", org), ("bucket", bucket)]);
        let request = request.header("Authorization", format!("Token {token}")).header("Content-Encoding", "gzip");
        let answer = request.body(gzip.finish()?).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{status}: {}", answer.text().await?);
    }
    Ok(Drained { records, took: began.elapsed(), cpu_s: own_cpu_s()? - cpu_before, rss_max_bytes: None })
}

/// Payloads from memory, idempotent and lz4 as the gateway's producer.
pub(crate) async fn kafka(bootstrap: &str, topic: String, with_headers: bool, records: u64) -> Result<Drained> {
    let bootstrap = bootstrap.to_owned();
    tokio::task::spawn_blocking(move || kafka_blocking(&bootstrap, &topic, with_headers, records)).await?
}

fn kafka_blocking(bootstrap: &str, topic: &str, with_headers: bool, records: u64) -> Result<Drained> {
    let devices = devices();
    let messages: Vec<(String, String)> = (0..records)
        .map(|n| {
            let (device, n) = message(&devices, n);
            (device.name().to_owned(), device.payload(n))
        })
        .collect();
    let producer: ThreadedProducer<Confirmations> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("linger.ms", LINGER_MS)
        .create_with_context(Confirmations::default())?;
    let confirmed = producer.context().0.clone();
    let (began, cpu_before) = (Instant::now(), own_cpu_s()?);
    for (n, (key, payload)) in messages.iter().enumerate() {
        // As many as the gateway has with Kafka at a time, so that memory is as near.
        while n as u64 >= confirmed.load(Ordering::Relaxed) + 2 * BATCH_RECORDS {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut record = BaseRecord::to(topic).key(key).payload(payload);
        if with_headers {
            let mut headers = OwnedHeaders::new_with_capacity(6);
            let seq = n.to_string();
            let values = [
                ("schema", "raw"),
                ("gateway", "gw"),
                ("queue_seq", &seq),
                ("received_at_ns", "1600000000000000000"),
                ("topic", "sensors/bench-00/telemetry"),
                ("door", "listen"),
            ];
            for (key, value) in values {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            record = record.headers(headers);
        }
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(FLUSH_TIMEOUT)?;
    ensure!(confirmed.load(Ordering::Relaxed) == records, "all are confirmed");
    Ok(Drained { records, took: began.elapsed(), cpu_s: own_cpu_s()? - cpu_before, rss_max_bytes: None })
}

#[derive(Default)]
struct Confirmations(Arc<AtomicU64>);

impl ClientContext for Confirmations {}

impl ProducerContext for Confirmations {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn own_cpu_s() -> Result<f64> {
    cpu_seconds(std::process::id())
}
