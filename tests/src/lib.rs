//! Harness of the end-to-end tests: real servers, real processes, seeded sensors, and an oracle that misses nothing.
//!
//! # Invariants
//! - Everything listens on loopback, on ports that were free; scenarios run side by side without seeing each other.
//! - Nothing outlives the test process: see [`stack`].
//! - Waiting is polling against a deadline ([`eventually`]), never a fixed sleep.
//!
//! # Flow
//! ```text
//! fleet ──MQTT──▶ mosquitto ─┐                  ┌─▶ link ─▶ InfluxDB ─┐
//!   │                        ├─▶ gateway ───────┤                     ├─▶ oracle: acknowledged ⊆ delivered?
//!   └────────MQTT────────────┘ (process: kill)  └─▶ Kafka ────────────┘       ▲
//!   └──────────────────────── what was acknowledged ──────────────────────────┘
//! ```
//!
//! # Not here
//! The scenarios: `e2e/`.

pub mod stack;

pub mod config;
pub mod gateway;
pub mod process;

pub mod fleet;
pub mod message;
pub mod once;
pub mod publisher;

pub mod certificates;
pub mod interop;

pub mod archive;
pub mod influx;
pub mod kafka;
pub mod oracle;
pub mod sight;
pub mod stored;

pub mod browser;
pub mod grafana;
pub mod disk;
pub mod eventually;
pub mod link;
pub mod receiver;
pub mod http;
pub mod slack;
pub mod metrics;
