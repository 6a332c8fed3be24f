//! How fast a backlog drains, what that costs, and what memory a backlog takes: the gateway as a process of its own, real
//! InfluxDB and Kafka, and beside each sink the raw client with the same records, in the same run.
//!
//! ```sh
//! cargo build --release -p gateway && cargo bench -p tests --bench drain
//! cargo bench -p tests --bench drain -- --records 5000000 --runs 1 --only queued    # memory alone
//! ```
//! `--only influx`, `counted` (an HTTP server that does nothing but answer), `kafka`, `queued`, or `live`: records that come
//! in while the backlog drains over a thin link.

mod live;
mod raw;
mod report;
mod subject;

use anyhow::{Context, Result, bail};
use tests::gateway::Home;
use tests::stack;

use report::Results;

const RECORDS: u64 = 1_000_000;
const RUNS: usize = 3;
/// Points and messages of the raw clients are made in batches as the gateway's are.
const BATCH_RECORDS: u64 = 5_000;

/// What the command line says.
struct Options {
    records: u64,
    runs: usize,
    only: Option<String>,
}

impl Options {
    fn read() -> Result<Self> {
        let mut options = Self { records: RECORDS, runs: RUNS, only: None };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} wants a value"));
            match arg.as_str() {
                "--records" => options.records = value()?.parse()?,
                "--runs" => options.runs = value()?.parse()?,
                "--only" => options.only = Some(value()?),
                // cargo's own.
                "--bench" => {}
                _ => bail!("{arg} is none of --records N, --runs N, --only influx|counted|kafka|queued|live"),
            }
        }
        Ok(options)
    }

    fn wants(&self, case: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == case)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::read()?;
    let mut results = Results::default();
    for run in 0..options.runs {
        one_run(run, &options, &mut results).await?;
    }
    results.print(&options);
    Ok(())
}

async fn one_run(run: usize, options: &Options, results: &mut Results) -> Result<()> {
    let records = options.records;
    let filled = Home::new()?;
    let queued = subject::fill(&filled, records).await?;
    results.add_memory(queued);
    let prefix = format!("drain{run}");
    if options.wants("counted") {
        let server = subject::counter().await?;
        let url = format!("http://{}", server.address());
        let (home, config) = subject::copy(&filled)?;
        let sink = subject::influx_table(&url, "org", "bucket");
        results.add(
            "InfluxDB's protocol, answered by a counter",
            subject::drain(&home, config.with(&sink), "token", records).await?,
        );
        results.add("raw client to the same", raw::influx(&url, "org", "bucket", "token", records).await?);
    }
    if options.wants("influx") {
        let influx = stack::bucket(&prefix).await?;
        let (home, config) = subject::copy(&filled)?;
        let sink = subject::influx_table(influx.url(), influx.org(), influx.bucket());
        results.add("InfluxDB", subject::drain(&home, config.with(&sink), influx.token(), records).await?);
        let points = influx.count("sensor", "n").await?;
        anyhow::ensure!(points == records, "{points} points of {records} records");
        let raw = stack::bucket(&format!("{prefix}-raw")).await?;
        results.add(
            "raw client to InfluxDB",
            raw::influx(raw.url(), raw.org(), raw.bucket(), raw.token(), records).await?,
        );
    }
    if options.wants("live") {
        results.add_live(live::beside_the_backlog(&filled, &format!("{prefix}-live")).await?);
    }
    if options.wants("kafka") {
        let kafka = stack::kafka().await?;
        let (home, config) = subject::copy(&filled)?;
        results.add("Kafka", subject::drain(&home, config.kafka(kafka.bootstrap(), &prefix), "", records).await?);
        let raw = |headers| raw::kafka(kafka.bootstrap(), format!("{prefix}-raw-{headers}"), headers, records);
        results.add("raw client to Kafka, the same headers", raw(true).await?);
        results.add("raw client to Kafka, no headers", raw(false).await?);
    }
    Ok(())
}
