//! The two passes over a file, in a thread where waiting for the disk is allowed.
//!
//! # Invariants
//! - The file stays open from the first pass to the end of the second: whatever is renamed meanwhile, both see one file.
//! - Of a file that changes meanwhile the end is not taken for its end.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use tokio::sync::mpsc;

use super::board::Board;
use super::convert::{Batch, Converter, Filled, Progress};
use super::first_pass::FirstPass;
use super::head::{HEAD_BYTES_MAX, Head};
use super::importer::Job;
use super::register::Identity;
use super::report::Failure;
use crate::shutdown::Stop;

/// Read at a time.
const PIECE_BYTES: usize = 128 << 10;

/// What the first pass found, and the file.
pub(super) struct Survey {
    file: File,
    pub(super) head: Head,
    pub(super) identity: Identity,
    pub(super) bytes: u64,
    before: Metadata,
}

impl Survey {
    /// First pass. Blocks.
    ///
    /// # Errors
    /// The file cannot be read, or not be imported; or the stop was requested.
    pub(super) fn of(job: &Job, board: &Board, stop: &Stop) -> Result<Self, Failure> {
        let mut file = File::open(&job.path)?;
        let before = file.metadata()?;
        if !before.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file").into());
        }
        let stem = stem(&job.file);
        let mut first_bytes = Vec::new();
        file.by_ref().take(HEAD_BYTES_MAX as u64).read_to_end(&mut first_bytes)?;
        let mut pass = FirstPass::default();
        pass.push(&first_bytes)?;
        let head = Head::read(&first_bytes, &job.mapping, &stem)?;
        let mut bytes = first_bytes.len() as u64;
        drop(first_bytes);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            board.checking(job.id, bytes);
            if stop.is_requested() {
                return Err(Failure::Stopped);
            }
            match read_some(&mut file, &mut piece)? {
                0 => break,
                read => {
                    pass.push(&piece[..read])?;
                    bytes += read as u64;
                }
            }
        }
        let identity = pass.finish(&job.mapping, head.plan.is_named_by_file().then_some(&stem))?;
        Ok(Self { file, head, identity, bytes, before })
    }

    /// Second pass: sends batch after batch until the file ends or nobody takes them. Blocks.
    ///
    /// # Errors
    /// The file cannot be read, or has changed since the first pass; or the stop was requested.
    pub(super) fn read_rows(
        mut self,
        begin: Progress,
        batches: &mpsc::Sender<Batch>,
        stop: &Stop,
    ) -> Result<(), Failure> {
        self.file.seek(SeekFrom::Start(begin.offset))?;
        let mut left = self.bytes.saturating_sub(begin.offset);
        let mut converter = Converter::new(self.head.clone(), begin);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match converter.fill() {
                Filled::NeedInput => {
                    let wanted = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    match read_some(&mut self.file, &mut piece[..wanted])? {
                        0 => {
                            self.check_unchanged(left)?;
                            converter.finish();
                        }
                        read => {
                            converter.push(&piece[..read]);
                            left -= read as u64;
                        }
                    }
                }
                Filled::Batch => {
                    let batch = converter.take();
                    let is_last = batch.is_last;
                    if stop.is_requested() || batches.blocking_send(batch).is_err() {
                        return Err(Failure::Stopped);
                    }
                    if is_last {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn check_unchanged(&self, left: u64) -> Result<(), Failure> {
        let now = self.file.metadata()?;
        let is_same = left == 0 && now.len() == self.bytes && now.modified()? == self.before.modified()?;
        if is_same { Ok(()) } else { Err(Failure::Changed) }
    }
}

fn read_some(file: &mut File, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// The file's name without its ending.
fn stem(file: &str) -> String {
    Path::new(file).file_stem().map_or_else(|| file.to_owned(), |stem| stem.to_string_lossy().into_owned())
}
