use super::*;

fn config() -> Config {
    Config { hop: Duration::from_secs(200), ..Config::default() }
}

fn counts_by_start(run: &Run) -> Vec<(i64, u32, u32)> {
    let first = at(0.0).0.div_euclid(200_000_000_000);
    run.closed().iter().map(|c| ((c.window.0 - first) * 200, c.revision, c.count())).collect()
}

#[test]
fn a_reading_is_in_each_window_that_contains_it() {
    let mut run = Run::new(config());
    for second in [450.0, 610.0, 1_430.0] {
        run.take(&message("d", second, "c", 1.0));
    }
    assert_eq!(counts_by_start(&run), [(0, 0, 1), (200, 0, 2), (400, 0, 2), (600, 0, 1), (800, 0, 0)]);
}

#[test]
fn a_reading_late_for_some_of_its_windows_is_used_in_the_others_and_revises_those() {
    let mut run = Run::new(config());
    for second in [450.0, 830.0] {
        run.take(&message("d", second, "c", 1.0));
    }
    run.take_at(&message("d", 500.0, "c", 2.0), at(830.0));
    assert_eq!(run.out.counts.used, 3);
    run.look(at(890.0));
    run.take(&message("d", 1_230.0, "c", 1.0));
    let all = counts_by_start(&run);
    assert_eq!(all[..4], [(0, 0, 1), (200, 0, 1), (0, 1, 2), (200, 1, 2)]);
    assert_eq!(all[4..], [(400, 0, 3), (600, 0, 1)]);
}

#[test]
fn each_hop_is_kept_once_in_memory_and_in_the_archive() {
    let mut run = Run::new(config());
    (0..2_000).for_each(|s| run.take(&message("d", f64::from(s), "c", f64::from(s % 10) / 10.0)));
    let kept: u32 = run.archive.0.values().map(|archived| archived.pane.count).sum();
    let open = run.closed().iter().filter(|c| c.revision == 0).count();
    assert_eq!((kept, open), (1_400, 9), "windows that began before the first reading among them");
}
