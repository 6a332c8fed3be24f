//! The promises of the product, each under real servers, kills and cuts. The list of names is the specification.
//!
//! One scenario: `./tests/run NAME`, where NAME is any part of `module::test`.

mod happy_path;
mod derived;
mod alerts;

mod brokers;
mod identity;
mod interop;
mod firmware;
mod tables;

mod archive;
mod backpressure;
mod cloud_sink;
mod setup;
mod dashboards;
mod crash;
mod credentials;
mod crowd;
mod delivery;
mod full_disk;
mod outage;
mod poison;
mod redrive;
mod renewal;
mod shutdown;
mod sinks;

mod cli;
mod demo;
mod page;

mod harness;

use std::time::Duration;

/// For a sink to have everything: much more than it takes, because the machine may be busy with other scenarios.
const DELIVERY: Duration = Duration::from_secs(90);
