//! The power fails at random moments, on a disk as `disk` describes it. What was acknowledged before is there after.
//!
//! Controls show that the harness can say no: what is not synced is lost with each kind of cut, and what is synced but
//! not flushed is lost when the disk's cache is; a file that is synced and flushed comes back.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use gateway::queue::EngineKind;

use crate::child::WriterProcess;
use crate::disk::{Cut, Disk};
use crate::job::{Consumers, Job};
use crate::setting::{self, Chance};
use crate::told::Acked;
use crate::{image, oracle};

const DISK_BYTES: u64 = 96 << 20;

#[test]
fn what_was_acknowledged_survives_power_cuts_on_sled() {
    if image::may_mount("what was acknowledged survives power cuts") {
        survives_power_cuts(EngineKind::Sled);
    }
}

#[test]
fn what_was_acknowledged_survives_power_cuts_on_redb() {
    if image::may_mount("what was acknowledged survives power cuts") {
        survives_power_cuts(EngineKind::Redb);
    }
}

fn survives_power_cuts(engine: EngineKind) {
    let mut chance = Chance::new();
    for options in ["defaults", "data=writeback"] {
        let mut disk = Disk::new(DISK_BYTES, options);
        let job = Job { engine, dir: disk.root().join("queue"), consumers: Consumers::Follow };
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut found = Acked::default();
        for round in 0..setting::rounds(2, 30) {
            let cut = if round % 2 == 0 { Cut::Unsent } else { Cut::Unflushed };
            let mut writer = WriterProcess::spawn(&job, log.path().to_owned());
            // Opening takes part, too; the first time it makes everything.
            let acks = if chance.below(5) == 0 { 0 } else { 1 + chance.below(150) };
            writer.run_for(acks, Duration::from_micros(chance.below(30_000)));
            let acked = writer.acked;
            disk.cut(cut);
            drop(writer);
            disk.restart();
            let judged = oracle::judge(engine, &job.dir, &acked);
            found = judged.unwrap_or_else(|fault| panic!("{options}, round {round}, {cut:?}: {fault}"));
        }
        println!("{options}: {found:?}");
    }
}

#[test]
fn the_harness_loses_what_was_not_synced_and_keeps_what_was() {
    if !image::may_mount("the harness of the power cuts") {
        return;
    }
    for cut in [Cut::Unsent, Cut::Unflushed] {
        let mut disk = Disk::new(DISK_BYTES, "defaults");
        let (synced, unsynced) = (disk.root().join("synced"), disk.root().join("unsynced"));
        append(&synced, |file| file.sync_all().unwrap());
        append(&unsynced, |file| file.flush().unwrap());
        disk.cut(cut);
        disk.restart();
        assert_eq!(lines(&synced), LINES, "{cut:?}");
        assert!(lines(&unsynced) < LINES, "{cut:?}");
    }
}

/// A file system without barriers syncs without asking for a flush.
#[test]
fn the_harness_loses_what_was_synced_and_never_flushed_with_the_cache_of_the_disk() {
    if !image::may_mount("the harness of the power cuts") {
        return;
    }
    for cut in [Cut::Unsent, Cut::Unflushed] {
        let mut disk = Disk::new(DISK_BYTES, "barrier=0");
        let synced = disk.root().join("synced");
        append(&synced, |file| file.sync_all().unwrap());
        disk.cut(cut);
        disk.restart();
        match cut {
            Cut::Unsent => assert_eq!(lines(&synced), LINES),
            Cut::Unflushed => assert!(lines(&synced) < LINES),
        }
    }
}

const LINES: usize = 200;

/// A store of lines, each of which is acknowledged after `sync`.
fn append(path: &std::path::Path, sync: fn(&mut File)) {
    let mut file = File::create(path).unwrap();
    for line in 0..LINES {
        writeln!(file, "{line}").unwrap();
        sync(&mut file);
    }
    // Its name, too: what is judged is the content.
    if path.ends_with("synced") {
        File::open(path.parent().unwrap()).unwrap().sync_all().unwrap();
    }
}

fn lines(path: &std::path::Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}
