//! `gateway queue …` as an operator meets it: what it prints, where, and its exit codes.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use gateway::clock::{ClockBoot, ClockMap, Stamp};
use gateway::metrics;
use gateway::queue::{Config, Cursor, Door, Flags, Log, Queue, QueueSeq, Record, Transaction};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    for name in ["GATEWAY_NAME", "GATEWAY_DATA_DIR", "GATEWAY_HTTP_BIND", "GATEWAY_LOG"] {
        command.env_remove(name);
    }
    command.arg("queue").args(arguments);
    command
}

/// Held while a store is open here, and while a program starts: between fork and exec it holds all that is open, locks of
/// stores too.
static STARTING: Mutex<()> = Mutex::new(());

fn output_of(command: &mut Command) -> Output {
    let starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let program = command.stderr(Stdio::piped()).spawn().expect("the program starts");
    drop(starting);
    program.wait_with_output().expect("the program ends")
}

fn gateway(arguments: &[&str]) -> Output {
    output_of(command(arguments).stdout(Stdio::piped()))
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn record(n: u64, payload: &[u8]) -> Record {
    Record {
        door: Door::Mqtt,
        flags: Flags { qos: 1, retained: n == 1, redelivered: false },
        received: Stamp { boot: ClockBoot(0xab), since_boot_ns: n },
        topic: "plant/pump-7/state".into(),
        payload: payload.to_vec().into(),
        content_type: Bytes::new(),
        table: Bytes::new(),
    }
}

/// 300 raw records in blocks of 100, of which the consumer `lines` has passed 40; the boot's wall time is known.
fn write(dir: &Path) {
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let queue = Queue::open(&Config { ballast_bytes: 0, ..Config::new(dir) }, metrics::Queue::default()).unwrap();
    let reader = queue.reader_of("lines", &[Log::Raw]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut map = ClockMap::default();
    map.set(ClockBoot(0xab), 1_795_272_586_000_000_000);
    for round in 0..3 {
        let payload = |n| if n == 1 { vec![0xff, 0] } else { format!(r#"{{"n":{n}}}"#).into_bytes() };
        let raw = (round * 100..round * 100 + 100).map(|n| record(n, &payload(n))).collect();
        let state = vec![("clock".to_owned(), Some(map.to_bytes()))];
        let receipt = runtime.block_on(queue.appender().commit(Transaction { raw, state, ..Transaction::default() }));
        receipt.unwrap().blocking_recv().unwrap().unwrap();
    }
    reader.advance(Log::Raw, Cursor { next: QueueSeq(40), delivered: 40, ..Cursor::default() });
    queue.close().unwrap();
}

/// Spoils the block of 100 to 199.
fn damage(dir: &Path) {
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let sled = sled::Config::new().path(dir.join("gen-00000001")).segment_size(1 << 20).flush_every_ms(None);
    let db = sled.open().unwrap();
    let trees = db.tree_names().into_iter().map(|name| db.open_tree(name).unwrap());
    let keys = |tree: sled::Tree| tree.scan_prefix(b"0").keys().map(move |key| (tree.clone(), key.unwrap()));
    let mut blocks: Vec<_> = trees.flat_map(|tree| keys(tree).collect::<Vec<_>>()).collect();
    blocks.sort_by(|a, b| a.1.cmp(&b.1));
    let (tree, key) = &blocks[1];
    let mut value = tree.get(key).unwrap().unwrap().to_vec();
    value[60] ^= 1;
    tree.insert(key, value).unwrap();
    db.flush().unwrap();
}

struct Home {
    root: tempfile::TempDir,
    data: String,
    queue: String,
}

fn home() -> Home {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name).display().to_string();
    let (data, queue) = (path("data"), path("data/queue"));
    write(Path::new(&queue));
    Home { root, data, queue }
}

impl Home {
    fn path(&self, name: &str) -> String {
        self.root.path().join(name).display().to_string()
    }
}

#[test]
fn a_queue_is_found_by_configuration_by_data_directory_and_by_its_own_directory() {
    let home = home();
    let config = home.path("gateway.toml");
    fs::write(&config, format!("[gateway]\ndata_dir = \"{}\"\n[listen]\n[[file]]\nname = \"lines\"\n", home.data))
        .unwrap();
    let by_dir = gateway(&["inspect", "--dir", &home.queue]);
    assert_eq!(by_dir.status.code(), Some(0), "{}", err(&by_dir));
    assert_eq!(out(&gateway(&["inspect", "--data-dir", &home.data])), out(&by_dir));
    let by_config = out(&gateway(&["inspect", "--config", &config]));
    assert!(by_config.contains(" % of its budget of 2.0 GiB"), "{by_config}");
    for misuse in [&["inspect"][..], &["inspect", "--dir", &home.queue, "--data-dir", &home.data], &["inspekt"]] {
        assert_eq!(gateway(misuse).status.code(), Some(2), "{misuse:?}");
    }
    let nothing = gateway(&["inspect", "--dir", &home.data]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(err(&nothing).contains("holds no queue") && err(&nothing).contains("hint: "), "{}", err(&nothing));
}

#[test]
fn inspect_tells_generations_cursors_ledger_and_state_and_no_payload() {
    let home = home();
    let text = out(&gateway(&["inspect", "--dir", &home.queue]));
    let squeezed: Vec<String> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "Watermark: raw from 0 to 300, derived from 0 to 0; generation 1 in use",
        "raw 300 from 0 to 300; booked as lost 0, missing 0",
        "lines raw 40",
        "lines raw 300 40 0 260 0 0 0 0 0 balances",
        "clock 1 value, 37 B",
    ] {
        assert!(squeezed.iter().any(|l| l == line), "no line `{line}` in\n{text}");
    }
    assert!(!text.contains(r#"{"n""#), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&out(&gateway(&["inspect", "--dir", &home.queue, "--json"]))).unwrap();
    assert_eq!(json["generations"][0]["logs"]["raw"]["newest_received_at"], "2026-11-21T14:49:46.000000299Z");
    assert_eq!(json["ledger"][0]["queued"], 260);
    assert_eq!(json["ledger"][0]["balances"], true);
    assert!(json["disk_bytes"].as_u64().unwrap() > 10_000, "{json}");
}

#[test]
fn verify_exits_with_0_if_all_is_sound_and_otherwise_with_1_and_the_missing_runs() {
    let home = home();
    let sound = gateway(&["verify", "--dir", &home.queue]);
    assert_eq!((sound.status.code(), err(&sound)), (Some(0), String::new()));
    assert!(out(&sound).ends_with("\nsound\n"), "{}", out(&sound));
    damage(Path::new(&home.queue));
    let damaged = gateway(&["verify", "--dir", &home.queue]);
    assert_eq!(damaged.status.code(), Some(1));
    assert!(out(&damaged).contains("  block raw 100–199 (100 records): "), "{}", out(&damaged));
    assert!(out(&damaged).contains("\nmissing: raw 100–199 (100 records)\n"), "{}", out(&damaged));
    assert!(err(&damaged).starts_with("error: queue is damaged, 100 records missing\n  hint: "), "{}", err(&damaged));
}

#[test]
fn export_writes_one_json_object_a_record_with_text_as_text_and_bytes_as_base64() {
    let home = home();
    let exported = gateway(&["export", "--dir", &home.queue, "--log", "raw", "--to", "1"]);
    assert_eq!((exported.status.code(), err(&exported)), (Some(0), String::new()));
    let expected = concat!(
        r#"{"log":"raw","seq":0,"door":"mqtt","topic":"plant/pump-7/state","payload":"{\"n\":0}","qos":1,"#,
        r#""retained":false,"redelivered":false,"received_at":"2026-11-21T14:49:46.000000000Z","#,
        r#""boot":"00000000000000ab","since_boot_ns":0}"#,
        "\n",
        r#"{"log":"raw","seq":1,"door":"mqtt","topic":"plant/pump-7/state","payload_base64":"/wA=","qos":1,"#,
        r#""retained":true,"redelivered":false,"received_at":"2026-11-21T14:49:46.000000001Z","#,
        r#""boot":"00000000000000ab","since_boot_ns":1}"#,
        "\n",
    );
    assert_eq!(out(&exported), expected);
    let config = home.path("gateway.toml");
    fs::write(&config, format!("[gateway]\ndata_dir = \"{}\"\n[listen]\n[[file]]\n", home.data)).unwrap();
    let named = out(&gateway(&["export", "--config", &config, "--to", "0"]));
    assert!(named.contains(r##""decoder":"#/1","qos":1"##), "the configuration tells the decoder: {named}");
    let unread = out(&gateway(&["export", "--dir", &home.queue, "--consumer", "lines"]));
    assert_eq!(unread.lines().count(), 260);
    let nobody = gateway(&["export", "--dir", &home.queue, "--consumer", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(err(&nobody).contains("no consumer `nobody`; it has lines"), "{}", err(&nobody));
}

#[test]
fn export_goes_on_after_damage_and_tells_it_by_line_and_exit_code() {
    let home = home();
    damage(Path::new(&home.queue));
    let exported = gateway(&["export", "--dir", &home.queue]);
    assert_eq!(exported.status.code(), Some(1));
    assert_eq!(out(&exported).lines().count(), 200);
    assert!(err(&exported).starts_with("unreadable: raw 100–199 (100 records): "), "{}", err(&exported));
    assert!(err(&exported).contains("error: 200 records exported, 100 records cannot be read"), "{}", err(&exported));
}

#[test]
fn export_never_overwrites_a_file_and_ends_quietly_when_nobody_reads_on() {
    let home = home();
    let file = home.path("records.ndjson");
    let to_file = gateway(&["export", "--dir", &home.queue, "--output", &file]);
    assert_eq!((to_file.status.code(), out(&to_file)), (Some(0), String::new()));
    let written = fs::read_to_string(&file).unwrap();
    assert_eq!(written.lines().count(), 300);
    let again = gateway(&["export", "--dir", &home.queue, "--to", "5", "--output", &file]);
    assert_eq!(again.status.code(), Some(1));
    assert!(err(&again).contains(&file) && err(&again).contains("none is overwritten"), "{}", err(&again));
    assert_eq!(fs::read_to_string(&file).unwrap(), written);

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let unread = output_of(command(&["export", "--dir", &home.queue]).stdout(writer));
    assert_eq!((unread.status.code(), err(&unread)), (Some(0), String::new()));
}

#[test]
fn repair_writes_a_new_queue_beside_the_old_one_and_never_overwrites_one() {
    let home = home();
    let whole = out(&gateway(&["export", "--dir", &home.queue]));
    damage(Path::new(&home.queue));
    let new = home.path("new");
    let repaired = gateway(&["repair", "--dir", &home.queue, &new]);
    assert_eq!(repaired.status.code(), Some(0), "{}", err(&repaired));
    // sled writes the spoilt value elsewhere: the sound one is still in its file.
    assert!(out(&repaired).contains("salvaged from damaged files: 100 raw records and 0"), "{}", out(&repaired));
    let again = gateway(&["repair", "--dir", &home.queue, &new]);
    assert_eq!(again.status.code(), Some(1));
    assert!(err(&again).contains("is there already, and not empty"), "{}", err(&again));
    let verified = gateway(&["verify", "--dir", &new]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", out(&verified), err(&verified));
    assert_eq!(out(&gateway(&["export", "--dir", &new])), whole);
}

#[test]
fn repair_books_what_is_found_nowhere_as_lost_and_says_so() {
    let home = home();
    let db = Path::new(&home.queue).join("gen-00000001/db");
    let len = fs::metadata(&db).unwrap().len() as usize;
    fs::write(db, vec![0xa5; len]).unwrap();
    let new = home.path("new");
    // A relative name is one in the working directory.
    let mut repair = command(&["repair", "--dir", &home.queue, "new"]);
    let repaired = output_of(repair.current_dir(home.root.path()).stdout(Stdio::piped()));
    assert_eq!((repaired.status.code(), err(&repaired)), (Some(0), String::new()));
    assert!(out(&repaired).contains("\nlost: raw 0–299 (300 records)\n"), "{}", out(&repaired));
    assert!(out(&repaired).contains("\nstate of stages is lost: "), "{}", out(&repaired));
    let verified = gateway(&["verify", "--dir", &new]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", out(&verified), err(&verified));
    let json = out(&gateway(&["inspect", "--dir", &new, "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let row = &json["ledger"][0];
    assert_eq!(
        (&row["delivered"], &row["lost"], &row["balances"]),
        (&40.into(), &260.into(), &true.into()),
        "{json:#}"
    );
}

#[test]
fn a_running_gateways_queue_is_refused_by_name() {
    let home = home();
    let queue = Queue::open(&Config::new(&home.queue), metrics::Queue::default()).unwrap();
    let new = home.path("new");
    for verb in [&["inspect"][..], &["verify"], &["export"], &["repair", &new]] {
        let refused = gateway(&[verb, &["--dir", &home.queue]].concat());
        assert_eq!(refused.status.code(), Some(1), "{verb:?}");
        assert!(err(&refused).contains(&format!("{} is in use", home.queue)), "{verb:?}: {}", err(&refused));
    }
    assert!(!Path::new(&new).exists());
    queue.close().unwrap();
}
