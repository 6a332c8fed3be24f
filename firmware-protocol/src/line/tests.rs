use super::*;
use crate::derived::{
    Anomaly, AnomalyState, ChannelShare, Derived, Evidence, Gap, Incident, IncidentState, Severity, Stats, Status,
    Window,
};
use crate::measurement::Reading;
use crate::{BootId, DeviceSeq};

fn encoder() -> Encoder {
    Encoder::new(&[("site".into(), "hall 2".into()), ("gateway".into(), "g1".into())])
}

fn measurement(device: &str, channels: &[(&str, &[(i64, f64)])]) -> Measurement {
    let mut m = Measurement::default();
    m.set_device(device);
    for (name, samples) in channels {
        let channel = m.push_channel(name);
        m.readings.extend(samples.iter().map(|(at, value)| Reading { channel, at: EventTime(*at), value: *value }));
    }
    m
}

fn lines(m: &Measurement, queue_seq: u64) -> String {
    let mut out = Vec::new();
    let count = encoder().measurement(&mut out, "sensor", m, queue_seq);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), count);
    text
}

fn derived(record: &Derived) -> String {
    let mut out = Vec::new();
    encoder().derived(&mut out, record);
    String::from_utf8(out).unwrap()
}

#[test]
fn readings_of_one_time_share_a_line_and_tags_are_sorted() {
    let m = measurement("pump-7", &[("flow", &[(5_000_001, 1.5)]), ("temperature", &[(5_000_001, -20.0)])]);
    assert_eq!(lines(&m, 9), "sensor,device=pump-7,gateway=g1,site=hall\\ 2 flow=1.5,temperature=-20 5000001\n");
}

#[test]
fn each_event_time_has_a_line_with_its_channels_in_order() {
    let m = measurement("d", &[("a", &[(3, 1.0), (1, 2.0)]), ("b", &[(1, 3.0), (2, 4.0)])]);
    let prefix = "sensor,device=d,gateway=g1,site=hall\\ 2";
    assert_eq!(lines(&m, 0), format!("{prefix} a=2,b=3 1\n{prefix} b=4 2\n{prefix} a=1 3\n"));
}

#[test]
fn of_two_values_of_one_channel_at_one_time_the_later_counts() {
    let m = measurement("d", &[("a", &[(1, 1.0), (1, 2.0)]), ("b", &[(1, 3.0)])]);
    assert_eq!(lines(&m, 0), "sensor,device=d,gateway=g1,site=hall\\ 2 a=2,b=3 1\n");
}

#[test]
fn values_that_are_not_finite_are_left_out_and_so_are_empty_lines() {
    let m = measurement("d", &[("a", &[(1, f64::NAN), (2, f64::INFINITY)]), ("b", &[(1, 3.0)])]);
    assert_eq!(lines(&m, 0), "sensor,device=d,gateway=g1,site=hall\\ 2 b=3 1\n");
}

#[test]
fn names_cannot_break_out_of_their_place() {
    let m = measurement("a,b=c d\n\\", &[("time", &[(1, 1.0)]), ("x\\ y", &[(1, 2.0)]), ("C:\\x", &[(1, 3.0)])]);
    assert_eq!(lines(&m, 0), "sensor,device=a\\,b\\=c\\ d__,gateway=g1,site=hall\\ 2 time_=1,x_\\ y=2,C:\\x=3 1\n");
}

#[test]
fn a_constant_tag_cannot_shadow_the_device() {
    let tags = [("device", "evil"), ("", "x"), ("empty", ""), ("z", "1"), ("z", "2")];
    let mut encoder = Encoder::new(&tags.map(|(k, v)| (k.to_owned(), v.to_owned())));
    let mut out = Vec::new();
    encoder.measurement(&mut out, "s", &measurement("d", &[("a", &[(1, 1.0)])]), 0);
    assert_eq!(out, b"s,device=d,z=1 a=1 1\n");
}

#[test]
fn messages_of_one_millisecond_become_two_points_and_a_repeat_the_same() {
    let at = EventTime::from_millis(1_700_000_000_000);
    assert_ne!(point_time(at, None, 1), point_time(at, None, 2));
    assert_eq!(point_time(at, None, 1_000_007), EventTime(at.0 + 7));
    assert_eq!(point_time(at, None, 1_000_007).as_millis(), at.as_millis());
}

