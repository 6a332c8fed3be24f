//! Reads the blocks of a generation one after the other, and says of each what is wrong with it.

use crate::queue::block::{self, Block};
use crate::queue::generations::generation::Generation;
use crate::queue::generations::keys::{self, BlockKey, Part};
use crate::queue::record::Log;
use crate::queue::runs::Run;
use crate::queue::store::StoreError;

/// What is wrong with a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("{seen} of its {parts} parts are there")]
    Parts { seen: u16, parts: u16 },
    /// What it covers may be sound all the same: the block's own CRC decides.
    #[error("part {part} does not match its own CRC")]
    Part { part: u16 },
    #[error("{0}")]
    Block(String),
    #[error("it is the block of another place")]
    Elsewhere,
}

/// What lies where a block should be.
pub(super) struct Piece {
    pub(super) log: Log,
    pub(super) run: Run,
    /// As stored.
    pub(super) bytes: Vec<u8>,
    /// If it can be read.
    pub(super) block: Option<Block>,
    pub(super) flaw: Option<Flaw>,
}

/// Calls `f` for each block of the log that the store has a key of, in order.
pub(super) fn each(generation: &Generation, log: Log, f: &mut dyn FnMut(Piece)) -> Result<(), StoreError> {
    let mut gathering: Option<Gathering> = None;
    generation.each(&[keys::log_tag(log)], &mut |key, value| {
        let key = BlockKey::parse(key).ok_or_else(|| generation.damaged("a block's key does not follow the format"))?;
        if let Some(done) = gathering.take_if(|g| !g.is_of(key)) {
            f(done.finish());
        }
        gathering.get_or_insert_with(|| Gathering::new(key)).add(key, value);
        Ok(())
    })?;
    if let Some(done) = gathering {
        f(done.finish());
    }
    Ok(())
}

/// A block whose parts come in.
struct Gathering {
    first: BlockKey,
    seen: u16,
    bytes: Vec<u8>,
    flaw: Option<Flaw>,
}

impl Gathering {
    fn new(first: BlockKey) -> Self {
        Self { first, seen: 0, bytes: Vec::new(), flaw: None }
    }

    fn is_of(&self, key: BlockKey) -> bool {
        BlockKey { part: self.first.part, ..key } == self.first
    }

    fn add(&mut self, key: BlockKey, value: &[u8]) {
        if Part::parse(value).is_none_or(|part| part.key != key) {
            self.flaw.get_or_insert(Flaw::Part { part: key.part });
        }
        self.bytes.extend_from_slice(Part::unchecked_bytes(value));
        self.seen += 1;
    }

    fn finish(self) -> Piece {
        let Self { first, seen, bytes, flaw } = self;
        let (log, run) = (first.log, first.run());
        let (block, flaw) = match block::decode(&bytes) {
            Ok(block) if (block.log(), block.first(), block.end()) == (log, run.first, run.end) => (Some(block), flaw),
            Ok(_) => (None, Some(Flaw::Elsewhere)),
            Err(_) if seen != first.parts => (None, Some(Flaw::Parts { seen, parts: first.parts })),
            Err(damage) => (None, Some(flaw.unwrap_or(Flaw::Block(damage.to_string())))),
        };
        Piece { log, run, bytes, block, flaw }
    }
}
