//! `gateway schema …` and `gateway quarantine …` as a user meets them: what they print, where, and their exit codes.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use firmware_protocol::decode::Route;
use firmware_protocol::frame::{
    self, BaseTime, ChannelInfo, ChannelTable, Hello, Kind, Numbered, NumberedFrame, Samples,
};
use firmware_protocol::{BootId, DeviceSeq};
use gateway::decoders::Memory;
use serde_json::{Value, json};

fn gateway(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    for name in ["GATEWAY_NAME", "GATEWAY_DATA_DIR", "GATEWAY_HTTP_BIND", "GATEWAY_LOG"] {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    child.stdin.take().expect("piped").write_all(input).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A part of a configuration: no door, and a sink whose secret is not at hand.
const PART: &str = r#"
[[influx]]
org = "o"
token_env = "A_TOKEN_THAT_IS_NOT_SET"

[[decode]]
id = "zigbee"
version = 2
topic = "zigbee2mqtt/{device}"
[[decode.channels]]
path = "temp"
name = "temperature"
unit = "degF"
to = "degC"
max = 60.0

[[decode]]
topic = "plant/#"
"#;

fn part(dir: &Path) -> String {
    let file = dir.join("part.toml");
    fs::write(&file, PART).unwrap();
    file.display().to_string()
}

#[test]
fn decoders_are_listed_in_the_order_in_which_topics_are_tried() {
    let defaults = gateway(&["schema", "list"], b"");
    assert_eq!(defaults.status.code(), Some(0), "{}", err(&defaults));
    let ids: Vec<String> = out(&defaults).lines().skip(1).map(|l| l.split("  ").next().unwrap().to_owned()).collect();
    assert_eq!(ids, ["sensors/{device}/telemetry", "sensors/{device}/{channel}", "#"]);
    let dir = tempfile::tempdir().unwrap();
    let listed = gateway(&["schema", "list", "--config", &part(dir.path()), "--json"], b"");
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&listed[0]["id"], &listed[0]["version"]), (&json!("zigbee"), &json!(2)));
    assert_eq!((&listed[1]["id"], &listed[1]["version"]), (&json!("plant/#"), &json!(1)));
    assert_eq!(listed[0]["fingerprint"].as_str().unwrap().len(), 16);
}

#[test]
fn a_decoder_is_shown_with_all_its_keys_and_an_unknown_one_names_those_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let config = part(dir.path());
    let shown = gateway(&["schema", "show", "--config", &config, "zigbee"], b"");
    for line in
        ["[[decode]]", "id = \"zigbee\"", "version = 2", "time_field = \"ts\"", "[[decode.channels]]", "max = 60.0"]
    {
        assert!(out(&shown).lines().any(|l| l == line), "no `{line}` in\n{}", out(&shown));
    }
    let unknown = gateway(&["schema", "show", "--config", &config, "zigbe"], b"");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(err(&unknown).contains("hint: there are `zigbee`, `plant/#`"), "{}", err(&unknown));
}

#[test]
fn a_payload_is_shown_as_it_would_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let config = part(dir.path());
    let test = [
        "schema",
        "test",
        "--config",
        &config,
        "--topic",
        "zigbee2mqtt/kitchen",
        "--received-at",
        "2026-11-21T10:00:00Z",
    ];
    let payload = br#"{"temp":212,"hot":70,"ts":"2026-11-21T09:59:58.5Z","battery":{"percent":93}}"#;
    let shown = gateway(&[&test[..], &["-"]].concat(), payload);
    assert_eq!(shown.status.code(), Some(0), "{}", err(&shown));
    let lines: Vec<String> = out(&shown).lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "decoder zigbee/2",
        "because its topic `zigbee2mqtt/{device}` takes `zigbee2mqtt/kitchen`; the first that is tried",
        "read as json",
        "device kitchen",
        "channel event time value unit",
        "battery.percent 2026-11-21T09:59:58.500000000Z 93",
        "2 readings",
        "1 reading dropped: outside `min` and `max` of the channel",
    ] {
        assert!(lines.iter().any(|l| l == line), "no `{line}` in\n{}", out(&shown));
    }
    let payload = br#"{"temp":68}"#;
    let shown: Value =
        serde_json::from_slice(&gateway(&[&test[..], &["--json", "-"]].concat(), payload).stdout).unwrap();
    let reading =
        json!({ "channel": "temperature", "at": "2026-11-21T10:00:00.000000000Z", "value": 20.0, "unit": "degC" });
    assert_eq!(shown["readings"], json!([reading]));
    assert_eq!(shown["uses_received_time"], json!(true));
}

