//! What the kernel says that something cost.
//!
//! # Bytes written, three times
//! - *calls*: `wchar` of `/proc/self/io`, what this process handed to the kernel.
//! - *process*: `write_bytes` of `/proc/self/io`, whole pages that this process made dirty and that were not yet. A page that is
//!   synced and then written again counts again. The file system's own journal is not in it.
//! - *device*: sectors that the block device was given meanwhile, from `/sys/dev/block`: the journal is in it, and all
//!   that anybody else wrote there.

use std::fs::{self, File};
use std::os::linux::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Result;

/// The unit of the kernel's block statistics, whatever the disk's own sectors are.
const SECTOR_BYTES: u64 = 512;
/// Place of "sectors written" in a device's `stat`.
const SECTORS_WRITTEN: usize = 6;
/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

pub(crate) struct Meter {
    cpu: Duration,
    at: Instant,
    called_bytes: u64,
    process_bytes: u64,
    device_bytes: Option<u64>,
    file_system: File,
}

impl Meter {
    /// `dir` exists and is on the file system that is measured.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let file_system = File::open(dir)?;
        rustix::fs::syncfs(&file_system)?;
        Ok(Self {
            device_bytes: device_bytes(&file_system)?,
            called_bytes: io_bytes("wchar")?,
            process_bytes: io_bytes("write_bytes")?,
            file_system,
            cpu: cpu(),
            at: Instant::now(),
        })
    }

    /// Prints what `records` cost since the start.
    pub(crate) fn stop(self, records: u64, payload_bytes: u64) -> Result<()> {
        let (cpu, wall) = (cpu() - self.cpu, self.at.elapsed());
        rustix::fs::syncfs(&self.file_system)?;
        let amplification = |bytes: u64| bytes as f64 / payload_bytes as f64;
        figure("rate", records as f64 / wall.as_secs_f64());
        figure("cpu", cpu.as_secs_f64() / records as f64 * 1e6);
        figure("calls", amplification(io_bytes("wchar")? - self.called_bytes));
        figure("process", amplification(io_bytes("write_bytes")? - self.process_bytes));
        if let (Some(before), Some(after)) = (self.device_bytes, device_bytes(&self.file_system)?) {
            figure("device", amplification(after - before));
        }
        figure("rss", peak_rss_mib()?);
        Ok(())
    }

    /// As `stop`, for reading alone.
    pub(crate) fn stop_draining(self, records: u64) -> Result<()> {
        let (cpu, wall) = (cpu() - self.cpu, self.at.elapsed());
        figure("drain_rate", records as f64 / wall.as_secs_f64());
        figure("drain_cpu", cpu.as_secs_f64() / records as f64 * 1e6);
        figure("drain_rss", peak_rss_mib()?);
        Ok(())
    }
}

/// Tells the process that gathers.
pub(crate) fn figure(name: &str, value: f64) {
    println!("{name} {value}");
}

/// User and system time of all threads.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn io_bytes(kind: &str) -> Result<u64> {
    field(&fs::read_to_string("/proc/self/io")?, kind)
}

fn peak_rss_mib() -> Result<f64> {
    Ok(field(&fs::read_to_string("/proc/self/status")?, "VmHWM")? as f64 / 1024.0)
}

/// The number behind `name:`.
fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name)).ok_or_else(|| format!("the kernel gives no {name}"))?;
    let number = line.trim_start_matches(':').split_whitespace().next().ok_or_else(|| format!("{name} is empty"))?;
    Ok(number.parse()?)
}

/// None where the file system is not on one block device.
fn device_bytes(file: &File) -> Result<Option<u64>> {
    let device = file.metadata()?.st_dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = Path::new("/sys/dev/block").join(format!("{major}:{minor}/stat"));
    if !stat.exists() {
        return Ok(None);
    }
    let stat = fs::read_to_string(stat)?;
    let sectors = stat.split_whitespace().nth(SECTORS_WRITTEN).ok_or("the device's statistics are too short")?;
    Ok(Some(sectors.parse::<u64>()? * SECTOR_BYTES))
}

/// Blocks that the files below `dir` take, whatever their lengths say. A file that goes meanwhile counts as gone.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    each_file(dir, &mut |path| {
        bytes += fs::symlink_metadata(path).map_or(0, |m| m.st_blocks() * BLOCK_BYTES);
        Ok(())
    })?;
    Ok(bytes)
}

/// Puts the files out of the page cache, as after a start of the machine.
pub(crate) fn forget(dir: &Path) -> Result<()> {
    each_file(dir, &mut |path| {
        let file = File::open(path)?;
        file.sync_all()?;
        Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
    })
}

fn each_file(dir: &Path, f: &mut impl FnMut(&Path) -> Result<()>) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() { each_file(&path, f)? } else { f(&path)? }
    }
    Ok(())
}
