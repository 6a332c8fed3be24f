//! A writer in a process of its own, to be killed; the lines that it tells are the clock of the faults.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::attendant::Order;
use crate::job::Job;
use crate::told::{Acked, Told};
use crate::writer;

pub(crate) struct WriterProcess {
    process: Child,
    told: Receiver<Told>,
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
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let (sender, told) = mpsc::channel();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // Lines of the test harness itself tell nothing. The thread ends with the process.
        std::thread::spawn(move || {
            let told = lines.map_while(Result::ok).filter_map(|line| line.parse().ok());
            told.map_while(|told| sender.send(told).ok()).for_each(drop);
        });
        Self { process, told, acked: Acked::default(), log }
    }

    /// Reads so many acknowledgements, then on for this long: a moment between two of them.
    pub(crate) fn run_for(&mut self, acks: u64, and: Duration) {
        (0..acks).for_each(|_| self.until(|told| matches!(told, Told::Acked(_)).then_some(())));
        let until = Instant::now() + and;
        loop {
            match self.told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(told) => self.note(told),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => self.ended(),
            }
        }
    }

    /// Reads on until it tells what is waited for.
    pub(crate) fn until<T>(&mut self, wanted: impl Fn(Told) -> Option<T>) -> T {
        loop {
            let Ok(told) = self.told.recv() else { self.ended() };
            self.note(told);
            if let Some(found) = wanted(told) {
                return found;
            }
        }
    }

    fn note(&mut self, told: Told) {
        if let Told::Acked(acked) = told {
            self.acked = acked;
        }
    }

    pub(crate) fn order(&mut self, order: Order) {
        let mut stdin = self.process.stdin.as_ref().expect("piped");
        writeln!(stdin, "{order:?}").expect("it listens");
    }

    fn ended(&mut self) -> ! {
        let status = self.process.wait().unwrap();
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        panic!("the writer ended by itself after {:?}: {status}\n{log}", self.acked);
    }

    /// SIGKILL; all that was told before.
    pub(crate) fn kill(mut self) -> Acked {
        self.end();
        while let Ok(told) = self.told.recv() {
            self.note(told);
        }
        self.acked
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
