//! `gateway demo`: a whole gateway on loopback, simulated devices, known faults, and what was found of them.
//!
//! # Flow
//! ```text
//! start ─▶ play history flat out ─▶ drained ─▶ live part, faults ─▶ drained ─▶ shutdown ─▶ report
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, bail};
use firmware_protocol::derived::{Anomaly, Incident};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::interrupt::stop_on_signal;
use super::now_ms;
use crate::cli::DemoArgs;
use crate::demo::device::{Device, Start};
use crate::demo::fault::Fault;
use crate::demo::plan::{self, Sampling, Timeline, WINDOW_MS};
use crate::demo::progress::{Progress, Snapshot};
use crate::demo::publisher::{self, Counts, Job, Pace, Qos};
use crate::demo::report::Report;
use crate::demo::settings;
use crate::pipeline::{DETECT, Pipeline};
use crate::queue::LedgerRow;
use crate::shutdown::Stop;
use crate::text::{Colour, Style, counted, grouped, ledger_table};

/// A window closes this often in the live part unless a rate was asked for.
const WINDOW_EVERY: Duration = Duration::from_millis(1_250);
const HTTP_PORT: u16 = 8080;
/// How long the end waits for the last records to reach the files.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Runs the demo to its end, or to the first signal.
///
/// # Errors
/// The gateway does not start or stop, a record is unaccounted for, or a message was not acknowledged.
pub async fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let stop = stop_on_signal(None)?;
    let style = Style::of_stdout();
    let data_dir = data_dir(args.data_dir.as_deref())?;
    let sampling = Sampling::for_history(args.devices);
    let line = Timeline::new(now_ms(), Duration::from_secs(args.seconds), speed(args, sampling));
    let config = settings::config(&data_dir, http_bind(args.http), &line);
    let pipeline = Pipeline::start(config).await?;
    let mut demo = Demo {
        broker: pipeline.listen_addr().context("the demo's gateway has no listen door")?.to_string(),
        pipeline,
        line,
        counts: Arc::default(),
        found: Found::default(),
        stop,
    };
    demo.introduce(args, &data_dir, style);

    let start = Start { seed: args.seed, at_ms: line.history_start_at_ms, monday_at_ms: line.history_start_at_ms };
    let devices = plan::fleet(args.devices, settings::TOPIC, sampling, start);
    let history = demo.play_history(devices).await;
    let (devices, played) = demo.or_failure(history).await?;
    println!("{}", played.sentence());

    let live = demo.play_live(devices, args.seed).await;
    let faults = demo.or_failure(live).await?;
    let Demo { pipeline, counts, found, .. } = demo;
    let ledger = pipeline.shutdown().await?.ledger;

    let anomalies: Vec<Anomaly> = found.anomalies.into_values().collect();
    let incidents: Vec<Incident> = found.incidents.into_values().collect();
    let report = Report::new(&faults, &anomalies, &incidents, WINDOW_MS);
    let balances = ledger.iter().all(LedgerRow::balances);
    println!("\n{}\n{}{}", report.table(style), ledger_table(&ledger, style), still_open(&ledger));
    println!("{}", files(&data_dir));
    let (sent, acked) = (counts.sent.load(Relaxed), counts.acked.load(Relaxed));
    let figures = serde_json::json!({
        "seconds": args.seconds,
        "messages": acked,
        "history_messages_per_second": played.messages_per_s().round(),
        "injected": report.rows.len(),
        "found": report.found(),
        "incidents": incidents.len(),
        "false_alarms": report.false_alarm_count(),
        "ledger_balances": balances,
        "data_dir": data_dir,
    });
    println!("demo: {figures}");
    if !balances {
        bail!("the loss ledger does not balance: see the table above");
    }
    if sent != acked {
        bail!("{} of {sent} messages were not acknowledged", sent - acked);
    }
    Ok(())
}

struct Demo {
    pipeline: Pipeline,
    broker: String,
    line: Timeline,
    counts: Arc<Counts>,
    found: Found,
    stop: Stop,
}

