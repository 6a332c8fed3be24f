//! Firmware without std and without allocator: at its start a hello, then signed and unsigned frames.
//!
//! Writes the packets to standard output as they go over a serial line; `firmware-protocol/check` compares them with
//! `SPEC.md`. All but [`uart`] and [`main`] is what a microcontroller runs; those two stand in for its UART and reset
//! handler, by the C library of the machine that it is tried on.
#![no_std]
#![no_main]

use firmware_protocol::cobs::{encode_cobs, encoded_max_bytes};
use firmware_protocol::frame::{self, BaseTime, Builder, ChannelInfo, ChannelTable, Header, Hello, Key, Kind, Label};
use firmware_protocol::{BootId, DeviceSeq, FrameError};

/// Checked when it is compiled; a channel's number is its place.
static TABLE: ChannelTable<'static> = match ChannelTable::new(&[
    ChannelInfo { name: "flow", unit: "l/min", kind: Kind::F32, range: Some((0.0, 80.0)), interval_micros: 100_000 },
    ChannelInfo { name: "door", unit: "", kind: Kind::Bool, range: None, interval_micros: 0 },
]) {
    Ok(table) => table,
    Err(_) => panic!("a name is empty, too long or there twice"),
};
const FLOW: Label<'static> = Label::Number(0);
const DOOR: Label<'static> = Label::Number(1);

const KEY: Key<'static> = match Key::new(7, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]) {
    Ok(key) => key,
    Err(_) => panic!("a secret has 16 to 64 bytes"),
};

/// Enough for these frames; [`frame::FRAME_MAX_BYTES`] is enough for all.
const PACKET_BYTES: usize = 128;
/// 2026-03-01T12:00:00Z.
const NOON: i64 = 1_772_366_400_000_000;

struct Device {
    boot: BootId,
    seq: DeviceSeq,
    packet: [u8; PACKET_BYTES],
}

impl Device {
    /// At the start, and when the gateway asks for it.
    fn hello(&mut self, at: i64) -> Result<usize, FrameError> {
        let Self { boot, seq, .. } = *self;
        let hello = Hello { device: "pump-7", boot, seq, base: BaseTime::UnixMicros(at), table: TABLE };
        let length = frame::encode(&hello, &mut self.packet)?;
        self.sent(length)
    }

    /// What a converter sampled at an even pace, and events with a time each.
    fn samples(&mut self, at: i64, flow: &[f32], door: &[(i64, bool)]) -> Result<usize, FrameError> {
        let header = Header { device: "pump-7", boot: self.boot, seq: self.seq };
        let mut frame = Builder::numbered(&header, BaseTime::UnixMicros(at), TABLE.id(), &mut self.packet);
        frame.every(FLOW, 0, 100_000, flow.iter().copied())?;
        frame.samples(DOOR, door.iter().copied())?;
        let length = frame.finish()?;
        self.sent(length)
    }

    /// Each frame has the next number.
    fn sent(&mut self, length: usize) -> Result<usize, FrameError> {
        self.seq.0 = self.seq.0.wrapping_add(1);
        Ok(length)
    }
}

/// A device that names its channels, and proves who it is.
fn signed(packet: &mut [u8]) -> Result<usize, FrameError> {
    let header = Header { device: "x", boot: BootId(0), seq: DeviceSeq(1) };
    let mut frame = Builder::named(&header, BaseTime::UnixMicros(0), packet);
    frame.samples(Label::Name("door"), [(0, true)])?;
    frame.finish_signed(&KEY)
}

fn run() -> Result<(), FrameError> {
    let mut pump = Device { boot: BootId(4), seq: DeviceSeq(0), packet: [0; PACKET_BYTES] };
    let length = pump.hello(NOON)?;
    send(&pump.packet[..length])?;
    let length = pump.samples(NOON + 1_000_000, &[12.0, 12.25, 12.5], &[(150_000, true)])?;
    send(&pump.packet[..length])?;
    let mut packet = [0; PACKET_BYTES];
    let length = signed(&mut packet)?;
    send(&packet[..length])
}

fn send(packet: &[u8]) -> Result<(), FrameError> {
    let mut wire = [0; encoded_max_bytes(PACKET_BYTES)];
    let length = encode_cobs(packet, &mut wire)?;
    uart(&wire[..length]);
    Ok(())
}

fn uart(bytes: &[u8]) {
    const STANDARD_OUTPUT: i32 = 1;
    #[link(name = "c")]
    unsafe extern "C" {
        fn write(file: i32, bytes: *const u8, count: usize) -> isize;
    }
    // SAFETY: `bytes` is as long as it says, and is only read.
    unsafe { write(STANDARD_OUTPUT, bytes.as_ptr(), bytes.len()) };
}

/// The machine's start calls it.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    match run() {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
