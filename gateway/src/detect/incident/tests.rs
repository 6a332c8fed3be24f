use std::collections::{BTreeMap, BTreeSet};

use firmware_protocol::derived::IncidentState::{self, Adopted, Closed, Open, Withdrawn};
use firmware_protocol::derived::Severity;
use proptest::prelude::*;

use super::*;

const MINUTE_NS: i64 = 60_000_000_000;
const WINDOW_NS: i64 = 10 * MINUTE_NS;
const DEVICE: &str = "pump-7";
const ALL: &[DetectorName] = &[DetectorName::Window, DetectorName::Maha, DetectorName::Novel, DetectorName::Rule];

fn joining() -> Joining {
    Joining::new(Duration::from_secs(600), Duration::from_secs(3_600))
}

fn window(channel: &str, window: i64) -> Place<'_> {
    let (start, end) = (EventTime(window * WINDOW_NS), EventTime((window + 1) * WINDOW_NS));
    Place { device: DEVICE, channel, start, end, revision: 0 }
}

fn found(kind: &'static str, score: f64) -> Finding {
    Finding {
        detector: DetectorName::Window,
        kind,
        feature: "mean",
        value: 9.0,
        expected_low: 1.0,
        expected_high: 2.0,
        share: 0.75,
        score,
        model: ModelId(0x0bad_cafe),
        peak: Some((EventTime(5_000_000_000), EventTime(7_000_000_000))),
        channels: Vec::new(),
        summary: format!("{kind} of {score} decades"),
    }
}

/// Incidents, and all that was told of them.
#[derive(Default)]
struct Site {
    incidents: Incidents,
    told: Vec<Incident>,
}

impl Site {
    /// One window of one channel, and what it makes known.
    fn closes(&mut self, channel: &str, number: i64, findings: &[Finding]) -> Vec<Anomaly> {
        let anomalies = self.incidents.on_window(window(channel, number), findings, ALL, joining());
        self.settles();
        anomalies
    }

    fn is_quiet(&mut self, windows: impl IntoIterator<Item = i64>) {
        for number in windows {
            self.closes("flow", number, &[]);
        }
    }

    fn settles(&mut self) {
        // As the store has it: nothing may depend on what is not saved.
        let bytes = postcard::to_allocvec(&self.incidents).unwrap();
        self.incidents = postcard::from_bytes(&bytes).unwrap();
        self.told.extend(self.incidents.settle(DEVICE, joining()));
    }

    fn story(&self) -> Vec<(u32, IncidentState)> {
        self.told.iter().map(|i| (i.revision, i.state)).collect()
    }
}

#[test]
fn windows_in_a_row_are_one_incident_that_is_told_twice() {
    let mut site = Site::default();
    for number in 10..13 {
        site.closes("flow", number, &[found("level", 0.5)]);
    }
    site.is_quiet(13..30);
    assert_eq!(site.story(), [(0, Open), (1, Closed)]);
    let (opened, closed) = (&site.told[0], &site.told[1]);
    assert_eq!((&opened.id, opened.opened_at_ms), (&closed.id, closed.opened_at_ms));
    assert_eq!((closed.start_at_ms, closed.end_at_ms), (10 * 600_000, 13 * 600_000));
    assert_eq!(closed.windows, 3);
    assert_eq!(closed.title, "pump-7: an unusual level in flow from 1970-01-01 01:40 to 02:10 UTC");
}

#[test]
fn six_quiet_windows_do_not_part_findings_and_seven_do() {
    for (gap, incidents) in [(6, 1), (7, 2)] {
        let mut site = Site::default();
        site.closes("flow", 10, &[found("level", 0.5)]);
        site.is_quiet(11..11 + gap);
        site.closes("flow", 11 + gap, &[found("noise", 0.5)]);
        assert_eq!(site.told.iter().filter(|i| i.revision == 0).count(), incidents, "{gap} quiet windows");
    }
}

