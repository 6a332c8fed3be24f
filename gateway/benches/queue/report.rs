//! The tables: median (least–most) of the runs.

use std::collections::BTreeMap;

use crate::Options;
use crate::cases::Case;

/// Figures of all runs, by names of case and figure.
#[derive(Default)]
pub(crate) struct Results(BTreeMap<(String, String), Vec<f64>>);

/// A column: heading, name of the figure, digits after the point.
type Column = (&'static str, &'static str, usize);

const FLOW: [Column; 6] = [
    ("records/s", "rate", 0),
    ("CPU s per million", "cpu", 2),
    ("written ÷ payload, calls", "calls", 2),
    ("written ÷ payload, process", "process", 2),
    ("written ÷ payload, device", "device", 2),
    ("peak RSS, MiB", "rss", 0),
];
const BACKLOG: [Column; 15] = [
    ("filled, records/s", "rate", 0),
    ("filling, CPU s per million", "cpu", 2),
    ("filling, written ÷ payload, calls", "calls", 2),
    ("filling, written ÷ payload, process", "process", 2),
    ("filling, written ÷ payload, device", "device", 2),
    ("filling, peak RSS, MiB", "rss", 0),
    ("on disk, bytes per record", "disk_per_record", 1),
    ("reopened after a close, ms", "reopen_closed", 0),
    ("reopened after SIGKILL, ms", "reopen_killed", 0),
    ("drained, records/s", "drain_rate", 0),
    ("draining, CPU s per million", "drain_cpu", 2),
    ("draining, peak RSS, MiB", "drain_rss", 0),
    ("disk left after the drain, % of peak", "left_percent", 1),
    ("disk left after the drain, MiB", "left_mib", 1),
    ("s from the drain until below 10 %, at most 60", "freed_after", 1),
];
const SINGLE: [Column; 2] =
    [("a commit, ms", "commit_ms", 2), ("a watermark's write and sync alone, ms", "sync_ms", 2)];

impl Results {
    pub(crate) fn add(&mut self, case: Case, figure: &str, value: f64) {
        self.0.entry((case.to_string(), figure.to_owned())).or_default().push(value);
    }

    pub(crate) fn print(&self, cases: &[Case], options: &Options) {
        println!("Median (least–most) of {} runs; {} records a flow.", options.runs, options.records);
        let of = |wanted: fn(&Case) -> bool| -> Vec<Case> {
            cases
                .iter()
                .copied()
                .filter(|c| wanted(c) && self.0.keys().any(|(name, _)| *name == c.to_string()))
                .collect()
        };
        self.flows(&of(|c| matches!(c, Case::Flow { .. } | Case::Segments { .. })));
        self.turned(&of(|c| matches!(c, Case::Backlog { .. })), &BACKLOG);
        self.turned(&of(|c| matches!(c, Case::Single { .. })), &SINGLE);
    }

    /// A line a case, with its ratios to the yardstick.
    fn flows(&self, cases: &[Case]) {
        if cases.is_empty() {
            return;
        }
        let headings: String = FLOW.iter().map(|(heading, ..)| format!(" {heading} |")).collect();
        println!("\n| |{headings} rate ÷ files' | CPU ÷ files' |");
        println!("|---|{}", "---|".repeat(FLOW.len() + 2));
        for case in cases {
            let cells: String = FLOW.iter().map(|column| format!(" {} |", self.cell(*case, *column))).collect();
            println!("| {case} |{cells} {} | {} |", self.ratio(*case, "rate"), self.ratio(*case, "cpu"));
        }
    }

    /// A column a case.
    fn turned(&self, cases: &[Case], columns: &[Column]) {
        if cases.is_empty() {
            return;
        }
        let headings: String = cases.iter().map(|case| format!(" {case} |")).collect();
        println!("\n| |{headings}\n|---|{}", "---|".repeat(cases.len()));
        for column in columns {
            let cells: String = cases.iter().map(|case| format!(" {} |", self.cell(*case, *column))).collect();
            println!("| {} |{cells}", column.0);
        }
    }

    fn cell(&self, case: Case, (_, figure, digits): Column) -> String {
        let Some(values) = self.sorted(case, figure) else { return "–".into() };
        let (least, median, most) = (values[0], values[values.len() / 2], values[values.len() - 1]);
        if values.len() == 1 {
            return format!("{median:.digits$}");
        }
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }

    /// Of the medians.
    fn ratio(&self, case: Case, figure: &str) -> String {
        let median = |case: Case| self.sorted(case, figure).map(|values| values[values.len() / 2]);
        let ratio = || Some(median(case)? / median(case.yardstick()?)?);
        ratio().map_or("–".into(), |ratio| format!("{ratio:.2}"))
    }

    fn sorted(&self, case: Case, figure: &str) -> Option<Vec<f64>> {
        let mut values = self.0.get(&(case.to_string(), figure.to_owned()))?.clone();
        values.sort_unstable_by(f64::total_cmp);
        Some(values)
    }
}
