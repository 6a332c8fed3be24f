//! `gateway backtest`: runs detection over archives, and writes scores, incidents and a report.

mod files;
mod progress;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};

use super::unless_closed;
use crate::backtest::{
    By, Error, Figures, Formats, Judged, Labels, Learn, Outcome, Report, Settings, figures, write_scores,
};
use crate::cli::{BacktestArgs, WindowChoice};
use crate::text::{counted, grouped};
use crate::{config, detect};

use files::Input;
use progress::Told;

const INCIDENTS: &str = "incidents.ndjson";

/// # Errors
/// An argument or the configuration cannot be used, a file has nothing that can be read, or results cannot be written.
pub fn run(args: &BacktestArgs) -> anyhow::Result<()> {
    let (settings, formats) = settings(args)?;
    let labels = args.labels.as_deref().map(labels).transpose()?;
    let inputs = files::find(args)?;
    fs::create_dir_all(&args.out).with_context(|| format!("{} cannot be made", args.out.display()))?;
    let read = Arc::new(AtomicU64::new(0));
    let mut told = Told::new(inputs.len(), inputs.iter().map(|input| input.bytes).sum(), Arc::clone(&read));
    let mut results: Vec<Option<Result<Outcome, Error>>> = inputs.iter().map(|_| None).collect();
    let run_one = |input: &Input| crate::backtest::run(&input.file, &formats, &settings, Arc::clone(&read));
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(inputs.len());
    thread::scope(|scope| -> anyhow::Result<()> {
        let (done, finished) = mpsc::channel();
        for _ in 0..workers {
            let (done, inputs, next, run_one) = (done.clone(), &inputs, &next, &run_one);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(input) = inputs.get(at) else { return };
                    let result = run_one(input);
                    // Whoever waits is gone only after a failure to write.
                    if done.send((at, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        while let Some((at, result)) = told.wait(&finished) {
            if let Ok(outcome) = &result {
                write_csv(&args.out.join(&inputs[at].output), outcome)?;
            }
            results[at] = Some(result);
        }
        Ok(())
    })?;
    drop(told);
    finish(args, &settings, labels.as_ref(), &inputs, results)
}

fn settings(args: &BacktestArgs) -> anyhow::Result<(Settings, Formats)> {
    let (routes, mut detect) = match &args.config {
        Some(path) => config::detection(path).map(|(routes, detect)| (Some(routes), detect))?,
        None => (None, detect::Config::default()),
    };
    let by = match args.window {
        Some(WindowChoice::Windows(window)) => {
            detect.window = window;
            By::Windows
        }
        Some(WindowChoice::Samples) => By::Samples,
        None => By::Windows,
    };
    if let Some(hop) = args.hop {
        detect.hop = hop;
    }
    config::hop(detect.hop, detect.window)
        .map_err(|why| anyhow::anyhow!("--hop {}: {why}", config::shown(detect.hop)))?;
    if let Some(knob) = args.false_alarms_per_month {
        detect.false_alarms_per_month = knob;
    }
    if let Some(Learn::For(span)) = args.learn {
        detect.novel_after = span;
    }
    let learn = args.learn.unwrap_or(match by {
        By::Windows => Learn::For(detect.learn),
        By::Samples => Learn::For(Duration::ZERO),
    });
    Ok((Settings { by, detect, learn, draw: args.report.is_some() }, Formats::new(routes, args.ignore.clone())?))
}

fn write_csv(path: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    let written = |path: &Path| -> io::Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut out = BufWriter::new(File::create(path)?);
        write_scores(outcome, &mut out)?;
        out.flush()
    };
    written(path).with_context(|| format!("{} cannot be written", path.display()))
}

fn labels(path: &Path) -> anyhow::Result<Labels> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Labels::parse(&text).map_err(|fault| anyhow::anyhow!("{}: {fault}", path.display()))
}

/// Incidents, the report, a line for each file, and whether all could be read.
fn finish(
    args: &BacktestArgs,
    settings: &Settings,
    labels: Option<&Labels>,
    inputs: &[Input],
    results: Vec<Option<Result<Outcome, Error>>>,
) -> anyhow::Result<()> {
    let (mut judged, mut failed) = (Vec::new(), Vec::new());
    for (input, result) in inputs.iter().zip(results.into_iter().flatten()) {
        match result {
            Ok(outcome) => {
                let known = labels.and_then(|labels| labels.of(&input.output, &input.file));
                let figures = figures(&outcome, settings.spans(), known.unwrap_or_default());
                judged.push((input, outcome, known, figures));
            }
            Err(error) => failed.push(error),
        }
    }
    let path = args.out.join(INCIDENTS);
    let incidents = || -> io::Result<()> {
        let mut out = BufWriter::new(File::create(&path)?);
        judged.iter().try_for_each(|(input, outcome, ..)| write_findings(&mut out, &input.output, outcome))?;
        out.flush()
    };
    incidents().with_context(|| format!("{} cannot be written", path.display()))?;
    if let Some(path) = &args.report {
        let names: Vec<String> = judged.iter().map(|(input, ..)| input.output.display().to_string()).collect();
        let files = judged.iter().zip(&names).map(|((_, outcome, labels, figures), name)| Judged {
            name,
            outcome,
            labels: *labels,
            figures,
        });
        let report = Report {
            windows: settings.spans(),
            learn: settings.learn.to_string(),
            false_alarms_per_month: settings.detect.false_alarms_per_month,
            files: files.collect(),
            failed: failed.iter().map(crate::text::in_one_line).collect(),
        };
        fs::write(path, report.html()).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let mut text: String = judged.iter().map(|(input, outcome, ..)| summary(input, outcome)).collect();
    if labels.is_some() {
        let mut all = Figures::default();
        judged.iter().for_each(|(.., figures)| all += figures);
        text += &against_labels(&all);
    }
    unless_closed(write!(io::stdout().lock(), "{text}"))?;
    let Some(first) = failed.first() else { return Ok(()) };
    for error in failed.iter().skip(1) {
        eprintln!("error: {}", crate::text::in_one_line(error));
    }
    bail!("{} of {} gave nothing; {first}", failed.len(), counted(inputs.len() as u64, "file"))
}

fn against_labels(all: &Figures) -> String {
    let share = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{share:.3}"));
    format!(
        "{} of {} found (recall {}), {} of {} right (precision {}), {} false per device-month over {:.2} device-months\n",
        grouped(all.found),
        counted(all.labels, "label"),
        share(all.recall()),
        grouped(all.right),
        counted(all.alarms, "alarm"),
        share(all.precision()),
        share(all.false_per_device_month()),
        all.device_months,
    )
}

fn write_findings(out: &mut dyn Write, output: &Path, outcome: &Outcome) -> io::Result<()> {
    for finding in outcome.findings(&output.display().to_string()) {
        serde_json::to_writer(&mut *out, &finding)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// What came of one file, and what was not used of it.
fn summary(input: &Input, outcome: &Outcome) -> String {
    let windows = match outcome.samples.len() {
        0 => counted(outcome.windows.len() as u64, "window"),
        _ => "each by itself".to_owned(),
    };
    let alarms = outcome.scores.values().filter(|score| score.is_alarm).count() as u64;
    let learning = outcome.scores.values().all(|score| score.decades.is_none());
    let mut text = format!(
        "{}: {}, {windows}, {}\n",
        input.file.display(),
        counted(outcome.rows, "row"),
        if learning { "all of them learning".to_owned() } else { counted(alarms, "alarm") }
    );
    if let Some(window) = outcome.needs_windows {
        let window = config::shown(window);
        text +=
            &format!("  channels are not compared with each other sample by sample: that takes --window {window}\n");
    }
    for (reason, readings) in outcome.counts.refused().into_iter().filter(|(_, n)| *n > 0) {
        text += &format!("  {} not used: {reason}\n", counted(readings, "reading"));
    }
    for (line, reason) in &outcome.bad.told {
        text += &format!("  line {line}: {reason}\n");
    }
    let more = outcome.bad.count - outcome.bad.told.len() as u64;
    if more > 0 {
        text += &format!("  and {} more bad lines\n", grouped(more));
    }
    text
}
