//! Windows, anomalies and gaps as points.
//!
//! What a later revision of a window may change is a field, never a tag: the revision then overwrites the point.

use super::escape::{name, quoted};
use super::number::{float, integer};
use super::{Encoder, end_line, field_key, tag};
use crate::derived::{Anomaly, Derived, Gap, Status, Window};
use crate::measurement::EventTime;

impl Encoder {
    /// One line: `sensor_window`, `sensor_anomaly` or `sensor_gap`, at the start of what it tells of.
    pub fn derived(&mut self, out: &mut Vec<u8>, derived: &Derived) {
        let start_at_ms = match derived {
            Derived::Window(w) => self.window(out, w),
            Derived::Anomaly(a) => self.anomaly(out, a),
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
        let tags = [("channel", &*a.channel), ("detector", &*a.detector), ("device", &*a.device), ("kind", &*a.kind)];
        self.begin(out, "sensor_anomaly", &tags);
        integer_field(out, "end_at_ms", a.end_at_ms);
        float_field(out, "expected_high", a.expected_high);
        float_field(out, "expected_low", a.expected_low);
        text_field(out, "feature", &a.feature);
        text_field(out, "id", &a.id);
        integer_field(out, "revision", a.revision.into());
        float_field(out, "score", a.score);
        text_field(out, "summary", &a.summary);
        float_field(out, "value", a.value);
        a.start_at_ms
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

fn text_field(out: &mut Vec<u8>, key: &str, text: &str) {
    field_key(out, key);
    quoted(out, text);
}
