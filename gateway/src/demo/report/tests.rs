use firmware_protocol::derived::{ChannelShare, IncidentState};

use super::*;
use crate::demo::fault::Kind;
use crate::view::testing::incident;

const WINDOW_MS: i64 = 600_000;

fn fault(device: &str, channel: &'static str, start_window: i64) -> Fault {
    Fault {
        kind: Kind::Level,
        device: device.into(),
        channel,
        start_at_ms: start_window * WINDOW_MS + 120_000,
        end_at_ms: (start_window + 3) * WINDOW_MS + 120_000,
    }
}

fn anomaly(device: &str, channel: &str, window: i64, score: f64) -> Anomaly {
    Anomaly {
        id: format!("{window:016x}"),
        device: device.into(),
        channel: channel.into(),
        start_at_ms: window * WINDOW_MS,
        end_at_ms: (window + 1) * WINDOW_MS,
        revision: 0,
        state: AnomalyState::Confirmed,
        incident: String::new(),
        score,
        detector: "window".into(),
        model: String::new(),
        kind: "level".into(),
        feature: "mean".into(),
        value: 9.0,
        expected_low: 1.0,
        expected_high: 2.0,
        share: None,
        peak_from_ms: None,
        peak_to_ms: None,
        channels: Vec::new(),
        summary: format!("mean 9.0 A instead of 1.0 to 2.0 A ({score})"),
    }
}

fn finding(anomalies: &[Anomaly]) -> Finding {
    Report::new(&[fault("motor-1", "current", 10)], anomalies, &[], WINDOW_MS).rows.remove(0).finding
}

#[test]
fn an_anomaly_finds_a_fault_from_its_first_window_to_the_one_after_it() {
    for (window, found) in [(9, false), (10, true), (13, true), (14, true), (15, false)] {
        let finding = finding(&[anomaly("motor-1", "current", window, 1.0)]);
        assert_eq!(finding != Finding::Missed, found, "window {window}");
    }
}

#[test]
fn an_anomaly_of_another_device_finds_nothing() {
    assert_eq!(finding(&[anomaly("motor-2", "current", 11, 1.0)]), Finding::Missed);
}

#[test]
fn the_highest_score_explains_and_the_first_window_gives_the_delay() {
    let Finding::Found(e) = finding(&[
        anomaly("motor-1", "current", 13, 1.0),
        anomaly("motor-1", "current", 12, 5.0),
        anomaly("motor-1", "current", 11, 2.0),
    ]) else {
        panic!("missed")
    };
    assert_eq!((e.delay_windows, e.same_channel), (1, true));
    assert!(e.summary.contains("(5)"));
}

#[test]
fn the_faulty_channel_speaks_before_a_louder_one() {
    let both = [anomaly("motor-1", "voltage", 10, 9.0), anomaly("motor-1", "current", 12, 1.0)];
    let Finding::Found(e) = finding(&both) else { panic!("missed") };
    assert_eq!((e.same_channel, e.delay_windows), (true, 2));
    assert!(e.summary.contains("(1)"));
    let Finding::Found(e) = finding(&both[..1]) else { panic!("missed") };
    assert_eq!((e.same_channel, e.delay_windows), (false, 0));
}

/// Of this many windows from this one on.
fn told(device: &str, window: i64, windows: i64) -> Incident {
    Incident { end_at_ms: (window + windows) * WINDOW_MS, ..incident(device, window * WINDOW_MS) }
}

#[test]
fn false_alarms_are_incidents_that_lie_beside_no_fault_taken_back_or_not() {
    let incidents = [
        told("motor-1", 8, 1),
        told("motor-1", 6, 2),
        told("motor-1", 2, 40),
        told("motor-1", 16, 1),
        Incident { state: IncidentState::Withdrawn, ..told("motor-1", 30, 1) },
        told("room-1", 11, 1),
    ];
    let report = Report::new(&[fault("motor-1", "current", 10)], &[], &incidents, WINDOW_MS);
    let expected = BTreeMap::from([("motor-1".to_owned(), 3), ("room-1".to_owned(), 1)]);
    assert_eq!(report.false_alarms, expected);
    assert_eq!(report.false_alarm_count(), 4);
}

#[test]
fn an_anomaly_that_was_taken_back_finds_nothing() {
    let withdrawn = Anomaly { state: AnomalyState::Withdrawn, ..anomaly("motor-1", "current", 11, 1.0) };
    assert_eq!(finding(&[withdrawn]), Finding::Missed);
}

#[test]
fn an_anomaly_of_the_whole_device_names_the_channels_that_take_part() {
    let channels = vec![ChannelShare { channel: "current".into(), share: 0.4 }];
    let Finding::Found(e) = finding(&[Anomaly { channels, ..anomaly("motor-1", "", 11, 1.0) }]) else {
        panic!("missed")
    };
    assert!(e.same_channel);
}

#[test]
fn the_table_reads_like_this() {
    let faults = [fault("pressure-1", "flow", 20), fault("motor-1", "current", 10), fault("motor-1", "voltage", 30)];
    let anomalies = [anomaly("motor-1", "current", 11, 2.5), anomaly("motor-1", "current", 31, 1.0)];
    let table = Report::new(&faults, &anomalies, &[told("room-1", 50, 1)], WINDOW_MS).table(Style::Plain);
    let expected = "\
Injected faults and what was found (UTC)
fault      device/channel   start     length  found      delay
level      motor-1/current  01:42:00  30 min  yes     1 window
  level: mean 9.0 A instead of 1.0 to 2.0 A (2.5)
level      pressure-1/flow  03:22:00  30 min  no
level      motor-1/voltage  05:02:00  30 min  yes     1 window
  on another channel: level: mean 9.0 A instead of 1.0 to 2.0 A (1)
found 2 of 3 (67 %)
false alarms: 1 incident (room-1 1)
";
    assert_eq!(table, expected);
}

#[test]
fn an_explanation_leaves_out_what_its_row_says() {
    let summary = "flow: readings are missing in the 10 minutes from 13:20:00 UTC: longest time without one 80 seconds";
    assert_eq!(briefly(summary, "flow"), "readings are missing: longest time without one 80 seconds");
    assert_eq!(briefly("mean 9.0 A", "flow"), "mean 9.0 A");
}

#[test]
fn a_report_without_faults_says_why() {
    let table = Report::new(&[], &[], &[], WINDOW_MS).table(Style::Plain);
    assert!(table.contains("no fault had time to be noticed") && !table.contains('%'), "{table}");
}

#[test]
fn colour_marks_what_was_missed() {
    let table = Report::new(&[fault("motor-1", "current", 10)], &[], &[], WINDOW_MS).table(Style::Colour);
    assert!(table.contains("\x1b[31mno"));
}
