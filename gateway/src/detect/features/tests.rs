use super::*;

const SECOND_NS: i64 = 1_000_000_000;

/// One window of 600 s with these (second, value) samples.
fn features_of(samples: &[(f64, f64)]) -> Summary {
    summary_of(samples, Nature::Level)
}

fn summary_of(samples: &[(f64, f64)], nature: Nature) -> Summary {
    let samples: Vec<Sample> = samples
        .iter()
        .map(|(second, value)| Sample { at: EventTime((second * SECOND_NS as f64) as i64), value: *value })
        .collect();
    let span = (EventTime(0), EventTime(600 * SECOND_NS));
    summarise(Series::Samples(&samples), samples.len() as u32, span, nature, &mut Scratch::default())
}

fn every_second(value: impl Fn(usize) -> f64) -> Summary {
    let samples: Vec<_> = (0..600).map(|i| (i as f64, value(i))).collect();
    features_of(&samples)
}

fn assert_close(summary: &Summary, expected: &[(Feature, f64)]) {
    for (feature, value) in expected {
        let got = summary.features.get(*feature);
        assert!((got - value).abs() <= 2e-6 * value.abs().max(1.0), "{}: {got} instead of {value}", feature.name());
    }
}

/// Computed by an independent implementation of the same definitions.
#[test]
fn figures_of_a_two_level_signal_with_an_impulse_agree_with_an_independent_computation() {
    let summary = every_second(|i| {
        let upper = if (i / 50) % 2 == 1 { 30.0 } else { 0.0 };
        ((i * 37) % 101) as f64 / 10.0 + upper + if i == 123 { 50.0 } else { 0.0 }
    });
    assert_close(
        &summary,
        &[
            (Feature::Count, 600.0),
            (Feature::Run, 0.001_666_666_666_7),
            (Feature::Median, 30.1),
            (Feature::Low, 1.0),
            (Feature::High, 39.2),
            (Feature::Std, 15.361_567_885_111),
            (Feature::Roughness, 4.718_228_279_386_8),
            (Feature::Impulse, 43.6),
            (Feature::Step, 32.4),
            (Feature::Haar2, 2.309_375),
            (Feature::Haar4, 1.253_623_188_406),
            (Feature::Haar8, 0.714_087_301_588),
            (Feature::Haar16, 0.528_571_428_571),
            (Feature::Haar32, 2.513_392_857_143),
            (Feature::Haar64, 7.318_080_357_143),
            (Feature::Haar128, 4.830_468_75),
            (Feature::Duty, 0.501_666_666_667),
            (Feature::Separation, 30.139_817_107_1),
            (Feature::ModeStd, 2.979_622_023_66),
            (Feature::Switches, 13.0),
            (Feature::Mean, 20.077_666_666_667),
            (Feature::Digit, 3.7),
            (Feature::Jump, 46.3),
        ],
    );
}

/// As above; of the trimmed figures only those whose trimming does not depend on the rate are comparable.
#[test]
fn figures_of_a_quantised_ramp_agree_with_an_independent_computation() {
    let samples: Vec<(f64, f64)> = (0..600)
        .filter(|i| i % 3 != 0)
        .map(|i| {
            let exact = 20.0 + i as f64 / 100.0 + ((i * 7919) % 13) as f64 / 40.0;
            (i as f64, (exact * 10.0).round_ties_even() / 10.0)
        })
        .collect();
    let summary = features_of(&samples);
    assert_close(
        &summary,
        &[
            (Feature::Count, 400.0),
            (Feature::Run, 0.005),
            (Feature::Median, 23.2),
            (Feature::Low, 20.5),
            (Feature::High, 25.9),
            (Feature::Std, 1.735_367_234_19),
            (Feature::Step, 0.2),
            (Feature::Haar128, 0.481_770_833_33),
            (Feature::Duty, 0.5),
            (Feature::Separation, 3.004_5),
            (Feature::ModeStd, 0.868_760_251_774),
            (Feature::Switches, 1.0),
            (Feature::Mean, 23.149_25),
            (Feature::Digit, 0.1),
            (Feature::Jump, 0.3),
        ],
    );
}