/// What detection told so far, as of its last word on each: the view forgets old ones.
#[derive(Default)]
struct Found {
    /// By start, device, channel and detector.
    anomalies: BTreeMap<(i64, String, String, String), Anomaly>,
    /// By start and device.
    incidents: BTreeMap<(i64, String), Incident>,
}

/// The first benchmark: what the history cost.
struct Played {
    messages: u64,
    readings: u64,
    elapsed_s: f64,
    cpu_s: f64,
}

impl Played {
    fn messages_per_s(&self) -> f64 {
        self.messages as f64 / self.elapsed_s
    }

    fn sentence(&self) -> String {
        let cpu_per_million = self.cpu_s / (self.messages.max(1) as f64) * 1e6;
        format!(
            "history: {} messages with {} readings taken in, judged and written to files in {:.1} s:\n         \
             {} messages/s, {} readings/s, {cpu_per_million:.1} CPU s per million messages (simulated devices included)",
            grouped(self.messages),
            grouped(self.readings),
            self.elapsed_s,
            grouped(self.messages_per_s() as u64),
            grouped((self.readings as f64 / self.elapsed_s) as u64),
        )
    }
}

impl Demo {
    fn introduce(&self, args: &DemoArgs, data_dir: &Path, style: Style) {
        if let Some(address) = self.pipeline.http_addr() {
            println!("{}", style.paint(Colour::Bold, &format!("page: http://{address}/ (while the demo runs)")));
        }
        println!("data: {} (kept)", data_dir.display());
        println!(
            "first: {} days of history of {}, as fast as they go (some seconds)\n\
             then: {} s live, in which a window of 10 minutes closes every {:.2} s; Ctrl-C ends it early",
            Timeline::LEARN_DAYS,
            counted(args.devices.into(), "device"),
            args.seconds,
            600.0 / self.line.speed,
        );
    }

    async fn play_history(&mut self, devices: Vec<Device>) -> anyhow::Result<(Vec<Device>, Played)> {
        let (begin, cpu_begin) = (Instant::now(), cpu());
        let devices = self.publish("history", devices, Pace::FlatOut, self.line.live_start_at_ms).await?;
        // Who ended it during the history does not want to wait until all of it is judged.
        if !self.stop.is_requested() {
            let mut stop = self.stop.clone();
            tokio::select! {
                drained = self.drained("catching up") => drained?,
                () = stop.requested() => {}
            }
        }
        let played = Played {
            messages: self.counts.acked.load(Relaxed),
            readings: self.counts.readings.load(Relaxed),
            elapsed_s: begin.elapsed().as_secs_f64(),
            cpu_s: (cpu() - cpu_begin).as_secs_f64(),
        };
        Ok((devices, played))
    }

    /// Returns the faults that were injected and had time to be noticed.
    async fn play_live(&mut self, mut devices: Vec<Device>, seed: u64) -> anyhow::Result<Vec<Fault>> {
        let line = self.line;
        let faults = plan::faults(&devices, seed, line.live_start_at_ms, line.live_end_at_ms);
        plan::inject(&mut devices, &faults);
        let pace = Pace::Clock { origin_at_ms: line.live_start_at_ms, origin: Instant::now(), speed: line.speed };
        let devices = self.publish("live", devices, pace, line.live_end_at_ms).await?;
        self.drained("live").await?;
        let reached_at_ms = devices.iter().map(Device::due_at_ms).min().unwrap_or(line.live_start_at_ms);
        Ok(faults.into_iter().filter(|f| could_be_noticed(f, reached_at_ms)).collect())
    }

    /// A gateway that failed is what went wrong, whatever came of it here.
    async fn or_failure<T>(&mut self, outcome: anyhow::Result<T>) -> anyhow::Result<T> {
        match outcome {
            Err(_) if self.pipeline.has_failed() => Err(self.pipeline.failed().await.into()),
            outcome => outcome,
        }
    }

