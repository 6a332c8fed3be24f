//! The configurations in `examples/decode` are read as they stand, and make of the payloads beside them what is said here.

use std::path::{Path, PathBuf};

use firmware_protocol::decode::{Decoder, Incoming};
use firmware_protocol::measurement::{EventTime, Measurement};
use gateway::config::{Loaded, Overrides};

const RECEIVED_AT: EventTime = EventTime(1_772_366_400_000_000_000);

/// What a payload says: channel, nanoseconds since 1970, value, unit.
type Reading = (&'static str, i64, f64, &'static str);

struct Case {
    /// The configuration.
    example: &'static str,
    payload: &'static str,
    topic: &'static str,
    device: &'static str,
    tags: &'static [(&'static str, &'static str)],
    readings: &'static [Reading],
    texts: &'static [(&'static str, &'static str)],
}

const CASES: &[Case] = &[
    Case {
        example: "zigbee2mqtt",
        payload: "zigbee2mqtt-climate.json",
        topic: "zigbee2mqtt/living room",
        device: "living room",
        tags: &[],
        readings: &[
            ("temperature", 1_772_362_805_000_000_000, 27.34, "degC"),
            ("humidity", 1_772_362_805_000_000_000, 44.72, ""),
            ("voltage", 1_772_362_805_000_000_000, 3.015, "V"),
        ],
        texts: &[],
    },
    Case {
        example: "zigbee2mqtt",
        payload: "zigbee2mqtt-lamp.json",
        topic: "zigbee2mqtt/lamp",
        device: "lamp",
        tags: &[],
        readings: &[
            ("state", RECEIVED_AT.0, 1.0, ""),
            ("brightness", RECEIVED_AT.0, 215.0, ""),
            ("color_temp", RECEIVED_AT.0, 325.0, ""),
        ],
        texts: &[],
    },
    Case {
        example: "tasmota",
        payload: "tasmota-climate.json",
        topic: "tele/attic/SENSOR",
        device: "attic",
        tags: &[],
        readings: &[
            ("temperature", 1_772_398_658_000_000_000, 22.0, "degC"),
            ("humidity", 1_772_398_658_000_000_000, 45.2, "%RH"),
        ],
        texts: &[],
    },
    Case {
        example: "tasmota",
        payload: "tasmota-energy.json",
        topic: "tele/plug/SENSOR",
        device: "plug",
        tags: &[],
        readings: &[
            ("energy", 1_641_934_658_000_000_000, 3.705, "kWh"),
            ("power", 1_641_934_658_000_000_000, 5.0, "W"),
            ("voltage", 1_641_934_658_000_000_000, 233.0, "V"),
        ],
        texts: &[],
    },
    Case {
        example: "tasmota",
        payload: "tasmota-power.txt",
        topic: "stat/plug/POWER",
        device: "plug",
        tags: &[],
        readings: &[("relay", RECEIVED_AT.0, 1.0, "")],
        texts: &[],
    },
    Case {
        example: "shelly",
        payload: "shelly-status.json",
        topic: "shellyplus1pm-a8032ab12345/status/switch:0",
        device: "shellyplus1pm-a8032ab12345",
        tags: &[],
        readings: &[
            ("relay", RECEIVED_AT.0, 0.0, ""),
            ("power", RECEIVED_AT.0, 12.5, "W"),
            ("voltage", RECEIVED_AT.0, 225.9, "V"),
            ("energy", RECEIVED_AT.0, 11.679, "kWh"),
            ("temperature", RECEIVED_AT.0, 53.3, "degC"),
        ],
        texts: &[],
    },
    Case {
        example: "shelly",
        payload: "shelly-notify.json",
        topic: "shellypro4pm-f008d1d8b8b8/events/rpc",
        device: "shellypro4pm-f008d1d8b8b8",
        tags: &[],
        readings: &[("relay", 1_631_186_545_040_000_000, 1.0, "")],
        texts: &[],
    },
    Case {
        example: "esphome",
        payload: "esphome-sensor.txt",
        topic: "livingroom/sensor/outside_temperature/state",
        device: "livingroom",
        tags: &[],
        readings: &[("outside_temperature", RECEIVED_AT.0, 10.0, "degC")],
        texts: &[],
    },
    Case {
        example: "esphome",
        payload: "esphome-binary-sensor.txt",
        topic: "livingroom/binary_sensor/front_door/state",
        device: "livingroom",
        tags: &[],
        readings: &[("front_door", RECEIVED_AT.0, 1.0, "")],
        texts: &[],
    },
    Case {
        example: "the-things-stack",
        payload: "the-things-stack-uplink.json",
        topic: "v3/app1@ttn/devices/dev1/up",
        device: "dev1",
        tags: &[("application", "app1@ttn")],
        readings: &[
            ("temperature", 1_581_520_545_787_000_000, 1.0, "degC"),
            ("illuminance", 1_581_520_545_787_000_000, 0.64, "lx"),
            ("rssi", 1_581_520_545_787_000_000, -35.0, "dBm"),
            ("spreading_factor", 1_581_520_545_787_000_000, 7.0, ""),
        ],
        texts: &[],
    },
    Case {
        example: "chirpstack",
        payload: "chirpstack-up.json",
        topic: "application/17/device/0101010101010101/event/up",
        device: "0101010101010101",
        tags: &[("application", "17")],
        readings: &[
            ("temperature", 1_658_136_855_775_023_242, 21.5, "degC"),
            ("rssi", 1_658_136_855_775_023_242, -36.0, "dBm"),
            ("snr", 1_658_136_855_775_023_242, 10.5, "dB"),
        ],
        texts: &[],
    },
    Case {
        example: "telegraf",
        payload: "telegraf-cpu.txt",
        topic: "telegraf/influx",
        device: "raynor",
        tags: &[],
        readings: &[("cpu_idle", RECEIVED_AT.0, 98.5, "%"), ("cpu.cpu=cpu-total.usage_user", RECEIVED_AT.0, 1.25, "")],
        texts: &[],
    },
    Case {
        example: "telegraf",
        payload: "telegraf-batch.json",
        topic: "telegraf/json",
        device: "raynor",
        tags: &[],
        readings: &[
            ("fields.field_1", 1_458_229_140_000_000_000, 30.0, ""),
            ("images", 1_458_229_140_000_000_000, 660.0, ""),
            ("fields.field_1", 1_458_229_150_000_000_000, 31.0, ""),
            ("images", 1_458_229_150_000_000_000, 661.0, ""),
        ],
        texts: &[],
    },
    Case {
        example: "data-logger",
        payload: "data-logger.csv",
        topic: "logger/berlin/cellar",
        device: "cellar",
        tags: &[("plant", "berlin-north"), ("site", "berlin")],
        readings: &[
            ("inlet", 1_772_366_400_000_000_000, 21.5, "degC"),
            ("t2", 1_772_366_400_000_000_000, 18.5, ""),
            ("inlet", 1_772_366_410_000_000_000, 21.6, "degC"),
            ("t2", 1_772_366_410_000_000_000, 18.75, ""),
        ],
        texts: &[("state", "heating"), ("state", "idle")],
    },
    Case {
        example: "data-logger",
        payload: "vibration.json",
        topic: "vibration/motor",
        device: "motor",
        tags: &[],
        readings: &[
            ("acceleration", 1_772_366_399_999_500_000, 0.0, "m/s2"),
            ("acceleration", 1_772_366_399_999_750_000, 9.80665, "m/s2"),
            ("acceleration", 1_772_366_400_000_000_000, -9.80665, "m/s2"),
        ],
        texts: &[],
    },
];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/decode")
}

