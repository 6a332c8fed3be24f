//! What a run is: which engine, how many faults, from which seed.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gateway::queue::{Config, EngineKind};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// Small generations, so that many faults hit their making and deleting.
pub(crate) fn config(engine: EngineKind, dir: &Path) -> Config {
    Config {
        engine,
        generation_max_bytes: 1 << 20,
        ballast_bytes: 1 << 20,
        cursor_delay: Duration::from_millis(1),
        ..Config::new(dir)
    }
}

/// How many faults: few in each CI run, many on demand.
pub(crate) fn rounds(short: u32, long: u32) -> u32 {
    if std::env::var_os("GATEWAY_TEST_LONG").is_some() { long } else { short }
}

/// The randomness of a test, whose seed is printed.
pub(crate) struct Chance(Xoshiro256PlusPlus);

impl Chance {
    pub(crate) fn new() -> Self {
        let given = std::env::var("GATEWAY_TEST_SEED").ok().map(|s| s.parse().expect("the seed is a number"));
        let seed = given.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            now.as_nanos() as u64
        });
        println!("GATEWAY_TEST_SEED={seed}");
        Self::of(seed)
    }

    pub(crate) fn of(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// From 0 to `end - 1`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}