#[test]
fn an_empty_window_has_a_gap_as_long_as_itself_and_nothing_else() {
    let summary = features_of(&[]);
    assert_eq!(summary.gap_s, 600.0);
    assert_eq!(summary.features.get(Feature::Count), 0.0);
    assert!(summary.stats.is_none() && !summary.features.has_level() && !summary.features.has_shape());
}

#[test]
fn the_gap_counts_from_the_start_of_the_window_and_to_its_end() {
    assert_eq!(features_of(&[(100.0, 1.0), (300.0, 1.0)]).gap_s, 300.0);
    assert_eq!(features_of(&[(250.0, 1.0), (450.0, 1.0)]).gap_s, 250.0);
    assert_eq!(features_of(&[(100.0, 1.0), (350.5, 1.0)]).gap_s, 250.5_f64.max(249.5));
}

#[test]
fn a_few_samples_have_levels_but_no_shape() {
    let samples: Vec<_> = (0..10).map(|i| (60.0 * i as f64, i as f64)).collect();
    let summary = features_of(&samples);
    assert!(summary.features.has_level() && !summary.features.has_shape());
    assert_close(&summary, &[(Feature::Mean, 4.5), (Feature::Median, 5.0), (Feature::Low, 0.0), (Feature::High, 9.0)]);
}

#[test]
fn a_constant_runs_through_the_window_and_moves_on_no_scale() {
    let summary = every_second(|_| 7.5);
    assert_close(
        &summary,
        &[(Feature::Run, 1.0), (Feature::Std, 0.0), (Feature::Separation, 0.0), (Feature::Digit, 0.0)],
    );
    assert!(Feature::HAAR.iter().all(|f| summary.features.get(*f) == 0.0));
}

#[test]
fn three_samples_off_are_an_impulse_and_no_step() {
    let summary = every_second(|i| if (300..303).contains(&i) { 9.0 } else { 1.0 });
    assert_close(&summary, &[(Feature::Impulse, 8.0), (Feature::Step, 0.0)]);
}

#[test]
fn a_lasting_change_is_a_step_and_no_impulse() {
    let summary = every_second(|i| if i >= 300 { 9.0 } else { 1.0 });
    assert_close(
        &summary,
        &[(Feature::Impulse, 0.0), (Feature::Step, 8.0), (Feature::Switches, 1.0), (Feature::Duty, 0.5)],
    );
}

#[test]
fn single_edges_do_not_make_a_signal_rough() {
    let summary = every_second(|i| if i >= 300 { 9.0 } else { 1.0 });
    assert_close(&summary, &[(Feature::Roughness, 0.0), (Feature::Haar2, 0.0), (Feature::Jump, 8.0)]);
}

#[test]
fn an_impulse_near_either_end_of_a_window_is_seen_in_it() {
    for at in [1, 2, 597, 598] {
        assert_close(
            &every_second(|i| if i == at { 9.0 } else { 1.0 }),
            &[(Feature::Impulse, 8.0), (Feature::Step, 0.0)],
        );
    }
}

#[test]
fn a_counter_is_judged_by_its_increments_and_told_by_its_readings() {
    let readings: Vec<_> = (0..600).map(|i| (i as f64, (1_000 + 3 * (i - i % 2)) as f64)).collect();
    let summary = summary_of(&readings, Nature::Counter);
    assert_close(
        &summary,
        &[
            (Feature::Count, 600.0),
            (Feature::Mean, 6.0 * 299.0 / 599.0),
            (Feature::Low, 0.0),
            (Feature::High, 6.0),
            (Feature::Jump, 6.0),
        ],
    );
    assert_eq!(summary.stats.map(|s| (s.min, s.max)), Some((1_000.0, 2_794.0)));
    assert_eq!(summary.movement, Movement { rises: 299, falls: 0, resets: 0, of: 599 });
}

#[test]
fn the_reset_of_a_counter_shows_in_none_of_its_figures() {
    let reading = |i: usize| if i < 300 { 50_000 + 2 * i } else { 2 * (i - 300) } as f64;
    let readings: Vec<_> = (0..600).map(|i| (i as f64, reading(i))).collect();
    let summary = summary_of(&readings, Nature::Counter);
    assert_close(&summary, &[(Feature::Mean, 2.0), (Feature::Std, 0.0), (Feature::Impulse, 0.0), (Feature::Step, 0.0)]);
    assert_eq!(summary.movement, Movement { rises: 598, falls: 1, resets: 1, of: 599 });
}

