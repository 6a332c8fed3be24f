//! Gzip at the fastest level, with one compressor for all batches.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

/// Reused: a fresh compressor zeroes some 250 KB for each batch.
pub(super) struct Gzip {
    state: Compress,
}

impl Gzip {
    /// Largest gzip window, as a power of two: what every decoder takes.
    const WINDOW_BITS: u8 = 15;
    /// Line protocol shrinks to an eighth or less; the output grows by this when it does not.
    const EXPECTED_RATIO: usize = 8;

    pub(super) fn new() -> Self {
        Self { state: Compress::new_gzip(Compression::fast(), Self::WINDOW_BITS) }
    }

    /// One complete gzip stream of `input`.
    pub(super) fn compress(&mut self, input: &[u8]) -> Bytes {
        self.state.reset();
        let mut out = Vec::with_capacity(input.len() / Self::EXPECTED_RATIO + 64);
        loop {
            let taken = self.state.total_in() as usize;
            let status = self.state.compress_vec(&input[taken..], &mut out, FlushCompress::Finish);
            match status.expect("deflate takes any bytes") {
                Status::StreamEnd => return out.into(),
                Status::Ok | Status::BufError => out.reserve(input.len() / Self::EXPECTED_RATIO + 64),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decompress(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn what_was_compressed_comes_back_batch_after_batch() {
        let mut gzip = Gzip::new();
        let lines = "sensor,device=press-07 temperature=21.5 1700000000000000000\n".repeat(20_000).into_bytes();
        // A cheap sequence that does not compress: the output must grow beyond its first guess.
        let noise: Vec<u8> = (0_u32..300_000).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for input in [&lines, &noise, &Vec::new(), &lines] {
            let compressed = gzip.compress(input);
            assert_eq!(&decompress(&compressed), input);
        }
        assert!(gzip.compress(&lines).len() < lines.len() / 20);
    }
}
