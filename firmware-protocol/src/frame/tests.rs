use super::*;

const TEMPERATURES: &[(i64, f32)] = &[(-250_000, 21.5), (0, 21.625), (250_000, f32::MIN_POSITIVE)];
const STEPS: &[(i64, i32)] = &[(0, i32::MIN), (1, i32::MAX)];
const CHANNELS: &[Channel<'static>] = &[
    Channel { name: "temperature", samples: Samples::F32(TEMPERATURES) },
    Channel { name: "steps", samples: Samples::I32(STEPS) },
    Channel { name: "door", samples: Samples::Bool(&[(5, true)]) },
    Channel { name: "nothing", samples: Samples::F64(&[]) },
];

fn frame() -> Frame<'static> {
    Frame {
        device: "pump-7",
        boot: BootId(3),
        seq: DeviceSeq(u32::MAX),
        base: BaseTime::UnixMicros(1_700_000_000_000_000),
        channels: CHANNELS,
    }
}

fn encoded(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = [0; FRAME_MAX_BYTES];
    let length = encode(frame, &mut out).unwrap();
    out[..length].to_vec()
}

/// `bytes` with its last four replaced by the CRC that belongs there.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - CRC_BYTES;
    let crc = crate::crc::crc32(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn a_frame_comes_back_as_it_was_sent() {
    let bytes = encoded(&frame());
    let view = FrameView::parse(&bytes).unwrap();
    assert_eq!(view.header, Header { device: "pump-7", boot: BootId(3), seq: DeviceSeq(u32::MAX) });
    assert_eq!(view.base, frame().base);
    let names: Vec<_> = view.channels().map(|c| (c.label, c.kind, c.sample_count())).collect();
    assert_eq!(
        names,
        [
            (Label::Name("temperature"), Kind::F32, 3),
            (Label::Name("steps"), Kind::I32, 2),
            (Label::Name("door"), Kind::Bool, 1),
            (Label::Name("nothing"), Kind::F64, 0)
        ]
    );
    let temperatures: Vec<_> = view.channels().next().unwrap().samples().collect();
    assert_eq!(temperatures, TEMPERATURES.iter().map(|(o, v)| (*o, Value::F32(*v))).collect::<Vec<_>>());
    assert_eq!(view.newest_offset_micros(), Some(250_000));
}

#[test]
fn every_single_flipped_bit_is_noticed() {
    let bytes = encoded(&frame());
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(FrameView::parse(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn every_cut_is_noticed_even_with_a_right_crc() {
    let bytes = encoded(&frame());
    for length in 0..bytes.len() {
        assert!(FrameView::parse(&bytes[..length]).is_err(), "{length} bytes");
        if length >= PREFIX_BYTES + CRC_BYTES {
            assert!(FrameView::parse(&resealed(bytes[..length].to_vec())).is_err(), "{length} bytes, resealed");
        }
    }
}

#[test]
fn each_fault_has_its_name() {
    let bytes = encoded(&frame());
    let parse = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        FrameView::parse(&bytes).unwrap_err()
    };
    let parse_resealed = |change: &dyn Fn(&mut Vec<u8>)| {
        parse(&|b: &mut Vec<u8>| {
            change(b);
            *b = resealed(core::mem::take(b));
        })
    };
    assert_eq!(FrameView::parse(b"{\"a\":1}").unwrap_err(), FrameError::NotAFrame);
    assert_eq!(FrameView::parse(b"").unwrap_err(), FrameError::Truncated);
    assert_eq!(parse(&|b| b[2] = 2), FrameError::UnknownVersion);
    assert_eq!(parse(&|b| b[9] ^= 1), FrameError::WrongCrc);
    for flags in [3, 8, 0x80, 0xff] {
        assert_eq!(parse_resealed(&|b| b[3] = flags), FrameError::UnknownFlags, "{flags}");
    }
    assert_eq!(parse_resealed(&|b| b.extend([0, 0])), FrameError::TrailingBytes);
    assert_eq!(parse_resealed(&|b| b.resize(FRAME_MAX_BYTES + 1, 0)), FrameError::TooLarge);
    assert_eq!(parse_resealed(&|b| b[5] = 0xff), FrameError::Malformed, "device is not UTF-8");
    assert_eq!(parse_resealed(&|b| b[5] = b'\n'), FrameError::Malformed, "device has a line break");
}

#[test]
fn a_varint_longer_than_its_value_needs_is_refused() {
    let frame = Frame { boot: BootId(1), seq: DeviceSeq(0), channels: &[], ..frame() };
    let bytes = encoded(&frame);
    let boot_at = PREFIX_BYTES + 1 + frame.device.len();
    assert_eq!(bytes[boot_at], 1);
    let mut padded = bytes.clone();
    padded.splice(boot_at..=boot_at, [0x81, 0x00]);
    assert_eq!(FrameView::parse(&resealed(padded)).unwrap_err(), FrameError::Malformed);
}

#[test]
fn encode_refuses_what_parse_would_refuse() {
    let mut out = [0; FRAME_MAX_BYTES];
    let mut refused = |frame: Frame<'_>| encode(&frame, &mut out).unwrap_err();
    let channel = Channel { name: "a", samples: Samples::Bool(&[]) };
    assert_eq!(refused(Frame { device: "", ..frame() }), FrameError::Malformed);
    assert_eq!(refused(Frame { device: &"d".repeat(DEVICE_MAX_BYTES + 1), ..frame() }), FrameError::TooLarge);
    assert_eq!(refused(Frame { channels: &[channel, channel], ..frame() }), FrameError::DuplicateChannel);
    assert_eq!(refused(Frame { channels: &[channel; CHANNELS_MAX + 1], ..frame() }), FrameError::TooLarge);
    let many = [(0, true); SAMPLES_MAX + 1];
    assert_eq!(
        refused(Frame { channels: &[Channel { name: "a", samples: Samples::Bool(&many) }], ..frame() }),
        FrameError::TooLarge
    );
    let apart = [(i64::MIN, true), (i64::MAX, true)];
    assert_eq!(
        refused(Frame { channels: &[Channel { name: "a", samples: Samples::Bool(&apart) }], ..frame() }),
        FrameError::Malformed
    );
    let wide = [(0, 0.5); 500];
    assert_eq!(
        refused(Frame { channels: &[Channel { name: "a", samples: Samples::F64(&wide) }], ..frame() }),
        FrameError::TooLarge
    );
}

#[test]
fn a_buffer_one_byte_short_is_refused() {
    let length = encoded(&frame()).len();
    assert_eq!(encode(&frame(), &mut vec![0; length - 1]), Err(FrameError::BufferTooSmall));
    assert_eq!(encode(&frame(), &mut vec![0; length]), Ok(length));
}

#[test]
fn the_largest_offsets_survive() {
    let edges = [(i64::MAX, true), (0, false), (i64::MIN, true)];
    let channels = [Channel { name: "edge", samples: Samples::Bool(&edges[..1]) }];
    let bytes = encoded(&Frame { channels: &channels, base: BaseTime::UnixMicros(i64::MIN), ..frame() });
    assert_eq!(FrameView::parse(&bytes).unwrap().newest_offset_micros(), Some(i64::MAX));
    let channels = [Channel { name: "edge", samples: Samples::Bool(&edges[1..]) }];
    let bytes = encoded(&Frame { channels: &channels, base: BaseTime::SinceBootMicros(u64::MAX), ..frame() });
    let samples: Vec<_> = FrameView::parse(&bytes).unwrap().channels().flat_map(|c| c.samples()).collect();
    assert_eq!(samples, [(0, Value::Bool(false)), (i64::MIN, Value::Bool(true))]);
}

#[test]
fn the_header_can_be_read_without_the_rest() {
    let bytes = encoded(&frame());
    assert_eq!(Header::peek(&bytes[..20]).unwrap().device, "pump-7");
    assert_eq!(Header::peek(b"SG\x02\x00"), Err(FrameError::UnknownVersion));
}

#[test]
fn an_identity_is_believed_only_behind_a_right_crc() {
    let bytes = encoded(&frame());
    let crc = u32::from_le_bytes(*bytes.last_chunk().unwrap());
    assert_eq!(Header::verify(&bytes), Ok((FrameView::parse(&bytes).unwrap().header, crc)));
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 1;
        assert!(Header::verify(&broken).is_err(), "byte {at}");
        assert!(Header::verify(&bytes[..at]).is_err(), "cut at {at}");
    }
}
