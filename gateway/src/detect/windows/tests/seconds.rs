use super::super::super::features::{Form, Second, SecondIndex};
use super::super::content::Content;
use super::super::room::Room;
use super::*;

/// One message of `rate` readings from each second on.
fn second_of(second: i64, rate: i64, value: impl Fn(i64) -> f64) -> Measurement {
    let mut m = Measurement::default();
    m.set_device("d");
    let channel = m.push_channel("c");
    let reading = |i: i64| Reading { channel, at: at((second * rate + i) as f64 / rate as f64), value: value(i) };
    m.readings.extend((0..rate).map(reading));
    m
}

fn wave(second: i64, i: i64) -> f64 {
    libm::sin((second * 100 + i) as f64 * 0.7) + f64::from((i % 7) as i32)
}

fn seconds_of(closed: &Closed) -> Vec<Second> {
    match closed.series(&mut Vec::new()) {
        Series::Samples(samples) => panic!("{} samples", samples.len()),
        Series::Seconds(seconds) => seconds.to_vec(),
    }
}

fn forms(run: &Run) -> Vec<(u32, Form)> {
    run.closed().iter().map(|c| (c.count(), c.series(&mut Vec::new()).form())).collect()
}

#[test]
fn a_channel_with_too_many_readings_is_one_of_seconds_from_that_window_on() {
    let mut run = Run::new(Config::default());
    let rates = |second: i64| [1, 20, 1, 0, 1][(second / 600) as usize];
    for second in 0..3_000 {
        if rates(second) > 0 {
            run.take(&second_of(second, rates(second), |i| wave(second, i)));
        }
        run.take(&message("d", second as f64, "slow", 1.0));
    }
    run.take(&message("d", 3_030.0, "slow", 1.0));
    let (fast, slow): (Vec<_>, Vec<_>) = forms(&run).into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
    let form = |of: Vec<(usize, (u32, Form))>| of.into_iter().map(|(_, f)| f).collect::<Vec<_>>();
    let seconds = |count| (count, Form::Seconds);
    assert_eq!(form(fast), [(600, Form::Samples), seconds(12_000), seconds(600), seconds(0), seconds(600)]);
    assert_eq!(form(slow), [(600, Form::Samples); 5]);
    let second = seconds_of(run.closed()[2])[7];
    let samples: Vec<Sample> =
        second_of(607, 20, |i| wave(607, i)).readings.iter().map(|r| Sample { at: r.at, value: r.value }).collect();
    assert_eq!(Some(second), Second::fold(&samples, 20, &mut Vec::new()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn readings_of_a_fast_channel_in_any_order_within_the_allowed_disorder_give_the_same_seconds(
        delays_ms in proptest::collection::vec(0..29_900_i64, 997), hop in prop_oneof![Just(0_u64), Just(20)],
    ) {
        let config = Config {
            window: Duration::from_secs(60), hop: Duration::from_secs(hop), samples_max: 900, ..Config::default()
        };
        let rate = 40;
        let mut arrivals: Vec<(i64, i64)> =
            (0..200 * rate).map(|i| (i * 1_000 / rate + delays_ms[i as usize % delays_ms.len()], i)).collect();
        let run_in = |arrivals: &[(i64, i64)]| {
            let mut run = Run::new(config.clone());
            for (_, i) in arrivals {
                run.take_at(&message("d", *i as f64 / rate as f64, "c", wave(0, i * i % 1_009)), at(300.0));
            }
            run.take(&message("d", 1_000.0, "c", 0.0));
            assert_eq!(run.out.counts.used, 200 * rate as u64 + 1);
            run.out.events.into_iter().filter(|e| matches!(e, Event::Closed(_))).collect::<Vec<_>>()
        };
        arrivals.sort_unstable();
        let shuffled = run_in(&arrivals);
        arrivals.sort_unstable_by_key(|(_, i)| *i);
        prop_assert_eq!(run_in(&arrivals), shuffled);
    }
}

#[test]
fn a_reading_that_comes_late_for_a_folded_second_is_merged_with_it_and_a_repeat_counts_twice() {
    let mut run = Run::new(Config::default());
    (0..640).for_each(|s| run.take(&second_of(s, 20, |i| wave(s, i))));
    for value in [9.0, 9.0] {
        run.take_at(&message("d", 15.025, "c", value), at(640.0));
    }
    run.look(at(700.0));
    let closed = run.closed();
    assert_eq!((closed[0].count(), closed[1].count(), closed[1].revision), (12_000, 12_002, 1));
    let (before, after) = (seconds_of(closed[0]), seconds_of(closed[1]));
    assert_eq!((before[15].count, after[15].count), (20, 22));
    assert!((after[15].max() - 9.0).abs() < 1e-6 && before[15].max() < 7.1);
    assert_eq!(before.iter().zip(&after).filter(|(a, b)| a != b).count(), 1);
    assert_eq!((run.out.counts.revised, run.out.counts.duplicate), (2, 0));
}

#[test]
fn late_readings_that_make_a_window_too_large_make_it_one_of_seconds() {
    let mut run = Run::new(Config { samples_max: 700, ..Config::default() });
    (0..600).for_each(|s| run.take(&message("d", s as f64, "c", wave(s, 0))));
    run.take(&message("d", 640.0, "c", 0.0));
    (0..600).for_each(|s| run.take_at(&message("d", s as f64 + 0.5, "c", wave(s, 1)), at(640.0)));
    run.look(at(700.0));
    assert_eq!(forms(&run), [(600, Form::Samples), (1_200, Form::Seconds)]);
    assert!(seconds_of(run.closed()[1]).iter().all(|s| s.count == 2));
    run.look(at(1_600.0));
    assert_eq!(forms(&run)[2..], [(1, Form::Seconds)], "and so are all that follow");
}

#[test]
fn seconds_behind_a_reading_from_ahead_are_folded_whole() {
    let room = room();
    let mut content = Content::of_seconds();
    content.push(Sample { at: at(500.0), value: 1.0 }, &room);
    for second in 0..200 {
        let m = second_of(second, 1_000, |i| wave(second, i));
        m.readings.iter().for_each(|r| content.push(Sample { at: r.at, value: r.value }, &room));
    }
    let content = content.finished(&room);
    let mut work = Vec::new();
    let Series::Seconds(seconds) = content.series(&mut work) else { panic!("samples") };
    assert_eq!(seconds.len(), 201);
    for (second, got) in (0..200).zip(seconds) {
        let m = second_of(second, 1_000, |i| wave(second, i));
        let samples: Vec<Sample> = m.readings.iter().map(|r| Sample { at: r.at, value: r.value }).collect();
        assert_eq!(Second::fold(&samples, 1_000, &mut Vec::new()), Some(*got));
    }
}

#[test]
fn a_slice_of_a_fast_channel_has_whole_seconds_and_those_before_it() {
    let mut run = Run::new(Config::default());
    (0..1_300).for_each(|s| run.take(&second_of(s, 20, |i| wave(s, i))));
    let slices = run.slices();
    let of = |from: f64| -> &Slice { slices.iter().find(|s| s.from == at(from)).unwrap() };
    let (Series::Seconds(context), Series::Seconds(own)) = of(690.0).series() else { panic!("samples") };
    let first = SecondIndex::of(at(676.0)).0;
    let all: Vec<i64> = context.iter().chain(own).map(|s| s.at.0).collect();
    assert_eq!((context.len(), own.len()), (14, 30));
    assert_eq!(all, (first..first + 44).collect::<Vec<_>>());
    let whole = seconds_of(run.closed()[1]);
    assert_eq!([context, own].concat(), whole[76..120], "and they are what they are when the window closes");
    assert_eq!(of(0.0).series().1.form(), Form::Samples, "before there were too many");
}

fn room() -> Room {
    Room::new(SAMPLES_MAX, 600_000_000_000, 1, Duration::from_secs(30))
}

/// Most that a window of a channel takes while it fills, bytes.
fn most_bytes(rate: i64, out_of_order: Duration, value: impl Fn(i64) -> f64) -> usize {
    let room = Room { out_of_order_ns: out_of_order.as_nanos() as i64, ..room() };
    let (mut content, mut most) = (Content::of_seconds(), 0);
    for i in 0..600 * rate {
        content.push(Sample { at: EventTime(at(0.0).0 + i * 1_000_000_000 / rate), value: value(i) }, &room);
        if i % 97 == 0 {
            most = most.max(content.bytes());
        }
    }
    most
}

/// Of a converter with 12 bits: 0.001 to 4.096.
fn converted(i: i64) -> f64 {
    ((2_048.0 + 900.0 * wave(0, i * i % 1_009) / 7.0).round() / 1_000.0).clamp(0.0, 4.096)
}

#[test]
fn an_open_window_of_a_fast_channel_takes_bounded_memory() {
    let (ten, thirty) = (Duration::from_secs(10), Duration::from_secs(30));
    let plain = |i: i64| wave(0, i * i % 10_007);
    for (rate, out_of_order, value, most_kb) in [
        (100, thirty, &plain as &dyn Fn(i64) -> f64, 64),
        (1_000, ten, &converted, 64),
        (1_000, thirty, &converted, 96),
        (1_000, thirty, &plain, 320),
        // More wait than there is room for.
        (5_000, Duration::from_secs(600), &plain, 400),
    ] {
        let bytes = most_bytes(rate, out_of_order, value);
        assert!(bytes <= most_kb * 1_024, "{rate} Hz, {out_of_order:?} of disorder: {bytes} bytes");
    }
}

#[test]
fn a_pane_of_seconds_comes_back_from_the_store_and_so_does_one_of_an_older_gateway() {
    let room = room();
    let mut content = Content::default();
    (0..12_000).for_each(|i| content.push(Sample { at: at(f64::from(i) / 20.0), value: wave(0, i64::from(i)) }, &room));
    let content = content.finished(&room);
    let bytes = postcard::to_stdvec(&content).unwrap();
    assert!(bytes.len() < 28_000, "{}", bytes.len());
    assert_eq!(postcard::from_bytes(&bytes), Ok(content));

    let mut samples = Content::default();
    (0..100).for_each(|i| samples.push(Sample { at: at(f64::from(i)), value: wave(0, i64::from(i)) }, &room));
    let samples = samples.finished(&room);
    let bytes = postcard::to_stdvec(&samples).unwrap();
    let (marker, before) = bytes.split_last().unwrap();
    assert_eq!(
        (*marker, postcard::from_bytes(before)),
        (0, Ok(samples)),
        "the last byte tells that there are no seconds"
    );
}