#[test]
fn the_same_again_within_a_day_reopens_its_incident_and_what_is_new_in_kind_or_place_is_told_anew() {
    for (channel, kind, incidents) in [("flow", "range", 1), ("flow", "stuck", 2), ("door", "range", 2)] {
        let mut site = Site::default();
        site.closes("flow", 10, &[found("range", 0.5)]);
        site.is_quiet(11..100);
        site.closes(channel, 100, &[found(kind, 0.5)]);
        assert_eq!(site.told.iter().filter(|i| i.revision == 0).count(), incidents, "{kind} in {channel}");
    }
    let mut site = Site::default();
    site.closes("flow", 10, &[found("range", 0.5)]);
    site.is_quiet(11..162);
    site.closes("flow", 162, &[found("range", 0.5)]);
    assert_eq!(site.story(), [(0, Open), (1, Closed), (0, Open)], "after a day and an hour it is news");
}

#[test]
fn an_incident_of_two_windows_a_day_apart_did_not_last_for_a_day() {
    let mut site = Site::default();
    site.closes("flow", 10, &[found("range", 0.5)]);
    site.is_quiet(11..150);
    site.closes("flow", 150, &[found("range", 0.5)]);
    site.is_quiet(151..160);
    assert_eq!(site.story(), [(0, Open), (1, Closed), (2, Open), (3, Closed)]);
    site.closes("flow", 160, &[found("stuck", 0.5)]);
    assert_eq!(site.told.last().map(|i| (i.revision, i.state)), Some((0, Open)), "another fault is told");
}

#[test]
fn an_hour_does_not_part_findings_of_short_windows_and_six_windows_do_not_part_those_of_long_ones() {
    let gap = |seconds| Joining::new(Duration::from_secs(seconds), Duration::ZERO).gap_ns;
    assert_eq!([gap(60), gap(600), gap(3_600)], [60 * MINUTE_NS, 60 * MINUTE_NS, 360 * MINUTE_NS]);
}

#[test]
fn channels_that_deviate_together_are_one_incident_which_names_the_strongest_first() {
    let mut site = Site::default();
    for (channel, score) in [("flow", 1.0), ("pressure", 4.0), ("door", 0.0)] {
        site.incidents.on_window(window(channel, 10), &[found("step", score)], ALL, joining());
    }
    site.settles();
    let [opened] = &site.told[..] else { panic!("{:?}", site.told) };
    assert_eq!((opened.evidence.channel.as_str(), opened.severity, opened.windows), ("pressure", Severity::High, 1));
    let shares: Vec<(&str, f64)> = opened.channels.iter().map(|c| (c.channel.as_str(), c.share)).collect();
    assert_eq!(shares, [("pressure", 4.0 / 5.1), ("flow", 1.0 / 5.1), ("door", 0.1 / 5.1)]);
    assert_eq!(opened.evidence.summary, "step of 4 decades");
    assert_eq!(opened.title, "pump-7: a step in pressure and 2 more channels since 1970-01-01 01:40 UTC");
}

#[test]
fn only_what_matters_makes_a_revision() {
    let mut site = Site::default();
    site.closes("flow", 10, &[found("level", 0.5)]);
    site.closes("flow", 11, &[found("noise", 0.9)]);
    assert_eq!(site.story(), [(0, Open)], "more of the same");
    site.closes("flow", 12, &[found("level", 3.5)]);
    assert_eq!((site.told[1].revision, site.told[1].severity), (1, Severity::High), "its severity rose");
    site.closes("pressure", 12, &[found("level", 0.1)]);
    assert_eq!((site.told[2].revision, site.told[2].channels.len()), (2, 2), "another channel");
    site.closes("pressure", 13, &[found("level", 0.1)]);
    assert_eq!(site.told.len(), 3);
    assert_eq!(site.told[2].kinds, ["level", "noise"]);
    assert_eq!(site.told[2].peak_at_ms, 12 * 600_000);
}

#[test]
fn an_anomaly_names_its_incident_and_explains_itself() {
    let mut site = Site::default();
    let anomalies = site.closes("flow", 10, &[found("level", 0.5)]);
    let [a] = &anomalies[..] else { panic!("{anomalies:?}") };
    assert_eq!((a.state, &a.incident), (AnomalyState::Confirmed, &site.told[0].id));
    assert_eq!(a.id, WindowId::new(DEVICE, "flow", EventTime(10 * WINDOW_NS), 0).to_string());
    assert_eq!((a.detector.as_str(), a.model.as_str(), a.share), ("window", "0badcafe", Some(0.75)));
    assert_eq!((a.peak_from_ms, a.peak_to_ms), (Some(5_000), Some(7_000)));
}

