use super::*;

/// A window of "c" closed with readings at 10 s and 20 s, and one at 700 s in the next; received until 700 s.
fn closed_window() -> Run {
    let mut run = Run::new(Config::default());
    for second in [10.0, 20.0, 700.0] {
        run.take(&message("d", second, "c", second));
    }
    assert_eq!(run.counts_of_windows(), [2]);
    run
}

fn revisions(run: &Run) -> Vec<(u32, u32)> {
    run.closed().iter().map(|c| (c.revision, c.count())).collect()
}

#[test]
fn a_late_reading_makes_a_revision_after_a_minute() {
    let mut run = closed_window();
    run.take_at(&message("d", 15.0, "c", 9.0), at(710.0));
    run.look(at(769.9));
    assert_eq!(revisions(&run), [(0, 2)]);
    run.look(at(770.0));
    assert_eq!(revisions(&run), [(0, 2), (1, 3)]);
    let values: Vec<f64> = samples_of(run.closed()[1]).iter().map(|s| s.value).collect();
    assert_eq!(values, [10.0, 9.0, 20.0]);
    assert_eq!((run.out.counts.used, run.out.counts.revised), (3, 1));
}

#[test]
fn all_that_comes_late_within_a_minute_is_one_revision_and_what_comes_then_another() {
    let mut run = closed_window();
    for (second, received) in [(15.0, 710.0), (16.0, 769.0), (17.0, 771.0), (18.0, 900.0)] {
        run.take_at(&message("d", second, "c", 9.0), at(received));
    }
    assert_eq!(revisions(&run)[1..], [(1, 4), (2, 5)]);
    run.look(at(960.0));
    assert_eq!(revisions(&run)[3..], [(3, 6)]);
}

#[test]
fn repeats_that_come_late_make_no_revision() {
    let mut run = closed_window();
    for second in [10.0, 20.0] {
        run.take_at(&message("d", second, "c", second), at(710.0));
    }
    run.look(at(800.0));
    assert_eq!(revisions(&run), [(0, 2)]);
    assert_eq!((run.out.counts.revised, run.out.counts.duplicate), (0, 2));
}

#[test]
fn an_empty_window_is_filled_by_its_first_revision() {
    let mut run = Run::new(Config::default());
    for second in [10.0, 1_300.0] {
        run.take(&message("d", second, "c", 1.0));
    }
    assert_eq!(revisions(&run), [(0, 1), (0, 0)]);
    run.take_at(&message("d", 700.0, "c", 2.0), at(1_300.0));
    run.look(at(1_360.0));
    assert_eq!(revisions(&run)[2..], [(1, 1)]);
}

#[test]
fn a_channel_that_is_heard_late_for_the_first_time_begins_with_revision_0() {
    let mut run = closed_window();
    run.take_at(&message("d", 15.0, "another", 9.0), at(710.0));
    run.look(at(770.0));
    assert_eq!(revisions(&run), [(0, 2), (0, 1)]);
}

#[test]
fn channels_of_a_device_close_again_together_in_order_of_names() {
    let mut run = Run::new(Config::default());
    for name in ["b", "a"] {
        run.take(&message("d", 10.0, name, 1.0));
    }
    run.take(&message("d", 700.0, "a", 1.0));
    for name in ["b", "a"] {
        run.take_at(&message("d", 11.0, name, 1.0), at(710.0));
    }
    run.look(at(770.0));
    let names = |closed: &Vec<Closed>| -> Vec<u32> { closed.iter().map(|c| c.channel.0).collect() };
    let groups =
        run.out.events.iter().filter_map(|e| if let Event::Closed(closed) = e { Some(names(closed)) } else { None });
    assert_eq!(groups.collect::<Vec<_>>(), [[1, 0], [1, 0]]);
}

#[test]
fn behind_the_allowed_lateness_a_reading_is_late_and_the_archive_is_empty() {
    let mut run = closed_window();
    assert_eq!(run.archive.0.len(), 1);
    run.take(&message("d", 600.0 + 3_600.0 + 29.9, "c", 1.0));
    run.take(&message("d", 30.0, "c", 1.0));
    assert_eq!(run.out.counts.late, 0, "half a second is left");
    run.take(&message("d", 600.0 + 3_600.0 + 630.0, "c", 1.0));
    run.take(&message("d", 31.0, "c", 1.0));
    assert_eq!(run.out.counts.late, 1);
    let first_kept = run.archive.0.keys().next().map(|place| place.window);
    assert!(first_kept > Some(run.closed()[0].window), "{first_kept:?}");
}

#[test]
fn what_came_late_is_used_before_its_window_leaves_the_archive() {
    let mut run = closed_window();
    run.take_at(&message("d", 15.0, "c", 9.0), at(710.0));
    run.take_at(&message("d", 20_000.0, "c", 9.0), at(20_000.0));
    assert_eq!(revisions(&run)[1], (1, 3));
}

#[test]
fn revisions_are_the_same_whether_or_not_anybody_looked() {
    let (mut watched, mut unwatched) = (closed_window(), closed_window());
    let late = [(15.0, 710.0), (650.0, 720.0), (640.0, 2_500.0), (16.0, 2_501.0)];
    for (i, (second, received)) in late.into_iter().enumerate() {
        for run in [&mut watched, &mut unwatched] {
            run.take_at(&message("d", second, "c", received), at(received));
        }
        let next = late.get(i + 1).map_or(4_200.0, |(_, received)| *received);
        (received as i64..next as i64).for_each(|now| watched.look(at(now as f64)));
    }
    for run in [&mut watched, &mut unwatched] {
        run.look(at(4_200.0));
    }
    assert_eq!(watched.out.events, unwatched.out.events);
    assert!(revisions(&watched).iter().filter(|(revision, _)| *revision > 0).count() >= 3);
}
