//! An ext4 in a file, and its mounting, which is undone whatever happens. Needs root, and says so.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The kernel lets go of a file system shortly after the last of its files is closed; other tests that are just
/// starting a process may hold a copy of a descriptor meanwhile.
const BUSY_MAX: Duration = Duration::from_secs(20);

/// Whether this process may mount. If not, that is said past the test harness, which swallows what a test prints.
pub(crate) fn may_mount(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        let message = format!("\n!!! NOT RUN: {test}: it mounts file systems, which needs root.\n\n");
        std::io::stderr().write_all(message.as_bytes()).expect("stderr is open");
    }
    is_root
}

/// Makes a file of this size with an empty ext4 in it.
pub(crate) fn make_ext4(image: &Path, bytes: u64) {
    File::create(image).unwrap().set_len(bytes).unwrap();
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image)).unwrap();
}

/// A mounted image; dropped, it is unmounted.
#[derive(Debug)]
pub(crate) struct Mount {
    dir: PathBuf,
}

impl Mount {
    pub(crate) fn new(image: &Path, dir: &Path, options: &str) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        run(Command::new("mount").args(["-t", "ext4", "-o", &format!("loop,{options}")]).args([image, dir])).unwrap();
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let until = Instant::now() + BUSY_MAX;
        while let Err(reason) = run(Command::new("umount").arg(&self.dir)) {
            if Instant::now() > until {
                eprintln!("{} stays mounted: {reason}", self.dir.display());
                return;
            }
            std::thread::yield_now();
        }
    }
}

pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}
