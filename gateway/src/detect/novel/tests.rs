use super::*;

const MINUTE_NS: i64 = 60_000_000_000;
const WEEKS_4: i64 = 4 * 7 * 24 * 60;
type Signal = fn(i64) -> f64;

const DAY: f64 = 24.0 * 60.0;

/// Raw scores of a signal given by minute, every `step` minutes.
fn scores(spacing: Spacing, step: i64, signal: impl Fn(i64) -> f64) -> Vec<f64> {
    let mut novel = Novel::new(spacing);
    let minutes = (0..WEEKS_4 / step).map(|i| i * step);
    minutes.map(|m| novel.observe(EventTime(m * MINUTE_NS), signal(m)).expect("finite").raw).collect()
}

/// In -1..=1, the same for a minute everywhere.
fn noise(minute: i64) -> f64 {
    let mixed = (minute as u64 ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn alarms(scores: &[f64]) -> usize {
    let threshold = Threshold::new(1.0);
    scores.iter().filter(|s| threshold.is_alarm(**s)).count()
}

fn daily(minute: i64) -> f64 {
    20.0 + 5.0 * libm::sin(minute as f64 / DAY * std::f64::consts::TAU)
}

/// Gaussian by the sum of twelve.
fn gaussian(minute: i64) -> f64 {
    (0..12).map(|i| noise(minute * 12 + i)).sum::<f64>() / 2.0
}

fn random_counts(minute: i64, mean: f64) -> f64 {
    let (mut product, mut count) = (1.0, -1.0);
    while product > libm::exp(-mean) {
        count += 1.0;
        product *= (noise(minute * 512 + count as i64) + 1.0) / 2.0;
    }
    count
}

#[test]
fn quiet_signals_stay_quiet_for_four_weeks_sample_by_sample_and_window_by_window() {
    // A first weekend is novel, and so is the first workday after it.
    let signals: [(&str, usize, Signal); 12] = [
        ("constant", 0, |_| 21.5),
        ("daily", 0, daily),
        ("noise", 0, |m| 3.0 + noise(m)),
        ("gaussian", 3, gaussian),
        ("daily with noise", 0, |m| daily(m) + 0.3 * noise(m)),
        ("weekly", 4, |m| daily(m) * if (m / 1440) % 7 >= 5 { 0.5 } else { 1.0 } + 0.3 * noise(m)),
        ("duty cycle", 0, |m| if m % 70 < 20 { 5.0 } else { 1.0 } + 0.05 * noise(m)),
        ("integers", 0, |m| (22.5 + 2.5 * noise(m)).floor()),
        ("people", 2, |m| random_counts(m, 3.0)),
        ("rare events", 2, |m| random_counts(m, 0.3)),
        ("rounded temperature", 0, |m| (2.0 * (daily(m) + 0.3 * gaussian(m))).round() / 2.0),
        ("coarse gaussian", 2, |m| gaussian(m).round()),
    ];
    for (spacing, step) in [(Spacing::Sample, 5), (Spacing::Sample, 60), (Spacing::Window, 10)] {
        for (name, alarms_max, signal) in signals {
            let scores = scores(spacing, step, signal);
            assert!(alarms(&scores) <= alarms_max, "{name} {spacing:?}: {}", alarms(&scores));
        }
    }
}

#[test]
fn alarms_on_noise_are_about_as_many_as_the_knob_says() {
    // Five-minute readings in windows of ten minutes, the month after the first week, 24 channels.
    let first = 7 * 144;
    let rate = |knob: f64| {
        let threshold = Threshold::new(knob);
        let of_channel = |channel: i64| {
            let scores =
                scores(Spacing::Window, 10, |m| gaussian(m + channel * 100_000) + gaussian(-m - channel * 100_000));
            scores[first..].iter().filter(|s| threshold.is_alarm(**s)).count() as f64
        };
        (0..24).map(of_channel).sum::<f64>() / 24.0 * 30.0 / 21.0
    };
    for knob in [0.3, 1.0, 3.0] {
        let rate = rate(knob);
        assert!((0.5 * knob..=2.0 * knob).contains(&rate), "{rate} at {knob}");
    }
}

#[test]
fn a_spike_a_fall_and_a_value_in_a_hole_alarm_at_once() {
    for (spacing, step) in [(Spacing::Sample, 5), (Spacing::Window, 10)] {
        for fault in [45.0, 2.0] {
            let scores = scores(spacing, step, |m| if m == 30_000 { fault } else { daily(m) + 0.3 * noise(m) });
            assert!(Threshold::new(1.0).is_alarm(scores[(30_000 / step) as usize]), "{fault} {spacing:?}");
        }
        let scores = scores(spacing, step, |m| match m {
            30_000 => 5.0,
            m if m / 700 % 2 == 0 => 0.1 * noise(m),
            m => 10.0 + 0.1 * noise(m),
        });
        assert!(Threshold::new(1.0).is_alarm(scores[(30_000 / step) as usize]), "hole {spacing:?}");
    }
}

#[test]
fn a_value_at_the_wrong_hour_alarms_by_its_hour() {
    let mut novel = Novel::new(Spacing::Sample);
    for m in (0..20 * 1440).step_by(5) {
        novel.observe(EventTime(m * MINUTE_NS), daily(m)).expect("finite");
    }
    let verdict = novel.observe(EventTime(20 * 1440 * MINUTE_NS + 18 * 60 * MINUTE_NS), 25.0).expect("finite");
    assert_eq!(verdict.view, View::HourOfDay);
    assert!(Threshold::new(1.0).is_alarm(verdict.raw), "{}", verdict.raw);
    assert!(verdict.expected_high < 25.0, "{verdict:?}");
}

#[test]
fn a_lasting_step_is_told_once_and_then_accepted() {
    for (spacing, step) in [(Spacing::Sample, 5), (Spacing::Window, 10)] {
        let scores = scores(spacing, step, |m| noise(m) + if m < 20_000 { 0.0 } else { 30.0 });
        let first = (20_000 / step) as usize;
        assert_eq!(alarms(&scores[first / 2..first]), 0);
        assert!(Threshold::new(1.0).is_alarm(scores[first]));
        assert!(alarms(&scores[first + 1..]) <= 2, "{spacing:?}: {}", alarms(&scores[first + 1..]));
    }
}

#[test]
fn a_short_fault_does_not_blind_to_a_smaller_one_later() {
    for (spacing, step) in [(Spacing::Sample, 5), (Spacing::Window, 10)] {
        let scores = scores(spacing, step, |m| match m {
            20_000 | 20_010 | 20_020 => 400.0,
            30_000 => 45.0,
            m => daily(m) + 0.3 * noise(m),
        });
        let is_alarm = |minute: i64| Threshold::new(1.0).is_alarm(scores[(minute / step) as usize]);
        assert!(is_alarm(20_000) && is_alarm(30_000), "{spacing:?}");
        let between = (20_030 / step) as usize..(30_000 / step) as usize;
        assert!(alarms(&scores[between]) <= 1, "{spacing:?}");
    }
}

#[test]
fn verdicts_wait_for_250_values() {
    let mut novel = Novel::new(Spacing::Sample);
    let warm_after = (0..1_000).find(|i| {
        let verdict = novel.observe(EventTime(i * 5 * MINUTE_NS), noise(*i)).expect("finite");
        assert!(verdict.raw == 0.0 || novel.is_warm());
        novel.is_warm()
    });
    assert_eq!(warm_after, Some(248));
}

#[test]
fn scores_are_the_same_bits_on_all_processors() {
    let signal = |m: i64| daily(m) + libm::exp(noise(m));
    let bits = |spacing, step| {
        scores(spacing, step, signal).iter().fold(0_u64, |sum, s| sum.rotate_left(7).wrapping_mul(31) ^ s.to_bits())
    };
    assert_eq!(
        [bits(Spacing::Sample, 5), bits(Spacing::Window, 10)],
        [379_669_795_120_817_032, 905_625_098_703_858_051]
    );
}

#[test]
fn the_unit_of_a_channel_does_not_matter() {
    let signal = |m: i64| daily(m) + noise(m) + if m == 30_000 { 9.0 } else { 0.0 };
    let plain = scores(Spacing::Sample, 5, signal);
    // Powers of two scale without rounding.
    assert_eq!(plain, scores(Spacing::Sample, 5, |m| signal(m) * 1024.0));
    assert_eq!(plain, scores(Spacing::Sample, 5, |m| signal(m) / 65_536.0));
}

#[test]
fn the_explanation_gives_the_band_on_the_nearer_side() {
    let mut novel = Novel::new(Spacing::Window);
    for m in (0..10_000).step_by(10) {
        novel.observe(EventTime(m * MINUTE_NS), noise(m)).expect("finite");
    }
    let verdict = novel.observe(EventTime(10_000 * MINUTE_NS), 50.0).expect("finite");
    assert!(verdict.expected_high < 50.0 && verdict.expected_low < verdict.expected_high, "{verdict:?}");
}

#[test]
fn what_is_no_number_is_refused_and_leaves_no_trace() {
    let mut novel = Novel::new(Spacing::Sample);
    novel.observe(EventTime(0), 1.0).expect("finite");
    let before = novel.clone();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e301] {
        assert!(novel.observe(EventTime(1), value).is_err(), "{value}");
    }
    assert_eq!(novel, before);
}

#[test]
fn the_largest_values_give_finite_scores() {
    let mut novel = Novel::new(Spacing::Sample);
    for i in 0..500 {
        let value = if i % 2 == 0 { VALUE_MAX } else { -VALUE_MAX } * (1.0 - f64::from(i) / 1_000.0);
        let verdict = novel.observe(EventTime(i64::from(i) * MINUTE_NS), value).expect("in range");
        assert!(verdict.raw.is_finite(), "{verdict:?}");
    }
}

#[test]
fn a_saved_and_restored_channel_goes_on_to_the_same_bits() {
    let signal = |m: i64| daily(m) + noise(m);
    let mut novel = Novel::new(Spacing::Window);
    for m in 0..3_000 {
        novel.observe(EventTime(m * 10 * MINUTE_NS), signal(m * 10)).expect("finite");
    }
    let bytes = postcard::to_allocvec(&novel).expect("serialises");
    assert!(bytes.len() <= 8 * 1024, "{} bytes", bytes.len());
    let mut restored: Novel = postcard::from_bytes(&bytes).expect("reads back");
    for m in 3_000..4_000 {
        let at = EventTime(m * 10 * MINUTE_NS);
        assert_eq!(novel.observe(at, signal(m * 10)), restored.observe(at, signal(m * 10)));
    }
    assert_eq!(novel, restored);
}
