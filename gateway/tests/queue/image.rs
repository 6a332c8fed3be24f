//! An ext4 in a file, and its mounting, which is undone whatever happens. Needs root, and says so.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The kernel lets go of a file system shortly after the last of its files is closed; other tests that are just
/// starting a process may hold a copy of a descriptor meanwhile.
const BUSY_MAX: Duration = Duration::from_secs(20);

/// Whether this process can mount, found out by doing it. If not, that is said past the test harness, which swallows
/// what a test prints.
///
/// # Panics
/// Root cannot mount, in CI: there it is known to work.
pub(crate) fn may_mount(test: &str) -> bool {
    static PROBED: OnceLock<Result<(), String>> = OnceLock::new();
    let Err(reason) = PROBED.get_or_init(probe) else { return true };
    let message = format!("\n!!! NOT RUN: {test}: it mounts file systems: {reason}\n\n");
    std::io::stderr().write_all(message.as_bytes()).expect("stderr is open");
    false
}

fn probe() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("that needs root".to_owned());
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("probe.img");
    let mounted = make_ext4(&image, 4 << 20).and_then(|()| Mount::new(&image, &dir.path().join("probe"), "defaults"));
    assert!(mounted.is_ok() || std::env::var_os("CI").is_none(), "root cannot mount: {mounted:?}");
    mounted.map(drop)
}

/// Makes a file of this size with an empty ext4 in it.
pub(crate) fn make_ext4(image: &Path, bytes: u64) -> Result<(), String> {
    File::create(image).and_then(|file| file.set_len(bytes)).map_err(|e| e.to_string())?;
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))
}

/// A mounted image; dropped, it is unmounted.
#[derive(Debug)]
pub(crate) struct Mount {
    dir: PathBuf,
}

impl Mount {
    pub(crate) fn new(image: &Path, dir: &Path, options: &str) -> Result<Self, String> {
        std::fs::create_dir_all(dir).map_err(|e| e.to_string())?;
        run(Command::new("mount").args(["-t", "ext4", "-o", &format!("loop,{options}")]).args([image, dir]))?;
        Ok(Self { dir: dir.to_owned() })
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
