//! Nanoseconds a reading for frames, beside what postcard alone takes for the same body in the same run.
//!
//! `cargo bench -p firmware-protocol --bench frame`. Each figure is the least of [`RUNS`] runs: what the work takes when
//! nothing else disturbs it.

use std::hint::black_box;
use std::time::Instant;

use firmware_protocol::decode::{Decoder, Format, Incoming, Route};
use firmware_protocol::frame::{
    self, BaseTime, Channel, ChannelInfo, ChannelTable, Encode, Every, FRAME_MAX_BYTES, Frame, FrameView, Header,
    Hello, Key, Kind, Numbered, NumberedFrame, Samples, Signature,
};
use firmware_protocol::measurement::{EventTime, Measurement};
use firmware_protocol::table::{self, Entry};
use firmware_protocol::{BootId, DeviceSeq};
use serde::{Deserialize, Serialize};

const RUNS: usize = 25;
/// Long against the clock's grain, short against what disturbs it.
const CALLS: usize = 4_000;
const READINGS: usize = 50;
const DEVICE: &str = "pump-7";
const BOOT: BootId = BootId(3);
const SEQ: DeviceSeq = DeviceSeq(300);
const BASE: BaseTime = BaseTime::UnixMicros(1_772_366_400_000_000);
const SECRET: [u8; 32] = [0x5a; 32];

static TABLE: ChannelTable<'static> = match ChannelTable::new(&[
    ChannelInfo { name: "flow", unit: "l/min", kind: Kind::F32, range: Some((0.0, 80.0)), interval_micros: 100_000 },
    ChannelInfo { name: "pressure", unit: "bar", kind: Kind::F32, range: Some((0.0, 16.0)), interval_micros: 100_000 },
    ChannelInfo { name: "temperature", unit: "degC", kind: Kind::F32, range: None, interval_micros: 1_000_000 },
    ChannelInfo { name: "door", unit: "", kind: Kind::Bool, range: None, interval_micros: 0 },
]) {
    Ok(table) => table,
    Err(_) => panic!("names are unique and short"),
};

/// The body of a frame of named channels, as `SPEC.md` has it.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    device: &'a str,
    boot: u32,
    seq: u32,
    base: Base,
    #[serde(borrow)]
    channels: Vec<OwnedChannel<'a>>,
}

#[derive(Serialize, Deserialize)]
enum Base {
    UnixMicros(i64),
    SinceBootMicros(u64),
}

#[derive(Serialize, Deserialize)]
struct OwnedChannel<'a> {
    name: &'a str,
    samples: OwnedSamples,
}

#[derive(Serialize, Deserialize)]
enum OwnedSamples {
    F32(Vec<(i64, f32)>),
    F64(Vec<(i64, f64)>),
    I32(Vec<(i64, i32)>),
    Bool(Vec<(i64, bool)>),
}

/// The least time of a call, in nanoseconds.
fn least<T>(mut call: impl FnMut() -> T) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..RUNS {
        let begun = Instant::now();
        for _ in 0..CALLS {
            black_box(call());
        }
        least = least.min(begun.elapsed().as_secs_f64() * 1e9 / CALLS as f64);
    }
    least
}

fn print(what: &str, nanos: f64, readings: usize) {
    println!("{what:<58} {nanos:>9.0} ns {:>9.1} ns a reading", nanos / readings as f64);
}

fn encoded(frame: &impl Encode) -> Vec<u8> {
    let mut out = [0; FRAME_MAX_BYTES];
    let length = frame::encode(frame, &mut out).expect("it is valid");
    out[..length].to_vec()
}

fn decode(decoder: &Decoder, payload: &[u8], table: &str, out: &mut Measurement) {
    let received_at = EventTime(1_772_366_401_000_000_000);
    let message = Incoming { topic: "t", payload, content_type: "", received_at, is_replay: false, table };
    decoder.decode(message, out).expect("it is valid");
    black_box(&out.readings);
}

