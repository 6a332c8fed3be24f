//! What a window keeps, without the rest of the operator.

#[path = "../../../src/detect/windows/chunk.rs"]
mod chunk;
#[path = "../../../src/detect/windows/content.rs"]
mod content;
#[path = "../../../src/detect/windows/golden.rs"]
pub(in crate::detect) mod golden;
#[path = "../../../src/detect/windows/room.rs"]
mod room;
#[path = "../../../src/detect/windows/samples.rs"]
mod samples;
#[path = "../../../src/detect/windows/seconds.rs"]
mod seconds;
