//! The report: one HTML file that needs nothing else, for a person who asks "is it any good on my data?".
//!
//! # Invariants
//! - No script, no network: inline SVG and CSS, light or dark as the reader has it.
//! - Bounded: at most [`SERIES_MAX`] drawn channels of about 60 KB, [`ROWS_MAX`] files in the table. What is left out is said.
//! - Names of files, devices and channels are escaped: they are data.

mod chart;
mod text;

use std::fmt::Write;

use firmware_protocol::derived::Anomaly;
use firmware_protocol::measurement::EventTime;

use super::figures::{Figures, alarms};
use super::labels::Span;
use super::outcome::Outcome;
use super::run::Spans;
use super::scores::short_utc;
use crate::text::{counted, grouped};

use chart::Chart;
use text::{escaped, or_dash, percent, short, span};

/// Channels that are drawn, of all files together: those of files with labels or alarms first.
const SERIES_MAX: usize = 120;
/// Files in the table.
const ROWS_MAX: usize = 2_000;
/// Anomalies told in words for each file, the strongest.
const TOLD_MAX: usize = 8;

/// One file, judged.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Its result below the output directory.
    pub name: &'a str,
    pub outcome: &'a Outcome,
    /// `None`: nothing is known of it.
    pub labels: Option<&'a [Span]>,
    pub figures: &'a Figures,
}

/// All files of a run, in order.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    pub windows: Spans,
    /// As it was asked for.
    pub learn: String,
    pub false_alarms_per_month: f64,
    pub files: Vec<Judged<'a>>,
    /// Files that gave nothing, and why.
    pub failed: Vec<String>,
}

impl Report<'_> {
    pub fn html(&self) -> String {
        let mut page = String::from(concat!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n",
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Backtest</title>\n<style>\n",
            include_str!("style.css"),
            "</style></head><body>\n<h1>Backtest</h1>\n"
        ));
        self.head(&mut page);
        self.table(&mut page);
        self.details(&mut page);
        page.push_str("</body></html>\n");
        page
    }

    /// What was asked for, and the answer in one row.
    fn head(&self, page: &mut String) {
        let mut all = Figures::default();
        self.files.iter().for_each(|file| all += file.figures);
        let rows: u64 = self.files.iter().map(|file| file.outcome.rows).sum();
        let (files, rows) = (counted(self.files.len() as u64, "file"), counted(rows, "row"));
        let window = self.windows.window;
        let by = if window.is_zero() {
            "each sample by itself".to_owned()
        } else {
            format!("windows of {}", span(window.as_secs_f64()))
        };
        let (learn, knob) = (escaped(&self.learn), self.false_alarms_per_month);
        put(
            page,
            format_args!(
                "<p class=\"quiet\">{files}, {rows}; {by}, learning {learn}, thresholds for {knob} false alarms per device \
                 and month</p>\n"
            ),
        );
        for failed in &self.failed {
            put(page, format_args!("<p class=\"bad\">{}</p>\n", escaped(failed)));
        }
        page.push_str("<div class=\"card\"><table class=\"overall\"><tr>");
        for name in NAMES {
            put(page, format_args!("<th>{name}</th>"));
        }
        page.push_str("</tr><tr>");
        put(page, format_args!("{}</tr></table>\n", cells(&all)));
        page.push_str(
            "<p class=\"quiet\">An alarm is a run of alarmed windows; it is right if it overlaps a label. Delay: from a \
             label's begin to the end of the first alarmed window, median. Without labels every alarm counts as false.</p></div>\n",
        );
    }

    fn table(&self, page: &mut String) {
        page.push_str("<h2>Files</h2>\n<div class=\"card\"><table><tr><th>file</th>");
        for name in NAMES {
            put(page, format_args!("<th>{name}</th>"));
        }
        page.push_str("<th>not used</th></tr>\n");
        for (at, file) in self.files.iter().take(ROWS_MAX).enumerate() {
            let refused: u64 = file.outcome.counts.refused().iter().map(|(_, readings)| readings).sum();
            let not_used = refused + file.outcome.bad.count;
            let name = escaped(file.name);
            put(
                page,
                format_args!(
                    "<tr><td><a href=\"#f{at}\">{name}</a></td>{}<td>{}</td></tr>\n",
                    cells(file.figures),
                    grouped(not_used)
                ),
            );
        }
        page.push_str("</table>");
        if self.files.len() > ROWS_MAX {
            put(page, format_args!("<p class=\"quiet\">and {} more</p>", self.files.len() - ROWS_MAX));
        }
        page.push_str("</div>\n");
    }

    fn details(&self, page: &mut String) {
        page.push_str("<h2>Signals</h2>\n");
        page.push_str(chart::LEGEND);
        let mut order: Vec<usize> = (0..self.files.len()).collect();
        let interest = |file: &Judged<'_>| {
            usize::from(file.figures.alarms > 0) + 2 * usize::from(file.labels.is_some_and(|l| !l.is_empty()))
        };
        order.sort_by_key(|at| std::cmp::Reverse(self.files.get(*at).map(interest)));
        let mut drawn = 0;
        let mut sections: Vec<(usize, usize)> = Vec::new();
        for at in order {
            let series = self.files.get(at).map_or(0, |file| file.outcome.traces.values().map(|c| c.len()).sum());
            let room = SERIES_MAX - drawn;
            if room > 0 {
                sections.push((at, series.min(room)));
                drawn += series.min(room);
            }
        }
        sections.sort_unstable();
        for (at, series) in &sections {
            if let Some(file) = self.files.get(*at) {
                self.section(page, *at, file, *series);
            }
        }
        if sections.len() < self.files.len() {
            let left = self.files.len() - sections.len();
            put(
                page,
                format_args!("<p class=\"quiet\">{left} more files are not drawn: {SERIES_MAX} channels are.</p>\n"),
            );
        }
    }

    fn section(&self, page: &mut String, at: usize, file: &Judged<'_>, series: usize) {
        let name = escaped(file.name);
        put(page, format_args!("<section class=\"card\" id=\"f{at}\"><h3>{name}</h3>\n"));
        let alarms = alarms(file.outcome, self.windows);
        let all = file.outcome.traces.iter().flat_map(|(device, channels)| {
            channels.iter().map(move |(channel, trace)| (device.as_str(), channel.as_str(), trace))
        });
        for (device, channel, trace) in all.take(series) {
            let chart = Chart {
                device,
                channel,
                trace,
                outcome: file.outcome,
                labels: file.labels.unwrap_or_default(),
                alarms: &alarms,
            };
            let caption =
                if file.outcome.traces.len() > 1 { format!("{device} · {channel}") } else { channel.to_owned() };
            put(page, format_args!("<figure><figcaption>{}</figcaption>", escaped(&caption)));
            chart.draw(page);
            page.push_str("</figure>\n");
        }
        anomalies(page, file.outcome);
        page.push_str("</section>\n");
    }
}

