//! One channel as SVG: signal, learning time, expected bands, alarms, labels, and a strip with the scores of windows or samples.

use firmware_protocol::derived::{Anomaly, Status, Window};
use firmware_protocol::measurement::EventTime;

use super::super::labels::Span;
use super::super::outcome::{Outcome, Score};
use super::super::trace::{Point, Trace};
use super::put;
use super::text::{escaped, short};
use crate::text::utc;

const WIDTH: f64 = 1_040.0;
const HEIGHT: f64 = 176.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 1_034.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 132.0;
const STRIP: (f64, f64) = (138.0, 12.0);
/// A mark above the plot where a label is, so that it shows under an alarm too.
const MARK_HEIGHT: f64 = 4.0;
/// Narrower things would not be seen.
const WIDTH_MIN: f64 = 1.5;
/// Cells of the strip.
const CELLS: usize = 488;
/// Bands, alarms and labels drawn of one channel.
const SHAPES_MAX: usize = 400;
const TICKS: i64 = 6;
/// A signal is interrupted where so many spans in a row have no reading.
const HOLE_SPANS: usize = 4;
/// Room above and below the signal, as a share of its range.
const MARGIN: f64 = 0.06;
/// Features whose values are values of the signal.
const IN_THE_PLOT: [&str; 4] = ["mean", "median", "low", "high"];

pub(super) const LEGEND: &str = concat!(
    "<p class=\"legend\"><span><svg viewBox=\"0 0 22 10\"><path class=\"signal\" d=\"M0 5H22\"/></svg>signal</span>",
    "<span><svg viewBox=\"0 0 22 10\"><rect class=\"learn\" width=\"22\" height=\"10\"/></svg>learning</span>",
    "<span><svg viewBox=\"0 0 22 10\"><rect class=\"band\" width=\"22\" height=\"10\"/></svg>expected, where a window was anomalous</span>",
    "<span><svg viewBox=\"0 0 22 10\"><rect class=\"alarm\" width=\"22\" height=\"10\"/></svg>alarm of the file</span>",
    "<span><svg viewBox=\"0 0 22 10\"><rect class=\"label\" width=\"22\" height=\"10\"/><rect class=\"mark\" width=\"22\" height=\"3\"/></svg>label</span>",
    "<span><svg viewBox=\"0 0 22 10\"><rect class=\"s1\" width=\"6\" height=\"10\"/><rect class=\"s2\" x=\"6\" width=\"5\" height=\"10\"/>",
    "<rect class=\"s3\" x=\"11\" width=\"5\" height=\"10\"/><rect class=\"s4\" x=\"16\" width=\"6\" height=\"10\"/></svg>",
    "score of a window or sample: below ¼, ½, ¾, above</span></p>\n"
);

pub(super) struct Chart<'a> {
    pub(super) device: &'a str,
    pub(super) channel: &'a str,
    pub(super) trace: &'a Trace,
    pub(super) outcome: &'a Outcome,
    pub(super) labels: &'a [Span],
    pub(super) alarms: &'a [Span],
}

/// From time and value to places.
struct Scale {
    from: EventTime,
    to: EventTime,
    low: f64,
    high: f64,
}

impl Scale {
    fn x(&self, at: EventTime) -> f64 {
        let share = at.0.saturating_sub(self.from.0) as f64 / (self.to.0.saturating_sub(self.from.0)).max(1) as f64;
        LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        BOTTOM - share.clamp(0.0, 1.0) * (BOTTOM - TOP)
    }
}