#[test]
fn a_slow_movement_lies_in_the_slow_bands() {
    let slow = every_second(|i| ((i + 16) as f64 * std::f64::consts::TAU / 128.0).sin());
    let fast = every_second(|i| (i as f64 * std::f64::consts::TAU / 4.0).sin());
    assert!(slow.features.get(Feature::Haar64) > 10.0 * slow.features.get(Feature::Haar2));
    assert!(fast.features.get(Feature::Haar2) > 10.0 * fast.features.get(Feature::Haar64));
}

#[test]
fn trimming_is_a_fiftieth_at_any_rate() {
    assert_eq!([16, 60, 600, 6_000].map(trimmed_of), [1, 1, 12, 120]);
}

/// Multiples of 1/1024 with two levels and an impulse: sums with whole numbers are exact.
fn lively(i: usize) -> f64 {
    let noise = ((i * 7_919) % 1_009) as f64 / 1_024.0;
    noise + if (i / 50) % 2 == 1 { 30.0 } else { 0.0 } + if i == 123 { 50.0 } else { 0.0 }
}

/// Figures that an offset moves.
const LEVELS: [Feature; 4] = [Feature::Median, Feature::Low, Feature::High, Feature::Mean];
/// Figures without a unit, or with that of time.
const RATIOS: [Feature; 5] = [Feature::Count, Feature::Gap, Feature::Run, Feature::Duty, Feature::Switches];

#[test]
fn an_offset_of_a_billion_moves_the_levels_and_nothing_else() {
    let (plain, raised) = (every_second(lively), every_second(|i| lively(i) + 1e9));
    for feature in Feature::ALL.into_iter().filter(|f| !LEVELS.contains(f) && !Feature::HIGH_RATE.contains(f)) {
        assert_close(&raised, &[(feature, plain.features.get(feature))]);
    }
    let (plain, raised) = (plain.stats.unwrap(), raised.stats.unwrap());
    assert!((raised.mean - 1e9 - plain.mean).abs() < 1e-6 && (raised.std / plain.std - 1.0).abs() < 1e-9);
}

#[test]
fn another_unit_changes_figures_by_its_factor_to_the_bit() {
    let plain = every_second(lively);
    for factor in [1.0 / 1_048_576.0, 2.0, 4_294_967_296.0] {
        let scaled = every_second(|i| lively(i) * factor);
        for feature in Feature::ALL.into_iter().filter(|f| !Feature::HIGH_RATE.contains(f)) {
            let factor = if RATIOS.contains(&feature) { 1.0 } else { factor };
            assert_eq!(scaled.features.get(feature), plain.features.get(feature) * factor, "{}", feature.name());
        }
    }
}

#[test]
fn readings_too_small_for_full_precision_are_told_apart_all_the_same() {
    let scaled = every_second(|i| lively(i) * 2.0_f64.powi(-1_040));
    let plain = every_second(lively);
    for feature in RATIOS {
        assert_eq!(scaled.features.get(feature), plain.features.get(feature), "{}", feature.name());
    }
    assert!(Feature::ALL.iter().all(|f| !scaled.features.get(*f).is_nan() || Feature::HIGH_RATE.contains(f)));
}

#[test]
fn the_largest_readings_that_are_taken_have_finite_figures() {
    let summary = every_second(|i| if i % 3 == 0 { 1e18 } else { -1e18 });
    assert!(Feature::ALL.iter().all(|f| summary.features.get(*f).is_finite() || Feature::HIGH_RATE.contains(f)));
}

#[test]
fn a_window_is_the_same_whatever_was_computed_before_it() {
    let samples: Vec<Sample> =
        (0..600).map(|i| Sample { at: EventTime(i as i64 * SECOND_NS), value: lively(i) }).collect();
    let span = (EventTime(0), EventTime(600 * SECOND_NS));
    let mut scratch = Scratch::default();
    let mut of = |n: usize| summarise(Series::Samples(&samples[..n]), n as u32, span, Nature::Level, &mut scratch);
    let first = of(500);
    of(600);
    of(7);
    let bits = |s: &Summary| s.features.0.map(f32::to_bits);
    assert_eq!(bits(&of(500)), bits(&first));
}