    async fn publish(
        &mut self,
        label: &str,
        devices: Vec<Device>,
        pace: Pace,
        until_ms: i64,
    ) -> anyhow::Result<Vec<Device>> {
        let job = Job {
            broker: self.broker.clone(),
            client_prefix: "demo".into(),
            qos: Qos::AtLeastOnce,
            pace,
            until_ms: Some(until_ms),
        };
        let publishing = publisher::run(devices, job, self.counts.clone(), self.stop.clone());
        self.showing(label, publishing).await
    }

    async fn drained(&mut self, label: &str) -> anyhow::Result<()> {
        let Self { pipeline, found, .. } = self;
        let drained = timeout(DRAIN_TIMEOUT, pipeline.drained());
        match showing(pipeline, found, label, drained).await? {
            Ok(()) => Ok(()),
            Err(_) => bail!("records are still queued after {} s; is the disk very slow?", DRAIN_TIMEOUT.as_secs()),
        }
    }

    async fn showing<F: Future>(&mut self, label: &str, work: F) -> anyhow::Result<F::Output> {
        showing(&self.pipeline, &mut self.found, label, work).await
    }
}

/// Does the work, with a progress line each second, and keeps what turns up meanwhile.
///
/// # Errors
/// The gateway has failed: the work would wait for it for ever.
async fn showing<F: Future>(pipeline: &Pipeline, found: &mut Found, label: &str, work: F) -> anyhow::Result<F::Output> {
    let snapshot = || Snapshot::take(pipeline.metrics(), &pipeline.ledger());
    let begin = Instant::now();
    let mut progress = Progress::new(snapshot());
    let mut ticks = interval(PROGRESS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut shown_at = begin;
    tokio::pin!(work);
    let output = loop {
        tokio::select! {
            output = &mut work => break output,
            now = ticks.tick() => {
                if pipeline.has_failed() {
                    progress.end();
                    bail!("the gateway has stopped");
                }
                found.collect(pipeline);
                let label = format!("{label} {:>3} s", begin.elapsed().as_secs());
                progress.show(&label, snapshot(), (now - shown_at).as_secs_f64());
                shown_at = now;
            }
        }
    };
    found.collect(pipeline);
    progress.end();
    Ok(output)
}

impl Found {
    fn collect(&mut self, pipeline: &Pipeline) {
        pipeline.view().with(|state| {
            self.anomalies.extend(state.anomalies.iter().map(|(key, anomaly)| (key.clone(), anomaly.clone())));
            self.incidents.extend(state.incidents.iter().map(|(key, incident)| (key.clone(), incident.clone())));
        });
    }
}

/// Whether a whole window of the fault, and what closes it, was played.
fn could_be_noticed(fault: &Fault, reached_at_ms: i64) -> bool {
    let closed_at_ms = (fault.start_at_ms.div_euclid(WINDOW_MS) + 2) * WINDOW_MS;
    closed_at_ms + WINDOW_MS <= reached_at_ms
}

fn speed(args: &DemoArgs, sampling: Sampling) -> f64 {
    match args.rate {
        Some(rate) => f64::from(rate) / sampling.messages_per_s(args.devices),
        None => WINDOW_MS as f64 / WINDOW_EVERY.as_millis() as f64,
    }
}

/// What was asked for; else the usual port, or a free one if that is taken.
fn http_bind(asked: Option<SocketAddr>) -> SocketAddr {
    let usual = SocketAddr::from(([127, 0, 0, 1], HTTP_PORT));
    let usual_or_free = || match TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    asked.unwrap_or_else(usual_or_free)
}

/// The directory asked for, which must hold nothing, or a fresh one that only we may read.
fn data_dir(asked: Option<&Path>) -> anyhow::Result<PathBuf> {
    let dir = match asked {
        Some(dir) => dir.to_owned(),
        None => std::env::temp_dir().join(format!("gateway-demo-{}-{}", now_ms() / 1_000, std::process::id())),
    };
    let made = fs::DirBuilder::new().recursive(asked.is_some()).mode(0o700).create(&dir);
    made.with_context(|| format!("data directory {} cannot be made", dir.display()))?;
    let mut entries = fs::read_dir(&dir).with_context(|| format!("data directory {} cannot be read", dir.display()))?;
    if entries.next().is_some() {
        bail!("data directory {} is not empty\nhint: name a new one with --data-dir", dir.display());
    }
    Ok(fs::canonicalize(dir)?)
}

/// Why detect's row still has something queued when all is done.
fn still_open(ledger: &[LedgerRow]) -> &'static str {
    let waiting = ledger.iter().any(|row| row.consumer == DETECT && row.queued > 0);
    if waiting { "queued at detect: the readings of windows still open, read again after a restart\n" } else { "" }
}