#[test]
fn what_was_found_early_is_confirmed_by_its_closed_window() {
    let mut site = Site::default();
    let early = site.incidents.on_early(window("flow", 10), &[found("spike", 2.0)], joining());
    site.settles();
    assert_eq!((early[0].state, &early[0].incident), (AnomalyState::Early, &site.told[0].id));
    assert!(
        site.incidents.on_early(window("flow", 10), &[found("spike", 1.5)], joining()).is_empty(),
        "less than known"
    );
    let closed = site.closes("flow", 10, &[found("spike", 2.5)]);
    assert_eq!((closed.len(), closed[0].state, &closed[0].id), (1, AnomalyState::Confirmed, &early[0].id));
    assert_eq!(site.story(), [(0, Open)], "one alert");
}

#[test]
fn what_was_found_early_and_is_not_in_the_closed_window_is_withdrawn_with_its_incident() {
    let mut site = Site::default();
    site.incidents.on_early(window("flow", 10), &[found("spike", 2.0)], joining());
    site.settles();
    let closed = site.closes("flow", 10, &[]);
    assert_eq!((closed.len(), closed[0].state), (1, AnomalyState::Withdrawn));
    assert_eq!(closed[0].incident, site.told[0].id);
    assert_eq!(site.story(), [(0, Open), (1, Withdrawn)]);
    assert_eq!((site.told[1].severity, site.told[1].windows), (Severity::Medium, 0));
    assert!(site.told[1].title.contains("withdrawn"), "{}", site.told[1].title);
    site.is_quiet(11..40);
    assert_eq!(site.told.len(), 2, "withdrawn once");
}

#[test]
fn a_finding_of_another_kind_in_the_closed_window_takes_the_place_of_the_early_one() {
    let mut site = Site::default();
    site.incidents.on_early(window("flow", 10), &[found("spike", 2.0)], joining());
    let closed = site.closes("flow", 10, &[found("step", 2.0)]);
    assert_eq!((closed.len(), closed[0].kind.as_str(), closed[0].state), (1, "step", AnomalyState::Confirmed));
    assert_eq!(site.told[0].kinds, ["step"]);
}

#[test]
fn a_detector_that_did_not_look_again_takes_nothing_back() {
    let mut site = Site::default();
    let novel = Finding { detector: DetectorName::Novel, ..found("novel", 2.0) };
    site.closes("flow", 10, &[found("level", 1.0), novel]);
    let revised = Place { revision: 1, ..window("flow", 10) };
    let gone = site.incidents.on_window(revised, &[], &[DetectorName::Window], joining());
    assert_eq!(gone.iter().map(|a| a.detector.as_str()).collect::<Vec<_>>(), ["window"]);
}

#[test]
fn a_revision_that_takes_back_the_strongest_window_leaves_the_incident_with_the_next() {
    let mut site = Site::default();
    site.closes("flow", 10, &[found("level", 0.5)]);
    site.closes("flow", 11, &[found("step", 5.0)]);
    let revised = Place { revision: 1, ..window("flow", 11) };
    let gone = site.incidents.on_window(revised, &[], ALL, joining());
    site.settles();
    assert_eq!((gone[0].state, gone[0].revision), (AnomalyState::Withdrawn, 1));
    assert_eq!(site.story(), [(0, Open), (1, Open), (2, Open)]);
    let last = &site.told[2];
    assert_eq!((last.severity, last.windows, last.peak_at_ms), (Severity::Low, 1, 10 * 600_000));
    assert_eq!(last.evidence.summary, "flow: an unusual level: mean 9, expected 1 to 2");
}

#[test]
fn a_closed_incident_that_late_readings_take_back_becomes_withdrawn() {
    let patient = Joining { lateness_ns: 24 * 60 * MINUTE_NS, ..joining() };
    let mut site = Site::default();
    site.incidents.on_window(window("flow", 10), &[found("level", 0.5)], ALL, patient);
    for number in 11..19 {
        site.incidents.on_window(window("flow", number), &[], ALL, patient);
        site.told.extend(site.incidents.settle(DEVICE, patient));
    }
    site.incidents.on_window(Place { revision: 1, ..window("flow", 10) }, &[], ALL, patient);
    site.told.extend(site.incidents.settle(DEVICE, patient));
    assert_eq!(site.story(), [(0, Open), (1, Closed), (2, Withdrawn)]);
}

