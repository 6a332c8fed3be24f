//! Edge gateway for sensor data.
//!
//! ```text
//! sensors ──MQTT──▶ broker ──▶ ingest::mqtt ─┐                          ┌▶ forward::kafka  ──▶ Kafka
//! sensors ──MQTT────────────▶ ingest::listen ┼▶ queue (raw log) ─▶ detect ─▶ queue (derived log)
//!              ▲                     │       │        │                 │
//!              └────── PUBACK ◀──────┘       │        └─────────────────┼▶ forward::influx ──▶ InfluxDB
//!                   after the fsync                                     ├▶ forward::file   ──▶ files
//!                                                                       └▶ alert ──▶ people
//! ```
//! Data flows one way. Stages know the queue, never each other; only acknowledgements and backpressure flow back.
//!
//! Read `pipeline` next: it builds, connects and stops the stages.

pub mod pipeline;

pub mod ingest;
pub mod queue;
pub mod detect;
pub mod forward;
pub mod alert;

mod backoff;
pub mod frames;
mod losses;
pub mod memory;
mod pattern;
pub mod publisher;
mod retry_after;
mod wear;
pub mod clock;
pub mod config;
pub mod decoders;
pub mod http;
pub mod metrics;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub mod text;
pub mod view;

pub mod backtest;
pub mod bench;
pub mod cli;
pub mod commands;
pub mod demo;
