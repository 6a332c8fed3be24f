//! The built binaries as child processes: started, killed, watched, their words kept for the report of a failed test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, kill_process};

use crate::eventually::eventually;
use crate::stack::run_dir;

/// Of the words of a process, so much is shown when it is dropped.
const SHOWN_BYTES: usize = 8 * 1024;

/// A child process. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    dir: PathBuf,
}

/// A process that has ended by itself.
#[derive(Clone, Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Process {
    /// Starts one of this workspace's binaries.
    ///
    /// # Errors
    /// It was not built.
    pub fn start(binary: &str, args: &[&str], env: &[(&str, &str)]) -> Result<Self> {
        Self::start_program(&Self::path_of(binary)?, args, env)
    }

    /// Where one of this workspace's binaries lies.
    ///
    /// # Errors
    /// It was not built.
    pub fn path_of(binary: &str) -> Result<PathBuf> {
        let tests = std::env::current_exe()?;
        let profile = tests.ancestors().nth(2).context("test binaries lie in target/PROFILE/deps")?;
        let path = profile.join(binary);
        ensure!(path.exists(), "{} is missing; build it with: cargo build --workspace --bins", path.display());
        Ok(path)
    }

    /// Starts any program.
    ///
    /// # Errors
    /// It does not exist.
    pub fn start_program(program: &Path, args: &[&str], env: &[(&str, &str)]) -> Result<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let dir = run_dir().join(format!("{name}-{}", STARTED.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&dir)?;
        let child = Command::new(program)
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(File::create(dir.join("stdout"))?)
            .stderr(File::create(dir.join("stderr"))?)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let process = Self { name, child, dir };
        std::fs::write(process.dir.join("pid"), format!("{} {}", process.child.id(), process.started_at()?))?;
        Ok(process)
    }

    pub fn stdout(&self) -> String {
        read_lossy(&self.dir.join("stdout"))
    }

    pub fn stderr(&self) -> String {
        read_lossy(&self.dir.join("stderr"))
    }

    /// # Errors
    /// It is gone.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.still_running()?;
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).with_context(|| format!("signal {}", self.name))
    }

    /// kill -9: it gets no word in.
    ///
    /// # Errors
    /// It was gone already.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// # Errors
    /// It has ended; the message holds its last words.
    pub fn still_running(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "{} has ended ({ended:?}):\n{}", self.name, tail(&self.stderr()));
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It runs on.
    pub async fn ended(mut self, deadline: Duration) -> Result<Ended> {
        let status = eventually("end of the process", deadline, async || {
            self.child.try_wait()?.with_context(|| format!("{} runs on:\n{}", self.name, tail(&self.stderr())))
        })
        .await?;
        Ok(Ended { status, stdout: self.stdout(), stderr: self.stderr() })
    }

    /// Memory that it holds now.
    ///
    /// # Errors
    /// It is gone.
    pub fn rss_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS in /proc/PID/status")?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// Time on a processor since it was started, all of its threads together, those that have ended too.
    ///
    /// # Errors
    /// It is gone.
    pub fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(self.child.id())
    }

    /// Start time in clock ticks since boot, as the service scripts write it beside a PID.
    fn started_at(&self) -> Result<String> {
        Ok(stat(self.child.id())?.split(' ').nth(19).context("unreadable /proc/PID/stat")?.to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not running any more is what is wanted. The test runner shows what is printed here if the test fails.
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            eprintln!("{}: cannot be killed", self.name);
        }
        eprintln!("--- {} ---\n{}", self.name, tail(&self.stderr()));
    }
}

/// As [`Process::cpu_seconds`], of any process.
///
/// # Errors
/// There is none.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = stat(pid)?;
    let mut fields = stat.split(' ').skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<u64>().ok()).context("unreadable /proc/PID/stat");
    Ok((ticks()? + ticks()?) as f64 / clock_ticks_per_second() as f64)
}

/// The fields of /proc/PID/stat from the third on: those after the name.
fn stat(pid: u32) -> Result<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(") ").context("unreadable /proc/PID/stat")?;
    Ok(after_name.to_owned())
}

fn read_lossy(file: &Path) -> String {
    std::fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn tail(text: &str) -> &str {
    let mut from = text.len().saturating_sub(SHOWN_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}
