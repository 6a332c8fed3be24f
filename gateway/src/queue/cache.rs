//! The newest committed blocks of a log, so that readers who keep up never touch the store.
//!
//! Blocks are kept uncompressed and decoded by the first reader, outside the writer's way; the others share its work.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use super::block::{Block, Body, Damage};
use super::record::QueueSeq;

#[derive(Debug)]
pub(super) struct Cached {
    body: Body,
    decoded: OnceLock<Result<Block, Damage>>,
}

impl Cached {
    pub(super) fn block(&self) -> Result<Block, Damage> {
        self.decoded.get_or_init(|| self.body.decode()).clone()
    }
}

/// Of one log; blocks follow each other, oldest first.
#[derive(Debug)]
pub(super) struct Cache {
    bytes_max: usize,
    bytes: usize,
    blocks: VecDeque<Arc<Cached>>,
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, blocks: VecDeque::new() }
    }

    pub(super) fn push(&mut self, body: Body) {
        self.bytes += body.memory_bytes();
        self.blocks.push_back(Arc::new(Cached { body, decoded: OnceLock::new() }));
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.blocks.pop_front()
        {
            self.bytes -= oldest.body.memory_bytes();
        }
    }

    /// The block that holds `from`.
    pub(super) fn get(&self, from: QueueSeq) -> Option<Arc<Cached>> {
        let at = self.blocks.partition_point(|c| c.body.end() <= from);
        self.blocks.get(at).filter(|c| c.body.first <= from).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Log;
    use crate::queue::block::encode_all;
    use crate::queue::tests::record;

    #[test]
    fn the_cache_keeps_the_newest_within_its_bytes() {
        let records: Vec<_> = (0..1_000).map(record).collect();
        let mut blocks = Vec::new();
        encode_all(Log::Raw, QueueSeq(10), &records, &mut blocks);
        let one = blocks[0].body.memory_bytes();
        let mut cache = Cache::new(2 * one);
        blocks.into_iter().for_each(|b| cache.push(b.body));
        assert!(cache.bytes <= 2 * one);
        assert!(cache.get(QueueSeq(10)).is_none());
        assert!(cache.get(QueueSeq(1_010)).is_none());
        let newest = cache.get(QueueSeq(1_009)).unwrap().block().unwrap();
        assert_eq!(newest.records_from(QueueSeq(1_009)).next(), Some((QueueSeq(1_009), &records[999])));
    }

    #[test]
    fn a_block_larger_than_the_cache_is_not_kept() {
        let mut blocks = Vec::new();
        encode_all(Log::Raw, QueueSeq(0), &[record(0)], &mut blocks);
        let mut cache = Cache::new(1);
        cache.push(blocks.remove(0).body);
        assert_eq!((cache.bytes, cache.blocks.len()), (0, 0));
    }
}
