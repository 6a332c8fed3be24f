//! The table: median (least–most) of the runs.

use std::collections::BTreeMap;

use crate::Options;

/// Figures of all runs, by case and figure.
#[derive(Default)]
pub(crate) struct Results(BTreeMap<(&'static str, &'static str), Vec<f64>>);

/// Heading, name of the figure, digits after the point.
const COLUMNS: [(&str, &str, usize); 8] = [
    ("messages/s", "rate", 0),
    ("door, CPU s per million", "door_cpu", 2),
    ("queue, CPU s per million", "queue_cpu", 2),
    ("window acknowledged, median ms", "p50_ms", 2),
    ("p99 ms", "p99_ms", 2),
    ("RSS, MiB", "rss_mib", 0),
    ("KiB per idle connection", "kib_each", 1),
    ("flood, messages/s", "flood_rate", 0),
];

impl Results {
    pub(crate) fn add(&mut self, case: &'static str, figure: &'static str, value: f64) {
        self.0.entry((case, figure)).or_default().push(value);
    }

    pub(crate) fn print(&self, cases: impl Iterator<Item = &'static str>, options: &Options) {
        println!("Median (least–most) of {} runs; {} messages a run.\n", options.runs, options.messages);
        println!("| |{}", COLUMNS.map(|(heading, ..)| format!(" {heading} |")).concat());
        println!("|---|{}", "---|".repeat(COLUMNS.len()));
        for case in cases.filter(|case| self.0.keys().any(|(name, _)| name == case)) {
            println!("| {case} |{}", COLUMNS.map(|(_, figure, digits)| self.cell(case, figure, digits)).concat());
        }
    }

    fn cell(&self, case: &'static str, figure: &'static str, digits: usize) -> String {
        let Some(values) = self.0.get(&(case, figure)) else { return " |".to_owned() };
        let mut values = values.clone();
        values.sort_by(f64::total_cmp);
        let (least, median, most) = (values[0], values[values.len() / 2], values[values.len() - 1]);
        format!(" {median:.digits$} ({least:.digits$}–{most:.digits$}) |")
    }
}
