//! The examples in `SPEC.md` decode for ever, and encode to the same bytes: examples are added, never changed.

use firmware_protocol::accumulator::Accumulator;
use firmware_protocol::cobs::{ENCODED_MAX_BYTES, encode_cobs};
use firmware_protocol::derived::Derived;
use firmware_protocol::frame::{self, BaseTime, Channel, FRAME_MAX_BYTES, Frame, FrameView, Samples};
use firmware_protocol::{BootId, DeviceSeq};

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

fn frames() -> [Frame<'static>; 3] {
    const TEMPERATURE: Samples<'static> = Samples::F32(&[(0, 21.5), (1_000_000, 21.625), (2_000_000, 21.5)]);
    const DOOR: Samples<'static> = Samples::Bool(&[(1_500_000, true)]);
    const STEPS: Samples<'static> = Samples::I32(&[(0, -70_000), (-500_000, i32::MAX)]);
    const LEVEL: Samples<'static> = Samples::F64(&[(0, 0.1)]);
    [
        Frame {
            device: "pump-7",
            boot: BootId(3),
            seq: DeviceSeq(300),
            base: BaseTime::UnixMicros(1_772_366_400_000_000),
            channels: &[Channel { name: "temperature", samples: TEMPERATURE }, Channel { name: "door", samples: DOOR }],
        },
        Frame {
            device: "t1",
            boot: BootId(u32::MAX),
            seq: DeviceSeq(0),
            base: BaseTime::SinceBootMicros(90_000_000),
            channels: &[Channel { name: "steps", samples: STEPS }, Channel { name: "level", samples: LEVEL }],
        },
        Frame { device: "x", boot: BootId(0), seq: DeviceSeq(0), base: BaseTime::UnixMicros(0), channels: &[] },
    ]
}

fn assert_shows(view: &FrameView<'_>, frame: &Frame<'_>) {
    assert_eq!((view.header.device, view.header.boot, view.header.seq), (frame.device, frame.boot, frame.seq));
    assert_eq!(view.base, frame.base);
    let expected = frame.channels.iter().map(|channel| {
        let samples: Vec<_> = match channel.samples {
            Samples::F32(s) => s.iter().map(|(o, v)| (*o, frame::Value::F32(*v))).collect(),
            Samples::F64(s) => s.iter().map(|(o, v)| (*o, frame::Value::F64(*v))).collect(),
            Samples::I32(s) => s.iter().map(|(o, v)| (*o, frame::Value::I32(*v))).collect(),
            Samples::Bool(s) => s.iter().map(|(o, v)| (*o, frame::Value::Bool(*v))).collect(),
            Samples::Text(_)
            | Samples::F32Every(_)
            | Samples::F64Every(_)
            | Samples::I32Every(_)
            | Samples::BoolEvery(_)
            | Samples::U16Every(_)
            | Samples::I16Every(_) => panic!("none of these is in the examples"),
        };
        (frame::Label::Name(channel.name), samples)
    });
    let shown = view.channels().map(|c| (c.label, c.samples().collect::<Vec<_>>()));
    assert_eq!(shown.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn the_specs_frames_decode_and_encode_byte_for_byte() {
    let blocks = blocks("frame");
    assert_eq!(blocks.len(), frames().len());
    for (block, frame) in blocks.iter().zip(frames()) {
        let spec = bytes(block);
        let mut out = [0; FRAME_MAX_BYTES];
        let length = frame::encode(&frame, &mut out).unwrap();
        assert_eq!(out[..length], spec, "encoded {:02x?}", &out[..length]);
        assert_shows(&FrameView::parse(&spec).unwrap(), &frame);
    }
}

#[test]
fn the_specs_serial_packets_are_read_and_written_byte_for_byte() {
    let [.., smallest] = frames();
    let mut frame = [0; FRAME_MAX_BYTES];
    let frame_length = frame::encode(&smallest, &mut frame).unwrap();
    let header = FrameView::parse(&frame[..frame_length]).unwrap().header;
    let mut ack = [0; frame::ACK_MAX_BYTES];
    let ack_length = frame::encode_ack(&header, &mut ack).unwrap();
    let packets = [&frame[..frame_length], &ack[..ack_length]];
    let blocks = blocks("serial");
    assert_eq!(blocks.len(), packets.len());
    for (block, packet) in blocks.iter().zip(packets) {
        let spec = bytes(block);
        let mut out = [0; ENCODED_MAX_BYTES];
        let length = encode_cobs(packet, &mut out).unwrap();
        assert_eq!(out[..length], spec, "encoded {:02x?}", &out[..length]);
        let mut accumulator: Accumulator = Accumulator::new();
        assert_eq!(accumulator.next(&mut &spec[..]), Some(Ok(packet)));
    }
    assert_eq!(frame::parse_ack(&ack[..ack_length]), Ok(header));
}

#[test]
fn the_specs_derived_records_are_written_as_shown() {
    let lines: Vec<_> = blocks("json").into_iter().flat_map(str::lines).collect();
    assert_eq!(lines.len(), 3, "one of each schema");
    for line in lines {
        let record = Derived::from_json(line.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(record.to_json()).unwrap(), line);
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
