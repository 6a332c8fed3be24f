//! A stopwatch for code that takes nanoseconds.

use std::time::{Duration, Instant};

/// One figure is of so long a stretch: far above the clock's resolution, and short enough to fit between interruptions.
const STRETCH: Duration = Duration::from_millis(5);
const STRETCHES: usize = 41;

pub(crate) struct Bench {
    /// Parts of names; all cases if there is none.
    wanted: Vec<String>,
}

impl Bench {
    pub(crate) fn from_args() -> Self {
        let wanted: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
        println!("{:<28} {:>6} {:>8} {:>18} {:>18}", "", "", "", "ns a message", "ns a reading");
        println!(
            "{:<28} {:>6} {:>8} {:>9} {:>8} {:>9} {:>8}",
            "", "bytes", "readings", "least", "median", "least", "median"
        );
        Self { wanted }
    }

    /// `message` handles one message of so many bytes and readings.
    pub(crate) fn case(&mut self, name: &str, bytes: usize, readings: usize, mut message: impl FnMut()) {
        if !self.wanted.is_empty() && !self.wanted.iter().any(|wanted| name.contains(&**wanted)) {
            return;
        }
        let count = messages_in_a_stretch(&mut message);
        let mut figures: Vec<_> = (0..STRETCHES).map(|_| stretch(count, &mut message)).collect();
        figures.sort_by(f64::total_cmp);
        let (least, median) = (figures[0], figures[STRETCHES / 2]);
        let each = |figure: f64| figure / readings as f64;
        println!(
            "{name:<28} {bytes:>6} {readings:>8} {least:>9.0} {median:>8.0} {:>9.1} {:>8.1}",
            each(least),
            each(median)
        );
    }
}

fn messages_in_a_stretch(message: &mut impl FnMut()) -> u32 {
    let mut count = 1;
    loop {
        let begin = Instant::now();
        (0..count).for_each(|_| message());
        if begin.elapsed() >= STRETCH {
            return count;
        }
        count *= 2;
    }
}

/// Nanoseconds a message.
fn stretch(count: u32, message: &mut impl FnMut()) -> f64 {
    let begin = Instant::now();
    (0..count).for_each(|_| message());
    begin.elapsed().as_nanos() as f64 / f64::from(count)
}
