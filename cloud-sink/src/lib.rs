//! The other end of the gateways' Kafka topics: a consumer group that writes InfluxDB.
//!
//! ```text
//! sensors.raw ───────┐
//! sensors.windows ───┼▶ consume ─▶ encode (firmware-protocol) ─▶ influx ─▶ InfluxDB
//! sensors.anomalies ─┤     ▲                 │                      │
//! sensors.gaps ──────┘     └── offsets ◀─────┼──── after the answer ┘
//!                                            └▶ sensors.dead-letters (what no decoder reads, or InfluxDB refuses)
//! ```
//! An offset is committed only after InfluxDB took, or the dead-letter topic holds, everything before it.
//! Several processes of one group share the partitions; a repeat after a crash upserts the same points.

pub mod batch;
pub mod consume;
pub mod dead_letters;
pub mod encode;
pub mod influx;

pub mod setup;

pub mod cli;
pub mod config;
pub mod http;
pub mod metrics;
pub mod telemetry;
