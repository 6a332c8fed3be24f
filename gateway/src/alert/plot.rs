//! The plot of an incident as SVG: its channel before and in it, the band that was expected, the incident itself.
//!
//! Drawn by plotters with nothing but its SVG backend: text is left to whoever shows the SVG, so no fonts are needed.

use plotters::prelude::*;

use super::history::{History, Seen};
use super::message::minute;
use super::outbox::Subject;

/// Pixels.
const SIZE: (u32, u32) = (720, 280);
/// Room above and below the values, as a share of their range.
const MARGIN: f32 = 0.08;
/// With fewer windows there is nothing to see.
const WINDOWS_MIN: usize = 2;
/// Places after the point of the scale's numbers are chosen for a range of this many steps.
const STEPS: f32 = 100.0;

const SIGNAL: RGBColor = RGBColor(31, 78, 121);
const SPREAD: RGBColor = RGBColor(150, 180, 210);
const BAND: RGBColor = RGBColor(80, 160, 90);
const ALARM: RGBColor = RGBColor(200, 60, 50);

/// `None`: too little of the channel is known.
pub(super) fn plot(history: &History, subject: &Subject) -> Option<String> {
    let channel = [&subject.channel].into_iter().chain(&subject.channels).find(|channel| !channel.is_empty())?;
    let is_drawn = |seen: &Seen| seen.mean.is_finite() && seen.min.is_finite() && seen.max.is_finite();
    let windows: Vec<Seen> = history.windows(&subject.device, channel).filter(is_drawn).collect();
    if windows.len() < WINDOWS_MIN {
        return None;
    }
    let mut svg = String::new();
    match draw(&mut svg, &windows, subject, channel) {
        Ok(()) => Some(svg),
        Err(reason) => {
            tracing::warn!(
                device = subject.device,
                reason,
                "The plot of an incident cannot be drawn; it goes out without."
            );
            None
        }
    }
}

fn draw(svg: &mut String, windows: &[Seen], subject: &Subject, channel: &str) -> Result<(), String> {
    let bands = || windows.iter().filter_map(|w| w.band);
    let ends = || bands().flat_map(|(low, high)| [low, high]).filter(|end| end.is_finite());
    let low = windows.iter().map(|w| w.min).chain(ends()).fold(f32::INFINITY, f32::min);
    let high = windows.iter().map(|w| w.max).chain(ends()).fold(f32::NEG_INFINITY, f32::max);
    let room = if high > low { (high - low) * MARGIN } else { high.abs().max(1.0) * MARGIN };
    let (low, high) = (low - room, high + room);
    let from = windows.first().map_or(0, |w| w.start_ms);
    let to = windows.last().map_or(1, |w| w.end_ms).max(from + 1);
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(|e| e.to_string())?;
    let title = format!("{}: {channel}", subject.device);
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(from..to, low..high)
        .map_err(|e| e.to_string())?;
    let places = (STEPS / (high - low)).log10().ceil().clamp(0.0, 6.0) as usize;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(5)
        .y_labels(6)
        .x_label_formatter(&|at_ms: &i64| minute(*at_ms))
        .y_label_formatter(&|value: &f32| format!("{value:.places$}"))
        .draw()
        .map_err(|e| e.to_string())?;
    let incident = (subject.start_at_ms.clamp(from, to), subject.end_at_ms.clamp(from, to));
    let block = |(begin, end): (i64, i64), (bottom, top): (f32, f32), style: ShapeStyle| {
        Rectangle::new([(begin, bottom), (end, top)], style)
    };
    let alarm = block(incident, (low, high), ALARM.mix(0.12).filled());
    chart.draw_series([alarm]).map_err(|e| e.to_string())?;
    let spread = windows.iter().map(|w| block((w.start_ms, w.end_ms), (w.min, w.max), SPREAD.mix(0.5).filled()));
    chart.draw_series(spread).map_err(|e| e.to_string())?;
    let open = |end: f32, limit: f32| if end.is_finite() { end } else { limit };
    let band = windows.iter().filter_map(|w| {
        let (from, to) = w.band?;
        Some(block((w.start_ms, w.end_ms), (open(from, low), open(to, high)), BAND.mix(0.35).filled()))
    });
    chart.draw_series(band).map_err(|e| e.to_string())?;
    let middle = |w: &Seen| (w.start_ms + (w.end_ms - w.start_ms) / 2, w.mean);
    let line = LineSeries::new(windows.iter().map(middle), SIGNAL.stroke_width(2));
    chart.draw_series(line).map_err(|e| e.to_string())?;
    let odd = windows.iter().filter(|w| w.is_anomalous).map(|w| Circle::new(middle(w), 3, ALARM.filled()));
    chart.draw_series(odd).map_err(|e| e.to_string())?;
    root.present().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use firmware_protocol::derived::{Incident, IncidentState, Status};

    use super::super::history::testing::window;
    use super::super::testing::{START_MS, incident};
    use super::*;

    fn subject() -> Subject {
        let mut incident: Incident = incident(7, 0, IncidentState::Open);
        incident.device = "pump-7 <&>".into();
        Subject::of(&incident)
    }

    fn history(values: &[f64]) -> History {
        let mut history = History::default();
        for (n, value) in values.iter().enumerate() {
            let status = if *value > 5.0 { Status::Anomalous } else { Status::Normal };
            let start = START_MS + (n as i64 - values.len() as i64 + 1) * 600_000;
            let mut window = window("current", start, *value, status);
            window.device = "pump-7 <&>".into();
            history.on_window(&window);
        }
        history
    }

    #[test]
    fn an_incident_is_drawn_with_its_windows_and_without_breaking_the_svg() {
        let svg = plot(&history(&[2.0, 2.5, 2.0, 9.0]), &subject()).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(svg.contains("pump-7 &lt;&amp;&gt;: current"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 1, "one window is anomalous");
        assert!(svg.len() < 20_000, "{} bytes", svg.len());
    }

    #[test]
    fn without_windows_there_is_no_plot_and_odd_values_draw_one_all_the_same() {
        assert_eq!(plot(&History::default(), &subject()), None);
        assert_eq!(plot(&history(&[f64::NAN, 1.0]), &subject()), None);
        for values in [[3.0, 3.0], [0.0, 0.0], [1e30, -1e30], [1e-30, 2e-30]] {
            assert!(plot(&history(&values), &subject()).is_some(), "{values:?}");
        }
    }
}