fn decoder(example: &str) -> Decoder {
    let path = examples().join(example).with_extension("toml");
    let text = std::fs::read_to_string(&path).expect("the example is there");
    // The examples say how payloads are read; a door lets them in.
    let text = format!("{text}\n[listen]\n");
    let loaded = Loaded::parse(example, &text, &Overrides::default()).unwrap_or_else(|faults| panic!("{faults}"));
    Decoder::new(loaded.config.decode).expect("the configuration's reader has proven the routes")
}

#[test]
fn payloads_as_the_vendors_document_them_become_the_readings_that_they_mean() {
    for case in CASES {
        let payload = std::fs::read(examples().join("payloads").join(case.payload)).expect("the payload is there");
        let (topic, payload) = (case.topic, &payload[..]);
        let message =
            Incoming { topic, payload, content_type: "", received_at: RECEIVED_AT, is_replay: false, table: "" };
        let mut m = Measurement::default();
        decoder(case.example).decode(message, &mut m).unwrap_or_else(|why| panic!("{}: {why}", case.payload));
        assert_eq!(m.device(), case.device, "{}", case.payload);
        assert_eq!(m.tags().collect::<Vec<_>>(), case.tags, "{}", case.payload);
        let texts: Vec<_> = m.texts().map(|(channel, _, text)| (m.channel(channel), text)).collect();
        assert_eq!(texts, case.texts, "{}", case.payload);
        let readings: Vec<_> =
            m.readings.iter().map(|r| (m.channel(r.channel), r.at.0, r.value, m.unit(r.channel))).collect();
        assert_eq!(readings.len(), case.readings.len(), "{}: {readings:?}", case.payload);
        for (got, wanted) in readings.iter().zip(case.readings) {
            assert_eq!((got.0, got.1, got.3), (wanted.0, wanted.1, wanted.3), "{}", case.payload);
            assert!((got.2 - wanted.2).abs() < 1e-9, "{}: {} is not {}", case.payload, got.2, wanted.2);
        }
    }
}

#[test]
fn every_example_and_every_payload_is_tried() {
    let names = |dir: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("the folder is there");
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
    };
    for name in names(&examples()).iter().filter_map(|name| name.strip_suffix(".toml")) {
        assert!(CASES.iter().any(|case| case.example == name), "{name}.toml");
    }
    for name in names(&examples().join("payloads")) {
        assert!(CASES.iter().any(|case| case.payload == name), "{name}");
    }
}