impl Chart<'_> {
    pub(super) fn draw(&self, page: &mut String) {
        let Some(scale) = self.scale() else { return };
        let name = escaped(self.channel);
        put(page, format_args!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{name}\">\n"));
        self.ground(page, &scale);
        for anomaly in self.anomalies().filter(|a| IN_THE_PLOT.contains(&a.feature.as_str())).take(SHAPES_MAX) {
            band(page, &scale, anomaly);
        }
        self.signal(page, &scale);
        self.strip(page, &scale);
        axes(page, &scale);
        page.push_str("</svg>");
    }

    fn scale(&self) -> Option<Scale> {
        let points = || self.trace.points().flatten();
        let low = points().map(|p| p.value).min_by(f64::total_cmp)?;
        let high = points().map(|p| p.value).max_by(f64::total_cmp)?;
        let (first, last) = (points().map(|p| p.at).min()?, points().map(|p| p.at).max()?);
        let windows = || self.windows().map(|(window, _)| window);
        let from = windows().map(|w| EventTime::from_millis(w.start_at_ms)).min().map_or(first, |at| at.min(first));
        let to = windows().map(|w| EventTime::from_millis(w.end_at_ms)).max().map_or(last, |at| at.max(last));
        let room = if high > low { (high - low) * MARGIN } else { high.abs().max(1.0) * MARGIN };
        Some(Scale { from, to, low: low - room, high: high + room })
    }

    fn windows(&self) -> impl Iterator<Item = (&Window, Score)> {
        let first = (self.device.to_owned(), self.channel.to_owned(), i64::MIN);
        let of_channel = self.outcome.windows.range(first..);
        of_channel.take_while(|((device, channel, _), _)| device == self.device && channel == self.channel).map(
            |(_, window)| {
                let is_alarm = window.status == Status::Anomalous;
                (window, Score { decades: window.score, is_alarm })
            },
        )
    }

    fn anomalies(&self) -> impl Iterator<Item = &Anomaly> {
        let first = (self.device.to_owned(), self.channel.to_owned(), i64::MIN, String::new());
        let of_channel = self.outcome.anomalies.range(first..);
        of_channel
            .take_while(|((device, channel, ..), _)| device == self.device && channel == self.channel)
            .map(|(_, anomaly)| anomaly)
    }

    /// What lies behind the signal.
    fn ground(&self, page: &mut String, scale: &Scale) {
        let learned = self.windows().find(|(w, _)| w.status != Status::Learning).map(|(w, _)| w.start_at_ms);
        if self.windows().next().is_some() {
            let until = learned.map_or(scale.to, EventTime::from_millis);
            block(page, "learn", (scale.x(scale.from), scale.x(until)), (TOP, BOTTOM), "learning");
        }
        for (from, to) in self.labels.iter().filter(|l| l.1 >= scale.from && l.0 <= scale.to).take(SHAPES_MAX) {
            let about = format!("label {} to {}", short_time(*from), short_time(*to));
            block(page, "label", (scale.x(*from), scale.x(*to)), (TOP, BOTTOM), &about);
            block(page, "mark", (scale.x(*from), scale.x(*to)), (TOP - MARK_HEIGHT, TOP), &about);
        }
        for (from, to) in self.alarms.iter().take(SHAPES_MAX) {
            let about = format!("alarm {} to {}", short_time(*from), short_time(*to));
            block(page, "alarm", (scale.x(*from), scale.x(*to)), (TOP, BOTTOM), &about);
        }
    }

    fn signal(&self, page: &mut String, scale: &Scale) {
        let (mut path, mut is_down, mut hole) = (String::new(), false, 0);
        for point in self.trace.points() {
            let Some(Point { at, value }) = point else {
                hole += 1;
                is_down &= hole < HOLE_SPANS;
                continue;
            };
            hole = 0;
            let (x, y) = (scale.x(at), scale.y(value));
            put(&mut path, format_args!("{}{x:.1} {y:.1}", if is_down { "L" } else { "M" }));
            // A single reading is a dot.
            if !is_down {
                path.push_str("h.5");
            }
            is_down = true;
        }
        put(page, format_args!("<path class=\"signal\" d=\"{path}\"/>\n"));
    }

    /// Cells of one class that follow each other are one.
    fn strip(&self, page: &mut String, scale: &Scale) {
        let mut cells = vec![0_u8; CELLS];
        let place = |x: f64| ((x - LEFT) / (RIGHT - LEFT) * CELLS as f64) as usize;
        let mut raise = |from: EventTime, to: EventTime, score: f64| {
            let class = 1 + (score * 4.0).clamp(0.0, 3.0) as u8;
            let begin = place(scale.x(from));
            let end = place(scale.x(to)).max(begin + 1);
            cells.iter_mut().take(end).skip(begin).for_each(|cell| *cell = (*cell).max(class));
        };
        for (window, score) in self.windows().filter(|(_, score)| score.decades.is_some() || score.is_alarm) {
            let (from, to) = (EventTime::from_millis(window.start_at_ms), EventTime::from_millis(window.end_at_ms));
            raise(from, to, score.value());
        }
        // A sample counts until the next.
        let samples = self.outcome.score_traces.get(self.device).and_then(|channels| channels.get(self.channel));
        let samples: Vec<Point> = samples.into_iter().flat_map(Trace::points).flatten().collect();
        for (i, sample) in samples.iter().enumerate() {
            raise(sample.at, samples.get(i + 1).map_or(sample.at, |next| next.at), sample.value);
        }
        let width = (RIGHT - LEFT) / CELLS as f64;
        let (top, height) = STRIP;
        let mut begin = 0;
        for run in cells.chunk_by(|a, b| a == b) {
            if let Some(class @ 1..) = run.first() {
                let (x, wide) = (LEFT + begin as f64 * width, run.len() as f64 * width);
                put(
                    page,
                    format_args!(
                        "<rect class=\"s{class}\" x=\"{x:.1}\" y=\"{top}\" width=\"{wide:.1}\" height=\"{height}\"/>"
                    ),
                );
            }
            begin += run.len();
        }
        page.push('\n');
    }
}

