//! The watermark: how far each log was ever durable and how far each consumer had come, kept apart from the store,
//! because sled drops its newest data without a word when its file is damaged in the middle.
//!
//! # File `watermark`: two slots of 16 KiB, written in place and in turn (little endian)
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | magic `GWQ2` |
//! | 4 | 4 | CRC-32 of the rest |
//! | 8 | 4 | length of the whole |
//! | 12 | 8 | how many writes there were; the higher slot counts |
//! | 20 | 16 | sequence after the last durable record, of each log |
//! | 36 | 16 | oldest sequence still kept, of each log |
//! | 52 | 4 | number of the newest generation |
//! | 56 | 2 | how many lost runs follow: log u8, first u64, end u64 each |
//! | 58 | … | then accounts: name length u8, name, log u8, 1 if it moves with state u8, account: length u16, bytes |
//!
//! Version 1 began with `GWQW`, and had accounts of 64 bytes without a length.
//!
//! # Invariants
//! - Written after the store's fsync and before the receipt: never ahead of what is durable, never behind an
//!   acknowledgement.
//! - A torn write spoils one slot; the other one is at most one commit behind.
//! - Written in place: works on a full disk.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::cursor::Account;
use super::files;
use super::record::{Log, QueueSeq};
use super::runs::Run;
use super::store::StoreError;

const NAME: &str = "watermark";
const MAGIC: [u8; 4] = *b"GWQ2";
/// Accounts had one length, which was not told; read for ever.
const MAGIC_OF_VERSION_1: [u8; 4] = *b"GWQW";
const ACCOUNT_BYTES_OF_VERSION_1: usize = 64;
/// Room for the accounts of 24 sinks with names of 64 bytes, half of them in the middle of a long drain; never shares a
/// page with the other slot.
const SLOT_BYTES: usize = 16 * 1024;
const FIXED_BYTES: usize = 58;
/// Lost runs in one slot; the newest ones count, for older ones are long since noted in the store.
const LOST_MAX: usize = 128;

/// What the watermark vouches for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Sequences after the last durable records, indexed by `Log`.
    pub(super) ends: [QueueSeq; 2],
    /// Records before these were released, not lost.
    pub(super) oldest: [QueueSeq; 2],
    /// Losses that the accounts have booked already.
    pub(super) lost: Vec<(Log, Run)>,
    /// Up to this one generations count even if their marker is gone.
    pub(super) newest_generation: u32,
    pub(super) accounts: Vec<MarkedAccount>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MarkedAccount {
    pub(super) name: String,
    pub(super) log: Log,
    /// Its cursor belongs to a stage's state in the store: without that state it means nothing.
    pub(super) moves_with_state: bool,
    pub(super) account: Account,
}

#[derive(Debug)]
pub(super) struct Watermark {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    writes: u64,
}

/// What the file said when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There was no file: a new queue, or somebody deleted it.
    Missing,
    /// Neither slot can be trusted.
    Unreadable,
    Mark(Mark),
}

impl Watermark {
    /// What is in the directory, without changing anything.
    pub(super) fn look(dir: &Path) -> Result<Found, StoreError> {
        Ok(Self::read(&dir.join(NAME))?.1)
    }

