//! The archive: Parquet files in an object store, and manifests that say which of them count.
//!
//! # Layout
//! ```text
//! raw/date=2026-11-22/device_bucket=07/sensors.raw-3-00000000000000001200.parquet     (also windows/, anomalies/, …)
//! manifests/sensors.raw-3-00000000000000001200.json    roll 1200 of that partition is complete: its files, rows, sums
//! intents/sensors.raw-3-00000000000000001200.json      where that roll ends, while it is being written
//! ```
//! A *roll* is all records of one topic-partition from a first offset to a last one. The next roll begins behind it.
//!
//! # Invariants
//! - Where a roll ends is decided once: whoever writes it first creates its intent, which holds until the manifest is
//!   there. A repeat after a crash, or a process that does not know yet that it lost the partition, writes the same
//!   records into the same files. So nothing is doubled, nothing is left over, and no roll overlaps another.
//! - A manifest is stored after all of its files; an offset is committed after the manifest.
//! - The bytes of a record are kept beside what was decoded from them, also where nothing could be.
//!
//! # Not here
//! Kafka: `roles::archive` reads, and commits.

pub mod layout;
pub mod manifest;
pub mod roll;

mod columns;
pub mod file;

pub mod settle;
pub mod store;

#[cfg(test)]
mod testing;

pub use columns::Reader;
