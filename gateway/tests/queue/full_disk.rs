//! A disk of 48 MB runs full. Doors wait, nothing fails, all that was acknowledged can be read meanwhile; and once there
//! is space again the same process goes on by itself.

use std::fs::File;
use std::path::Path;

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
const FILLER_BYTES: u64 = 16 << 20;

#[test]
fn a_full_disk_holds_the_doors_up_until_somebody_else_makes_space_on_sled() {
    if image::may_mount("a full disk, space made by somebody else") {
        (0..setting::rounds(1, 5)).for_each(|_| somebody_else_makes_space(EngineKind::Sled));
    }
}

#[test]
fn a_full_disk_holds_the_doors_up_until_the_consumers_have_made_space_on_sled() {
    if image::may_mount("a full disk, space made by its consumers") {
        consumers_make_space(EngineKind::Sled, setting::rounds(1, 5));
    }
}

fn somebody_else_makes_space(engine: EngineKind) {
    let disk = Disk::new(engine);
    let filler = disk.mount.dir().join("filler");
    fill(&filler);
    let mut writer = disk.writer();
    let when_full = run_full(&mut writer);
    std::fs::remove_file(filler).unwrap();
    goes_on(&mut writer, &when_full);
    // As much again is not there: it runs full once more, and is killed in that state.
    run_full(&mut writer);
    disk.judge(&writer.kill());
}

fn consumers_make_space(engine: EngineKind, times: u32) {
    let disk = Disk::new(engine);
    let mut writer = disk.writer();
    for _ in 0..times {
        let when_full = run_full(&mut writer);
        writer.order(Order::Drain);
        writer.until(|told| matches!(told, Told::Drained { .. }).then_some(()));
        goes_on(&mut writer, &when_full);
    }
    disk.judge(&writer.kill());
}

/// Until doors are held up. What was acknowledged until then is read by the same process.
fn run_full(writer: &mut WriterProcess) -> Acked {
    let failed_commits = writer.until(|told| match told {
        Told::HeldUp { failed_commits } => Some(failed_commits),
        Told::Acked(_) | Told::Open | Told::Read { .. } | Told::Drained { .. } => None,
    });
    assert!(failed_commits > 0, "the disk is full before the queue holds back");
    let acked = writer.acked;
    writer.order(Order::Read);
    let ends = writer.until(|told| match told {
        Told::Read { ends } => Some(ends),
        Told::Acked(_) | Told::Open | Told::HeldUp { .. } | Told::Drained { .. } => None,
    });
    assert!(ends[0] >= acked.ends[0] && ends[1] >= acked.ends[1], "{acked:?} acknowledged, {ends:?} read");
    acked
}

/// Doors are open again, and more is acknowledged than could be under way.
fn goes_on(writer: &mut WriterProcess, when_full: &Acked) {
    writer.until(|told| matches!(told, Told::Open).then_some(()));
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
        image::make_ext4(&image, DISK_BYTES);
        let mount = Mount::new(&image, &dir.path().join("disk"), "defaults");
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
