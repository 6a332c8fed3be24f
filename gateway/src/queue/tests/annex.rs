//! What stages keep beside the generations.

use super::*;
use crate::queue::offline::Offline;

const NAME: &str = "rows";

fn change(n: u32, value: Option<usize>) -> AnnexChange {
    (n.to_be_bytes().to_vec(), value.map(|len| vec![n as u8; len]))
}

fn put(range: std::ops::Range<u32>) -> Vec<AnnexChange> {
    range.map(|n| change(n, Some(4_000))).collect()
}

#[test]
fn what_is_kept_comes_back_after_reopening_whatever_holds_the_generations() {
    for engine in EngineKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let config = config_on(engine, dir.path());
        let queue = open(&config);
        let annex = queue.annex(NAME);
        assert_eq!(annex.get(&1_u32.to_be_bytes()).unwrap(), None);
        annex.commit(vec![change(5, None)]).unwrap();
        assert_eq!(annex.disk_bytes().unwrap(), 0, "nothing is made to delete from it");
        annex.commit(put(0..600)).unwrap();
        annex.commit((0..500).map(|n| change(n, None)).collect()).unwrap();
        drop(annex);
        queue.close().unwrap();

        let queue = open(&config);
        let annex = queue.annex(NAME);
        let found: Vec<u32> = (0..700_u32).filter(|n| annex.get(&n.to_be_bytes()).unwrap().is_some()).collect();
        assert_eq!(found, (500..600).collect::<Vec<_>>());
        assert!(annex.get(&[]).unwrap().is_none());
        annex.clear().unwrap();
        assert_eq!((annex.get(&550_u32.to_be_bytes()).unwrap(), annex.disk_bytes().unwrap()), (None, 0));
        annex.commit(put(1..2)).unwrap();
        assert!(annex.get(&1_u32.to_be_bytes()).unwrap().is_some());
    }
}

#[test]
fn it_counts_against_the_budget_and_is_told_and_goes_along_when_a_queue_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config(dir.path()));
    append(&queue, (0..10).map(record));
    let before = queue.monitor().disk_bytes();
    queue.annex(NAME).commit(put(0..600)).unwrap();
    assert!(queue.monitor().disk_bytes() > before + 2_000_000);
    queue.close().unwrap();

    let offline = Offline::open(dir.path()).unwrap();
    let annexes = offline.inspect().unwrap().annexes;
    assert!(annexes.len() == 1 && annexes[0].name == NAME && annexes[0].disk_bytes > 2_000_000, "{annexes:?}");
    let copy = offline.annex(NAME).unwrap().unwrap();
    assert!(copy.get(&7_u32.to_be_bytes()).unwrap().is_some());
    assert!(offline.annex("other").unwrap().is_none());

    let out = dir.path().parent().unwrap().join(format!("{}-new", dir.path().file_name().unwrap().to_str().unwrap()));
    let go_on = &mut |_| std::ops::ControlFlow::Continue(());
    offline.repair(&out, EngineKind::default(), 16 << 20, go_on).unwrap();
    let queue = open(&config(&out));
    let annex = queue.annex(NAME);
    let found = (0..600_u32).filter(|n| annex.get(&n.to_be_bytes()).unwrap().is_some()).count();
    drop(annex);
    queue.close().unwrap();
    std::fs::remove_dir_all(&out).unwrap();
    assert_eq!(found, 600);
}

#[test]
fn a_store_whose_making_was_interrupted_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config(dir.path()));
    let of_it = dir.path().join(format!("annex-{NAME}"));
    std::fs::create_dir(&of_it).unwrap();
    std::fs::write(of_it.join("data.redb"), "").unwrap();
    let annex = queue.annex(NAME);
    assert_eq!(annex.get(b"x").unwrap(), None);
    annex.commit(put(0..3)).unwrap();
    assert!(annex.get(&2_u32.to_be_bytes()).unwrap().is_some());
    assert!(!dir.path().join("quarantine").exists());
}

#[test]
fn a_value_that_no_engine_takes_is_refused_with_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config(dir.path()));
    let refused = queue.annex(NAME).commit(vec![change(1, Some(VALUE_BYTES_MAX + 1))]).unwrap_err();
    assert_eq!(refused.to_string(), "value of 15361 bytes is longer than the queue's limit of 15360");
}
