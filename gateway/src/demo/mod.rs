//! Simulated devices with known faults, and what is made of them: the demo, the `simulate` verb, the report.
//!
//! # Invariants
//! - The same seed gives the same devices, values and faults on every machine; only timestamps follow the clock.
//! - A fault changes its own channel inside its own interval and nothing else.
//! - Devices reach the gateway over real MQTT alone: nothing here hands records to a stage.
//!
//! # Flow
//! ```text
//! signal ─┐
//!         ├─▶ device ─messages─▶ publisher ══MQTT QoS 1══▶ gateway or broker
//! fault ──┘      └─ truth ─▶ report ◀─ anomalies ─ view
//! ```
//!
//! # Not here
//! How anomalies are found. The verbs that drive all this: `commands::demo`, `commands::simulate`.

pub mod device;
pub mod fault;
pub mod inflight;
pub mod plan;
pub mod progress;
pub mod publisher;
pub mod random;
pub mod report;
pub mod settings;
pub mod signal;
