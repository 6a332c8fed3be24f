//! The gateway's own sources, without the rest of the gateway: each module stands where it stands there.

#![allow(dead_code, unused_imports, reason = "the gateway uses more of these modules than is printed here")]

#[path = "../../../src/detect/order.rs"]
mod order;

#[path = "../../../src/detect/features/mod.rs"]
mod features;

#[path = "../../../src/detect/features/golden.rs"]
mod golden;

#[path = "../../../src/detect/appended.rs"]
mod appended;

#[path = "windows.rs"]
mod windows;

pub(crate) fn lines() -> Vec<String> {
    [golden::lines(), windows::golden::lines()].concat()
}
