//! A device with two channels, two readings a minute (enough for the shape of a window), and one fault.

use std::fmt::Write;

/// A Monday, 2023-11-13.
pub(crate) const START_S: i64 = 1_699_833_600;
pub(crate) const STEP_S: i64 = 30;
pub(crate) const DAY_S: i64 = 86_400;
/// When the fault begins, since the start, and how long it lasts.
pub(crate) const FAULT_S: i64 = 3 * DAY_S + 6 * 3_600;
const FAULT_LASTS_S: i64 = 2 * 3_600;

pub(crate) struct Row {
    pub(crate) at_s: i64,
    pub(crate) level: f64,
    pub(crate) flow: f64,
}

pub(crate) struct Signal {
    pub(crate) rows: Vec<Row>,
}

impl Signal {
    pub(crate) fn of_days(days: i64) -> Self {
        let mut state = 7_u64;
        // The generator of Numerical Recipes; its upper bits are good enough for noise.
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1 << 24) as f64 - 0.5
        };
        let mut row = |since_s: i64| {
            let is_faulty = (FAULT_S..FAULT_S + FAULT_LASTS_S).contains(&since_s);
            let hour = (since_s / 3_600 % 24) as f64;
            let level = 20.0 + (hour - 12.0).abs() / 4.0 + noise() + if is_faulty { 15.0 } else { 0.0 };
            let round = |value: f64| (value * 1_000.0).round() / 1_000.0;
            Row { at_s: START_S + since_s, level: round(level), flow: round(3.0 + noise() / 4.0) }
        };
        Self { rows: (0..days * DAY_S / STEP_S).map(|i| row(i * STEP_S)).collect() }
    }

    pub(crate) fn csv(&self) -> String {
        let mut text = "level,time,flow\n".to_owned();
        for row in &self.rows {
            writeln!(text, "{},{},{}", row.level, row.at_s, row.flow).unwrap();
        }
        text
    }

    pub(crate) fn json_lines(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            writeln!(text, r#"{{"time":{},"flow":{},"level":{}}}"#, row.at_s, row.flow, row.level).unwrap();
        }
        text
    }

    pub(crate) fn line_protocol(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            writeln!(text, "m,device=pump level={},flow={} {}000000000", row.level, row.flow, row.at_s).unwrap();
        }
        text
    }
}
