//! Rollups of raw readings: a minute, ten minutes, an hour of each channel as mean, min, max and count.
//!
//! ```text
//! bucket sensors:    sensor,device=pump-7,gateway=g1 flow=1.5,state="open"
//! bucket sensors_1m: sensor,device=pump-7,gateway=g1 flow_mean=1.4,flow_min=1.1,flow_max=1.9,flow_count=60i
//! ```
//! A point's time is the start of what it stands for. Texts have no rollup.
//!
//! # Invariants
//! - Only whole windows are written, and always from all of their readings: a later run overwrites a point with a truer one.
//! - A run every ten minutes goes back over all windows that still take late readings, so runs that were missed leave
//!   no hole, unless they were missing for longer than that.

use std::time::Duration;

/// A rollup: a window's length as it is named in buckets and tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollup {
    pub name: &'static str,
    pub window: Duration,
}

pub const ALL: [Rollup; 3] = [
    Rollup { name: "1m", window: Duration::from_secs(60) },
    Rollup { name: "10m", window: Duration::from_secs(600) },
    Rollup { name: "1h", window: Duration::from_secs(3_600) },
];

/// How far most runs of a short rollup go back: to read an hour again every minute would keep InfluxDB busy.
const NEAR: Duration = Duration::from_secs(300);
/// What the gateways derive, and what has no windows: not rolled up.
const DERIVED: [&str; 5] = ["sensor_window", "sensor_anomaly", "sensor_incident", "sensor_gap", "gateway_health"];

impl Rollup {
    /// `{bucket}_1m` and so on.
    pub fn bucket(self, bucket: &str) -> String {
        format!("{bucket}_{}", self.name)
    }

    pub fn task(self, bucket: &str) -> String {
        format!("{bucket} to {}", self.bucket(bucket))
    }

    /// The task's Flux. Runs begin half a minute after a window's end, because batches are under way for some seconds.
    ///
    /// All of its filters and windows are such that InfluxDB evaluates them in its storage: fifty times as fast as a
    /// filter on the type of each value, which is why texts are told by their fields' names.
    pub fn flux(self, org: &str, bucket: &str, late: Duration) -> String {
        let Self { name, window } = self;
        let far = (window + late).as_secs();
        let near = (window + late.min(NEAR)).as_secs();
        let not_derived = DERIVED.map(|m| format!("r._measurement != {}", quoted(m))).join(" and ");
        let (task, from, to, org) =
            (quoted(&self.task(bucket)), quoted(bucket), quoted(&self.bucket(bucket)), quoted(org));
        format!(
            r#"// Made by `cloud-sink setup`, which replaces what is changed here.
import "date"
import "regexp"
import "strings"
import "types"

option task = {{name: {task}, every: {name}, offset: 30s}}

// Every ten minutes as far back as readings may come late, otherwise some minutes.
back = if date.minute(t: now()) % 10 == 0 then {far}s else {near}s

// Whole windows only: half a window would overwrite a whole one.
start = date.truncate(t: date.sub(d: back, from: now()), unit: {name})
stop = date.truncate(t: now(), unit: {name})

points = () =>
    from(bucket: {from})
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => {not_derived})

texts =
    points()
        |> last()
        |> filter(fn: (r) => not types.isNumeric(v: r._value))
        |> keep(columns: ["_field"])
        |> group()
        |> distinct(column: "_field")
        |> map(fn: (r) => ({{_value: regexp.quoteMeta(v: r._value)}}))
        |> findColumn(fn: (key) => true, column: "_value")
text = regexp.compile(v: "^(" + strings.joinStr(arr: texts, v: "|") + ")$")

rollup = (stat, fn) =>
    points()
        |> filter(fn: (r) => r._field !~ text)
        |> aggregateWindow(every: {name}, fn: fn, timeSrc: "_start", createEmpty: false)
        |> map(fn: (r) => ({{r with _field: r._field + "_" + stat}}))
        |> to(bucket: {to}, org: {org})

rollup(stat: "mean", fn: mean)
rollup(stat: "min", fn: min)
rollup(stat: "max", fn: max)
rollup(stat: "count", fn: count)
"#
        )
    }
}

/// As a Flux string: quotes, backslashes and the start of an interpolation are escaped.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n").replace("${", r"\${");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_back_over_every_window_that_still_takes_late_readings() {
        let [minute, _, hour] = ALL;
        let late = Duration::from_secs(3_600);
        assert!(minute.flux("o", "s", late).contains("then 3660s else 360s"));
        assert!(hour.flux("o", "s", late).contains("then 7200s else 3900s"), "it always runs at a full hour");
    }

    #[test]
    fn names_with_quotes_and_dollars_stay_names() {
        assert_eq!(quoted(r#"a"b\c${d}$"#), r#""a\"b\\c\${d}$""#);
    }
}
