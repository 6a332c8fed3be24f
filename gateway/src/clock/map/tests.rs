use super::*;

const HOUR_NS: u64 = 3_600_000_000_000;
const HOUR: Duration = Duration::from_secs(3_600);
/// In 2026.
const NOON_NS: i64 = 1_795_262_400_000_000_000;
const NOON: EventTime = EventTime(NOON_NS);
const BOOT: ClockBoot = ClockBoot(7);

fn stamp(boot: u64, hours: u64) -> Stamp {
    Stamp { boot: ClockBoot(boot), since_boot_ns: hours * HOUR_NS }
}

fn map_of(boots: &[(u64, i64)]) -> ClockMap {
    let mut map = ClockMap::default();
    for (boot, at) in boots {
        match *at >= BELIEVABLE_FROM.0 {
            true => map.set(ClockBoot(*boot), *at),
            false => map.note(ClockBoot(*boot), *at),
        }
    }
    map
}

fn reading(hours: u64, wall: EventTime, kernel: KernelWord) -> Reading {
    let since_boot_ns = hours * HOUR_NS;
    Reading { since_boot_ns, wall_at_boot_ns: wall.0 - since_boot_ns as i64, kernel }
}

fn unsynchronised(hours: u64, wall: EventTime) -> Reading {
    reading(hours, wall, KernelWord::Unsynchronised)
}

/// As the clock task does it, without waiting for a time service.
fn look(map: &mut ClockMap, reading: &Reading) -> (State, Observed) {
    let state = map.judge(BOOT, reading);
    (state, map.observe(BOOT, reading, state, state != State::Wrong))
}

fn plus(at: EventTime, hours: i64) -> EventTime {
    EventTime(at.0 + hours * HOUR_NS as i64)
}

#[test]
fn a_stamp_of_1970_resolves_to_the_time_that_was_learned_later() {
    let mut map = ClockMap::default();
    assert_eq!(look(&mut map, &unsynchronised(0, EventTime(0))), (State::Wrong, Observed::New));
    let first = stamp(BOOT.0, 1);
    assert_eq!(map.resolve(first), Received { at: EventTime(HOUR_NS as i64), clock: ClockTrust::Unsynchronised });
    assert_eq!(look(&mut map, &unsynchronised(2, plus(EventTime(0), 2))), (State::Wrong, Observed::Nothing));
    let synchronised = reading(3, NOON, KernelWord::Synchronised);
    assert_eq!(look(&mut map, &synchronised), (State::Synchronised, Observed::Known));
    assert_eq!(map.resolve(first), Received::known(plus(NOON, -2)));
    assert_eq!(look(&mut map, &synchronised), (State::Synchronised, Observed::Nothing));
}

#[test]
fn a_kernel_that_calls_1970_synchronised_is_not_believed() {
    let mut map = ClockMap::default();
    assert_eq!(look(&mut map, &reading(0, EventTime(0), KernelWord::Synchronised)).0, State::Wrong);
}

#[test]
fn a_step_moves_the_times_of_its_boot_and_slewing_does_not() {
    let mut map = ClockMap::default();
    assert_eq!(look(&mut map, &unsynchronised(1, NOON)), (State::Unverified, Observed::New));
    let slewed = EventTime(NOON.0 + 49_000_000);
    assert_eq!(look(&mut map, &unsynchronised(1, slewed)).1, Observed::Nothing);
    assert_eq!(map.resolve(stamp(BOOT.0, 0)).at, plus(NOON, -1));
    for hours in [5, -5] {
        assert_eq!(
            look(&mut map, &unsynchronised(1, plus(NOON, hours))).1,
            Observed::Moved(if hours > 0 { 5 } else { 10 } * HOUR)
        );
        assert_eq!(map.resolve(stamp(BOOT.0, 1)).at, plus(NOON, hours), "forward or back: somebody has set it");
    }
}

