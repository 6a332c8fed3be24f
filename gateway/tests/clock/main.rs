//! The whole way, from a sensor's PUBLISH to lines in a file, on machines whose clock is not set.
//!
//! Time is simulated: the clock stands still until a test moves it, so twenty minutes take as long as their messages.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod sensor;
mod site;

use std::time::Duration;

use firmware_protocol::measurement::EventTime;
use gateway::clock::{Phase, State};

use site::{Line, Machine, Site};

const MINUTE: Duration = Duration::from_secs(60);
/// Between two messages of a sensor.
const STEP: Duration = Duration::from_secs(5);
/// 2026-03-01T12:00:00.25Z: when the first machine gets power.
const POWER_ON: EventTime = EventTime(1_772_366_400_250_000_000);
const NINETEEN_SEVENTY: EventTime = EventTime(0);
/// Of each of the two channels of the two sensors: those that ended 30 s before the last message.
const WINDOWS_OF_5_MINUTES: u64 = 4;
const WINDOWS_OF_25_MINUTES: u64 = 24;
const WINDOWS_OF_33_MINUTES: u64 = 32;

/// What the sinks got of twenty minutes and a last message five minutes later, which closes the windows before it.
async fn twenty_minutes(site: &Site, machine: &Machine, synchronised_at_the_end: bool) -> Vec<Line> {
    let running = site.start(machine).await;
    running.live_for(20 * MINUTE).await;
    if synchronised_at_the_end {
        let status = running.status_when(|s| s.held_records == 480).await;
        assert_eq!((status.state, status.phase), (State::Wrong, Phase::Held));
        assert_eq!(site.lines(), [], "nothing has left");
        machine.synchronise();
        running.status_when(|s| s.phase == Phase::Free).await;
    }
    running.live_for(5 * MINUTE).await;
    running.ended_after_windows(2 * 2 * WINDOWS_OF_25_MINUTES).await;
    site.lines()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_received_in_1970_lands_at_the_right_time_and_windows_are_those_of_a_right_clock() {
    let (late, right) = (Site::new(""), Site::new(""));
    let started_in_1970 = Machine::power_on(1, POWER_ON, NINETEEN_SEVENTY);
    let always_right = Machine::power_on(1, POWER_ON, POWER_ON);
    always_right.synchronise();
    let lines = twenty_minutes(&late, &started_in_1970, true).await;
    assert_eq!(lines.iter().filter(|l| l.is_reading()).count(), 600);
    for line in lines.iter().filter(|l| l.is_reading()) {
        assert!(line.error_ms().abs() <= 1_000 && line.mark().is_none(), "{line:?}");
    }
    let expected = twenty_minutes(&right, &always_right, false).await;
    assert_eq!(of(&lines, Line::is_window), of(&expected, Line::is_window), "byte for byte");
    assert_eq!(of(&lines, Line::is_reading), of(&expected, Line::is_reading));
}

/// Five minutes under a right clock, an outage of three, and a second boot whose records are held for longer than a device
/// may be silent.
async fn through_an_outage(second_shows_1970: bool) -> Vec<Line> {
    let site = Site::new("");
    let first = Machine::power_on(1, POWER_ON, POWER_ON);
    first.synchronise();
    let running = site.start(&first).await;
    running.live_for(5 * MINUTE).await;
    running.ended_after_windows(2 * 2 * WINDOWS_OF_5_MINUTES).await;
    let power_on = first.truth_after(3 * MINUTE);
    let second = Machine::power_on(2, power_on, if second_shows_1970 { NINETEEN_SEVENTY } else { power_on });
    let running = site.start(&second).await;
    running.live_for(20 * MINUTE).await;
    second.synchronise();
    running.status_when(|s| s.phase == Phase::Free).await;
    running.live_for(5 * MINUTE).await;
    running.ended_after_windows(2 * 2 * (WINDOWS_OF_33_MINUTES - WINDOWS_OF_5_MINUTES)).await;
    site.lines()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_that_were_open_when_the_power_went_go_on_as_under_a_right_clock() {
    let (lines, expected) = (through_an_outage(true).await, through_an_outage(false).await);
    assert_eq!(of(&lines, Line::is_window), of(&expected, Line::is_window), "byte for byte");
    assert_eq!(of(&lines, Line::is_reading), of(&expected, Line::is_reading));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_gateway_goes_on_holding_the_same_records() {
    let site = Site::new("");
    let machine = Machine::power_on(1, POWER_ON, NINETEEN_SEVENTY);
    for part in 1..=3 {
        let running = site.start(&machine).await;
        running.live_for(5 * MINUTE).await;
        running.status_when(|s| s.held_records == 120 * part).await;
        running.killed();
    }
    let running = site.start(&machine).await;
    machine.synchronise();
    running.status_when(|s| s.phase == Phase::Free).await;
    running.ended().await;
    let readings = site.readings();
    assert_eq!(readings.len(), 360);
    assert!(readings.iter().all(|l| l.error_ms().abs() <= 1_000 && l.mark().is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_boot_that_never_had_its_clock_set_ends_where_the_next_one_begins_and_is_marked() {
    let site = Site::new("");
    let outage = 3 * MINUTE;
    let first = Machine::power_on(1, POWER_ON, NINETEEN_SEVENTY);
    let running = site.start(&first).await;
    running.live_for(10 * MINUTE).await;
    running.killed();

    let second = Machine::power_on(2, first.truth_after(outage), NINETEEN_SEVENTY);
    let running = site.start(&second).await;
    running.live_for(10 * MINUTE).await;
    running.status_when(|s| s.held_records == 480).await;
    assert_eq!(site.lines(), [], "the first boot's records wait for the second's clock");
    second.synchronise();
    running.status_when(|s| s.phase == Phase::Free).await;
    running.ended().await;

    let readings = site.readings();
    let (estimated, known): (Vec<_>, Vec<_>) = readings.iter().partition(|l| l.mark().is_some());
    assert_eq!((estimated.len(), known.len()), (240, 240));
    assert!(known.iter().all(|l| l.error_ms().abs() <= 1_000));
    let outage_ms = outage.as_millis() as i64;
    for line in estimated {
        assert_eq!(line.mark(), Some("estimated"));
        assert!(
            (0..=outage_ms).contains(&line.error_ms()),
            "not before the truth, and not into the next boot: {line:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_longest_hold_records_go_out_marked_until_the_clock_is_set() {
    let site = Site::new("[clock]\nhold_max = \"5m\"\n");
    let machine = Machine::power_on(1, POWER_ON, NINETEEN_SEVENTY);
    let running = site.start(&machine).await;
    running.live_for(10 * MINUTE).await;
    running.status_when(|s| s.phase == Phase::Released).await;
    running.drained().await;
    let readings = site.readings();
    assert_eq!(readings.len(), 240);
    assert!(readings.iter().all(|l| l.mark() == Some("unsynchronised")));
    machine.synchronise();
    running.status_when(|s| s.phase == Phase::Free).await;
    running.live_for(5 * MINUTE).await;
    running.ended().await;
    let (known, marked): (Vec<_>, Vec<_>) = site.readings().into_iter().partition(|l| l.mark().is_none());
    assert_eq!((known.len(), marked.len()), (120, 240), "what was sent marked is not sent again");
    assert!(known.iter().all(|l| l.error_ms().abs() <= 1_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plausible_clock_is_waited_for_only_as_long_as_told() {
    let site = Site::new("[clock]\nwait_for_sync = \"1m\"\n");
    let hour_slow = EventTime(POWER_ON.0 - 3_600_000_000_000);
    let machine = Machine::power_on(1, POWER_ON, hour_slow);
    machine.clock.expect_to_be_set();
    let running = site.start(&machine).await;
    running.live_for(MINUTE - STEP).await;
    let status = running.status_when(|s| s.held_records == 22).await;
    assert_eq!((status.state, status.phase), (State::Unverified, Phase::Held));
    machine.synchronise();
    running.status_when(|s| s.phase == Phase::Free && s.state == State::Synchronised).await;
    running.ended().await;
    assert!(site.readings().iter().all(|l| l.error_ms().abs() <= 1_000));

    let nobody_comes = Site::new("[clock]\nwait_for_sync = \"1m\"\n");
    let machine = Machine::power_on(1, POWER_ON, POWER_ON);
    machine.clock.expect_to_be_set();
    let running = nobody_comes.start(&machine).await;
    running.live_for(MINUTE).await;
    running.status_when(|s| s.phase == Phase::Free).await;
    running.ended().await;
    assert!(nobody_comes.readings().iter().all(|l| l.mark().is_none()), "nothing says that the clock is wrong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_from_the_future_is_written_with_the_received_time_counted_and_in_no_window() {
    let site = Site::new("");
    let machine = Machine::power_on(1, POWER_ON, POWER_ON);
    let running = site.start(&machine).await;
    let in_a_year_ms = POWER_ON.as_millis() + 365 * 86_400_000;
    running.publish(&format!(r#"{{"truth_ms":{},"ts":{in_a_year_ms}}}"#, POWER_ON.as_millis())).await;
    running.drained().await;
    assert_eq!((running.future_at_the_sink(), running.future_in_windows()), (1, 1));
    running.live_for(5 * MINUTE).await;
    running.ended_after_windows(2 * 2 * WINDOWS_OF_5_MINUTES).await;
    let readings = site.readings();
    assert_eq!(readings.len(), 121, "those after it are not late");
    assert!(readings.iter().all(|l| l.error_ms().abs() <= 1_000));
}

/// Sorted: sinks keep the order per device.
fn of(lines: &[Line], what: impl Fn(&Line) -> bool) -> Vec<&str> {
    let mut texts: Vec<_> = lines.iter().filter(|l| what(l)).map(|l| l.0.as_str()).collect();
    texts.sort_unstable();
    texts
}