#[test]
fn a_payload_that_cannot_be_decoded_is_told_with_its_reason_what_to_do_and_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let config = part(dir.path());
    for (topic, payload, reason) in [
        ("elsewhere", "1", "no_route"),
        ("plant/press", "{\"a\":", "json"),
        ("plant/press", "on fire", "not_a_number"),
        ("plant/press", "{\"state\":\"on\"}", "no_readings"),
    ] {
        let test = ["schema", "test", "--config", &config, "--topic", topic];
        let failed = gateway(&[&test[..], &["-"]].concat(), payload.as_bytes());
        assert_eq!((failed.status.code(), out(&failed)), (Some(1), String::new()));
        assert!(
            err(&failed).starts_with("error: cannot be decoded")
                && err(&failed).contains(&format!("(counted as `{reason}`)"))
        );
        assert!(err(&failed).contains("\n  hint: "), "{}", err(&failed));
        let failed = gateway(&[&test[..], &["--json", "-"]].concat(), payload.as_bytes());
        let told: Value = serde_json::from_slice(&failed.stdout).unwrap();
        assert_eq!((failed.status.code(), &told["error"]["reason"]), (Some(1), &json!(reason)));
    }
}

#[test]
fn a_frame_with_numbered_channels_is_decoded_with_its_hello_and_asks_for_it_without() {
    let channels = [ChannelInfo { name: "flow", unit: "l/min", kind: Kind::F32, range: None, interval_micros: 0 }];
    let table = ChannelTable::new(&channels).unwrap();
    let (device, boot, base) = ("pump-7", BootId(3), BaseTime::UnixMicros(1_795_272_586_000_000));
    let mut bytes = [0; 256];
    let hello = Hello { device, boot, seq: DeviceSeq(0), base, table };
    let length = frame::encode(&hello, &mut bytes).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hello.bin").display().to_string();
    fs::write(&file, &bytes[..length]).unwrap();
    let samples = [Numbered { number: 0, samples: Samples::F32(&[(0, 1.5)]) }];
    let frame = NumberedFrame { device, boot, seq: DeviceSeq(1), base, table: table.id(), channels: &samples };
    let length = frame::encode(&frame, &mut bytes).unwrap();
    let test = ["schema", "test", "--topic", "any", "--json"];
    let shown = gateway(&[&test[..], &["--hello", &file, "-"]].concat(), &bytes[..length]);
    let told: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&told["device"], &told["read_as"]), (&json!("pump-7"), &json!("frame")), "{}", err(&shown));
    assert_eq!((&told["readings"][0]["channel"], &told["readings"][0]["unit"]), (&json!("flow"), &json!("l/min")));
    let failed = gateway(&[&test[..], &["-"]].concat(), &bytes[..length]);
    let told: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!((failed.status.code(), &told["error"]["reason"]), (Some(1), &json!("no_table")));
    assert!(told["error"]["hint"].as_str().unwrap().contains("--hello FILE"));
}

#[test]
fn a_table_that_changed_and_kept_its_version_is_warned_of_by_check() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let mut memory = Memory::default();
    memory.learn(&[Route { id: "plant".into(), topic: "plant/{device}".into(), ..Route::default() }]);
    memory.write(&data).unwrap();
    let file = dir.path().join("gateway.toml");
    let check = |keys: &str| {
        let data = data.display();
        let text =
            format!("[gateway]\ndata_dir = \"{data}\"\n[listen]\n[[file]]\n[[decode]]\nid = \"plant\"\n{keys}\n");
        fs::write(&file, text).unwrap();
        let checked = gateway(&["check", "--config", &file.display().to_string()], b"");
        assert_eq!(checked.status.code(), Some(0), "{}", err(&checked));
        out(&checked).lines().find(|l| l.starts_with("# WARNING: decoder")).map(str::to_owned)
    };
    assert_eq!(check("topic = \"plant/{device}\""), None);
    let warning = check("topic = \"plant/{device}/#\"").expect("a warning");
    assert!(warning.contains("decoder `plant` is not what its version 1 was") && warning.contains("`version = 2`"));
    assert_eq!(check("topic = \"plant/{device}/#\"\nversion = 2"), None);
}

/// A gateway's directory with three records in the quarantine of a file sink, one of them twice.
struct Home {
    dir: tempfile::TempDir,
    config: String,
}

