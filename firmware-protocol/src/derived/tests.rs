use super::*;

fn window() -> Window {
    Window {
        id: "00000000000000aa".into(),
        device: "pump-7".into(),
        channel: "flow".into(),
        start_at_ms: 1_772_366_400_000,
        end_at_ms: 1_772_367_000_000,
        revision: 1,
        count: 600,
        gap_s: 1.5,
        stats: Some(Stats { mean: 1.0, min: 0.5, max: 2.0, std: 0.25, p05: 0.6, p50: 1.0, p95: 1.9 }),
        status: Status::Normal,
        score: Some(-0.5),
    }
}

fn anomaly() -> Anomaly {
    Anomaly {
        id: "00000000000000aa".into(),
        device: "pump-7".into(),
        channel: "flow".into(),
        start_at_ms: 1_772_366_400_000,
        end_at_ms: 1_772_367_000_000,
        revision: 0,
        state: AnomalyState::Confirmed,
        incident: String::new(),
        score: 1.25,
        detector: "window".into(),
        model: String::new(),
        kind: "step".into(),
        feature: "level".into(),
        value: 7.5,
        expected_low: 1.0,
        expected_high: 3.0,
        share: None,
        peak_from_ms: None,
        peak_to_ms: None,
        channels: Vec::new(),
        summary: "flow stepped up to 7.5".into(),
    }
}

/// The JSON is stored and sent: what is written here must be read for ever.
fn is_golden(record: &Derived, json: &str) {
    assert_eq!(String::from_utf8(record.to_json()).unwrap(), json);
    assert_eq!(Derived::from_json(json.as_bytes()).unwrap(), *record);
}

#[test]
fn the_json_of_a_window_is_settled() {
    is_golden(
        &Derived::Window(window()),
        r#"{"schema":"window/1","id":"00000000000000aa","device":"pump-7","channel":"flow","start_at_ms":1772366400000,"end_at_ms":1772367000000,"revision":1,"count":600,"gap_s":1.5,"stats":{"mean":1.0,"min":0.5,"max":2.0,"std":0.25,"p05":0.6,"p50":1.0,"p95":1.9},"status":"normal","score":-0.5}"#,
    );
    is_golden(
        &Derived::Window(Window { count: 0, stats: None, score: None, status: Status::Learning, ..window() }),
        r#"{"schema":"window/1","id":"00000000000000aa","device":"pump-7","channel":"flow","start_at_ms":1772366400000,"end_at_ms":1772367000000,"revision":1,"count":0,"gap_s":1.5,"status":"learning"}"#,
    );
}

#[test]
fn the_json_of_an_anomaly_is_settled() {
    is_golden(
        &Derived::Anomaly(anomaly()),
        r#"{"schema":"anomaly/1","id":"00000000000000aa","device":"pump-7","channel":"flow","start_at_ms":1772366400000,"end_at_ms":1772367000000,"revision":0,"state":"confirmed","score":1.25,"detector":"window","kind":"step","feature":"level","value":7.5,"expected_low":1.0,"expected_high":3.0,"summary":"flow stepped up to 7.5"}"#,
    );
    let whole = Anomaly {
        channel: String::new(),
        state: AnomalyState::Withdrawn,
        incident: "00000000000000bb".into(),
        model: "0badcafe".into(),
        share: Some(0.75),
        peak_from_ms: Some(1_772_366_410_000),
        peak_to_ms: Some(1_772_366_440_000),
        channels: vec![share("flow", 0.75), share("pressure", 0.25)],
        ..anomaly()
    };
    is_golden(
        &Derived::Anomaly(whole),
        r#"{"schema":"anomaly/1","id":"00000000000000aa","device":"pump-7","channel":"","start_at_ms":1772366400000,"end_at_ms":1772367000000,"revision":0,"state":"withdrawn","incident":"00000000000000bb","score":1.25,"detector":"window","model":"0badcafe","kind":"step","feature":"level","value":7.5,"expected_low":1.0,"expected_high":3.0,"share":0.75,"peak_from_ms":1772366410000,"peak_to_ms":1772366440000,"channels":[{"channel":"flow","share":0.75},{"channel":"pressure","share":0.25}],"summary":"flow stepped up to 7.5"}"#,
    );
}

