//! The examples in `SPEC.md` decode for ever, and encode to the same bytes: examples are added, never changed.

use firmware_protocol::accumulator::Accumulator;
use firmware_protocol::cobs::{ENCODED_MAX_BYTES, encode_cobs};
use firmware_protocol::derived::Derived;
use firmware_protocol::frame::{
    self, BaseTime, Channel, ChannelInfo, ChannelTable, Encode, Every, FRAME_MAX_BYTES, Frame, Header, Hello, Key,
    Kind, Numbered, NumberedFrame, Samples, Signature,
};
use firmware_protocol::{BootId, DeviceSeq, FrameError};

const SPEC: &str = include_str!("../SPEC.md");

/// The contents of the fenced blocks of one kind, in the order of the text.
fn blocks(kind: &str) -> Vec<&'static str> {
    let fence = format!("```{kind}\n");
    SPEC.split(fence.as_str()).skip(1).map(|rest| rest.split_once("```").expect("the block ends").0).collect()
}

fn bytes(block: &str) -> Vec<u8> {
    let hex = block.lines().map(|line| line.split_once(';').map_or(line, |(hex, _)| hex));
    hex.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).expect("two hex digits")).collect()
}

const FLOW: u8 = 0;
const DOOR: u8 = 1;
static TABLE: ChannelTable<'static> = match ChannelTable::new(&[
    ChannelInfo { name: "flow", unit: "l/min", kind: Kind::F32, range: Some((0.0, 80.0)), interval_micros: 100_000 },
    ChannelInfo { name: "door", unit: "", kind: Kind::Bool, range: None, interval_micros: 0 },
]) {
    Ok(table) => table,
    Err(_) => panic!("names differ and are short"),
};
const NOON: BaseTime = BaseTime::UnixMicros(1_772_366_400_000_000);
const SMALLEST: Frame<'static> =
    Frame { device: "x", boot: BootId(0), seq: DeviceSeq(0), base: BaseTime::UnixMicros(0), channels: &[] };
const KEY_ID: u8 = 7;

/// What the examples of the specification hold, in their order.
fn examples() -> Vec<Vec<u8>> {
    let named = |name, samples| Channel { name, samples };
    let numbered = |number, samples| Numbered { number, samples };
    let temperature = Samples::F32(&[(0, 21.5), (1_000_000, 21.625), (2_000_000, 21.5)]);
    let door = Samples::Bool(&[(1_500_000, true)]);
    let steps = Samples::I32(&[(0, -70_000), (-500_000, i32::MAX)]);
    let level = Samples::F64(&[(0, 0.1)]);
    let counts = Samples::I16Every(Every { first: -3_000, interval_micros: 1_000, values: &[-2, 0, 17, 2047] });
    let state = Samples::Text(&[(-3_000, "idle"), (0, "läuft")]);
    let flow = Samples::F32Every(Every { first: 0, interval_micros: 100_000, values: &[12.0, 12.25, 12.5] });
    let (clock, ticks) = (NOON, BaseTime::SinceBootMicros(90_000_000));
    let frame =
        |device, boot, seq, base, channels| Frame { device, boot: BootId(boot), seq: DeviceSeq(seq), base, channels };
    let pump = ("pump-7", BootId(4));
    let hello = Hello { device: pump.0, boot: pump.1, seq: DeviceSeq(0), base: clock, table: TABLE };
    let (base, table) = (BaseTime::UnixMicros(1_772_366_401_000_000), TABLE.id());
    let channels = [numbered(FLOW, flow), numbered(DOOR, Samples::Bool(&[(150_000, true)]))];
    let by_table = NumberedFrame { device: pump.0, boot: pump.1, seq: DeviceSeq(1), base, table, channels: &channels };
    let secret = secret();
    let key = Key::new(KEY_ID, &secret).expect("its length is right");
    let signed = [named("door", Samples::Bool(&[(0, true)]))];
    let signed = Frame { seq: DeviceSeq(1), channels: &signed, ..SMALLEST };
    vec![
        encoded(&frame("pump-7", 3, 300, clock, &[named("temperature", temperature), named("door", door)])),
        encoded(&frame("t1", u32::MAX, 0, ticks, &[named("steps", steps), named("level", level)])),
        encoded(&SMALLEST),
        encoded(&frame("mic-2", 9, 8, ticks, &[named("counts", counts), named("state", state)])),
        encoded(&hello),
        encoded(&by_table),
        written(|out| frame::encode_signed(&signed, &key, out)),
    ]
}

/// The secret that the specification prints.
fn secret() -> Vec<u8> {
    let [secret] = blocks("key").try_into().expect("one key is printed");
    bytes(secret)
}

fn encoded(frame: &impl Encode) -> Vec<u8> {
    written(|out| frame::encode(frame, out))
}

