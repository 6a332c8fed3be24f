//! The tables: median (least–most) of the runs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Options;
use crate::live::Live;
use crate::subject::{Drained, Queued};

const MIB: f64 = (1 << 20) as f64;

#[derive(Default)]
pub(crate) struct Results {
    drains: BTreeMap<&'static str, Vec<Drained>>,
    memory: Vec<Queued>,
    live: Vec<Live>,
}

impl Results {
    pub(crate) fn add(&mut self, case: &'static str, drained: Drained) {
        eprintln!("{case}: {:.1} s, {:.2} CPU s", drained.took.as_secs_f64(), drained.cpu_s);
        self.drains.entry(case).or_default().push(drained);
    }

    pub(crate) fn add_memory(&mut self, queued: Queued) {
        self.memory.push(queued);
    }

    pub(crate) fn add_live(&mut self, live: Live) {
        self.live.push(live);
    }

    pub(crate) fn print(&self, options: &Options) {
        println!("{} records a run, median (least–most) of {} runs.\n", options.records, options.runs);
        println!("| | records/s | CPU s per million | peak RSS, MiB |\n|---|---|---|---|");
        for (case, runs) in &self.drains {
            let rate = cell(runs.iter().map(|run| run.records as f64 / run.took.as_secs_f64()), 0);
            let cpu = cell(runs.iter().map(|run| run.cpu_s / run.records as f64 * 1e6), 2);
            let rss = cell(runs.iter().filter_map(|run| Some(run.rss_max_bytes? as f64 / MIB)), 0);
            println!("| {case} | {rate} | {cpu} | {rss} |");
        }
        println!("\n| memory with sinks away, MiB | |\n|---|---|");
        let row = |name: &str, bytes: fn(&Queued) -> u64| {
            println!("| {name} | {} |", cell(self.memory.iter().map(|run| bytes(run) as f64 / MIB), 1));
        };
        row("started, nothing queued", |run| run.idle_bytes);
        row("all queued", |run| run.queued_bytes);
        row("started again with all queued", |run| run.restarted_bytes);
        if self.live.is_empty() {
            return;
        }
        println!("\n| beside the backlog, over a thin link | |\n|---|---|");
        let row = |name: &str, value: fn(&Live) -> f64, digits: usize| {
            println!("| {name} | {} |", cell(self.live.iter().map(value), digits));
        };
        row("PUBACK to InfluxDB, quiet devices, median, ms", |live| millis(live.quiet_p50), 0);
        row("the same, 99 %, ms", |live| millis(live.quiet_p99), 0);
        row("one device that sends ten times as much, median, ms", |live| millis(live.noisy_p50), 0);
        row("the same, 99 %, ms", |live| millis(live.noisy_p99), 0);
        row("an attempt, mean, ms", |live| live.attempt_ms, 0);
        row("live records/s", |live| live.live_per_second, 0);
        row("backlog drained meanwhile, records/s", |live| live.drained_per_second, 0);
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn cell(values: impl Iterator<Item = f64>, digits: usize) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (values.first(), values.last()) else { return "–".to_owned() };
    format!("{:.digits$} ({least:.digits$}–{most:.digits$})", values[values.len() / 2])
}
