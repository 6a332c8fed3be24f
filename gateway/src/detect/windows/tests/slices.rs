use super::*;

fn spans(run: &Run) -> Vec<(f64, f64, usize, usize)> {
    let start = at(0.0).0;
    let seconds = |at: EventTime| (at.0 - start) as f64 / 1e9;
    let of = |s: &&Slice| {
        let length = match s.series() {
            (Series::Samples(context), Series::Samples(own)) => context.len() + own.len(),
            (context, own) => panic!("seconds: {context:?} {own:?}"),
        };
        (seconds(s.from), seconds(s.to), s.context, length)
    };
    run.slices().iter().map(of).collect()
}

#[test]
fn a_slice_is_given_when_the_watermark_passes_its_end_with_some_samples_before_it() {
    let mut run = Run::new(Config::default());
    for second in 0..=89 {
        run.take(&message("d", f64::from(second), "c", 1.0));
    }
    assert_eq!(spans(&run), [(0.0, 30.0, 0, 30)]);
    run.take(&message("d", 90.0, "c", 1.0));
    assert_eq!(spans(&run)[1..], [(30.0, 60.0, 14, 44)]);
}

#[test]
fn a_slow_channels_slice_has_samples_of_some_slices_before_it() {
    let mut run = Run::new(Config::default());
    (0..40).for_each(|i| run.take(&message("d", f64::from(i) * 10.0, "c", 1.0)));
    let contexts: Vec<usize> = spans(&run).iter().map(|(_, _, context, _)| *context).collect();
    assert_eq!(contexts[..7], [0, 3, 6, 9, 12, 14, 14]);
}

#[test]
fn disorder_within_the_bound_changes_no_slice() {
    let mut seconds: Vec<i64> = (0..500).collect();
    let run_in = |seconds: &[i64]| {
        let mut run = Run::new(Config::default());
        seconds.iter().for_each(|s| run.take_at(&message("d", *s as f64, "c", (*s % 7) as f64), at(600.0)));
        run.slices().into_iter().cloned().collect::<Vec<_>>()
    };
    let in_order = run_in(&seconds);
    seconds.sort_by_key(|s| s + s * 7_919 % 29);
    let shuffled = run_in(&seconds);
    assert!(in_order.len() >= 14);
    assert_eq!(shuffled[..14], in_order[..14]);
}

#[test]
fn what_a_message_closes_is_not_sliced_as_well() {
    let mut run = Run::new(Config::default());
    run.take(&message("d", 10.0, "c", 1.0));
    run.take(&message("d", 700.0, "c", 1.0));
    assert_eq!(run.counts_of_windows(), [1]);
    assert_eq!(spans(&run), []);
}

#[test]
fn slices_of_zero_length_are_none() {
    let mut run = Run::new(Config { early_every: Duration::ZERO, ..Config::default() });
    (0..500).for_each(|s| run.take(&message("d", f64::from(s), "c", 1.0)));
    assert_eq!(spans(&run), []);
}