/// Headings of what [`cells`] writes.
const NAMES: [&str; 8] =
    ["device-months", "alarms", "false per device-month", "labels", "found", "recall", "precision", "delay"];

fn cells(f: &Figures) -> String {
    let has_labels = f.labels > 0;
    let texts = [
        short(f.device_months),
        grouped(f.alarms),
        or_dash(f.false_per_device_month().map(short)),
        grouped(f.labels),
        or_dash(has_labels.then(|| grouped(f.found))),
        or_dash(f.recall().map(percent)),
        or_dash(f.precision().filter(|_| has_labels).map(percent)),
        or_dash(f.median_delay_s().map(span)),
    ];
    texts.iter().fold(String::new(), |row, text| row + "<td>" + text + "</td>")
}

/// The strongest ones in words.
fn anomalies(page: &mut String, outcome: &Outcome) {
    let mut strongest: Vec<&Anomaly> = outcome.anomalies.values().collect();
    if strongest.is_empty() {
        return;
    }
    strongest.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.start_at_ms.cmp(&b.start_at_ms)));
    page.push_str(
        "<table><tr><th>window from</th><th class=\"text\">found</th><th>by</th><th>above threshold</th></tr>\n",
    );
    for anomaly in strongest.iter().take(TOLD_MAX) {
        let at = short_utc(EventTime::from_millis(anomaly.start_at_ms));
        let (summary, detector) = (escaped(&anomaly.summary), escaped(&anomaly.detector));
        put(
            page,
            format_args!(
                "<tr><td>{at}</td><td class=\"text\">{summary}</td><td>{detector}</td><td>{} decades</td></tr>\n",
                short(anomaly.score)
            ),
        );
    }
    page.push_str("</table>");
    if strongest.len() > TOLD_MAX {
        put(page, format_args!("<p class=\"quiet\">and {} more</p>", strongest.len() - TOLD_MAX));
    }
}

/// Into a text, which takes all.
fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a text takes whatever it is given");
}

#[cfg(test)]
mod tests;