#[test]
fn a_window_that_is_found_anomalous_again_goes_on_with_its_incident() {
    let mut site = Site::default();
    site.incidents.on_early(window("flow", 10), &[found("spike", 2.0)], joining());
    site.settles();
    site.closes("flow", 10, &[]);
    site.incidents.on_window(Place { revision: 1, ..window("flow", 10) }, &[found("spike", 2.0)], ALL, joining());
    site.settles();
    assert_eq!(site.story(), [(0, Open), (1, Withdrawn), (2, Open)]);
    assert_eq!(site.told[0].id, site.told[2].id);
}

#[test]
fn a_new_normal_is_told_once_however_many_channels_adopt_it() {
    let mut site = Site::default();
    for number in 0..144 {
        for channel in ["flow", "pressure"] {
            site.incidents.on_window(window(channel, number), &[found("level", 2.0)], ALL, joining());
        }
        site.settles();
    }
    site.incidents.on_adopted(window("flow", 144), DetectorName::Window, ModelId(1));
    site.closes("flow", 144, &[]);
    for number in 144..150 {
        site.closes("pressure", number, &[found("level", 20.0)]);
    }
    site.incidents.on_adopted(window("pressure", 150), DetectorName::Window, ModelId(2));
    site.is_quiet(150..200);
    assert_eq!(site.story(), [(0, Open), (1, Adopted)]);
    assert_eq!((site.told[1].windows, site.told[1].severity), (144, Severity::Medium));
    assert!(
        site.told[1].title.ends_with("since 1970-01-01 00:00 UTC has become the new normal"),
        "{}",
        site.told[1].title
    );
}

#[test]
fn another_channel_beside_an_adopted_incident_opens_one_of_its_own() {
    let mut site = Site::default();
    site.closes("flow", 10, &[found("level", 2.0)]);
    site.incidents.on_adopted(window("flow", 10), DetectorName::Window, ModelId(1));
    site.settles();
    site.closes("door", 11, &[found("stuck", 2.0)]);
    assert_eq!(site.story(), [(0, Open), (1, Adopted), (0, Open)]);
    site.closes("door", 10, &[found("stuck", 2.0)]);
    assert_ne!(site.told[0].opened_at_ms, site.told[2].opened_at_ms, "points of their own");
}

#[test]
fn an_adoption_whose_incident_is_forgotten_is_told_all_the_same() {
    let mut site = Site::default();
    site.incidents.on_adopted(window("flow", 10), DetectorName::Window, ModelId(1));
    site.is_quiet(10..40);
    assert_eq!(site.story(), [(0, Adopted)]);
    assert_eq!(site.told[0].evidence.channel, "flow");
}

#[test]
fn silence_keeps_its_incident_open_until_the_device_is_heard() {
    let mut site = Site::default();
    site.is_quiet(0..10);
    let since = Place { start: EventTime(10 * WINDOW_NS), end: EventTime(12 * WINDOW_NS), ..window("", 10) };
    let silent = Finding { detector: DetectorName::Rule, model: ModelId::NONE, ..found("silent", 1.0) };
    let anomaly = site.incidents.on_silent(since, &silent, joining());
    site.settles();
    assert_eq!((anomaly.channel.as_str(), anomaly.model.as_str()), ("", ""));
    site.incidents.on_heard(EventTime(100 * WINDOW_NS));
    site.is_quiet(100..107);
    assert_eq!(site.story(), [(0, Open), (1, Closed)]);
    assert_eq!(site.told[0].title, "pump-7: silence since 1970-01-01 01:40 UTC");
    assert_eq!(site.told[1].title, "pump-7: silence from 1970-01-01 01:40 to 16:40 UTC");
    assert!(site.told[1].channels.is_empty());
}

#[test]
fn a_finding_across_channels_counts_for_those_that_take_part() {
    let mut site = Site::default();
    let channels = vec![("flow".to_owned(), 0.75), ("pressure".to_owned(), 0.25)];
    let relation = Finding { detector: DetectorName::Maha, channels, ..found("relation", 2.0) };
    let anomalies = site.closes("", 10, std::slice::from_ref(&relation));
    assert_eq!((anomalies[0].channel.as_str(), anomalies[0].channels.len()), ("", 2));
    let opened = &site.told[0];
    assert_eq!(opened.evidence.channel, "flow");
    assert_eq!(opened.channels.iter().map(|c| c.share).collect::<Vec<_>>(), [0.75, 0.25]);
    assert_eq!(
        opened.title,
        "pump-7: a broken relation between channels in flow and 1 more channel since 1970-01-01 01:40 UTC"
    );
}