#[test]
fn finer_times_and_frames_keep_their_times() {
    let fine = EventTime(1_700_000_000_000_000_001);
    assert_eq!(point_time(fine, None, 5), fine);
    let identity = Some(FrameIdentity { boot: BootId(1), seq: DeviceSeq(2) });
    let whole = EventTime::from_millis(1_700_000_000_000);
    assert_eq!(point_time(whole, identity, 5), whole);
    assert_eq!(point_time(EventTime(i64::MAX), None, u64::MAX), EventTime(i64::MAX));
}

#[test]
fn numbers_read_back_as_the_same_value() {
    for value in [0.1, 1e300, 5e-324, -2.5e-7, 1e15, 123_456_789.125, f64::MAX, 9_007_199_254_740_993.0, 21.299_999] {
        let mut out = Vec::new();
        float(&mut out, value);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.parse(), Ok(value), "{text}");
        assert!(text.len() <= 24, "{text}");
    }
}

#[test]
fn a_window_is_one_point_that_its_revisions_overwrite() {
    let mut window = Window {
        id: "00000000000000aa".into(),
        device: "pump-7".into(),
        channel: "flow".into(),
        start_at_ms: 600_000,
        end_at_ms: 1_200_000,
        revision: 0,
        count: 600,
        gap_s: 1.5,
        stats: Some(Stats { mean: 1.0, min: 0.5, max: 2.0, std: 0.25, p05: 0.6, p50: 1.0, p95: 1.9 }),
        status: Status::Learning,
        score: None,
    };
    let first = derived(&Derived::Window(window.clone()));
    assert_eq!(
        first,
        "sensor_window,channel=flow,device=pump-7,gateway=g1,site=hall\\ 2 count=600i,end_at_ms=1200000i,gap_s=1.5,\
         revision=0i,status=\"learning\",max=2,mean=1,min=0.5,p05=0.6,p50=1,p95=1.9,std=0.25 600000000000\n"
    );
    window.revision = 1;
    window.status = Status::Anomalous;
    window.score = Some(0.5);
    let second = derived(&Derived::Window(window));
    let point = |line: &str| (line.split(' ').take(2).collect::<String>(), line.rsplit(' ').next().unwrap().to_owned());
    assert_ne!(first, second);
    assert_eq!(point(&first).1, point(&second).1);
    assert_eq!(first.split(" count").next(), second.split(" count").next(), "same series");
}

fn anomaly() -> Anomaly {
    Anomaly {
        id: "00000000000000aa".into(),
        device: "pump-7".into(),
        channel: "flow".into(),
        start_at_ms: 600_000,
        end_at_ms: 1_200_000,
        revision: 0,
        state: AnomalyState::Early,
        incident: "00000000000000bb".into(),
        score: 1.25,
        detector: "window".into(),
        model: "0badcafe".into(),
        kind: "step".into(),
        feature: "level".into(),
        value: 7.5,
        expected_low: f64::NEG_INFINITY,
        expected_high: 3.0,
        share: Some(0.75),
        peak_from_ms: Some(610_000),
        peak_to_ms: Some(640_000),
        channels: Vec::new(),
        summary: "flow stepped \"up\"\nto 7.5".into(),
    }
}

#[test]
fn an_anomaly_explains_itself_in_its_point() {
    assert_eq!(
        derived(&Derived::Anomaly(anomaly())),
        "sensor_anomaly,channel=flow,detector=window,device=pump-7,gateway=g1,site=hall\\ 2 \
         end_at_ms=1200000i,expected_high=3,feature=\"level\",id=\"00000000000000aa\",incident=\"00000000000000bb\",\
         kind=\"step\",model=\"0badcafe\",peak_from_ms=610000i,peak_to_ms=640000i,revision=0i,score=1.25,share=0.75,\
         state=\"early\",summary=\"flow stepped \\\"up\\\" to 7.5\",value=7.5 600000000000\n"
    );
}

#[test]
fn an_anomaly_across_channels_has_no_channel_of_its_own_and_names_their_shares() {
    let share = |channel: &str, share| ChannelShare { channel: channel.into(), share };
    let channels = vec![share("flow", 0.625), share("pressure", 0.375)];
    let line = derived(&Derived::Anomaly(Anomaly { channel: String::new(), channels, ..anomaly() }));
    assert!(line.starts_with("sensor_anomaly,detector=window,device=pump-7,gateway=g1,site=hall\\ 2 "), "{line}");
    assert!(line.contains(" channels=\"flow 0.62, pressure 0.38\",end_at_ms="), "{line}");
}

