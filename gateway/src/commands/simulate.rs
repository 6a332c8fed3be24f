//! `gateway simulate`: the demo's devices against any broker, with the injected faults in a truth file.
//!
//! Event time is the real time; with `--speed` above 1 it starts in the past and ends when the run does, because a
//! gateway rightly refuses readings from the future.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::interrupt::stop_on_signal;
use super::now_ms;
use crate::cli::SimulateArgs;
use crate::demo::device::{Device, Start};
use crate::demo::fault::Fault;
use crate::demo::plan::{self, Sampling};
use crate::demo::publisher::{self, Counts, Job, Pace, Qos};
use crate::text::{counted, grouped};

const WEEK_MS: i64 = 7 * 86_400_000;
/// 1970-01-01 was a Thursday.
const FIRST_MONDAY_MS: i64 = 4 * 86_400_000;
/// Faults are planned this far ahead when no end is given.
const PLAN_MS: i64 = 30 * 86_400_000;
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// How long after its end a run may still catch up with what a broker that was away did not take.
const CATCH_UP: Duration = Duration::from_secs(5);
const MQTT_PORT: u16 = 1883;

/// Publishes until `--seconds` or a signal.
///
/// # Errors
/// Arguments that make no sense together, a truth file that cannot be written, or unacknowledged messages at the end.
pub async fn run(args: &SimulateArgs) -> anyhow::Result<()> {
    let stop = stop_on_signal(args.seconds.map(|s| Duration::from_secs(s) + CATCH_UP))?;
    let broker = broker_address(&args.broker)?;
    let now_at_ms = now_ms();
    let (start_at_ms, end_at_ms) = event_times(now_at_ms, args.seconds, args.speed)?;
    let sampling = sampling(args)?;
    let start = Start { seed: args.seed, at_ms: start_at_ms, monday_at_ms: monday_before(start_at_ms) };
    let mut devices = plan::fleet(args.devices, &args.topic, sampling, start);
    let faults = plan::faults(&devices, args.seed, start_at_ms, end_at_ms.unwrap_or(start_at_ms + PLAN_MS));
    plan::inject(&mut devices, &faults);
    if let Some(path) = &args.truth {
        write_truth(path, &faults)?;
    }
    let rate = sampling.messages_per_s(args.devices) * args.speed;
    println!(
        "to {broker}: {}, {rate:.2} messages/s, {}. Ctrl-C ends it.",
        counted(args.devices.into(), "device"),
        counted(faults.len() as u64, "planned fault")
    );
    let job = Job {
        broker,
        client_prefix: format!("simulate-{}", std::process::id()),
        qos: if args.qos == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce },
        pace: Pace::Clock { origin_at_ms: start_at_ms, origin: Instant::now(), speed: args.speed },
        until_ms: end_at_ms,
    };
    let counts = Arc::new(Counts::default());
    let devices = with_progress(&counts, publisher::run(devices, job.clone(), counts.clone(), stop)).await;

    let reached_at_ms = devices.iter().map(Device::due_at_ms).min().unwrap_or(start_at_ms);
    let faults: Vec<Fault> = faults.into_iter().filter(|f| f.start_at_ms < reached_at_ms).collect();
    if let Some(path) = &args.truth {
        write_truth(path, &faults)?;
    }
    let (sent, acked) = (counts.sent.load(Relaxed), counts.acked.load(Relaxed));
    let figures = serde_json::json!({
        "sent": sent,
        "acked": acked,
        "repeated": counts.repeated.load(Relaxed),
        "readings": counts.readings.load(Relaxed),
        "disconnects": counts.disconnects.load(Relaxed),
        "faults": faults.len(),
    });
    println!("simulate: {figures}");
    if job.qos == Qos::AtLeastOnce && sent != acked {
        bail!("{} of {sent} messages were not acknowledged", sent - acked);
    }
    if sent == 0 && counts.disconnects.load(Relaxed) > 0 {
        bail!("broker {} could not be reached", job.broker);
    }
    Ok(())
}

