//! The gateway as a child process, and what it used: the kernel's own accounts.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

/// The child must be ready within this.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(20);

/// A gateway under test; killed when dropped.
pub struct Gateway {
    child: Child,
    data_dir: PathBuf,
}

/// CPU time, memory and writing of a process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    pub cpu_s: f64,
    pub rss_bytes: u64,
    pub rss_peak_bytes: u64,
    /// Sent to the disk by the kernel, in whole pages.
    pub written_bytes: u64,
}

impl Gateway {
    /// Starts this same binary with a configuration and waits until its doors are open.
    ///
    /// # Errors
    /// It does not start, or not in time.
    pub async fn start(config: &Path, data_dir: &Path) -> anyhow::Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .args(["run", "--log-level", "warn", "--config"])
            .arg(config)
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the gateway under test")?;
        let mut gateway = Self { child, data_dir: data_dir.to_owned() };
        let deadline = Instant::now() + START_TIMEOUT;
        while gateway.address("listen").is_err() || gateway.address("http").is_err() {
            if let Some(status) = gateway.child.try_wait()? {
                bail!("the gateway under test ended with {status}");
            }
            if Instant::now() > deadline {
                bail!("the gateway under test is not ready after {} s", START_TIMEOUT.as_secs());
            }
            sleep(POLL_EVERY).await;
        }
        Ok(gateway)
    }

    /// Where a door of it is, as it wrote it beside its data.
    ///
    /// # Errors
    /// Not open yet.
    pub fn address(&self, door: &str) -> anyhow::Result<std::net::SocketAddr> {
        Ok(std::fs::read_to_string(self.data_dir.join(format!("{door}.addr")))?.trim().parse()?)
    }

    /// # Errors
    /// The process is gone.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let pid = self.child.id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let io = std::fs::read_to_string(format!("/proc/{pid}/io"))?;
        let ticks_per_s = rustix::param::clock_ticks_per_second() as f64;
        parse(&stat, &status, &io, ticks_per_s).context("the kernel's accounts have an unknown form")
    }

    /// Asks it to stop and waits.
    ///
    /// # Errors
    /// It ended with a failure.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None => sleep(POLL_EVERY).await,
            }
        };
        if !status.success() {
            bail!("the gateway under test ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Errors only if it has ended already, which is what is wanted.
        self.child.kill().and_then(|()| self.child.wait()).map(drop).unwrap_or_default();
    }
}

/// `/proc/PID/stat` (fields 14 and 15 are user and system ticks; the name before may hold blanks), `status` and `io`.
fn parse(stat: &str, status: &str, io: &str, ticks_per_s: f64) -> Option<Usage> {
    let mut after_name = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let ticks = after_name.next()?.parse::<f64>().ok()? + after_name.next()?.parse::<f64>().ok()?;
    let number = |text: &str, key: &str| -> Option<u64> {
        text.lines().find_map(|l| l.strip_prefix(key))?.split_ascii_whitespace().next()?.parse().ok()
    };
    Some(Usage {
        cpu_s: ticks / ticks_per_s,
        rss_bytes: number(status, "VmRSS:")? * 1024,
        rss_peak_bytes: number(status, "VmHWM:")? * 1024,
        written_bytes: number(io, "write_bytes:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_accounts_are_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 0 0 0 0 0 250 50 0 0 20 0 4 0 0 0 0";
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let io = "wchar: 9\nwrite_bytes: 4096\ncancelled_write_bytes: 1\n";
        let usage = Usage { cpu_s: 3.0, rss_bytes: 1 << 20, rss_peak_bytes: 2 << 20, written_bytes: 4096 };
        assert_eq!(parse(stat, status, io, 100.0), Some(usage));
    }
}