fn band(page: &mut String, scale: &Scale, anomaly: &Anomaly) {
    let limit = |value: f64, open: f64| if value.is_nan() { open } else { value };
    let (low, high) = (limit(anomaly.expected_low, scale.low), limit(anomaly.expected_high, scale.high));
    let (begin, end) = (EventTime::from_millis(anomaly.start_at_ms), EventTime::from_millis(anomaly.end_at_ms));
    let about = format!("{} {}, expected {} to {}", anomaly.feature, short(anomaly.value), short(low), short(high));
    let (top, bottom) = (scale.y(high), scale.y(low).max(scale.y(high) + WIDTH_MIN));
    block(page, "band", (scale.x(begin), scale.x(end)), (top, bottom), &about);
}

fn block(page: &mut String, class: &str, (left, right): (f64, f64), (top, bottom): (f64, f64), about: &str) {
    let (width, height, about) = ((right - left).max(WIDTH_MIN), bottom - top, escaped(about));
    put(
        page,
        format_args!(
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{about}</title></rect>\n"
        ),
    );
}

fn axes(page: &mut String, scale: &Scale) {
    let (width, height) = (RIGHT - LEFT, BOTTOM - TOP);
    put(page, format_args!("<rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" height=\"{height}\"/>\n"));
    for (value, y) in [(scale.high, TOP + 9.0), (scale.low, BOTTOM)] {
        put(
            page,
            format_args!("<text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", LEFT - 6.0, short(value)),
        );
    }
    let y = STRIP.0 + STRIP.1 - 2.0;
    put(page, format_args!("<text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">score</text>\n", LEFT - 6.0));
    for tick in 0..TICKS {
        let share = tick as f64 / (TICKS - 1) as f64;
        let at = EventTime(scale.from.0 + ((scale.to.0.saturating_sub(scale.from.0)) as f64 * share) as i64);
        let anchor = match tick {
            0 => "start",
            tick if tick == TICKS - 1 => "end",
            _ => "middle",
        };
        let (x, y) = (scale.x(at), HEIGHT - 8.0);
        put(page, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", short_time(at)));
    }
    page.push('\n');
}

/// Day and time to the second, UTC.
fn short_time(at: EventTime) -> String {
    utc(at).chars().take("2026-11-22T00:00:00".len()).map(|c| if c == 'T' { ' ' } else { c }).collect()
}
