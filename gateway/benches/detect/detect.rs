//! The gateway's own sources, which it shows to nobody: each module stands where it stands there.

#[allow(dead_code, unused_imports, reason = "the gateway uses more of it than is measured here")]
#[path = "../../src/detect/order.rs"]
mod order;

#[allow(dead_code, unused_imports, reason = "the gateway uses more of it than is measured here")]
#[path = "../../src/detect/features/mod.rs"]
mod features;

#[allow(dead_code, reason = "the gateway uses more of it than is measured here")]
#[path = "../../src/detect/appended.rs"]
mod appended;

#[allow(dead_code, reason = "the gateway uses more of it than is measured here")]
#[path = "windows.rs"]
mod windows;

#[path = "devices.rs"]
pub(crate) mod devices;

#[path = "speed.rs"]
pub(crate) mod speed;
