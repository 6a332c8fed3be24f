//! The other end of the gateways' Kafka topics: consumer groups that write InfluxDB and an archive of Parquet files.
//!
//! ```text
//!                                 ┌▶ role influx: encode (firmware-protocol) ─▶ InfluxDB
//! sensors.raw ───────┐            │     └▶ sensors.dead-letters (what no decoder reads, or InfluxDB refuses)
//! sensors.windows ───┼▶ kafka::group
//! sensors.anomalies ─┤            │
//! sensors.gaps ──────┘            └▶ role archive: rolls ─▶ Parquet files, then their manifest ─▶ object store
//! ```
//! Each role is a consumer group of its own, and commits an offset only after its sink took, or the dead-letter topic
//! holds, everything before it.
//! Several processes share the partitions; a repeat after a crash writes the same points, and the same files.

pub mod kafka;
pub mod roles;

pub mod archive;
pub mod dead_letters;

pub mod setup;

pub mod cli;
pub mod config;
pub mod http;
pub mod metrics;
pub mod telemetry;
