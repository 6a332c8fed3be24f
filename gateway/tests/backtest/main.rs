//! `gateway backtest` as a user meets it, and beside a gateway that lives through the same messages.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod live;
mod signal;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use firmware_protocol::derived::Derived;
use serde_json::Value;

use signal::{FAULT_S, STEP_S, Signal};

fn gateway(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    for name in ["GATEWAY_NAME", "GATEWAY_DATA_DIR", "GATEWAY_HTTP_BIND", "GATEWAY_LOG"] {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(dir).output().expect("the program starts")
}

fn backtest(dir: &Path, arguments: &[&str]) -> String {
    let output = gateway(dir, &[&["backtest", "--out", "out"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Time, score and alarm of each row.
fn scores(path: &Path) -> Vec<(String, f64, bool)> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("timestamp,anomaly_score,alarm"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[0].to_owned(), cells[1].parse().unwrap(), cells[2] == "1")
    };
    lines.map(row).collect()
}

const QUICK: [&str; 2] = ["--learn", "2d"];

#[test]
fn a_fault_is_found_in_every_format_with_the_same_scores_and_results_lie_where_the_inputs_lie() {
    let dir = tempfile::tempdir().unwrap();
    let signal = Signal::of_days(4);
    fs::create_dir_all(dir.path().join("plant/hall")).unwrap();
    let write = |name: &str, text: String| fs::write(dir.path().join(name), text).unwrap();
    write("plant/hall/pump.csv", signal.csv());
    write("plant/pump.ndjson", signal.json_lines());
    write("pump.lp", signal.line_protocol());
    write("plant/notes.txt", "not looked at".to_owned());
    let text = backtest(dir.path(), &[&QUICK[..], &["plant", "pump.lp"]].concat());
    assert_eq!(text.lines().count(), 3, "{text}");

    let csv = scores(&dir.path().join("out/plant/hall/pump.csv"));
    assert_eq!(csv, scores(&dir.path().join("out/plant/pump.ndjson.csv")));
    assert_eq!(csv, scores(&dir.path().join("out/pump.lp.csv")));
    assert_eq!(csv.len(), 4 * 144, "a row for each window, the last one included");
    assert_eq!(csv[0].0, "2023-11-13T00:10:00Z", "stamped with its end");
    let first_verdict = csv.iter().position(|(_, score, _)| *score > 0.0).unwrap();
    assert_eq!(first_verdict, 2 * 144);
    let fault = (FAULT_S / 600) as usize;
    let alarms: Vec<usize> = (0..csv.len()).filter(|i| csv[*i].2).collect();
    assert_eq!(alarms.first(), Some(&fault), "{alarms:?}");
    assert!(csv.iter().all(|(_, score, alarm)| (*score >= 0.5) == *alarm), "alarms are scores from 0.5 on");

    let incidents = fs::read_to_string(dir.path().join("out/incidents.ndjson")).unwrap();
    let findings: Vec<Value> = incidents.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(findings.iter().any(|f| f["file"] == "plant/hall/pump.csv" && f["channel"] == "level"), "{incidents}");
    assert!(incidents.lines().all(|line| Derived::from_json(line.as_bytes()).is_ok()), "as they are stored and sent");
}

#[test]
fn learning_may_be_told_as_a_number_of_rows() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), Signal::of_days(3).csv()).unwrap();
    let rows = format!("{}rows", 2 * 86_400 / STEP_S + 5);
    backtest(dir.path(), &["--learn", &rows, "a.csv"]);
    let first = scores(&dir.path().join("out/a.csv")).iter().position(|(_, score, _)| *score > 0.0);
    assert_eq!(first, Some(2 * 144), "windows that these rows fill");
}

#[test]
fn the_last_window_counts_if_the_readings_reach_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let text = Signal::of_days(1).csv();
    let whole: Vec<&str> = text.lines().collect();
    fs::write(dir.path().join("whole.csv"), whole.join("\n")).unwrap();
    fs::write(dir.path().join("short.csv"), whole[..whole.len() - 1].join("\n")).unwrap();
    backtest(dir.path(), &["whole.csv", "short.csv"]);
    assert_eq!(scores(&dir.path().join("out/whole.csv")).len(), 144);
    assert_eq!(scores(&dir.path().join("out/short.csv")).len(), 143);
}

#[test]
fn bad_lines_are_told_and_a_file_of_nothing_else_fails_the_run_after_the_others() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), "time,x\n1,1\nnever,2\n3,3,3\n4,4\n").unwrap();
    let text = backtest(dir.path(), &["a.csv"]);
    assert!(text.contains("line 3: `never` is no time") && text.contains("line 4: 3 columns instead of 2"), "{text}");

    fs::write(dir.path().join("b.csv"), "time,x\nnever,2\n").unwrap();
    fs::remove_dir_all(dir.path().join("out")).unwrap();
    let output = gateway(dir.path(), &["backtest", "--out", "out", "b.csv", "a.csv"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("b.csv: no row can be read as CSV; line 2: `never` is no time"), "{error}");
    assert!(error.contains("hint: the first line names the columns"), "{error}");
    assert!(dir.path().join("out/a.csv").exists());
}

#[test]
fn arguments_that_cannot_be_used_are_refused_before_anything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a")).unwrap();
    fs::create_dir_all(dir.path().join("b/empty")).unwrap();
    for name in ["a/x.csv", "b/x.csv"] {
        fs::write(dir.path().join(name), "time,x\n1,1\n").unwrap();
    }
    let sub = dir.path().join("a");
    for (arguments, code, expected) in [
        (&["--window", "7m", "../a/x.csv"][..], 2, "does not divide a day"),
        (&["--learn", "0rows", "x.csv"], 2, "is not from 1rows to"),
        (&["--false-alarms-per-month", "0", "x.csv"], 2, "is outside 0.001 to 1000"),
        (&["missing.csv"], 1, "missing.csv"),
        (&["../b/empty"], 1, "holds no file that could be read"),
        (&["../b/x.csv", "x.csv"], 1, "would both be x.csv"),
        (&["--relative-to", "..", "--relative-to", ".."], 2, "cannot be used multiple times"),
        (&["--config", "none.toml", "x.csv"], 2, "cannot be read"),
    ] {
        let output = gateway(&sub, &[&["backtest", "--out", "out"], arguments].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    }
    assert!(!sub.join("out").exists());
}
