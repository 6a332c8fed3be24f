//! What a bad disk, a bad card or a careless hand does to a file.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::setting::Chance;

const PAGE_BYTES: u64 = 4_096;
const PAGES_MAX: u64 = 16;
const BITS_MAX: u64 = 64;

#[derive(Debug)]
pub(crate) struct Wound {
    /// Below the queue's directory.
    pub(crate) file: PathBuf,
    #[expect(dead_code, reason = "shown when a test fails")]
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Deleted,
    CutTo(u64),
    Zeroed(Range<u64>),
    Flipped { bits: u64, within: Range<u64> },
}

/// Damages one file somewhere below `dir`.
pub(crate) fn inflict(dir: &Path, chance: &mut Chance) -> Wound {
    let mut files = Vec::new();
    files_below(dir, &mut files);
    files.sort();
    // Half of the wounds go to the files that hold the records.
    let large: Vec<_> = files.iter().filter(|f| fs::metadata(f).is_ok_and(|m| m.len() > 256 << 10)).cloned().collect();
    let among = if large.is_empty() || chance.below(2) == 0 { files } else { large };
    let file = chance.pick(&among).clone();
    let kind = damage(&file, chance);
    Wound { file: file.strip_prefix(dir).expect("below").to_owned(), kind }
}

fn damage(file: &Path, chance: &mut Chance) -> Kind {
    let mut bytes = fs::read(file).unwrap();
    let len = bytes.len() as u64;
    let kind = match chance.below(8) {
        0 => Kind::Deleted,
        _ if len == 0 => Kind::Deleted,
        1 | 2 => Kind::CutTo(chance.below(len)),
        3 | 4 => {
            let first = chance.below(len) / PAGE_BYTES * PAGE_BYTES;
            Kind::Zeroed(first..len.min(first + (1 + chance.below(PAGES_MAX)) * PAGE_BYTES))
        }
        // All over the file, or close together.
        5 => Kind::Flipped { bits: 1 + chance.below(BITS_MAX), within: 0..len },
        _ => {
            let first = chance.below(len);
            Kind::Flipped { bits: 1 + chance.below(BITS_MAX), within: first..len.min(first + PAGE_BYTES) }
        }
    };
    match &kind {
        Kind::Deleted => return fs::remove_file(file).map(|()| kind).unwrap(),
        Kind::CutTo(len) => bytes.truncate(*len as usize),
        Kind::Zeroed(range) => bytes[range.start as usize..range.end as usize].fill(0),
        Kind::Flipped { bits, within } => {
            for _ in 0..*bits {
                let at = within.start + chance.below(within.end - within.start);
                bytes[at as usize] ^= 1 << chance.below(8);
            }
        }
    }
    fs::write(file, bytes).unwrap();
    kind
}

fn files_below(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            files_below(&entry.path(), files);
        } else if entry.file_name() != "lock" {
            files.push(entry.path());
        }
    }
}
