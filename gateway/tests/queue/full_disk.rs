//! A disk of 48 MB runs full. Doors wait, nothing fails, all that was acknowledged can be read meanwhile; and once there
//! is space again the same process goes on by itself.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use gateway::queue::EngineKind;

use crate::attendant::Order;
use crate::child::WriterProcess;
use crate::image::{self, Mount};
use crate::job::{Consumers, Job};
use crate::oracle;
use crate::setting;
use crate::told::{Acked, Told};

const DISK_BYTES: u64 = 48 << 20;
/// What somebody else has put there, and takes away again.
const FILLER_BYTES: u64 = 24 << 20;

#[test]
fn a_full_disk_holds_the_doors_up_until_somebody_else_makes_space_on_sled() {
    if image::may_mount("a full disk, space made by somebody else") {
        (0..setting::rounds(1, 5)).for_each(|_| somebody_else_makes_space(EngineKind::Sled));
    }
}

#[test]
fn a_full_disk_holds_the_doors_up_until_somebody_else_makes_space_on_redb() {
    if image::may_mount("a full disk, space made by somebody else") {
        (0..setting::rounds(1, 5)).for_each(|_| somebody_else_makes_space(EngineKind::Redb));
    }
}

#[test]
fn a_full_disk_holds_the_doors_up_until_the_consumers_have_made_space_on_sled() {
    if image::may_mount("a full disk, space made by its consumers") {
        consumers_make_space(EngineKind::Sled, setting::rounds(1, 5));
    }
}

#[test]
fn a_full_disk_holds_the_doors_up_until_the_consumers_have_made_space_on_redb() {
    if image::may_mount("a full disk, space made by its consumers") {
        consumers_make_space(EngineKind::Redb, setting::rounds(1, 5));
    }
}

fn somebody_else_makes_space(engine: EngineKind) {
    let disk = Disk::new(engine);
    let mut writer = disk.writer();
    writer.run_for(1, Duration::ZERO);
    let filler = disk.mount.dir().join("filler");
    fill(&filler);
    let (when_full, failed_commits) = run_full(&mut writer, 0);
    std::fs::remove_file(filler).unwrap();
    goes_on(&mut writer, &when_full);
    // It runs full once more, and is killed in that state.
    run_full(&mut writer, failed_commits);
    disk.judge(&writer.kill());
}

fn consumers_make_space(engine: EngineKind, times: u32) {
    let disk = Disk::new(engine);
    let mut writer = disk.writer();
    let mut failed_commits = 0;
    for _ in 0..times {
        let when_full;
        (when_full, failed_commits) = run_full(&mut writer, failed_commits);
        writer.order(Order::Drain);
        writer.until(|told| matches!(told, Told::Drained { .. }).then_some(()));
        goes_on(&mut writer, &when_full);
    }
    disk.judge(&writer.kill());
}

/// Until doors are held up, after more commits have failed than before. What was acknowledged until then is read by the
/// same process.
fn run_full(writer: &mut WriterProcess, failed_before: u64) -> (Acked, u64) {
    let failed_commits = writer.until(|told| match told {
        Told::HeldUp { failed_commits } => (failed_commits > failed_before).then_some(failed_commits),
        Told::Acked(_) | Told::Read { .. } | Told::Drained { .. } => None,
    });
    let acked = writer.acked;
    writer.order(Order::Read);
    let ends = writer.until(|told| match told {
        Told::Read { ends } => Some(ends),
        Told::Acked(_) | Told::HeldUp { .. } | Told::Drained { .. } => None,
    });
    assert!(ends[0] >= acked.ends[0] && ends[1] >= acked.ends[1], "{acked:?} acknowledged, {ends:?} read");
    (writer.acked, failed_commits)
}

/// More is acknowledged than was under way.
fn goes_on(writer: &mut WriterProcess, when_full: &Acked) {
    let enough = when_full.ends[0] + 1_000;
    writer.until(|told| matches!(told, Told::Acked(acked) if acked.ends[0] > enough).then_some(()));
}

fn fill(path: &Path) {
    std::io::copy(&mut std::io::Read::take(std::io::repeat(1), FILLER_BYTES), &mut File::create(path).unwrap())
        .unwrap();
    File::open(path).unwrap().sync_all().unwrap();
}

struct Disk {
    engine: EngineKind,
    mount: Mount,
    dir: tempfile::TempDir,
}

impl Disk {
    fn new(engine: EngineKind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("disk.img");
        image::make_ext4(&image, DISK_BYTES).unwrap();
        let mount = Mount::new(&image, &dir.path().join("disk"), "defaults").unwrap();
        Self { engine, mount, dir }
    }

    fn writer(&self) -> WriterProcess {
        let dir = self.mount.dir().join("queue");
        let job = Job { engine: self.engine, dir, consumers: Consumers::AwaitOrders };
        WriterProcess::spawn(&job, self.dir.path().join("writer.log"))
    }

    fn judge(&self, acked: &Acked) {
        oracle::judge(self.engine, &self.mount.dir().join("queue"), acked).unwrap();
    }
}
