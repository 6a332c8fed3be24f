//! A channel's signal for a drawing: the lowest and highest reading of each of a few hundred spans, whatever its length. Pure.
//!
//! # Invariants
//! - At most [`SPANS_MAX`] spans, so twice as many points; spans double when the signal outgrows them.
//! - Each reading lies between the two points of its span: no peak is lost.

use firmware_protocol::measurement::EventTime;

/// A span is then a pixel on a wide screen.
pub(super) const SPANS_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub at: EventTime,
    pub value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Extremes {
    low: Point,
    high: Point,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    origin: EventTime,
    span_ns: i64,
    spans: Vec<Option<Extremes>>,
}

impl Trace {
    /// The first span begins at `origin`; earlier readings count to it.
    pub(super) fn new(origin: EventTime, span_ns: i64) -> Self {
        Self { origin, span_ns: span_ns.max(1), spans: Vec::new() }
    }

    pub(super) fn add(&mut self, point: Point) {
        let mut at = self.place(point.at);
        while at >= SPANS_MAX {
            self.double();
            at = self.place(point.at);
        }
        if self.spans.len() <= at {
            self.spans.resize(at + 1, None);
        }
        if let Some(span) = self.spans.get_mut(at) {
            *span = merged(*span, Some(Extremes { low: point, high: point }));
        }
    }

    fn place(&self, at: EventTime) -> usize {
        let spans = at.0.saturating_sub(self.origin.0).max(0) / self.span_ns;
        usize::try_from(spans).unwrap_or(usize::MAX)
    }

    fn double(&mut self) {
        self.span_ns = self.span_ns.saturating_mul(2);
        let pair = |pair: &[Option<Extremes>]| pair.iter().copied().reduce(merged).flatten();
        self.spans = self.spans.chunks(2).map(pair).collect();
    }

    /// In order of time; `None` where a span or more has no reading.
    pub fn points(&self) -> impl Iterator<Item = Option<Point>> {
        self.spans.iter().flat_map(|span| match span {
            None => [None, None].into_iter().take(1),
            Some(Extremes { low, high }) if low == high => [Some(*low), None].into_iter().take(1),
            Some(Extremes { low, high }) if low.at <= high.at => [Some(*low), Some(*high)].into_iter().take(2),
            Some(Extremes { low, high }) => [Some(*high), Some(*low)].into_iter().take(2),
        })
    }
}

fn merged(a: Option<Extremes>, b: Option<Extremes>) -> Option<Extremes> {
    let (Some(a), Some(b)) = (a, b) else { return a.or(b) };
    let low = if b.low.value < a.low.value { b.low } else { a.low };
    let high = if b.high.value > a.high.value { b.high } else { a.high };
    Some(Extremes { low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(values: impl IntoIterator<Item = (i64, f64)>) -> Trace {
        let mut trace = Trace::new(EventTime(0), 10);
        values.into_iter().for_each(|(ns, value)| trace.add(Point { at: EventTime(ns), value }));
        trace
    }

    #[test]
    fn a_short_signal_is_kept_as_it_is_with_its_holes() {
        let points: Vec<_> = trace([(0, 1.0), (10, 2.0), (40, 3.0)]).points().map(|p| p.map(|p| p.value)).collect();
        assert_eq!(points, [Some(1.0), Some(2.0), None, None, Some(3.0)]);
    }

    #[test]
    fn a_long_signal_keeps_its_peaks_in_few_points() {
        let trace = trace((0..1_000_000).map(|i| (i * 10, if i == 777_777 { 99.0 } else { (i % 7) as f64 })));
        let points: Vec<Point> = trace.points().flatten().collect();
        assert!(points.len() <= 2 * SPANS_MAX && points.len() > SPANS_MAX / 2, "{}", points.len());
        assert!(points.contains(&Point { at: EventTime(7_777_770), value: 99.0 }));
        assert!(points.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }

    #[test]
    fn times_far_ahead_and_before_the_first_cost_nothing() {
        let trace = trace([(0, 1.0), (i64::MAX, 2.0), (-5, 0.5)]);
        assert!(trace.spans.len() <= SPANS_MAX);
        let values: Vec<f64> = trace.points().flatten().map(|p| p.value).collect();
        assert_eq!(values, [0.5, 1.0, 2.0]);
    }
}