fn written(write: impl FnOnce(&mut [u8]) -> Result<usize, FrameError>) -> Vec<u8> {
    let mut out = [0; FRAME_MAX_BYTES];
    let length = write(&mut out).expect("the content is valid");
    out[..length].to_vec()
}

#[test]
fn the_specs_frames_are_encoded_byte_for_byte_and_can_be_read() {
    let blocks = blocks("frame");
    assert_eq!(blocks.len(), examples().len());
    for (block, example) in blocks.iter().zip(examples()) {
        let spec = bytes(block);
        assert_eq!(example, spec, "encoded {example:02x?}");
        frame::parse(&spec).expect("the example is valid");
    }
}

#[test]
fn the_specs_signature_is_that_of_its_key_alone() {
    let secret = secret();
    let signed: Vec<_> =
        blocks("frame").into_iter().map(bytes).filter(|frame| Signature::of(frame).is_some()).collect();
    let [signed] = signed.try_into().expect("one example is signed");
    let signature = Signature::of(&signed).expect("it is signed");
    assert!(signature.is_by(&Key::new(KEY_ID, &secret).expect("its length is right")));
    assert!(!signature.is_by(&Key::new(KEY_ID + 1, &secret).expect("its length is right")), "another id");
    let other: Vec<_> = secret.iter().rev().copied().collect();
    assert!(!signature.is_by(&Key::new(KEY_ID, &other).expect("its length is right")), "another secret");
}

#[test]
fn the_specs_serial_packets_are_read_and_written_byte_for_byte() {
    let frame = encoded(&SMALLEST);
    let header = Header::peek(&frame).expect("the frame is valid");
    let ack = written(|out| frame::encode_ack(&header, out));
    let request = written(|out| frame::encode_hello_request("x", out));
    let packets = [&frame, &ack, &request];
    let blocks = blocks("serial");
    assert_eq!(blocks.len(), packets.len());
    for (block, packet) in blocks.iter().zip(packets) {
        let spec = bytes(block);
        let mut out = [0; ENCODED_MAX_BYTES];
        let length = encode_cobs(packet, &mut out).expect("it is valid");
        assert_eq!(out[..length], spec, "encoded {:02x?}", &out[..length]);
        let mut accumulator: Accumulator = Accumulator::new();
        assert_eq!(accumulator.next(&mut &spec[..]), Some(Ok(&packet[..])));
    }
    assert_eq!(frame::parse_ack(&ack), Ok(header));
    assert_eq!(frame::parse_hello_request(&request), Ok("x"));
}

#[test]
fn the_specs_derived_records_are_written_as_shown() {
    let lines: Vec<_> = blocks("json").into_iter().flat_map(str::lines).collect();
    assert_eq!(lines.len(), 4, "one of each schema");
    for line in lines {
        let record = Derived::from_json(line.as_bytes()).expect("it is valid");
        assert_eq!(String::from_utf8(record.to_json()).expect("it is valid"), line);
    }
}

#[test]
fn the_specs_limits_are_those_of_the_code() {
    use firmware_protocol::{decode, envelope};
    let numbers = [
        format!("at most {FRAME_MAX_BYTES} bytes long"),
        format!("1 to {} bytes |", frame::DEVICE_MAX_BYTES),
        format!("1 to {} bytes, different", frame::CHANNEL_NAME_MAX_BYTES),
        format!("0 to {} |", frame::CHANNELS_MAX),
        format!("0 to {} |", frame::SAMPLES_MAX),
        format!("0 to {} bytes, no control", frame::TEXT_MAX_BYTES),
        format!("0 to {} bytes, no control", frame::UNIT_MAX_BYTES),
        format!("{} to {} bytes of secret", frame::KEY_MIN_BYTES, frame::KEY_MAX_BYTES),
        format!("{} channels and {} readings a message", decode::CHANNELS_MAX, decode::READINGS_MAX),
        format!("{} bytes a channel name", decode::CHANNEL_NAME_MAX_BYTES),
        format!("At most {} bytes.", decode::DEVICE_MAX_BYTES),
        format!("takes at most {ENCODED_MAX_BYTES} bytes"),
    ];
    let headers = [
        envelope::SCHEMA,
        envelope::GATEWAY,
        envelope::QUEUE_SEQ,
        envelope::RECEIVED_AT_NS,
        envelope::DOOR,
        envelope::TOPIC,
        envelope::RETAINED,
        envelope::FRAME_BOOT,
        envelope::FRAME_SEQ,
        envelope::CONTENT_TYPE,
        envelope::ERROR_REASON,
        envelope::ERROR_DETAIL,
    ];
    for text in numbers.into_iter().chain(headers.map(|h| format!("`{h}`"))) {
        assert!(SPEC.contains(&text), "SPEC.md lacks: {text}");
    }
}
