//! A writer in a process of its own, to be killed; the lines that it tells are the clock of the faults.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::writer::{self, Acked, Job};

pub(crate) struct WriterProcess {
    process: Child,
    told: Receiver<Acked>,
    /// The last line read.
    pub(crate) acked: Acked,
    log: PathBuf,
}

impl WriterProcess {
    /// What it complains about goes beside its directory.
    pub(crate) fn spawn(job: &Job, log: PathBuf) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([writer::TEST, "--exact", "--nocapture"])
            .envs(job.variables())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let (sender, told) = mpsc::channel();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // Lines of the test harness itself are no acknowledgements. The thread ends with the process.
        std::thread::spawn(move || {
            let acks = lines.map_while(Result::ok).filter_map(|line| line.parse().ok());
            acks.map_while(|acked| sender.send(acked).ok()).for_each(drop);
        });
        Self { process, told, acked: Acked::default(), log }
    }

    /// Reads so many acknowledgements, then on for this long: a moment between two of them.
    pub(crate) fn run_for(&mut self, acks: u64, and: Duration) {
        for _ in 0..acks {
            match self.told.recv() {
                Ok(acked) => self.acked = acked,
                Err(mpsc::RecvError) => self.ended(),
            }
        }
        let until = Instant::now() + and;
        loop {
            match self.told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(acked) => self.acked = acked,
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => self.ended(),
            }
        }
    }

    fn ended(&mut self) -> ! {
        let status = self.process.wait().unwrap();
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        panic!("the writer ended by itself after {:?}: {status}\n{log}", self.acked);
    }

    /// SIGKILL; all that was told before.
    pub(crate) fn kill(mut self) -> Acked {
        self.end();
        let rest = self.told.iter().last();
        rest.unwrap_or(self.acked)
    }

    fn end(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for WriterProcess {
    fn drop(&mut self) {
        self.end();
    }
}