#[test]
fn an_anomaly_of_before_there_were_incidents_reads_as_a_confirmed_one() {
    let json = r#"{"schema":"anomaly/1","id":"00000000000000aa","device":"pump-7","channel":"flow","start_at_ms":1772366400000,"end_at_ms":1772367000000,"revision":0,"score":1.25,"detector":"window","kind":"step","feature":"level","value":7.5,"expected_low":1.0,"expected_high":3.0,"summary":"flow stepped up to 7.5"}"#;
    assert_eq!(Derived::from_json(json.as_bytes()).unwrap(), Derived::Anomaly(anomaly()));
}

fn share(channel: &str, share: f64) -> ChannelShare {
    ChannelShare { channel: channel.into(), share }
}

#[test]
fn the_json_of_an_incident_is_settled() {
    let incident = Incident {
        id: "00000000000000bb".into(),
        device: "pump-7".into(),
        revision: 2,
        state: IncidentState::Closed,
        severity: Severity::Medium,
        title: "pump-7: flow: the level jumps; since 12:00 UTC".into(),
        opened_at_ms: 1_772_366_400_000,
        start_at_ms: 1_772_366_400_000,
        peak_at_ms: 1_772_366_400_000,
        end_at_ms: 1_772_367_600_000,
        score: 1.25,
        windows: 2,
        channels: vec![share("flow", 0.75), share("pressure", 0.25)],
        kinds: vec!["step".into(), "level".into()],
        evidence: Evidence {
            channel: "flow".into(),
            detector: "window".into(),
            model: "0badcafe".into(),
            kind: "step".into(),
            feature: "level".into(),
            value: 7.5,
            expected_low: 1.0,
            expected_high: 3.0,
            share: Some(0.75),
            peak_from_ms: Some(1_772_366_410_000),
            peak_to_ms: Some(1_772_366_440_000),
            summary: "flow stepped up to 7.5".into(),
        },
    };
    is_golden(
        &Derived::Incident(incident),
        r#"{"schema":"incident/1","id":"00000000000000bb","device":"pump-7","revision":2,"state":"closed","severity":"medium","title":"pump-7: flow: the level jumps; since 12:00 UTC","opened_at_ms":1772366400000,"start_at_ms":1772366400000,"peak_at_ms":1772366400000,"end_at_ms":1772367600000,"score":1.25,"windows":2,"channels":[{"channel":"flow","share":0.75},{"channel":"pressure","share":0.25}],"kinds":["step","level"],"evidence":{"channel":"flow","detector":"window","model":"0badcafe","kind":"step","feature":"level","value":7.5,"expected_low":1.0,"expected_high":3.0,"share":0.75,"peak_from_ms":1772366410000,"peak_to_ms":1772366440000,"summary":"flow stepped up to 7.5"}}"#,
    );
}

#[test]
fn severity_rises_at_one_three_and_ten_decades_above_the_threshold() {
    let at = [f64::NAN, f64::NEG_INFINITY, -1.0, 0.99, 1.0, 2.99, 3.0, 9.99, 10.0, f64::INFINITY];
    let names = at.map(|decades| Severity::of_score(decades).name());
    assert_eq!(names, ["low", "low", "low", "low", "medium", "medium", "high", "high", "critical", "critical"]);
}

#[test]
fn the_json_of_a_gap_is_settled() {
    let (device, reason) = ("pump-7".to_owned(), "expired".to_owned());
    is_golden(
        &Derived::Gap(Gap { device, from_at_ms: 1, to_at_ms: 2, count: 3, at_least: true, reason }),
        r#"{"schema":"gap/1","device":"pump-7","from_at_ms":1,"to_at_ms":2,"count":3,"at_least":true,"reason":"expired"}"#,
    );
}

#[test]
fn a_band_without_an_end_survives_json() {
    let open = Anomaly { expected_low: f64::NEG_INFINITY, ..anomaly() };
    let json = Derived::Anomaly(open).to_json();
    let Derived::Anomaly(read) = Derived::from_json(&json).unwrap() else { panic!("an anomaly") };
    assert!(read.expected_low.is_nan());
    assert_eq!(Anomaly { expected_low: 1.0, ..read }, anomaly());
}

#[test]
fn fields_of_a_later_version_are_passed_over_and_later_schemas_refused() {
    let json =
        r#"{"schema":"gap/1","device":"d","from_at_ms":1,"to_at_ms":2,"count":3,"at_least":true,"reason":"r","new":1}"#;
    assert_eq!(Derived::from_json(json.as_bytes()).unwrap().device(), "d");
    assert!(Derived::from_json(json.replace("gap/1", "gap/2").as_bytes()).is_err());
}