    fn read(path: &Path) -> Result<(u64, Found), StoreError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((0, Found::Missing)),
            Err(e) => {
                let error = StoreError::io(path)(e);
                // A bad sector: the file is made anew.
                return if error.is_damage() { Ok((0, Found::Unreadable)) } else { Err(error) };
            }
        };
        let slots = [0, SLOT_BYTES].map(|at| bytes.get(at..).and_then(parse));
        let newest = slots.into_iter().flatten().max_by_key(|(writes, _)| *writes);
        Ok(newest.map_or((0, Found::Unreadable), |(writes, mark)| (writes, Found::Mark(mark))))
    }

    pub(super) fn open(dir: &Path) -> Result<(Self, Found), StoreError> {
        let path = dir.join(NAME);
        let (writes, found) = Self::read(&path)?;
        let file = match &found {
            Found::Mark(_) => File::options().write(true).open(&path).map_err(StoreError::io(&path))?,
            Found::Missing | Found::Unreadable => Self::create(dir, &path)?,
        };
        Ok((Self { dir: dir.to_owned(), path, file, writes }, found))
    }

    /// Written out, so that later writes change no metadata and fdatasync stays cheap.
    fn create(dir: &Path, path: &Path) -> Result<File, StoreError> {
        let new = dir.join("watermark.new");
        let file = File::create(&new).map_err(StoreError::io(&new))?;
        file.write_all_at(&[0; 2 * SLOT_BYTES], 0).and_then(|()| file.sync_all()).map_err(StoreError::io(&new))?;
        std::fs::rename(&new, path).map_err(StoreError::io(path))?;
        files::sync_dir(dir)?;
        Ok(file)
    }

    /// After a failed write: a file of its own, for nobody knows what the old one's pages hold.
    pub(super) fn replace(&mut self, mark: &Mark) -> Result<(), StoreError> {
        self.file = Self::create(&self.dir, &self.path)?;
        self.write(mark)
    }

    /// Durable once it returns.
    pub(super) fn write(&mut self, mark: &Mark) -> Result<(), StoreError> {
        self.writes += 1;
        let at = self.writes % 2 * SLOT_BYTES as u64;
        let bytes = to_bytes(self.writes, mark);
        self.file.write_all_at(&bytes, at).and_then(|()| self.file.sync_data()).map_err(StoreError::io(&self.path))
    }
}

