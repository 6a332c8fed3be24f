use super::*;

fn values(stream: &mut Stream, windows: usize) -> Vec<Option<f64>> {
    let mut ticks = Vec::new();
    (0..windows).for_each(|_| stream.next_window(&mut ticks));
    ticks.iter().map(|t| t.values[0]).collect()
}

#[test]
fn the_same_seed_gives_the_same_device_and_another_seed_another() {
    for kind in Kind::CLASSIC.into_iter().chain(Kind::MORE).filter(|k| *k != Kind::Constant) {
        let of = |seed| values(&mut Stream::new(kind, seed), 3);
        assert_eq!(of(4), of(4), "{kind:?}");
        assert_ne!(of(4), of(5), "{kind:?}");
    }
}

#[test]
fn a_fault_changes_nothing_before_and_after_it() {
    for fault in Fault::CLASSIC {
        let mut clean = Stream::new(Kind::OscillatingPressure, 7);
        values(&mut clean, WINDOWS_PER_DAY);
        let mut faulty = clean.clone();
        faulty.inject(fault, 0, 300, 1.0, Chance::new(1));
        let n = fault.windows() + 2;
        let (clean, faulty) = (values(&mut clean, n), values(&mut faulty, n));
        let end = 300 + fault.windows() * WINDOW_S;
        assert_eq!(clean[..300], faulty[..300], "{fault:?}");
        assert_ne!(clean[300..end], faulty[300..end], "{fault:?}");
        assert_eq!(clean[end..], faulty[end..], "{fault:?}");
    }
}

#[test]
fn a_window_of_a_fast_device_has_a_hundred_readings_a_second() {
    let mut ticks = Vec::new();
    Stream::new(Kind::FastVibration, 1).next_window(&mut ticks);
    assert_eq!((ticks.len(), ticks[1].at_ms), (60_000, 10));
}

#[test]
fn a_stuck_counter_stands_still_and_a_normal_one_never_falls_but_to_zero() {
    let mut stream = Stream::new(Kind::Counter, 3);
    let clean: Vec<f64> = values(&mut stream, WINDOWS_PER_DAY).into_iter().flatten().collect();
    assert!(clean.windows(2).all(|p| p[1] >= p[0] || p[1] == 0.0));
    stream.inject(Fault::Stuck, 0, 0, 1.0, Chance::new(1));
    let stuck: Vec<f64> = values(&mut stream, 1).into_iter().flatten().collect();
    assert!(stuck.iter().all(|v| *v == stuck[0]));
}

#[test]
fn a_broken_relation_leaves_the_channel_as_it_might_have_been() {
    let mut clean = Stream::new(Kind::Pump, 2);
    values(&mut clean, WINDOWS_PER_DAY);
    let mut broken = clean.clone();
    broken.inject(Fault::Relation, 1, 0, 1.0, Chance::new(1));
    let (mut a, mut b) = (Vec::new(), Vec::new());
    clean.next_window(&mut a);
    broken.next_window(&mut b);
    let flow = |ticks: &[Tick]| ticks.iter().filter_map(|t| t.values[1]).collect::<Vec<_>>();
    assert_ne!(flow(&a), flow(&b));
    assert!(flow(&b).iter().all(|v| (20.0..80.0).contains(v)));
    assert!(a.iter().zip(&b).all(|(a, b)| a.values[0] == b.values[0]));
}
