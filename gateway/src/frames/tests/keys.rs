//! Devices that must sign.

use firmware_protocol::frame::{Key, encode_signed};

use super::*;

const SECRET: [u8; 16] = [7; 16];
const HEX: &str = "07070707070707070707070707070707";

fn signed(device: &str, boot: u32, seq: u32, key: &Key<'_>) -> Record {
    let channels = [Channel { name: "flow", samples: Samples::F32(&[(0, 1.0)]) }];
    let base = BaseTime::UnixMicros(1_772_366_400_000_000);
    let frame = Frame { device, boot: BootId(boot), seq: DeviceSeq(seq), base, channels: &channels };
    let mut bytes = [0; 256];
    let length = encode_signed(&frame, key, &mut bytes).unwrap();
    record(Bytes::copy_from_slice(&bytes[..length]), 0)
}

fn key() -> Key<'static> {
    Key::new(3, &SECRET).unwrap()
}

fn guarded() -> (Frames, tokio::sync::mpsc::Receiver<Refused>) {
    let config = Config { keys: Keys::parse(&format!("pump-* 3 {HEX}")).unwrap(), ..config() };
    let (refusals, refused) = Refusals::channel();
    let outlets = Outlets { refusals, ..Outlets::default() };
    let frames = Frames::new(&config, clock(), SharedClockMap::default(), metrics::Frames::default(), outlets);
    (frames, refused)
}

#[test]
fn of_a_device_that_must_sign_only_what_it_has_signed_is_stored_and_all_else_is_counted_and_kept() {
    let (mut frames, mut kept) = guarded();
    let forged = Key::new(3, &[8; 16]).unwrap();
    let unknown = Key::new(4, &SECRET).unwrap();
    // Another sequence under the same MAC, with a CRC that fits again.
    let mut moved = signed("pump-1", 1, 1, &key()).payload.to_vec();
    let end = moved.len() - 4;
    moved[12] += 1;
    let crc = firmware_protocol::crc::crc32(&moved[..end]);
    moved[end..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Header::verify(&moved).unwrap().0.seq, DeviceSeq(2));
    let cases = [
        (signed("pump-1", 1, 1, &key()), None),
        (record(framed("pump-1", 1, 2, 1.0), 0), Some("mac_missing")),
        (signed("pump-1", 1, 3, &forged), Some("mac_wrong")),
        (signed("pump-1", 1, 4, &unknown), Some("mac_key")),
        (record(moved.into(), 0), Some("mac_wrong")),
        (signed("pump-2", 1, 5, &key()), None),
        (signed("other", 1, 5, &forged), None),
        (record(framed("other", 1, 6, 1.0), 0), None),
    ];
    for (record, reason) in cases {
        let payload = record.payload.clone();
        assert_eq!(is_stored(&mut frames, record), reason.is_none(), "{reason:?}");
        let refused = kept.try_recv().ok().map(|refused| (refused.reason, refused.record.payload));
        assert_eq!(refused, reason.map(|reason| (reason, payload)));
    }
    let count = |reason| frames.metrics.refused.get_or_create(&ReasonLabel { reason }).get();
    assert_eq!(["mac_missing", "mac_wrong", "mac_key", "replayed"].map(count), [1, 2, 1, 0]);
}

#[test]
fn what_a_device_has_signed_before_all_that_is_remembered_is_a_replay() {
    let (mut frames, mut kept) = guarded();
    let nth = |boot, seq| signed("pump-1", boot, seq, &key());
    assert!(admit_all(&mut frames, [nth(5, 0), nth(5, 1), nth(6, 0), nth(7, 0), nth(8, 0)]).into_iter().all(|s| s));
    // Boot 5 is forgotten for 8. A repeat that is known as such is acknowledged in silence.
    assert_eq!(admit_all(&mut frames, [nth(5, 0), nth(4, 0), nth(8, 0)]), [false; 3]);
    assert_eq!(kept.try_recv().unwrap().reason, "replayed");
    assert_eq!(kept.try_recv().unwrap().reason, "replayed");
    assert!(kept.try_recv().is_err());
    // Half of the frames go elsewhere: what lies below the oldest hole cannot be told any more.
    admit_all(&mut frames, (1..2_000).map(|n| nth(8, 2 * n)));
    assert_eq!(admit_all(&mut frames, [nth(8, 1)]), [false]);
    assert_eq!(kept.try_recv().unwrap().reason, "replayed");
    assert!(is_stored(&mut frames, signed("other", 1, 0, &key())), "nobody asks for its signature");
}

#[test]
fn a_flood_of_forged_frames_is_counted_to_the_last_and_kept_within_bounds() {
    let (mut frames, kept) = guarded();
    let stored = admit_all(&mut frames, (0..1_000).map(|seq| record(framed("pump-1", 1, seq, 1.0), 0)));
    assert!(stored.into_iter().all(|stored| !stored));
    let count = frames.metrics.refused.get_or_create(&ReasonLabel { reason: "mac_missing" }).get();
    assert_eq!((count, frames.metrics.refused_unkept.get() + kept.len() as u64), (1_000, 1_000));
    assert!(kept.len() < 1_000);
}
