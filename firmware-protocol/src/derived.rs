//! What the gateway derives from readings: windows, anomalies and gaps, as JSON with a schema id.
//!
//! The same bytes are stored in the gateway's derived log, sent to Kafka and decoded by cloud-sink.
//! Times are milliseconds since 1970 (UTC). Numbers that are not finite are `null` in JSON, and come back as NaN.

use serde::{Deserialize, Deserializer, Serialize};

/// One derived record; `schema` in the JSON tells which (`window/1`, `anomaly/1`, `gap/1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "schema")]
pub enum Derived {
    #[serde(rename = "window/1")]
    Window(Window),
    #[serde(rename = "anomaly/1")]
    Anomaly(Anomaly),
    #[serde(rename = "gap/1")]
    Gap(Gap),
}

/// A closed event-time window of one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// 16 hex digits: hash of (device, channel, start, revision).
    pub id: String,
    pub device: String,
    pub channel: String,
    pub start_at_ms: i64,
    pub end_at_ms: i64,
    /// 0 for the first result; late data makes the next.
    pub revision: u32,
    /// Readings in the window.
    pub count: u32,
    /// Longest time without a reading, seconds.
    #[serde(deserialize_with = "null_is_nan")]
    pub gap_s: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stats: Option<Stats>,
    pub status: Status,
    /// Decades (−log10 of the tail probability) above the alarm threshold; absent while learning. An anomaly's may lie a
    /// little below it: the second of two suspicious windows in a row counts from one decade below.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub score: Option<f64>,
}

/// Figures of the readings of a window, in the channel's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    #[serde(deserialize_with = "null_is_nan")]
    pub mean: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub min: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub max: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub std: f64,
    /// 5 %, 50 % and 95 % quantile.
    #[serde(deserialize_with = "null_is_nan")]
    pub p05: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub p50: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub p95: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The detector has not seen enough of the channel yet.
    Learning,
    Normal,
    Anomalous,
}

/// A window beyond the detector's threshold, with its explanation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Id of the window that it was found in.
    pub id: String,
    pub device: String,
    pub channel: String,
    pub start_at_ms: i64,
    pub end_at_ms: i64,
    pub revision: u32,
    /// Decades above the alarm threshold, as in [`Window`].
    #[serde(deserialize_with = "null_is_nan")]
    pub score: f64,
    pub detector: String,
    /// What kind of deviation: dropout, stuck, spike, step, noise, level, range, spectrum, joint, novel.
    pub kind: String,
    /// The feature that deviates most, its value and the band that was expected, in the channel's unit where it has one.
    pub feature: String,
    #[serde(deserialize_with = "null_is_nan")]
    pub value: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub expected_low: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub expected_high: f64,
    /// One sentence for a person.
    pub summary: String,
}

/// Records that are known to be missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    pub device: String,
    pub from_at_ms: i64,
    pub to_at_ms: i64,
    /// Records missing; a lower bound if `at_least`.
    pub count: u64,
    pub at_least: bool,
    /// One of few words: it becomes a tag.
    pub reason: String,
}

impl Derived {
    pub fn device(&self) -> &str {
        match self {
            Self::Window(w) => &w.device,
            Self::Anomaly(a) => &a.device,
            Self::Gap(g) => &g.device,
        }
    }

    /// # Panics
    /// Never: these types always have a JSON form (non-finite numbers become null).
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("derived records are plain data")
    }

    /// # Errors
    /// What is wrong and where.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

fn null_is_nan<'de, D: Deserializer<'de>>(json: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(json)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
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
            score: 1.25,
            detector: "window".into(),
            kind: "step".into(),
            feature: "level".into(),
            value: 7.5,
            expected_low: 1.0,
            expected_high: 3.0,
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
            r#"{"schema":"anomaly/1","id":"00000000000000aa","device":"pump-7","channel":"flow","start_at_ms":1772366400000,"end_at_ms":1772367000000,"revision":0,"score":1.25,"detector":"window","kind":"step","feature":"level","value":7.5,"expected_low":1.0,"expected_high":3.0,"summary":"flow stepped up to 7.5"}"#,
        );
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
        let json = r#"{"schema":"gap/1","device":"d","from_at_ms":1,"to_at_ms":2,"count":3,"at_least":true,"reason":"r","new":1}"#;
        assert_eq!(Derived::from_json(json.as_bytes()).unwrap().device(), "d");
        assert!(Derived::from_json(json.replace("gap/1", "gap/2").as_bytes()).is_err());
    }
}
