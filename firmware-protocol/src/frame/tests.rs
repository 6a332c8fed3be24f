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

const INFOS: &[ChannelInfo<'static>] = &[
    ChannelInfo { name: "flow", unit: "l/min", kind: Kind::F32, range: Some((0.0, 80.0)), interval_micros: 100_000 },
    ChannelInfo { name: "state", unit: "", kind: Kind::Text, range: None, interval_micros: 0 },
];
static TABLE: ChannelTable<'static> = match ChannelTable::new(INFOS) {
    Ok(table) => table,
    Err(_) => panic!("the names are valid"),
};

fn hello(table: ChannelTable<'_>) -> Hello<'_> {
    Hello { device: "pump-7", boot: BootId(3), seq: DeviceSeq(0), base: BaseTime::UnixMicros(0), table }
}

fn numbered<'a>(channels: &'a [Numbered<'a>]) -> NumberedFrame<'a> {
    let Frame { device, boot, seq, base, .. } = frame();
    NumberedFrame { device, boot, seq, base, table: TABLE.id(), channels }
}

fn refused(frame: &impl Encode) -> FrameError {
    encode(frame, &mut [0; FRAME_MAX_BYTES]).unwrap_err()
}

fn encoded_any(frame: &impl Encode) -> Vec<u8> {
    let mut out = [0; FRAME_MAX_BYTES];
    let length = encode(frame, &mut out).unwrap();
    out[..length].to_vec()
}

/// What `parse` says of valid bytes after a change, with the CRC set right.
fn changed(bytes: &[u8], at: usize, to: u8) -> FrameError {
    let mut bytes = bytes.to_vec();
    bytes[at] = to;
    parse(&resealed(bytes)).unwrap_err()
}

#[test]
fn a_hello_comes_back_as_it_was_sent() {
    let bytes = encoded_any(&hello(TABLE));
    assert_eq!(Body::of(&bytes), Ok(Body::Hello));
    let view = HelloView::parse(&bytes).unwrap();
    assert_eq!((view.header.device, view.table), ("pump-7", TABLE.id()));
    assert!(view.channels().eq(INFOS.iter().copied()));
    assert_eq!(FrameView::parse(&bytes).unwrap_err(), FrameError::OtherBody);
    assert_eq!(HelloView::parse(&encoded(&frame())).unwrap_err(), FrameError::OtherBody);
}

#[test]
fn a_table_is_known_by_its_content() {
    let id = |channels: &[ChannelInfo<'_>]| ChannelTable::new(channels).unwrap().id();
    assert_eq!(id(INFOS), TABLE.id());
    let [flow, state] = *INFOS else { panic!("two channels") };
    for other in [
        &[state, flow][..],
        &[flow],
        &[],
        &[ChannelInfo { unit: "l/s", ..flow }, state],
        &[ChannelInfo { kind: Kind::F64, ..flow }, state],
        &[ChannelInfo { range: None, ..flow }, state],
        &[ChannelInfo { interval_micros: 1, ..flow }, state],
    ] {
        assert_ne!(id(other), TABLE.id(), "{other:?}");
    }
    assert_eq!((TABLE.number_of("state"), TABLE.number_of("x")), (Some(1), None));
    let bytes = encoded_any(&hello(TABLE));
    let unit_at = bytes.windows(5).position(|unit| unit == b"l/min").unwrap();
    assert_eq!(changed(&bytes, unit_at, b'L'), FrameError::WrongTable);
}

#[test]
fn a_table_that_no_hello_could_carry_is_not_made() {
    let fault = |channels: &[ChannelInfo<'_>]| ChannelTable::new(channels).unwrap_err();
    let [flow, _] = *INFOS else { panic!("two channels") };
    assert_eq!(fault(&[flow; CHANNELS_MAX + 1]), FrameError::TooLarge);
    assert_eq!(fault(&[flow, ChannelInfo { unit: "", ..flow }]), FrameError::DuplicateChannel);
    assert_eq!(fault(&[ChannelInfo { name: "", ..flow }]), FrameError::Malformed);
    assert_eq!(fault(&[ChannelInfo { name: &"n".repeat(33), ..flow }]), FrameError::TooLarge);
    assert_eq!(fault(&[ChannelInfo { unit: "17 bytes of unit.", ..flow }]), FrameError::TooLarge);
    assert_eq!(fault(&[ChannelInfo { unit: "\u{85}", ..flow }]), FrameError::Malformed);
    for range in [(1.0, 0.0), (f32::NAN, 0.0), (0.0, f32::NAN), (f32::NEG_INFINITY, 0.0), (0.0, f32::INFINITY)] {
        assert_eq!(fault(&[ChannelInfo { range: Some(range), ..flow }]), FrameError::Malformed, "{range:?}");
    }
}

#[test]
fn numbers_ascend_and_no_table_has_more() {
    let channel = |number| Numbered { number, samples: Samples::Bool(&[]) };
    let numbers = |numbers: [u8; 2]| refused(&numbered(&numbers.map(channel)));
    assert_eq!(numbers([3, 3]), FrameError::DuplicateChannel);
    assert_eq!(numbers([3, 2]), FrameError::Malformed);
    assert_eq!(numbers([3, 32]), FrameError::TooLarge);
    let bytes = encoded_any(&numbered(&[3, 31].map(channel)));
    let view = FrameView::parse(&bytes).unwrap();
    assert_eq!(view.table, Some(TABLE.id()));
    let labels: Vec<_> = view.channels().map(|channel| channel.label).collect();
    assert_eq!(labels, [Label::Number(3), Label::Number(31)]);
    let second = bytes.iter().rposition(|byte| *byte == 31).unwrap();
    assert_eq!(changed(&bytes, second, 3), FrameError::DuplicateChannel);
    assert_eq!(changed(&bytes, second, 2), FrameError::Malformed);
    assert_eq!(changed(&bytes, second, 32), FrameError::TooLarge);
}

#[test]
fn a_name_that_is_there_twice_is_refused() {
    let channels = ["aa", "ab"].map(|name| Channel { name, samples: Samples::Bool(&[]) });
    let bytes = encoded(&Frame { channels: &channels, ..frame() });
    let last = bytes.iter().rposition(|byte| *byte == b'b').unwrap();
    assert_eq!(changed(&bytes, last, b'a'), FrameError::DuplicateChannel);
}

#[test]
fn a_converters_buffer_goes_out_as_it_lies_in_memory() {
    let buffer = core::array::from_fn::<f32, 100, _>(|i| i as f32);
    let samples = Samples::F32Every(Every { first: -99_000, interval_micros: 1_000, values: &buffer });
    let bytes = encoded(&Frame { channels: &[Channel { name: "adc", samples }], ..frame() });
    assert_eq!(bytes.len(), encoded(&Frame { channels: &[], ..frame() }).len() + 4 + 1 + 3 + 2 + 1 + 400);
    let view = FrameView::parse(&bytes).unwrap();
    let channel = view.channels().next().unwrap();
    assert_eq!(channel.timing, Timing::Every { first: -99_000, interval_micros: 1_000 });
    let expected = (0..100).map(|i| (i * 1_000 - 99_000, Value::F32(i as f32)));
    assert!(channel.samples().eq(expected));
    assert_eq!(view.newest_offset_micros(), Some(0));
}

#[test]
fn counts_of_16_bits_are_numbers_like_others() {
    let of = |samples| encoded(&Frame { channels: &[Channel { name: "adc", samples }], ..frame() });
    let (first, interval_micros) = (5, 7);
    let i32s = of(Samples::I32Every(Every { first, interval_micros, values: &[0, 1, 4095] }));
    assert_eq!(of(Samples::U16Every(Every { first, interval_micros, values: &[0, 1, 4095] })), i32s);
    assert_eq!(of(Samples::I16Every(Every { first, interval_micros, values: &[0, 1, 4095] })), i32s);
}

#[test]
fn regular_samples_have_a_distance_and_end_in_range() {
    let of = |first, interval_micros| Samples::BoolEvery(Every { first, interval_micros, values: &[true, false] });
    for samples in [of(0, 0), of(i64::MAX, 1)] {
        let channels = [Channel { name: "x", samples }];
        assert_eq!(refused(&Frame { channels: &channels, ..frame() }), FrameError::Malformed);
    }
    let channels = [Channel { name: "x", samples: of(i64::MAX - 1, 1) }];
    let bytes = encoded(&Frame { channels: &channels, ..frame() });
    assert_eq!(FrameView::parse(&bytes).unwrap().newest_offset_micros(), Some(i64::MAX));
    let interval = bytes.len() - CRC_BYTES - 4;
    assert_eq!(changed(&bytes, interval, 2), FrameError::Malformed, "the second lies out of range");
    assert_eq!(changed(&bytes, interval, 0), FrameError::Malformed);
}

#[test]
fn texts_are_short_and_without_control_characters() {
    let text = |text: &str| {
        let samples = [(0, text)];
        let channels = [Channel { name: "x", samples: Samples::Text(&samples) }];
        encode(&Frame { channels: &channels, ..frame() }, &mut [0; FRAME_MAX_BYTES])
    };
    assert!(text(&"t".repeat(TEXT_MAX_BYTES)).is_ok() && text("").is_ok());
    assert_eq!(text(&"t".repeat(TEXT_MAX_BYTES + 1)), Err(FrameError::TooLarge));
    assert_eq!(text("a\nb"), Err(FrameError::Malformed));
}

#[test]
fn a_key_is_neither_short_nor_shown() {
    for length in [0, KEY_MIN_BYTES - 1, KEY_MAX_BYTES + 1] {
        assert_eq!(Key::new(1, &vec![7; length]), Err(FrameError::KeyLength), "{length}");
    }
    let key = Key::new(1, b"secret secret secret").unwrap();
    assert_eq!(format!("{key:?}"), "Key { id: 1, .. }");
}

#[test]
fn a_signature_is_found_where_there_is_one() {
    let key = Key::new(9, &[7; KEY_MIN_BYTES]).unwrap();
    let mut out = [0; FRAME_MAX_BYTES];
    let length = encode_signed(&hello(TABLE), &key, &mut out).unwrap();
    let signed = &out[..length];
    assert!(Signature::of(signed).is_some_and(|signature| signature.key_id == 9 && signature.is_by(&key)));
    assert_eq!(Header::verify(signed).map(|(header, _)| header.device), Ok("pump-7"));
    assert!(HelloView::parse(signed).is_ok());
    assert_eq!(Signature::of(&encoded(&frame())), None);
    for length in 0..PREFIX_BYTES + SIGNATURE_BYTES + CRC_BYTES {
        assert_eq!(Signature::of(&signed[..length]), None, "{length} bytes");
    }
    assert_eq!(encode_signed(&hello(TABLE), &key, &mut vec![0; length - 1]), Err(FrameError::BufferTooSmall));
}
