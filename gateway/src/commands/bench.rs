//! `gateway bench`: MQTT in → durable queue → windows and detection → line protocol out, on this machine.
//!
//! The gateway runs as a child process with the configuration that a user would have, so its CPU time and memory are
//! its own; the load comes from this process. What is printed is one run: repeat it to see the machine's noise.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::time::sleep;

use super::now_ms;
use crate::bench::load::{self, Load, Outcome};
use crate::bench::process::{Gateway, Usage};
use crate::cli::BenchArgs;

/// How long the last messages may take to the file, after the last acknowledgement.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(300);
const POLL_EVERY: Duration = Duration::from_millis(20);

/// # Errors
/// The gateway under test did not start, lost something, or did not end well.
pub async fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let name = format!("gateway-bench-{}", std::process::id());
    let dir = args.data_dir.clone().unwrap_or_else(std::env::temp_dir).join(name);
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let measured = measure(args, &dir).await;
    std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    print!("{}", measured?.report(args));
    Ok(())
}

struct Measured {
    outcome: Outcome,
    acked_s: f64,
    delivered_s: f64,
    idle: Usage,
    done: Usage,
    queue_bytes: f64,
    commits: f64,
    windows: f64,
}

async fn measure(args: &BenchArgs, dir: &Path) -> anyhow::Result<Measured> {
    let gateway = Gateway::start(&configuration(dir)?, dir).await?;
    let metrics = Metrics { url: format!("http://{}/metrics", gateway.address("http")?) };
    let idle = gateway.usage()?;
    let begin = Instant::now();
    let load = Load {
        target: gateway.address("listen")?,
        messages: args.messages,
        connections: args.devices,
        inflight: args.inflight,
        end_at_ms: now_ms(),
    };
    let outcome = load::run(load).await.context("load generator")?;
    let acked_s = begin.elapsed().as_secs_f64();
    let delivered = r#"gateway_forward_delivered_total{sink="file",log="raw"}"#;
    metrics.reaches(&[delivered], args.messages).await.context("lines on disk")?;
    let delivered_s = begin.elapsed().as_secs_f64();
    // Detection may still be behind: its work is part of the bill.
    let judged = ["gateway_detect_readings_total", "gateway_detect_refused_total"];
    metrics.reaches(&judged, args.messages * load::READINGS_PER_MESSAGE).await.context("detection")?;
    let done = gateway.usage()?;
    let names = ["gateway_queue_written_bytes_total", "gateway_queue_commits_total", "gateway_detect_windows_total"];
    let read = metrics.read(&names).await?;
    gateway.stop().await?;
    Ok(Measured { outcome, acked_s, delivered_s, idle, done, queue_bytes: read[0], commits: read[1], windows: read[2] })
}

fn configuration(dir: &Path) -> anyhow::Result<PathBuf> {
    let path = dir.join("gateway.toml");
    let text = format!(
        "[gateway]\nname = \"bench\"\ndata_dir = {dir:?}\n[http]\nbind = \"127.0.0.1:0\"\n[listen]\nbind = \"127.0.0.1:0\"\n[[file]]\nname = \"file\"\n"
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

/// The `/metrics` of the gateway under test.
struct Metrics {
    url: String,
}

impl Metrics {
    /// The sums of all samples whose name (or name and labels) begins so.
    async fn read(&self, names: &[&str]) -> anyhow::Result<Vec<f64>> {
        let text = reqwest::get(&self.url).await?.text().await?;
        let sum = |name: &str| {
            text.lines().filter(|l| l.starts_with(name)).filter_map(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
        };
        Ok(names.iter().map(|name| sum(name)).collect())
    }

    /// Waits until these samples add up to `count`.
    async fn reaches(&self, names: &[&str], count: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        loop {
            let sum: f64 = self.read(names).await?.iter().sum();
            if sum >= count as f64 {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{sum} of {count} after {} s", DRAIN_TIMEOUT.as_secs());
            }
            sleep(POLL_EVERY).await;
        }
    }
}

impl Measured {
    fn report(mut self, args: &BenchArgs) -> String {
        let n = args.messages as f64;
        let cpu_s = self.done.cpu_s - self.idle.cpu_s;
        let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
        let (p50, p99) = (self.outcome.latency(0.5), self.outcome.latency(0.99));
        let payload = self.outcome.payload_bytes as f64 / n;
        format!(
            "{n:.0} messages of {payload:.0} bytes, QoS 1, {} connections with {} unacknowledged each\n\
             MQTT in, durable and acknowledged  {:>10.0} messages/s\n\
             MQTT in → line protocol on disk    {:>10.0} messages/s\n\
             CPU, all stages                    {:>10.2} s per million messages\n\
             PUBACK after a window was written  {:>10.1} ms median, {:.1} ms p99\n\
             resident memory                    {:>10.1} MiB peak, {:.1} MiB idle\n\
             queue, after compression           {:>10.1} bytes per message, {:.0} messages per commit\n\
             written to disk, queue and file    {:>10.1} bytes per message\n\
             windows closed                     {:>10.0}\n",
            args.devices,
            args.inflight,
            n / self.acked_s,
            n / self.delivered_s,
            cpu_s / n * 1e6,
            p50.as_secs_f64() * 1e3,
            p99.as_secs_f64() * 1e3,
            mib(self.done.rss_peak_bytes),
            mib(self.idle.rss_bytes),
            self.queue_bytes / n,
            n / self.commits.max(1.0),
            (self.done.written_bytes - self.idle.written_bytes) as f64 / n,
            self.windows,
        )
    }
}