/// Where everything is and how much of it; what is empty or only for programs is left out.
fn files(data_dir: &Path) -> String {
    let mut text = format!("Files in {}\n", data_dir.display());
    let mut entries: Vec<PathBuf> =
        fs::read_dir(data_dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let (count, bytes) = size(&path);
        if bytes == 0 || !path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unit = if count == 1 { "file" } else { "files" };
        text += &format!("  {name:<12}  {count:>4} {unit:<5}  {:>8.1} MB\n", bytes as f64 / 1e6);
    }
    text
}

/// Files and bytes below a path; what cannot be read counts as nothing.
fn size(path: &Path) -> (u64, u64) {
    let Ok(meta) = fs::symlink_metadata(path) else { return (0, 0) };
    if !meta.is_dir() {
        return (1, meta.len());
    }
    let below = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path()));
    below.fold((0, 0), |(files, bytes), (f, b)| (files + f, bytes + b))
}

/// CPU time that this process has used, all threads.
fn cpu() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::fault::Kind;

    #[test]
    fn a_fault_counts_only_if_a_whole_window_of_it_was_played_and_closed() {
        let fault =
            Fault { kind: Kind::Level, device: "d".into(), channel: "c", start_at_ms: 100, end_at_ms: 3 * WINDOW_MS };
        assert!(!could_be_noticed(&fault, 3 * WINDOW_MS - 1));
        assert!(could_be_noticed(&fault, 3 * WINDOW_MS));
    }

    #[test]
    fn a_directory_with_something_in_it_is_refused_and_a_missing_one_is_made() {
        let root = tempfile::tempdir().unwrap();
        let fresh = root.path().join("a/b");
        assert_eq!(data_dir(Some(&fresh)).unwrap(), fs::canonicalize(&fresh).unwrap());
        fs::write(fresh.join("queue"), "x").unwrap();
        let error = data_dir(Some(&fresh)).unwrap_err().to_string();
        assert!(error.contains("not empty") && error.contains("--data-dir"), "{error}");
    }

    #[test]
    fn a_taken_port_gives_way_to_a_free_one_but_not_if_it_was_asked_for() {
        let asked = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(http_bind(Some(asked)), asked);
        let held = TcpListener::bind(("127.0.0.1", HTTP_PORT));
        assert_eq!(http_bind(None).port(), 0, "the port is held by us or by another process");
        drop(held);
    }

    #[test]
    fn the_history_is_summed_up_with_units() {
        let played = Played { messages: 180_000, readings: 2_800_000, elapsed_s: 4.0, cpu_s: 3.6 };
        assert_eq!(
            played.sentence(),
            "history: 180 000 messages with 2 800 000 readings taken in, judged and written to files in 4.0 s:\n         \
             45 000 messages/s, 700 000 readings/s, 20.0 CPU s per million messages (simulated devices included)"
        );
    }

    #[test]
    fn files_are_counted_below_each_directory() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("lines/old")).unwrap();
        fs::create_dir_all(root.path().join("quarantine")).unwrap();
        fs::write(root.path().join("http.addr"), "127.0.0.1:8080").unwrap();
        fs::write(root.path().join("lines/a"), vec![0; 1_000_000]).unwrap();
        fs::write(root.path().join("lines/old/b"), vec![0; 500_000]).unwrap();
        let expected = format!("Files in {}\n  lines            2 files       1.5 MB\n", root.path().display());
        assert_eq!(files(root.path()), expected);
    }
}