async fn with_progress<F: Future>(counts: &Counts, work: F) -> F::Output {
    let mut ticks = interval(PROGRESS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let begin = Instant::now();
    let mut sent_before = 0;
    tokio::pin!(work);
    loop {
        tokio::select! {
            output = &mut work => return output,
            _ = ticks.tick() => {
                let (sent, acked) = (counts.sent.load(Relaxed), counts.acked.load(Relaxed));
                println!(
                    "{:>3} s  {} messages/s  sent {}  acknowledged {}  repeated {}",
                    begin.elapsed().as_secs_f64().round(),
                    grouped(sent - sent_before),
                    grouped(sent),
                    grouped(acked),
                    grouped(counts.repeated.load(Relaxed)),
                );
                sent_before = sent;
            }
        }
    }
}

/// Start and end of event time, given that the run begins now.
fn event_times(now_at_ms: i64, seconds: Option<u64>, speed: f64) -> anyhow::Result<(i64, Option<i64>)> {
    if !(speed.is_finite() && speed > 0.0) {
        bail!("--speed {speed} is not a positive number");
    }
    let Some(seconds) = seconds else {
        if speed > 1.0 {
            bail!("--speed {speed} would run into the future\nhint: give --seconds, then event time ends now");
        }
        return Ok((now_at_ms, None));
    };
    let real_ms = seconds as f64 * 1_000.0;
    let event_ms = real_ms * speed;
    let ahead_ms = (event_ms - real_ms).max(0.0) as i64;
    let start_at_ms = now_at_ms - ahead_ms;
    Ok((start_at_ms, Some(start_at_ms + event_ms as i64)))
}

fn sampling(args: &SimulateArgs) -> anyhow::Result<Sampling> {
    let Some(rate) = args.rate else { return Ok(Sampling::Natural { stretch: 1 }) };
    if !(rate.is_finite() && rate > 0.0) {
        bail!("--rate {rate} is not a positive number");
    }
    let sampling = Sampling::Rate(rate / args.speed);
    let met = sampling.messages_per_s(args.devices) * args.speed;
    if met < 0.9 * rate {
        bail!(
            "{} devices can send {met:.0} of --rate {rate} messages/s: each reading needs a time of its own\n\
             hint: give more --devices",
            args.devices
        );
    }
    Ok(sampling)
}

/// `mqtt://host[:port]` → `host:port`.
fn broker_address(url: &str) -> anyhow::Result<String> {
    let hint = "hint: write --broker mqtt://HOST:PORT";
    let Some(rest) = url.strip_prefix("mqtt://") else { bail!("broker `{url}` does not begin with mqtt://\n{hint}") };
    let authority = rest.trim_end_matches('/');
    if authority.is_empty() || authority.contains(['/', '@', '?']) {
        bail!("broker `{url}` is not a host with an optional port\n{hint}");
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if !has_port {
        return Ok(format!("{authority}:{MQTT_PORT}"));
    }
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    port.parse::<u16>().with_context(|| format!("broker `{url}`: port `{port}` is not between 0 and 65535"))?;
    Ok(authority.to_owned())
}

/// One fault a line; the file is there in whole or not at all.
fn write_truth(path: &Path, faults: &[Fault]) -> anyhow::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = Path::new(&name);
    let write = || -> anyhow::Result<()> {
        let mut file = fs::File::create(part)?;
        for fault in faults {
            serde_json::to_writer(&mut file, fault)?;
            writeln!(file)?;
        }
        fs::rename(part, path)?;
        Ok(())
    };
    write().with_context(|| format!("truth file {} cannot be written", path.display()))
}

fn monday_before(at_ms: i64) -> i64 {
    (at_ms - FIRST_MONDAY_MS).div_euclid(WEEK_MS) * WEEK_MS + FIRST_MONDAY_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::fault::Kind;

    const NOW: i64 = 1_763_731_234_567;

    #[test]
    fn real_time_starts_now_and_faster_time_ends_when_the_run_does() {
        assert_eq!(event_times(NOW, None, 1.0).unwrap(), (NOW, None));
        assert_eq!(event_times(NOW, Some(60), 1.0).unwrap(), (NOW, Some(NOW + 60_000)));
        let (start, end) = event_times(NOW, Some(60), 480.0).unwrap();
        assert_eq!(end, Some(NOW + 60_000));
        assert_eq!(NOW + 60_000 - start, 60_000 * 480);
    }

    #[test]
    fn time_that_would_run_into_the_future_is_refused_with_a_hint() {
        let error = event_times(NOW, None, 2.0).unwrap_err().to_string();
        assert!(error.contains("--seconds"), "{error}");
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(event_times(NOW, Some(1), speed).is_err(), "{speed}");
        }
    }

    #[test]
    fn a_broker_is_a_host_and_a_port_or_said_what_is_wrong_with_it() {
        assert_eq!(broker_address("mqtt://127.0.0.1:1884").unwrap(), "127.0.0.1:1884");
        assert_eq!(broker_address("mqtt://broker/").unwrap(), "broker:1883");
        assert_eq!(broker_address("mqtt://[::1]").unwrap(), "[::1]:1883");
        for bad in ["127.0.0.1:1883", "mqtt://", "mqtt://user@host", "mqtt://host:99999", "mqtts://host:8883"] {
            assert!(broker_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_monday_before_is_a_monday_and_not_after() {
        // 2026-11-16 was a Monday.
        assert_eq!(monday_before(1_795_267_786_000), 1_794_787_200_000);
        assert_eq!(monday_before(1_794_787_200_000), 1_794_787_200_000);
    }

    #[test]
    fn the_truth_is_one_json_object_a_line() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("truth.ndjson");
        let fault =
            Fault { kind: Kind::Range, device: "motor-1".into(), channel: "current", start_at_ms: 1, end_at_ms: 2 };
        write_truth(&path, &[fault.clone(), fault]).unwrap();
        let line = r#"{"kind":"range","device":"motor-1","channel":"current","start_at_ms":1,"end_at_ms":2}"#;
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{line}\n{line}\n"));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
