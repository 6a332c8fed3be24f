//! What the queue costs, beside plain segment files with one fdatasync per batch, the physical yardstick.
//!
//! `cargo bench -p gateway --bench queue -- [options]` prints Markdown tables; progress goes to standard error.
//!
//! # Options
//! - `--dir PATH`: where the files go; the default is the system's directory for temporary files. The column "device" is
//!   of the whole block device: it tells the truth when the path is a file system that nobody else writes to.
//! - `--runs N`: how often each case runs, 3. Runs take turns, so that noise hits all cases alike.
//! - `--records N`: length of a flow case, 1 000 000, made a multiple of 4 096.
//! - `--backlog N,N`: lengths of the backlogs, `2000000,10000000`; `--backlog 0` leaves them out.
//! - `--only TEXT`: only cases whose name, as progress shows it, contains the text.
//!
//! # How
//! Each step of each case is a process of its own, so that memory that one leaves behind does not count for the next.
//! It prints `figure value` lines; this process gathers them and gives the median (least–most) of the runs.
//! Nothing here is asserted about time.

mod backlog;
mod cases;
mod flow;
mod meter;
mod records;
mod report;
mod segments;
mod single;

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use cases::{Case, Step};
use report::Results;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Whole batches of every size.
const RECORDS_MULTIPLE: u64 = 4_096;

struct Options {
    dir: PathBuf,
    runs: usize,
    records: u64,
    backlogs: Vec<u64>,
    only: String,
    /// Set in the processes that measure.
    step: Option<String>,
}

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let cases = cases::all(&options);
    if let Some(step) = &options.step {
        let steps = cases.iter().flat_map(|case| case.steps().iter().map(move |step| (*case, *step)));
        let (case, step) = steps.into_iter().find(|(c, s)| name(*c, *s) == *step).ok_or("no such step")?;
        return case.run(step, &options.dir);
    }
    let mut results = Results::default();
    for run in 1..=options.runs {
        for case in cases.iter().filter(|c| c.to_string().contains(&options.only)) {
            eprintln!("run {run} of {}: {case}", options.runs);
            let dir = options.dir.join(format!("queue-bench-{}", std::process::id()));
            for step in case.steps() {
                measure(&options, *case, *step, &dir.to_string_lossy(), &mut results)?;
            }
            std::fs::remove_dir_all(&dir)?;
        }
    }
    results.print(&cases, &options);
    Ok(())
}

fn name(case: Case, step: Step) -> String {
    format!("{case}/{step:?}")
}

/// Runs one step in a process of its own and adds its figures.
fn measure(options: &Options, case: Case, step: Step, dir: &str, results: &mut Results) -> Result<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--dir", dir, "--step", &name(case, step), "--records", &options.records.to_string()])
        .args(["--backlog", &options.backlogs.iter().map(u64::to_string).collect::<Vec<_>>().join(",")])
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or("standard output is a pipe")?;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        if line == backlog::KILL_ME {
            child.kill()?;
        } else {
            let (figure, value) = line.split_once(' ').ok_or_else(|| format!("not a figure: {line}"))?;
            results.add(case, figure, value.parse()?);
        }
    }
    let status = child.wait()?;
    match step {
        Step::Kill => Ok(()),
        Step::Once | Step::Fill | Step::ReopenClosed | Step::ReopenKilled | Step::Drain if status.success() => Ok(()),
        Step::Once | Step::Fill | Step::ReopenClosed | Step::ReopenKilled | Step::Drain => {
            Err(format!("{case} ended with {status}").into())
        }
    }
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            dir: std::env::temp_dir(),
            runs: 3,
            records: 1_000_000,
            backlogs: vec![2_000_000, 10_000_000],
            only: String::new(),
            step: None,
        };
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{option} needs a value"));
            match option.as_str() {
                "--dir" => options.dir = value()?.into(),
                "--runs" => options.runs = value()?.parse()?,
                "--records" => options.records = value()?.parse()?,
                "--backlog" => {
                    options.backlogs = value()?
                        .split(',')
                        .filter(|n| !n.is_empty())
                        .map(str::parse)
                        .collect::<std::result::Result<_, _>>()?;
                }
                "--only" => options.only = value()?,
                "--step" => options.step = Some(value()?),
                // cargo's own.
                "--bench" => {}
                other => {
                    return Err(format!("unknown option {other}; the head of this bench's main.rs lists them").into());
                }
            }
        }
        options.records = options.records.next_multiple_of(RECORDS_MULTIPLE);
        options.backlogs.retain(|records| *records > 0);
        Ok(options)
    }
}
