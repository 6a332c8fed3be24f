//! Windows, anomalies, incidents and gaps as points.
//!
//! What a later revision or state may change is a field, never a tag: the later record then overwrites the point.

use super::escape::{name, quoted};
use super::number::{float, integer};
use super::{Encoder, end_line, field_key, tag};
use crate::derived::{Anomaly, ChannelShare, Derived, Gap, Incident, Status, Window};
use crate::measurement::EventTime;

impl Encoder {
    /// One line: `sensor_window`, `sensor_anomaly`, `sensor_incident` or `sensor_gap`, at the start of what it tells of.
    pub fn derived(&mut self, out: &mut Vec<u8>, derived: &Derived) {
        let start_at_ms = match derived {
            Derived::Window(w) => self.window(out, w),
            Derived::Anomaly(a) => self.anomaly(out, a),
            Derived::Incident(i) => self.incident(out, i),
            Derived::Gap(g) => self.gap(out, g),
        };
        end_line(out, EventTime::from_millis(start_at_ms));
    }

    fn window(&self, out: &mut Vec<u8>, w: &Window) -> i64 {
        self.begin(out, "sensor_window", &[("channel", &w.channel), ("device", &w.device)]);
        let status = match w.status {
            Status::Learning => "learning",
            Status::Normal => "normal",
            Status::Anomalous => "anomalous",
        };
        integer_field(out, "count", w.count.into());
        integer_field(out, "end_at_ms", w.end_at_ms);
        float_field(out, "gap_s", w.gap_s);
        integer_field(out, "revision", w.revision.into());
        if let Some(score) = w.score {
            float_field(out, "score", score);
        }
        text_field(out, "status", status);
        if let Some(s) = w.stats {
            let figures = [
                ("max", s.max),
                ("mean", s.mean),
                ("min", s.min),
                ("p05", s.p05),
                ("p50", s.p50),
                ("p95", s.p95),
                ("std", s.std),
            ];
            for (name, value) in figures {
                float_field(out, name, value);
            }
        }
        w.start_at_ms
    }

    fn anomaly(&self, out: &mut Vec<u8>, a: &Anomaly) -> i64 {
        let tags = [("channel", &*a.channel), ("detector", &*a.detector), ("device", &*a.device)];
        self.begin(out, "sensor_anomaly", &tags);
        shares_field(out, &a.channels);
        integer_field(out, "end_at_ms", a.end_at_ms);
        float_field(out, "expected_high", a.expected_high);
        float_field(out, "expected_low", a.expected_low);
        text_field(out, "feature", &a.feature);
        text_field(out, "id", &a.id);
        text_field(out, "incident", &a.incident);
        text_field(out, "kind", &a.kind);
        text_field(out, "model", &a.model);
        optional_integer_field(out, "peak_from_ms", a.peak_from_ms);
        optional_integer_field(out, "peak_to_ms", a.peak_to_ms);
        integer_field(out, "revision", a.revision.into());
        float_field(out, "score", a.score);
        float_field(out, "share", a.share.unwrap_or(f64::NAN));
        text_field(out, "state", a.state.name());
        text_field(out, "summary", &a.summary);
        float_field(out, "value", a.value);
        a.start_at_ms
    }

    fn incident(&self, out: &mut Vec<u8>, i: &Incident) -> i64 {
        self.begin(out, "sensor_incident", &[("device", &i.device)]);
        let e = &i.evidence;
        text_field(out, "channel", &e.channel);
        shares_field(out, &i.channels);
        text_field(out, "detector", &e.detector);
        integer_field(out, "end_at_ms", i.end_at_ms);
        float_field(out, "expected_high", e.expected_high);
        float_field(out, "expected_low", e.expected_low);
        text_field(out, "feature", &e.feature);
        text_field(out, "id", &i.id);
        text_field(out, "kind", &e.kind);
        text_field(out, "kinds", &i.kinds.join(", "));
        text_field(out, "model", &e.model);
        integer_field(out, "peak_at_ms", i.peak_at_ms);
        optional_integer_field(out, "peak_from_ms", e.peak_from_ms);
        optional_integer_field(out, "peak_to_ms", e.peak_to_ms);
        integer_field(out, "revision", i.revision.into());
        float_field(out, "score", i.score);
        text_field(out, "severity", i.severity.name());
        float_field(out, "share", e.share.unwrap_or(f64::NAN));
        integer_field(out, "start_at_ms", i.start_at_ms);
        text_field(out, "state", i.state.name());
        text_field(out, "summary", &e.summary);
        text_field(out, "title", &i.title);
        float_field(out, "value", e.value);
        integer_field(out, "windows", i.windows.into());
        i.opened_at_ms
    }

    fn gap(&self, out: &mut Vec<u8>, g: &Gap) -> i64 {
        self.begin(out, "sensor_gap", &[("device", &g.device), ("reason", &g.reason)]);
        field_key(out, "at_least");
        out.extend_from_slice(if g.at_least { b"true" } else { b"false" });
        integer_field(out, "count", i64::try_from(g.count).unwrap_or(i64::MAX));
        integer_field(out, "to_at_ms", g.to_at_ms);
        g.from_at_ms
    }

    /// Name and tags, the constant ones and `own`, which are sorted by key; empty ones are left out.
    fn begin(&self, out: &mut Vec<u8>, measurement: &str, own: &[(&str, &str)]) {
        name(out, measurement);
        let mut constant = self.tags.iter().peekable();
        for (key, value) in own.iter().filter(|(_, value)| !value.is_empty()) {
            while let Some((_, text)) = constant.next_if(|(c, _)| c.as_str() < *key) {
                out.extend_from_slice(text);
            }
            tag(out, key, value);
        }
        for (_, text) in constant {
            out.extend_from_slice(text);
        }
        out.push(b' ');
    }
}

/// Left out if the value is not finite: line protocol has no word for it.
fn float_field(out: &mut Vec<u8>, key: &str, value: f64) {
    if value.is_finite() {
        field_key(out, key);
        float(out, value);
    }
}

fn integer_field(out: &mut Vec<u8>, key: &str, value: i64) {
    field_key(out, key);
    integer(out, value);
}

fn optional_integer_field(out: &mut Vec<u8>, key: &str, value: Option<i64>) {
    if let Some(value) = value {
        integer_field(out, key, value);
    }
}

/// As one text, `flow 0.75, pressure 0.25`; left out if there are none.
fn shares_field(out: &mut Vec<u8>, channels: &[ChannelShare]) {
    let texts: Vec<String> = channels.iter().map(|c| format!("{} {:.2}", c.channel, c.share)).collect();
    text_field(out, "channels", &texts.join(", "));
}

/// Left out if the text is empty.
fn text_field(out: &mut Vec<u8>, key: &str, text: &str) {
    if !text.is_empty() {
        field_key(out, key);
        quoted(out, text);
    }
}