fn home(decode: &str) -> Home {
    let dir = tempfile::tempdir().unwrap();
    let quarantine = dir.path().join("data/quarantine/archive");
    fs::create_dir_all(&quarantine).unwrap();
    let line = |seq: u64, reason: &str, topic: &str, payload: &str| {
        json!({ "schema": "quarantine/1", "log": "raw", "seq": seq, "reason": reason, "detail": "of old", "door": "mqtt",
                "topic": topic, "content_type": "", "received_boot": 1, "received_since_boot_ns": 2_000_000,
                "received_at_ns": 1_795_272_586_000_000_000_i64, "payload_base64": payload })
        .to_string()
    };
    let lines = [
        line(5, "no_route", "plant/press", "eyJ4IjoxLjV9"),
        line(5, "no_route", "plant/press", "eyJ4IjoxLjV9"),
        line(9, "json", "plant/press", "ew=="),
        line(11, "no_route", "elsewhere", "MQ=="),
    ];
    fs::write(quarantine.join("quarantine-00000004.ndjson.part"), lines.join("\n") + "\n").unwrap();
    let config = dir.path().join("gateway.toml");
    let data = dir.path().join("data").display().to_string();
    let text = format!(
        "[gateway]\nname = \"gw\"\ndata_dir = \"{data}\"\n[listen]\n[[file]]\nname = \"archive\"\ndir = \"{data}/out\"\n{decode}"
    );
    fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    Home { dir, config }
}

#[test]
fn the_quarantine_is_listed_by_reason_and_a_record_shown_with_its_payload() {
    let home = home("");
    let listed = gateway(&["quarantine", "list", "--config", &home.config, "--json"], b"");
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let told = |i: usize| (listed[i]["sink"].clone(), listed[i]["reason"].clone(), listed[i]["records"].clone());
    assert_eq!(told(0), (json!("archive"), json!("json"), json!(1)));
    assert_eq!(told(1), (json!("archive"), json!("no_route"), json!(3)));
    assert_eq!(listed[1]["first_received_at"], json!("2026-11-21T14:49:46.000000000Z"));
    let data = home.dir.path().join("data").display().to_string();
    let show = ["quarantine", "show", "--data-dir", &data, "archive"];
    let shown = gateway(&[&show[..], &["--reason", "json"]].concat(), b"");
    assert!(out(&shown).starts_with("raw/9  received 2026-11-21T14:49:46.000000000Z\n"), "{}", out(&shown));
    assert!(out(&shown).contains("reason       json: of old\n") && out(&shown).ends_with("payload      {\n"));
    let payload = gateway(&[&show[..], &["--record", "raw/5", "--payload"]].concat(), b"");
    assert_eq!(payload.stdout, b"{\"x\":1.5}");
    let nowhere = gateway(&[&show[..], &["--record", "raw/6"]].concat(), b"");
    assert_eq!(nowhere.status.code(), Some(1), "{}", out(&nowhere));
    let nobody = gateway(&["quarantine", "show", "--data-dir", &data, "cloud"], b"");
    assert!(err(&nobody).contains("hint: there are archive"), "{}", err(&nobody));
}

#[test]
fn records_whose_reason_is_gone_are_sent_once_and_what_stays_is_told_with_exit_code_1() {
    let home = home("[[decode]]\ntopic = \"plant/{device}\"\n");
    let redrive = ["quarantine", "redrive", "--config", &home.config];
    let ended = gateway(&[&redrive[..], &["--reason", "no_route"]].concat(), b"");
    assert_eq!(ended.status.code(), Some(1));
    let expected = "archive: 1 record sent, 1 more had been in twice, 1 of other reasons passed over\n\
                    archive: 1 record cannot go: no_route\n";
    assert_eq!(out(&ended), expected);
    assert!(err(&ended).starts_with("error: 1 record stays in quarantine\n  hint: "), "{}", err(&ended));
    let written = fs::read_to_string(home.dir.path().join("data/out/archive-redriven-00000001.lp.part")).unwrap();
    assert_eq!(written, "sensor,device=press,gateway=gw x=1.5 1795272586000000005\n");

    let everything = fs::read_to_string(&home.config).unwrap() + "[[decode]]\nformat = \"scalar\"\n";
    fs::write(&home.config, everything).unwrap();
    let ended = gateway(&[&redrive[..], &["archive"]].concat(), b"");
    assert_eq!(out(&ended), "archive: 1 record sent\narchive: 1 record cannot go: json\n");
    let unknown = gateway(&[&redrive[..], &["cloud"]].concat(), b"");
    assert!(
        err(&unknown).contains("no sink is called \"cloud\"\n  hint: the configuration has archive"),
        "{}",
        err(&unknown)
    );
}
