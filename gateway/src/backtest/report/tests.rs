use std::collections::BTreeMap;
use std::time::Duration;

use firmware_protocol::derived::{AnomalyState, Status, Window};
use firmware_protocol::measurement::Measurement;

use super::super::figures::figures;
use super::*;

const WINDOW: Spans = Spans { window: Duration::from_secs(600), hop: Duration::from_secs(600) };

/// A channel with a reading a minute, every window judged, some of them anomalous.
fn outcome(name: &str, windows: i64) -> Outcome {
    let mut outcome = Outcome::default();
    let mut measurement = Measurement::default();
    measurement.set_device("device");
    let channel = measurement.push_channel(name);
    for minute in 0..windows * 10 {
        measurement.readings.clear();
        let at = EventTime::from_millis(minute * 60_000);
        let value = (minute % 1_440) as f64 / 7.0 + (minute * 7_919 % 101) as f64;
        measurement.readings.push(firmware_protocol::measurement::Reading { channel, at, value });
        outcome.draw(&measurement, 60_000_000_000);
    }
    for index in 0..windows {
        let status = if index % 50 == 49 { Status::Anomalous } else { Status::Normal };
        let window = Window {
            id: String::new(),
            device: "device".into(),
            channel: name.into(),
            start_at_ms: index * 600_000,
            end_at_ms: (index + 1) * 600_000,
            revision: 0,
            count: 10,
            gap_s: 60.0,
            stats: None,
            status,
            score: Some(if status == Status::Anomalous { 1.0 } else { -3.0 }),
        };
        let anomaly = Anomaly {
            id: String::new(),
            device: window.device.clone(),
            channel: window.channel.clone(),
            start_at_ms: window.start_at_ms,
            end_at_ms: window.end_at_ms,
            revision: 0,
            state: AnomalyState::Confirmed,
            incident: String::new(),
            score: 1.0,
            detector: "window".into(),
            model: String::new(),
            share: None,
            peak_from_ms: None,
            peak_to_ms: None,
            channels: Vec::new(),
            kind: "level".into(),
            feature: "mean".into(),
            value: 1.0,
            expected_low: 2.0,
            expected_high: f64::NAN,
            summary: format!("{name}: the mean is off"),
        };
        let far = EventTime(i64::MAX);
        if status == Status::Anomalous {
            outcome.take(firmware_protocol::derived::Derived::Anomaly(anomaly), far);
        }
        outcome.take(firmware_protocol::derived::Derived::Window(window), far);
    }
    outcome
}

fn page(outcomes: &BTreeMap<String, Outcome>) -> String {
    let labels = [(EventTime::from_millis(0), EventTime::from_millis(6_000_000))];
    let all: Vec<Figures> = outcomes.values().map(|outcome| figures(outcome, WINDOW, &labels)).collect();
    let judged = |((name, outcome), figures)| Judged { name, outcome, labels: Some(&labels), figures };
    let files = outcomes.iter().map(|(name, outcome)| (name.as_str(), outcome)).zip(&all).map(judged).collect();
    let failed = vec!["x.csv: <broken>".to_owned()];
    Report { windows: WINDOW, learn: "7d".into(), false_alarms_per_month: 1.0, files, failed }.html()
}

#[test]
fn a_report_needs_nothing_else_and_names_are_data() {
    let name = "<script>alert(1)</script>";
    let html = page(&BTreeMap::from([(format!("{name}.csv"), outcome(name, 300))]));
    for foreign in ["<script", "http:", "https:", "url(", "@import", "<broken>"] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    assert!(html.contains("&lt;script&gt;alert(1)") && html.contains("prefers-color-scheme: dark"));
    assert!(html.contains("class=\"band\"") && html.contains("class=\"label\"") && html.contains("class=\"alarm\""));
    assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
}

#[test]
fn a_report_stays_small_however_long_and_many_the_signals_are() {
    let long = outcome("channel", 20_000);
    let one = page(&BTreeMap::from([("long.csv".to_owned(), long)]));
    assert!(one.len() < 150_000, "{}", one.len());
    let short = outcome("channel", 20);
    let many = page(&(0..3_000).map(|i| (format!("{i}.csv"), short.clone())).collect());
    assert!(many.contains("and 1000 more") && many.contains("2880 more files are not drawn"));
    assert_eq!(many.matches("<figure>").count(), SERIES_MAX);
}