/// Series and time: what a point overwrites.
fn point(line: &str) -> (String, String) {
    let series = line.replace("\\ ", "_");
    (series.split(' ').next().unwrap().to_owned(), line.trim_end().rsplit(' ').next().unwrap().to_owned())
}

#[test]
fn whatever_becomes_of_an_anomaly_overwrites_its_point() {
    let early = derived(&Derived::Anomaly(anomaly()));
    for state in [AnomalyState::Confirmed, AnomalyState::Withdrawn] {
        let later = Anomaly { state, kind: "level".into(), score: 9.0, revision: 1, ..anomaly() };
        assert_eq!(point(&derived(&Derived::Anomaly(later))), point(&early));
    }
}

fn incident() -> Incident {
    let share = |channel: &str, share| ChannelShare { channel: channel.into(), share };
    Incident {
        id: "00000000000000bb".into(),
        device: "pump-7".into(),
        revision: 0,
        state: IncidentState::Open,
        severity: Severity::Medium,
        title: "pump-7: flow is off".into(),
        opened_at_ms: 600_000,
        start_at_ms: 600_000,
        peak_at_ms: 600_000,
        end_at_ms: 1_200_000,
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
            peak_from_ms: Some(610_000),
            peak_to_ms: Some(640_000),
            summary: "flow stepped up to 7.5".into(),
        },
    }
}

#[test]
fn an_incident_is_one_point_with_what_shows_it_best() {
    assert_eq!(
        derived(&Derived::Incident(incident())),
        "sensor_incident,device=pump-7,gateway=g1,site=hall\\ 2 \
         channel=\"flow\",channels=\"flow 0.75, pressure 0.25\",detector=\"window\",end_at_ms=1200000i,expected_high=3,\
         expected_low=1,feature=\"level\",id=\"00000000000000bb\",kind=\"step\",kinds=\"step, level\",\
         model=\"0badcafe\",peak_at_ms=600000i,peak_from_ms=610000i,peak_to_ms=640000i,revision=0i,score=1.25,\
         severity=\"medium\",share=0.75,start_at_ms=600000i,state=\"open\",summary=\"flow stepped up to 7.5\",\
         title=\"pump-7: flow is off\",value=7.5,windows=2i 600000000000\n"
    );
}

#[test]
fn whatever_becomes_of_an_incident_overwrites_its_point() {
    let opened = derived(&Derived::Incident(incident()));
    for state in [IncidentState::Closed, IncidentState::Adopted, IncidentState::Withdrawn] {
        let mut later = Incident { state, revision: 3, start_at_ms: 0, peak_at_ms: 7, end_at_ms: 9, ..incident() };
        later.severity = Severity::Critical;
        later.evidence.channel = "pressure".into();
        assert_eq!(point(&derived(&Derived::Incident(later))), point(&opened));
    }
}

#[test]
fn a_gap_says_how_many_are_missing() {
    let gap =
        Gap { device: "pump-7".into(), from_at_ms: 1, to_at_ms: 2, count: 3, at_least: true, reason: "expired".into() };
    assert_eq!(
        derived(&Derived::Gap(gap)),
        "sensor_gap,device=pump-7,gateway=g1,reason=expired,site=hall\\ 2 at_least=true,count=3i,to_at_ms=2i 1000000\n"
    );
}

#[test]
fn a_reading_whose_time_is_not_known_well_is_marked_by_a_tag_in_its_place() {
    let tags = [("area", "a"), ("crew", "c"), ("gateway", "g")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let mut encoder = Encoder::new(&tags);
    let mut m = Measurement::default();
    m.set_device("d");
    let channel = m.push_channel("x");
    m.readings.push(Reading { channel, at: EventTime(1), value: 1.0 });
    let marks = ClockTrust::ALL.map(|clock| {
        let mut out = Vec::new();
        m.clock = clock;
        encoder.measurement(&mut out, "sensor", &m, 0);
        String::from_utf8(out).unwrap()
    });
    let expected = ["", ",clock=unsynchronised", ",clock=estimated"];
    assert_eq!(marks, expected.map(|mark| format!("sensor,area=a{mark},crew=c,device=d,gateway=g x=1 1\n")));
}