#[test]
fn a_boot_whose_time_is_known_does_not_follow_its_clock_to_1970() {
    let mut map = ClockMap::default();
    look(&mut map, &unsynchronised(1, NOON));
    assert_eq!(look(&mut map, &unsynchronised(2, EventTime(0))), (State::Wrong, Observed::Nothing));
    assert_eq!(map.resolve(stamp(BOOT.0, 2)), Received::known(plus(NOON, 1)));
}

#[test]
fn a_clock_that_starts_before_the_newest_time_known_is_wrong_and_what_it_stamps_is_later_than_that() {
    let mut map = map_of(&[(1, NOON_NS - HOUR_NS as i64)]);
    map.newest = NOON;
    let restored_from_a_file = unsynchronised(0, plus(NOON, -2));
    assert_eq!(look(&mut map, &restored_from_a_file).0, State::Wrong);
    assert_eq!(map.resolve(stamp(BOOT.0, 1)), Received { at: plus(NOON, 1), clock: ClockTrust::Unsynchronised });
    let battery_clock_that_lags = unsynchronised(0, EventTime(NOON.0 - 59_000_000_000));
    assert_eq!(map.judge(ClockBoot(8), &battery_clock_that_lags), State::Unverified);
}

#[test]
fn a_newest_time_that_was_in_the_future_is_overruled_by_the_kernel_or_by_setting_the_clock() {
    let future = plus(NOON, 1_000_000);
    let mut by_service = ClockMap { newest: future, ..ClockMap::default() };
    assert_eq!(look(&mut by_service, &unsynchronised(0, NOON)).0, State::Wrong);
    assert_eq!(look(&mut by_service, &reading(1, NOON, KernelWord::Synchronised)).1, Observed::Known);
    assert_eq!(by_service.newest, NOON);

    let mut by_hand = ClockMap { newest: future, ..ClockMap::default() };
    assert_eq!(look(&mut by_hand, &unsynchronised(0, NOON)).0, State::Wrong);
    assert_eq!(look(&mut by_hand, &unsynchronised(1, plus(NOON, 3))), (State::Unverified, Observed::Known));
}

#[test]
fn a_plausible_clock_that_is_waited_for_stays_plausible_and_its_times_are_not_known_yet() {
    let mut map = ClockMap { newest: plus(NOON, 1_000), ..ClockMap::default() };
    look(&mut map, &unsynchronised(0, EventTime(0)));
    let set = unsynchronised(1, NOON);
    for _ in 0..2 {
        let state = map.judge(BOOT, &set);
        assert_eq!(state, State::Unverified);
        assert_eq!(map.observe(BOOT, &set, state, false), Observed::Nothing);
        assert_eq!(map.resolve(stamp(BOOT.0, 1)), Received { at: NOON, clock: ClockTrust::Unsynchronised });
    }
}

#[test]
fn a_boot_that_ended_before_its_clock_was_set_ends_where_the_next_begins() {
    let mut map = map_of(&[(1, NOON_NS - 100 * HOUR_NS as i64), (2, 0), (3, 0)]);
    map.note_newest(stamp(2, 5));
    map.note_newest(stamp(3, 2));
    assert_eq!(map.resolve(stamp(3, 0)).clock, ClockTrust::Unsynchronised);
    look(&mut map, &unsynchronised(1, NOON));
    let estimated = |hours| Received { at: plus(NOON, hours), clock: ClockTrust::Estimated };
    assert_eq!(map.resolve(stamp(3, 2)), estimated(-1), "its newest record came right before the start");
    assert_eq!(map.resolve(stamp(2, 5)), estimated(-3));
    assert_eq!(map.resolve(stamp(2, 0)), estimated(-8));
    look(&mut map, &reading(1, plus(NOON, 1), KernelWord::Synchronised));
    assert_eq!(map.resolve(stamp(3, 2)), estimated(0), "it follows when the start is known better");
}

#[test]
fn between_two_boots_age_is_what_the_wall_clocks_tell() {
    let map = map_of(&[(1, NOON_NS), (2, NOON_NS + 10 * HOUR_NS as i64)]);
    assert_eq!(map.age(stamp(1, 3), stamp(2, 2)), Some(9 * HOUR));
}

