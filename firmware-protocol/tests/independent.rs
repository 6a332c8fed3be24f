//! Frames of an encoder that was written from `SPEC.md` alone, in Python: what it says is in them is what is read.
//!
//! `independent/frames.py` knows nothing of this code, and this code nothing of it: where they agree, the document says
//! enough.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use firmware_protocol::frame::{self, BaseTime, FrameView, HelloView, Key, Label, Parsed, Signature, TableId, Value};
use serde::Deserialize;

const KEY_ID: u8 = 7;
const SECRET: &[u8] = b"0123456789abcdef";
const MESSAGES: usize = 400;

/// One line of what the encoder says of its messages.
#[derive(Debug, Deserialize)]
struct Expected {
    file: PathBuf,
    kind: String,
    device: String,
    boot: u32,
    seq: u32,
    signed: bool,
    readings: Vec<ExpectedReading>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct ExpectedReading {
    channel: String,
    /// Of numbered channels.
    unit: Option<String>,
    /// `None`: the device has no clock.
    at_us: Option<i64>,
    offset_us: i64,
    value: Scalar,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Bool(bool),
    Number(f64),
    Text(String),
    NotFinite(()),
}

/// Name and unit of each channel of the tables heard so far.
type Tables = HashMap<(String, TableId), Vec<(String, String)>>;

#[test]
fn frames_of_an_encoder_that_was_written_from_the_specification_are_read_as_they_were_meant() {
    for seed in [1, 2, 3, 1_772_366_400] {
        let dir = messages(seed);
        let lines = std::fs::read_to_string(dir.join("expected.ndjson")).unwrap();
        let (mut tables, mut kinds, mut readings) = (Tables::new(), HashMap::<String, usize>::new(), 0);
        for line in lines.lines() {
            let expected: Expected = serde_json::from_str(line).unwrap();
            check(&std::fs::read(dir.join(&expected.file)).unwrap(), &expected, &mut tables);
            readings += expected.readings.len();
            *kinds.entry(expected.kind).or_default() += 1;
        }
        assert_eq!(kinds.values().sum::<usize>(), MESSAGES);
        assert!(["named", "numbered", "hello"].iter().all(|kind| kinds[*kind] > 20), "seed {seed}: {kinds:?}");
        assert!(readings > MESSAGES, "seed {seed}: {readings} readings");
    }
}

/// Where the encoder has written its messages of this seed.
fn messages(seed: u64) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("independent-{seed}"));
    let secret: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
    let status = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/independent/random_messages.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["--seed", &seed.to_string(), "--count", &MESSAGES.to_string()])
        .args(["--key", &secret, "--key-id", &KEY_ID.to_string(), "--out"])
        .arg(&dir)
        .status()
        .expect("python3 is there, as `tests/run --check` says");
    assert!(status.success(), "seed {seed}: {status}");
    dir
}

fn check(bytes: &[u8], expected: &Expected, tables: &mut Tables) {
    let parsed = frame::parse(bytes).unwrap_or_else(|fault| panic!("{fault}: {expected:?}"));
    let header = parsed.header();
    assert_eq!((header.device, header.boot.0, header.seq.0), (&*expected.device, expected.boot, expected.seq));
    let signature = Signature::of(bytes);
    assert_eq!(signature.is_some(), expected.signed, "{}", expected.file.display());
    if let Some(signature) = signature {
        assert_eq!(signature.key_id, KEY_ID);
        let key = |secret| Key::new(KEY_ID, secret).expect("16 bytes are a key");
        assert!(signature.is_by(&key(SECRET)));
        assert!(!signature.is_by(&key(b"fedcba9876543210")));
    }
    match parsed {
        Parsed::Hello(hello) => {
            assert_eq!((&*expected.kind, expected.readings.len()), ("hello", 0));
            learn(&hello, tables);
        }
        Parsed::Samples(view) => {
            assert_eq!(expected.kind, if view.table.is_some() { "numbered" } else { "named" });
            assert_eq!(readings(&view, tables), expected.readings, "{}", expected.file.display());
        }
    }
}

fn learn(hello: &HelloView<'_>, tables: &mut Tables) {
    let channels = hello.channels().map(|channel| (channel.name.to_owned(), channel.unit.to_owned())).collect();
    tables.insert((hello.header.device.to_owned(), hello.table), channels);
}

fn readings(view: &FrameView<'_>, tables: &Tables) -> Vec<ExpectedReading> {
    let table = view.table.map(|id| &tables[&(view.header.device.to_owned(), id)]);
    let mut readings = Vec::new();
    for channel in view.channels() {
        let (name, unit) = match (channel.label, table) {
            (Label::Name(name), None) => (name, None),
            (Label::Number(number), Some(table)) => {
                let (name, unit) = &table[usize::from(number)];
                (&**name, Some(unit))
            }
            (label, table) => panic!("{label:?} with {table:?}"),
        };
        readings.extend(channel.samples().map(|(offset_us, value)| ExpectedReading {
            channel: name.to_owned(),
            unit: unit.cloned(),
            at_us: match view.base {
                BaseTime::UnixMicros(base) => base.checked_add(offset_us),
                BaseTime::SinceBootMicros(_) => None,
            },
            offset_us,
            value: scalar(value),
        }));
    }
    readings
}

fn scalar(value: Value<'_>) -> Scalar {
    match value {
        Value::Bool(value) => Scalar::Bool(value),
        Value::Text(text) => Scalar::Text(text.to_owned()),
        Value::F32(value) => finite(value.into()),
        Value::F64(value) => finite(value),
        Value::I32(value) => Scalar::Number(value.into()),
    }
}

fn finite(value: f64) -> Scalar {
    if value.is_finite() { Scalar::Number(value) } else { Scalar::NotFinite(()) }
}