fn main() {
    let decoder = Decoder::new(vec![Route { topic: "#".into(), format: Format::Auto, ..Route::default() }]);
    let decoder = decoder.expect("the route is right");
    let mut out = Measurement::default();
    let mut buffer = [0; FRAME_MAX_BYTES];

    let pairs: Vec<_> = (0..READINGS).map(|i| (i as i64 * 100_000, 21.5 + i as f32 * 0.125)).collect();
    let values: Vec<_> = pairs.iter().map(|(_, value)| *value).collect();
    let frame = |channels| Frame { device: DEVICE, boot: BOOT, seq: SEQ, base: BASE, channels };
    let named = [Channel { name: "flow", samples: Samples::F32(&pairs) }];
    let named = frame(&named);
    let every = Every { first: 0, interval_micros: 100_000, values: &values };
    let regular = [Channel { name: "flow", samples: Samples::F32Every(every) }];
    let regular = frame(&regular);
    let two = pairs.split_at(READINGS / 2);
    let numbered =
        [Numbered { number: 0, samples: Samples::F32(two.0) }, Numbered { number: 1, samples: Samples::F32(two.1) }];
    let numbered =
        NumberedFrame { device: DEVICE, boot: BOOT, seq: SEQ, base: BASE, table: TABLE.id(), channels: &numbered };
    let hello = Hello { device: DEVICE, boot: BOOT, seq: SEQ, base: BASE, table: TABLE };
    let single: Vec<_> = (0..32).map(|i| format!("channel-{i}")).collect();
    let single: Vec<_> = single.iter().map(|name| Channel { name, samples: Samples::F32(&pairs[..1]) }).collect();
    let single = frame(&single);
    let mut names = String::new();
    for (number, channel) in (0..).zip(&TABLE.channels()[..2]) {
        table::push(&mut names, &Entry { number, name: channel.name, unit: channel.unit, kind: 0 });
    }

    println!("decoding into a measurement");
    let bytes = encoded(&named);
    print("50 f32, a time each", least(|| decode(&decoder, black_box(&bytes), "", &mut out)), READINGS);
    let bytes = encoded(&regular);
    print("50 f32, regular", least(|| decode(&decoder, black_box(&bytes), "", &mut out)), READINGS);
    let bytes = encoded(&numbered);
    print("50 f32 of 2 numbered channels", least(|| decode(&decoder, black_box(&bytes), &names, &mut out)), READINGS);
    let bytes = encoded(&single);
    print("32 channels of 1 f32", least(|| decode(&decoder, black_box(&bytes), "", &mut out)), 32);
    let bytes = encoded(&hello);
    print("hello of 4 channels", least(|| decode(&decoder, black_box(&bytes), "", &mut out)), 4);

    println!("parts of it");
    let bytes = encoded(&named);
    let check = || FrameView::parse(black_box(&bytes)).is_ok();
    print("50 f32: check all", least(check), READINGS);
    print("50 f32: crc and identity", least(|| Header::verify(black_box(&bytes))), READINGS);
    let key = Key::new(1, &SECRET).expect("its length is right");
    let length = frame::encode_signed(&named, &key, &mut buffer).expect("it is valid");
    let signed = buffer[..length].to_vec();
    let verify = || Signature::of(black_box(&signed)).is_some_and(|signature| signature.is_by(&key));
    assert!(verify());
    print("50 f32: signature", least(verify), READINGS);

    println!("encoding");
    let mut encode = |what, frame: &dyn Fn(&mut [u8]) -> usize| {
        print(what, least(|| frame(black_box(&mut buffer))), READINGS);
    };
    encode("50 f32, a time each", &|out| frame::encode(black_box(&named), out).expect("valid"));
    encode("50 f32, regular", &|out| frame::encode(black_box(&regular), out).expect("valid"));
    encode("50 f32 of 2 numbered channels", &|out| frame::encode(black_box(&numbered), out).expect("valid"));
    encode("50 f32, signed", &|out| frame::encode_signed(black_box(&named), &key, out).expect("valid"));

    println!("postcard alone: no crc, no checks, into its own structs");
    let deltas = (0..READINGS).map(|i| (if i == 0 { 0 } else { 100_000 }, pairs[i].1)).collect();
    let channels = vec![OwnedChannel { name: "flow", samples: OwnedSamples::F32(deltas) }];
    let (boot, seq) = (BOOT.0, SEQ.0);
    let body = Body { device: DEVICE, boot, seq, base: Base::UnixMicros(1_772_366_400_000_000), channels };
    let bytes = postcard::to_stdvec(&body).expect("a plain type");
    let whole = encoded(&named);
    assert_eq!(bytes, whole[4..whole.len() - 4], "the same body");
    let from_bytes = || postcard::from_bytes::<Body<'_>>(black_box(&bytes)).expect("valid");
    print("from_bytes, 50 f32, a time each", least(from_bytes), READINGS);
    let mut to_slice = || postcard::to_slice(black_box(&body), black_box(&mut buffer)).expect("it has room").len();
    print("to_slice, 50 f32, a time each", least(&mut to_slice), READINGS);
}