#[test]
fn a_wall_clock_that_is_set_makes_nothing_of_this_boot_older_or_younger() {
    for wall_at_boot in [0, NOON_NS, NOON_NS + 10_000 * HOUR_NS as i64, i64::MAX] {
        let map = map_of(&[(1, wall_at_boot)]);
        assert_eq!(map.age(stamp(1, 3), stamp(1, 5)), Some(2 * HOUR), "{wall_at_boot}");
        assert_eq!(map.age(stamp(1, 5), stamp(1, 3)), None, "{wall_at_boot}");
    }
    assert_eq!(ClockMap::default().age(stamp(1, 3), stamp(1, 5)), Some(2 * HOUR), "not even noted");
}

#[test]
fn an_age_that_cannot_be_told_is_none() {
    let known = map_of(&[(1, NOON_NS), (2, NOON_NS)]);
    assert_eq!(known.age(stamp(7, 0), stamp(2, 1)), None, "its boot is not known");
    assert_eq!(known.age(stamp(1, 0), stamp(7, 1)), None, "this boot is not known");
    assert_eq!(known.age(stamp(1, 5), stamp(2, 1)), None, "it lies in the future: the clock was set back");
    let unset = map_of(&[(1, NOON_NS), (2, 0)]);
    assert_eq!(unset.age(stamp(1, 0), stamp(2, 1)), None, "the clock is not set yet");
}

#[test]
fn a_stored_map_comes_back_whatever_it_holds() {
    let mut map = map_of(&[(1, NOON_NS), (2, 0), (3, NOON_NS + HOUR_NS as i64), (4, 0)]);
    map.note_newest(stamp(2, 3));
    map.newest = NOON;
    assert_eq!(ClockMap::from_bytes(&map.to_bytes()), map);
    assert_eq!(ClockMap::from_bytes(&[]), ClockMap::default());
    assert_eq!(ClockMap::from_bytes(&[0xff; 7]), ClockMap::default());
}

#[test]
fn a_map_of_the_first_version_is_read() {
    let boots = [(1u64, NOON_NS), (2, 5), (3, NOON_NS + 9)];
    let bytes: Vec<u8> = boots.iter().flat_map(|(id, at)| [id.to_le_bytes(), at.to_le_bytes()].concat()).collect();
    let map = ClockMap::from_bytes(&bytes);
    assert_eq!(map.resolve(stamp(1, 0)), Received::known(NOON));
    assert_eq!(map.resolve(stamp(2, 0)).clock, ClockTrust::Estimated);
    assert_eq!(map.newest, EventTime(NOON_NS + 9));
}

#[test]
fn what_was_stored_is_taken_over_and_what_was_noted_since_stays() {
    let map = SharedClockMap::default();
    map.write().note(BOOT, 5);
    map.write().note(ClockBoot(9), 6);
    map.restore(&map_of(&[(1, NOON_NS), (BOOT.0, NOON_NS)]).to_bytes());
    assert_eq!(map.resolve(stamp(1, 0)), Received::known(NOON));
    assert_eq!(map.resolve(stamp(BOOT.0, 0)), Received::known(NOON), "an earlier run of this boot knew it");
    assert_eq!(map.resolve(stamp(9, 0)).clock, ClockTrust::Unsynchronised);
}

#[test]
fn the_map_is_bounded() {
    let mut map = ClockMap::default();
    (0..1_000).for_each(|i| map.set(ClockBoot(i), NOON_NS));
    assert_eq!(map.boots.len(), ClockMap::BOOTS_MAX);
}

#[test]
fn a_map_of_one_stamp_resolves_it_to_the_time_that_it_was_given() {
    for clock in ClockTrust::ALL {
        for at in [0, NOON_NS, -NOON_NS] {
            let received = Received { at: EventTime(at), clock };
            assert_eq!(ClockMap::of(stamp(1, 5), received).resolve(stamp(1, 5)), received);
        }
    }
}
