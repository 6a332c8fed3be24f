//! The keys of `[http]` that are about the server's bounds and what comes in by it.

use std::time::Duration;

use super::{MINUTE, SECOND};
use crate::config::reader::Section;
use crate::config::values::{Size, Value};
use crate::http::Limits;
use crate::ingest::http::Config;

/// Each connection takes a file descriptor and some KB.
const CONNECTIONS_MAX: u64 = 10_000;
/// Each request under way takes a task, and some 40 KB if it is packed.
const REQUESTS_MAX: u64 = 4_096;
/// Less than a frame would be of no use.
const BODY_MIN: Size = Size(4 << 10);
const BODY_MAX: Size = Size(256 << 20);
const MEMORY_MAX: Size = Size(1 << 30);
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
const RATE_MAX: u64 = 1_000_000;

pub(super) fn limits(s: &mut Section<'_, '_>) -> Limits {
    let default = Limits::default();
    Limits {
        connections_max: s.within("connections_max", default.connections_max as u64, 1..=CONNECTIONS_MAX) as usize,
        head_timeout: s.within("head_timeout", default.head_timeout, SECOND..=10 * MINUTE),
    }
}

/// `None`: the door is shut.
pub(super) fn ingest(s: &mut Section<'_, '_>) -> Option<Config> {
    let default = Config::default();
    let enabled = s.value("ingest", true);
    let (body_max, memory_max) = (Size(default.body_max_bytes as u64), Size(default.memory_max_bytes as u64));
    let body_max = s.within("body_max", body_max, BODY_MIN..=BODY_MAX);
    let memory_max = s.within("memory_max", memory_max, BODY_MIN..=MEMORY_MAX);
    if memory_max < body_max {
        let message = format!("`memory_max` is {}, less than `body_max`, {}", memory_max.show(), body_max.show());
        s.fault(Some("memory_max"), message, "give it room for several bodies at a time");
    }
    let bytes_a_second = Size(default.client_bytes_per_second);
    let config = Config {
        body_max_bytes: body_max.0 as usize,
        memory_max_bytes: memory_max.0 as usize,
        requests_max: s.within("requests_max", default.requests_max as u64, 1..=REQUESTS_MAX) as usize,
        body_timeout: s.within("body_timeout", default.body_timeout, SECOND..=TIMEOUT_MAX),
        commit_timeout: s.within("commit_timeout", default.commit_timeout, SECOND..=TIMEOUT_MAX),
        client_requests_per_second: s.within(
            "client_requests_per_second",
            default.client_requests_per_second,
            0..=RATE_MAX,
        ),
        client_bytes_per_second: s.within("client_bytes_per_second", bytes_a_second, Size(0)..=MEMORY_MAX).0,
    };
    enabled.then_some(config)
}
