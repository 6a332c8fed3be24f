//! What firmware does: fill fixed arrays, encode into a fixed buffer, send. Prints the bytes as `SPEC.md` shows them.

use std::fmt::Write;

use firmware_protocol::frame::{self, BaseTime, Channel, FRAME_MAX_BYTES, Frame, Samples};
use firmware_protocol::{BootId, DeviceSeq, FrameError};

fn main() -> Result<(), FrameError> {
    let temperature = [(0, 21.5_f32), (1_000_000, 21.625), (2_000_000, 21.5)];
    let door = [(1_500_000, true)];
    let channels = [
        Channel { name: "temperature", samples: Samples::F32(&temperature) },
        Channel { name: "door", samples: Samples::Bool(&door) },
    ];
    let frame = Frame {
        device: "pump-7",
        boot: BootId(3),
        seq: DeviceSeq(300),
        base: BaseTime::UnixMicros(1_772_366_400_000_000),
        channels: &channels,
    };
    let mut buffer = [0; FRAME_MAX_BYTES];
    let length = frame::encode(&frame, &mut buffer)?;
    let mut text = String::new();
    for line in buffer[..length].chunks(16) {
        for byte in line {
            write!(text, "{byte:02x} ").expect("writing to memory does not fail");
        }
        text.push('\n');
    }
    print!("{text}");
    Ok(())
}
