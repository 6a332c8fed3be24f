//! What the fuzz targets in `gateway/fuzz` call: each function checks on any bytes what its part of the doors promises.
//!
//! The ordinary tests run them too, on the seeds and on bytes near them, so that no target rots and what was found once
//! stays found: an input that broke a promise becomes a seed.

pub use super::csv::fuzzing::fuzz_csv as csv_file;
pub use super::http::fuzzing::body as http_bodies;
pub use super::serial::fuzzing::line as serial_line;
pub use super::session::fuzzing::session as mqtt_session;
pub use super::wire::fuzzing::packets as mqtt_packets;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::{RngCore, SeedableRng};

    type Target = (&'static str, fn(&[u8]));
    const TARGETS: &[Target] = &[
        ("csv_file", super::csv_file),
        ("http_bodies", super::http_bodies),
        ("mqtt_packets", super::mqtt_packets),
        ("mqtt_session", super::mqtt_session),
        ("serial_line", super::serial_line),
    ];
    /// Changed copies of each seed.
    const NEIGHBOURS: u64 = 300;

    #[test]
    fn every_target_holds_on_its_seeds_and_on_bytes_near_them() {
        for (name, target) in TARGETS {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
            let mut files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort();
            assert!(!files.is_empty(), "{} has no seeds", dir.display());
            for file in files {
                let seed = fs::read(&file).unwrap();
                target(&seed);
                for n in 0..NEIGHBOURS {
                    println!("{}, neighbour {n}", file.display());
                    target(&neighbour(&seed, &mut Xoshiro256PlusPlus::seed_from_u64(n)));
                }
            }
        }
    }

    /// A few bytes changed, taken out, doubled or put in.
    fn neighbour(seed: &[u8], random: &mut Xoshiro256PlusPlus) -> Vec<u8> {
        let mut below = |n: usize| (random.next_u64() % n.max(1) as u64) as usize;
        let mut bytes = seed.to_vec();
        for _ in 0..=below(4) {
            let at = below(bytes.len());
            let end = (at + 1 + below(8)).min(bytes.len());
            match below(4) {
                0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = below(256) as u8),
                1 => drop(bytes.drain(at..end)),
                2 => bytes.extend_from_within(at..end),
                _ => bytes.insert(at, [0, 0xff, 0x7f, b'"'][below(4)]),
            }
        }
        bytes
    }
}