fn to_bytes(writes: u64, mark: &Mark) -> Vec<u8> {
    let mut out = vec![0; 12];
    out.extend(writes.to_le_bytes());
    out.extend([mark.ends, mark.oldest].as_flattened().iter().flat_map(|seq| seq.0.to_le_bytes()));
    out.extend(mark.newest_generation.to_le_bytes());
    let lost = &mark.lost[mark.lost.len().saturating_sub(LOST_MAX)..];
    out.extend((lost.len() as u16).to_le_bytes());
    for (log, run) in lost {
        out.push(*log as u8);
        out.extend([run.first, run.end].iter().flat_map(|seq| seq.0.to_le_bytes()));
    }
    for row in &mark.accounts {
        let Ok(len) = u8::try_from(row.name.len()) else { continue };
        let account = row.account.to_bytes();
        // An account that does not fit is still in the store.
        if out.len() + 5 + row.name.len() + account.len() > SLOT_BYTES {
            break;
        }
        out.push(len);
        out.extend(row.name.as_bytes());
        out.extend([row.log as u8, u8::from(row.moves_with_state)]);
        out.extend((account.len() as u16).to_le_bytes());
        out.extend(account);
    }
    out[..4].copy_from_slice(&MAGIC);
    let len = out.len() as u32;
    out[8..12].copy_from_slice(&len.to_le_bytes());
    let crc = crc32fast::hash(&out[8..]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out
}

fn parse(slot: &[u8]) -> Option<(u64, Mark)> {
    let len = u32::from_le_bytes(slot.get(8..12)?.try_into().ok()?) as usize;
    let slot = slot.get(..len).filter(|s| s.len() >= FIXED_BYTES)?;
    let is_version_1 = slot[..4] == MAGIC_OF_VERSION_1;
    if !is_version_1 && slot[..4] != MAGIC {
        return None;
    }
    if slot[4..8] != crc32fast::hash(&slot[8..]).to_le_bytes() {
        return None;
    }
    let word = |at: usize| slot[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let mut mark = Mark {
        ends: [QueueSeq(word(20)?), QueueSeq(word(28)?)],
        oldest: [QueueSeq(word(36)?), QueueSeq(word(44)?)],
        newest_generation: u32::from_le_bytes(slot[52..56].try_into().ok()?),
        lost: Vec::new(),
        accounts: Vec::new(),
    };
    let mut rest = &slot[FIXED_BYTES..];
    for _ in 0..u16::from_le_bytes(slot[56..58].try_into().ok()?) {
        let ([log, run @ ..], after) = rest.split_first_chunk::<17>()?;
        let seq = |at: usize| run[at..at + 8].try_into().map(u64::from_le_bytes).map(QueueSeq).ok();
        mark.lost.push((Log::from_byte(*log)?, Run::new(seq(0)?, seq(8)?)));
        rest = after;
    }
    while let Some((len, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked(usize::from(*len))?;
        let ([log, moves], after) = after.split_first_chunk()?;
        let (len, after) = match is_version_1 {
            true => (ACCOUNT_BYTES_OF_VERSION_1, after),
            false => after.split_first_chunk().map(|(len, after)| (usize::from(u16::from_le_bytes(*len)), after))?,
        };
        let (account, after) = after.split_at_checked(len)?;
        mark.accounts.push(MarkedAccount {
            name: std::str::from_utf8(name).ok()?.to_owned(),
            log: Log::from_byte(*log)?,
            moves_with_state: *moves == 1,
            account: Account::from_bytes(account)?,
        });
        rest = after;
    }
    Some((word(12)?, mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(n: u64) -> Mark {
        let account = |name: &str, log| MarkedAccount {
            name: name.into(),
            log,
            moves_with_state: log == Log::Derived,
            account: Account { start: QueueSeq(n), ..Account::default() },
        };
        let accounts = vec![account("influx", Log::Raw), account("detect", Log::Derived)];
        let lost = vec![(Log::Derived, Run::new(QueueSeq(n), QueueSeq(n + 3)))];
        Mark {
            ends: [QueueSeq(n + 1), QueueSeq(n)],
            oldest: [QueueSeq(n / 2), QueueSeq(0)],
            lost,
            newest_generation: 3,
            accounts,
        }
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (mut watermark, found) = Watermark::open(dir.path()).unwrap();
        assert_eq!(found, Found::Missing);
        watermark.write(&mark(1)).unwrap();
        watermark.write(&mark(5)).unwrap();
        drop(watermark);
        assert_eq!(Watermark::open(dir.path()).unwrap().1, Found::Mark(mark(5)));

        let path = dir.path().join(NAME);
        let mut torn = std::fs::read(&path).unwrap();
        torn[20] ^= 1;
        std::fs::write(&path, &torn).unwrap();
        assert_eq!(Watermark::open(dir.path()).unwrap().1, Found::Mark(mark(1)));

        std::fs::write(&path, &torn[..300]).unwrap();
        assert_eq!(Watermark::look(dir.path()).unwrap(), Found::Unreadable);
        assert_eq!(Watermark::open(dir.path()).unwrap().1, Found::Unreadable);
        assert_eq!(std::fs::read(&path).unwrap().len(), 2 * SLOT_BYTES);
    }

    #[test]
    fn a_file_made_anew_after_a_failure_says_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (mut watermark, _) = Watermark::open(dir.path()).unwrap();
        watermark.write(&mark(1)).unwrap();
        watermark.replace(&mark(2)).unwrap();
        watermark.write(&mark(3)).unwrap();
        assert_eq!(Watermark::look(dir.path()).unwrap(), Found::Mark(mark(3)));
    }

    #[test]
    fn accounts_beyond_the_slot_are_left_out_and_the_rest_stays_readable() {
        let dir = tempfile::tempdir().unwrap();
        let (mut watermark, _) = Watermark::open(dir.path()).unwrap();
        let mut many = mark(9);
        many.accounts = mark(9).accounts.into_iter().cycle().take(1_000).collect();
        watermark.write(&many).unwrap();
        let Found::Mark(found) = Watermark::look(dir.path()).unwrap() else { panic!("unreadable") };
        assert_eq!(found.ends, many.ends);
        assert!(found.accounts.len() > 100 && found.accounts.len() < 1_000);
    }

    #[test]
    fn a_watermark_of_version_1_is_read() {
        let without = Mark { accounts: Vec::new(), ..mark(7) };
        let mut bytes = to_bytes(3, &without);
        bytes.extend([4]);
        bytes.extend(b"sink");
        bytes.extend([Log::Raw as u8, 0]);
        bytes.extend([1_u64, 2, 3, 4, 5, 6, 7, 8].iter().flat_map(|field| field.to_le_bytes()));
        bytes[..4].copy_from_slice(&MAGIC_OF_VERSION_1);
        let len = bytes.len() as u32;
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        let (writes, found) = parse(&bytes).unwrap();
        let [account] = &found.accounts[..] else { panic!("{found:?}") };
        assert_eq!((writes, account.name.as_str(), account.log), (3, "sink", Log::Raw));
        assert_eq!((account.account.start, account.account.cursor.next), (QueueSeq(1), QueueSeq(5)));
        assert_eq!(Mark { accounts: Vec::new(), ..found }, without);
    }
}
