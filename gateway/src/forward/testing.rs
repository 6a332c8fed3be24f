//! Records and settings for the tests of this module.

use std::sync::Arc;

use bytes::Bytes;
use firmware_protocol::decode::{Decoder, Route};
use firmware_protocol::derived::{Derived, Gap};
use firmware_protocol::frame::{self, BaseTime, Channel, Frame, Samples};
use firmware_protocol::{BootId, DeviceSeq};

use super::Labels;
use crate::clock::{ClockBoot, Stamp};
use crate::queue::{Door, Flags, Record};

pub(super) fn record(topic: &str, payload: &[u8]) -> Record {
    Record {
        door: Door::Mqtt,
        flags: Flags { qos: 1, ..Flags::default() },
        received: Stamp { boot: ClockBoot(1), since_boot_ns: 2_000_000 },
        topic: Bytes::copy_from_slice(topic.as_bytes()),
        payload: Bytes::copy_from_slice(payload),
        content_type: Bytes::new(),
        table: Bytes::new(),
    }
}

/// Frame 9 of boot 3 of `pump-7`: one reading at a whole millisecond.
pub(super) fn frame() -> Record {
    let channels = [Channel { name: "flow", samples: Samples::F32(&[(0, 1.5)]) }];
    let base = BaseTime::UnixMicros(1_700_000_000_000_000);
    let frame = Frame { device: "pump-7", boot: BootId(3), seq: DeviceSeq(9), base, channels: &channels };
    let mut bytes = [0; 256];
    let length = frame::encode(&frame, &mut bytes).unwrap();
    record("sensors/a", &bytes[..length])
}

/// As a broker sends it that had kept it.
pub(super) fn retained(record: Record) -> Record {
    Record { flags: Flags { retained: true, ..record.flags }, ..record }
}

pub(super) fn gap(device: &str) -> Record {
    let gap = Gap {
        device: device.into(),
        from_at_ms: 1_700_000_000_000,
        to_at_ms: 1_700_000_060_000,
        count: 3,
        at_least: false,
        reason: "lost".into(),
    };
    Record { door: Door::Detect, ..record("", &Derived::Gap(gap).to_json()) }
}

pub(super) fn labels() -> Labels {
    Labels { gateway: "edge-1".into(), site: String::new() }
}

/// Takes JSON from `sensors/{device}`.
pub(super) fn decoder() -> Arc<Decoder> {
    let route = Route { topic: "sensors/{device}".into(), ..Route::default() };
    Arc::new(Decoder::new(vec![route]).unwrap())
}
