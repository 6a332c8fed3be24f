//! What a small commit takes, and an fdatasync of a few bytes in place alone: the watermark's share of it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use gateway::metrics;
use gateway::queue::{Config, Queue, Transaction};

use crate::Result;
use crate::flow::runtime;
use crate::meter::figure;
use crate::records::{Payload, record};

const COMMITS: u64 = 500;
/// As the watermark: two slots, used in turn, in one file that does not grow.
const SLOT_BYTES: usize = 512;

pub(crate) fn run(config: Config) -> Result<()> {
    std::fs::create_dir_all(&config.dir)?;
    let queue = Queue::open(&config, metrics::Queue::default())?;
    let runtime = runtime();
    let mut commits = Vec::new();
    for n in 0..COMMITS {
        let t = Transaction { raw: vec![record(Payload::Json, n)], ..Transaction::default() };
        let at = Instant::now();
        runtime.block_on(queue.appender().commit(t))?.blocking_recv()??;
        commits.push(at.elapsed().as_secs_f64() * 1e3);
    }
    queue.close()?;
    let file = File::create(config.dir.join("probe"))?;
    file.write_all_at(&[0; 2 * SLOT_BYTES], 0)?;
    file.sync_all()?;
    let mut syncs = Vec::new();
    for n in 0..COMMITS {
        let at = Instant::now();
        file.write_all_at(&[n as u8; 32], n % 2 * SLOT_BYTES as u64)?;
        file.sync_data()?;
        syncs.push(at.elapsed().as_secs_f64() * 1e3);
    }
    figure("commit_ms", median(commits));
    figure("sync_ms", median(syncs));
    Ok(())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}