#[test]
fn what_lasted_for_hours_waits_twice_as_long_for_more_and_is_told_once() {
    let mut site = Site::default();
    (0..24).for_each(|number| drop(site.closes("flow", number, &[found("level", 1.0)])));
    site.is_quiet(24..70);
    site.closes("flow", 70, &[found("level", 1.0)]);
    assert_eq!(site.story(), [(0, Open)]);
    site.is_quiet(71..71 + 2 * 71 + 1);
    assert_eq!(site.story(), [(0, Open), (1, Closed)]);
}

#[test]
fn an_incident_of_a_year_stays_small_and_loses_no_count() {
    let mut site = Site::default();
    for number in 0..50_000 {
        site.incidents.on_window(window("flow", number), &[found("level", 1.0)], ALL, joining());
        site.told.extend(site.incidents.settle(DEVICE, joining()));
    }
    site.is_quiet(50_000..50_150);
    assert_eq!(site.story(), [(0, Open), (1, Closed)]);
    assert_eq!((site.told[1].windows, site.told[1].start_at_ms), (50_000, 0));
    assert!(postcard::to_allocvec(&site.incidents).unwrap().len() < 1_000);
}

#[test]
fn a_crowd_of_channels_is_bounded_and_told_by_its_first() {
    let names: Vec<String> = (0..1_000).map(|i| format!("channel-{i}")).collect();
    let mut site = Site::default();
    for number in 10..20 {
        for name in &names {
            site.incidents.on_window(window(name, number), &[found("level", 1.0)], ALL, joining());
        }
        site.settles();
    }
    assert_eq!(site.story(), [(0, Open)]);
    assert_eq!(site.told[0].channels.len(), kept::LISTED_MAX);
    assert!(postcard::to_allocvec(&site.incidents).unwrap().len() < 64 * 1024);
}

/// Channel, window and score of a finding; none for a quiet window.
fn windows() -> impl Strategy<Value = Vec<(usize, i64, Option<u8>)>> {
    prop::collection::vec((0..3_usize, 0..60_i64, prop::option::weighted(0.4, 0..12_u8)), 1..120)
}

proptest! {
    #[test]
    fn each_incident_has_one_alert_and_revisions_in_a_row_and_nothing_stays_that_was_taken_back(steps in windows()) {
        let channels = ["flow", "pressure", "door"];
        let whole = Joining { lateness_ns: i64::MAX / 4, ..joining() };
        let mut incidents = Incidents::default();
        let mut told: Vec<Incident> = Vec::new();
        let mut anomalous: BTreeMap<(usize, i64), bool> = BTreeMap::new();
        let mut states: BTreeMap<(String, i64), AnomalyState> = BTreeMap::new();
        let all_back = steps.iter().map(|(channel, number, _)| (*channel, *number, None));
        for (channel, number, score) in steps.iter().copied().chain(all_back) {
            let findings: Vec<Finding> = score.map(|s| found("level", f64::from(s))).into_iter().collect();
            anomalous.insert((channel, number), score.is_some());
            for a in incidents.on_window(window(channels[channel], number), &findings, ALL, whole) {
                states.insert((a.channel.clone(), a.start_at_ms), a.state);
            }
            told.extend(incidents.settle(DEVICE, whole));
        }
        let mut last: BTreeMap<&str, &Incident> = BTreeMap::new();
        for incident in &told {
            let next = last.get(incident.id.as_str()).map_or(0, |before| before.revision + 1);
            prop_assert_eq!(incident.revision, next);
            last.insert(&incident.id, incident);
        }
        let opened: BTreeSet<i64> = last.values().map(|i| i.opened_at_ms).collect();
        prop_assert_eq!(opened.len(), last.len(), "a point of its own for each");
        prop_assert!(states.values().all(|state| *state == AnomalyState::Withdrawn));
        prop_assert!(last.values().all(|i| i.state == Withdrawn));
    }
}
