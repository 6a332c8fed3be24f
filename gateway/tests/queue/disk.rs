//! A disk that loses its power.
//!
//! Two file systems inside each other: the queue works in an ext4 (the one under test) on a loop device, whose backing
//! file lies in a second ext4 (the disk's inside) on a loop device of its own.
//!
//! ```text
//! queue ─▶ inner ext4 ─▶ loop ─▶ disk.img = "sent to the disk" ─▶ outer ext4 ─▶ loop ─▶ host.img = "flushed"
//! ```
//!
//! # The moment
//! The power fails when one of the two backing files is made immutable: ext4 asks for that on each write, also through
//! descriptors that are open, under the lock that the change itself takes. So the file holds all writes of the loop
//! device up to one moment, in their order, and none after it, however far in the middle of a commit or an fsync that
//! is. It can be copied at leisure, while the kernel's later writes fail.
//!
//! - `disk.img`: all that was sent to the disk survives. What the inner file system still had in memory is gone.
//! - `host.img`: the disk has a volatile cache, which is gone, too. What the outer file system has not been told to
//!   sync, which a loop device does at a flush only, was in that cache; some of it survives, in no order.
//!
//! # Not here
//! Sectors torn in the middle, and disks that lie about a flush.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::IFlags;
use tempfile::TempDir;

use crate::image::{self, Mount};

/// What the moment without power takes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// What the disk had not been sent.
    Unsent,
    /// And what it had not been told to flush.
    Unflushed,
}

pub(crate) struct Disk {
    // Dropped in this order: each keeps the next one busy.
    inner: Option<Mount>,
    frozen: Option<(Cut, Frozen)>,
    outer: Option<Mount>,
    options: String,
    dir: TempDir,
}

impl Disk {
    /// `options` are the mount options under test.
    pub(crate) fn new(bytes: u64, options: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = Self { inner: None, outer: None, frozen: None, options: options.to_owned(), dir };
        // Room for a copy of the disk, and both are sparse.
        image::make_ext4(&disk.host_image(), 3 * bytes).unwrap();
        disk.mount_outer();
        image::make_ext4(&disk.disk_image(), bytes).unwrap();
        disk.mount_inner();
        disk
    }

    /// Where the file system under test is.
    pub(crate) fn root(&self) -> &Path {
        self.inner.as_ref().expect("mounted").dir()
    }

    fn host_image(&self) -> PathBuf {
        self.dir.path().join("host.img")
    }

    fn disk_image(&self) -> PathBuf {
        self.dir.path().join("host/disk.img")
    }

    fn mount_outer(&mut self) {
        self.outer = Some(Mount::new(&self.host_image(), &self.dir.path().join("host"), "defaults").unwrap());
    }

    fn mount_inner(&mut self) {
        self.inner = Some(Mount::new(&self.disk_image(), &self.dir.path().join("disk"), &self.options).unwrap());
    }

    /// The moment.
    pub(crate) fn cut(&mut self, cut: Cut) {
        let image = match cut {
            Cut::Unsent => self.disk_image(),
            Cut::Unflushed => self.host_image(),
        };
        self.frozen = Some((cut, Frozen::new(&image)));
    }

    /// The power comes back: mounts a copy of what the moment left, which replays the journals.
    pub(crate) fn restart(&mut self) {
        let (cut, frozen) = self.frozen.take().expect("the power failed before");
        let copy = frozen.image.with_extension("copy");
        image::run(Command::new("cp").arg("--sparse=always").args([&frozen.image, &copy])).unwrap();
        self.inner = None;
        if cut == Cut::Unflushed {
            self.outer = None;
        }
        let image = frozen.image.clone();
        drop(frozen);
        fs::rename(copy, image).unwrap();
        if cut == Cut::Unflushed {
            self.mount_outer();
        }
        self.mount_inner();
    }
}

/// A file that takes no write; dropped, it does again.
struct Frozen {
    image: PathBuf,
    file: File,
}

impl Frozen {
    fn new(image: &Path) -> Self {
        let frozen = Self { image: image.to_owned(), file: File::open(image).unwrap() };
        frozen.set_immutable(true).unwrap();
        frozen
    }

    fn set_immutable(&self, is_immutable: bool) -> rustix::io::Result<()> {
        let mut flags = rustix::fs::ioctl_getflags(&self.file)?;
        flags.set(IFlags::IMMUTABLE, is_immutable);
        rustix::fs::ioctl_setflags(&self.file, flags)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.set_immutable(false).expect("what was set can be taken back");
    }
}
