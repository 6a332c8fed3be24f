//! What the MQTT doors cost: the gateway's own binary with doors and queue alone, under load over loopback.
//!
//! `cargo bench -p gateway --bench doors -- [options]` prints Markdown tables; progress goes to standard error.
//!
//! # Options
//! - `--runs N`: how often each case runs, 3. Runs take turns, so that noise hits all cases alike.
//! - `--messages N`: of each run, 2 000 000.
//! - `--only TEXT`: only cases whose name contains the text.
//! - `--dir PATH`: where the queue's files go; the default is the system's directory for temporary files.
//!
//! # How
//! - Messages: QoS 1, 100 bytes, 10 connections that send a window of 100, wait for its acknowledgements and send the next;
//!   they are encoded once, so that most of the machine is the gateway's. The time of a window is from its writing to
//!   its last acknowledgement.
//! - CPU time is the kernel's account of each thread: `queue` is the queue's writer and its engine, `door` all others.
//! - `mosquitto`, if there is one, takes the same load as it comes: without persistence, and without a subscriber.
//! - The `mqtt` door is fed by a broker that is played here, because real ones are slower than the door.
//!
//! Nothing here is asserted about time.

mod broker;
mod certificate;
mod load;
mod neighbours;
mod process;
mod report;

use std::error::Error;
use std::path::PathBuf;

use certificate::Certificate;
use load::Load;
use process::{Door, Subject};
use report::Results;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// As many as a fleet of sensors behind one gateway may have.
const IDLE_CONNECTIONS: usize = 1_000;

struct Options {
    runs: usize,
    messages: u64,
    only: String,
    dir: PathBuf,
}

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let dir = options.dir.join(format!("doors-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let certificate = Certificate::make(&dir)?;
    let mut results = Results::default();
    for run in 1..=options.runs {
        for case in CASES.iter().filter(|case| case.name.contains(&options.only)) {
            eprintln!("run {run} of {}: {}", options.runs, case.name);
            (case.run)(&mut |figure, value| results.add(case.name, figure, value), &options, &certificate)?;
        }
    }
    std::fs::remove_dir_all(&dir)?;
    results.print(CASES.iter().map(|case| case.name), &options);
    Ok(())
}

type Tell<'a> = &'a mut dyn FnMut(&'static str, f64);

struct Case {
    name: &'static str,
    run: fn(Tell<'_>, &Options, &Certificate) -> Result<()>,
}

const CASES: &[Case] = &[
    Case { name: "listen", run: |tell, o, c| loaded(tell, o, Door::Listen, c) },
    Case { name: "listen, TLS 1.3", run: |tell, o, c| loaded(tell, o, Door::ListenTls, c) },
    Case { name: "mqtt", run: dialled },
    Case { name: "mosquitto", run: |tell, o, c| loaded(tell, o, Door::Mosquitto, c) },
    Case { name: "idle, listen", run: |tell, o, c| idle(tell, o, Door::Listen, c) },
    Case { name: "idle, listen, TLS 1.3", run: |tell, o, c| idle(tell, o, Door::ListenTls, c) },
    Case { name: "neighbours, alone", run: |tell, o, c| neighbours::run(tell, o, None, c) },
    Case { name: "neighbours, beside a flood", run: |tell, o, c| neighbours::run(tell, o, Some(0), c) },
    Case {
        name: "neighbours, beside a flood held to 10 000/s",
        run: |tell, o, c| neighbours::run(tell, o, Some(10_000), c),
    },
];

/// Clients send to a server.
fn loaded(tell: Tell<'_>, options: &Options, door: Door, certificate: &Certificate) -> Result<()> {
    let Some(subject) = Subject::start(door, "", &options.dir, certificate)? else { return Ok(()) };
    let load = Load::new(subject.target(), options.messages);
    let before = subject.usage()?;
    let outcome = load.run(subject.tls(certificate))?;
    subject.usage()?.tell_since(before, options.messages, tell);
    outcome.tell(tell);
    subject.stop()
}

/// A broker sends to the door that has dialled it.
fn dialled(tell: Tell<'_>, options: &Options, certificate: &Certificate) -> Result<()> {
    let broker = broker::Broker::bind()?;
    let Some(subject) = Subject::start(Door::Mqtt(broker.port()?), "", &options.dir, certificate)? else {
        return Ok(());
    };
    let mut connection = broker.accept()?;
    let before = subject.usage()?;
    let outcome = connection.send(options.messages)?;
    subject.usage()?.tell_since(before, options.messages, tell);
    outcome.tell(tell);
    subject.stop()
}

/// Connections that are open and silent.
fn idle(tell: Tell<'_>, options: &Options, door: Door, certificate: &Certificate) -> Result<()> {
    let Some(subject) = Subject::start(door, "", &options.dir, certificate)? else { return Ok(()) };
    let before = subject.usage()?;
    let held = load::connect_many(subject.target(), IDLE_CONNECTIONS, subject.tls(certificate))?;
    let after = subject.usage()?;
    tell("kib_each", (after.rss_bytes - before.rss_bytes) as f64 / 1024.0 / IDLE_CONNECTIONS as f64);
    drop(held);
    subject.stop()
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self { runs: 3, messages: 2_000_000, only: String::new(), dir: std::env::temp_dir() };
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{option} needs a value"));
            match option.as_str() {
                "--runs" => options.runs = value()?.parse()?,
                "--messages" => options.messages = value()?.parse()?,
                "--only" => options.only = value()?,
                "--dir" => options.dir = value()?.into(),
                // cargo's own.
                "--bench" => {}
                other => {
                    return Err(format!("unknown option {other}; the head of this bench's main.rs lists them").into());
                }
            }
        }
        Ok(options)
    }
}
