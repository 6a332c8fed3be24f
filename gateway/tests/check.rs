//! `gateway check` as a user meets it: what it prints, where, and its exit code.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.example.toml");

fn gateway(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    for name in ["GATEWAY_NAME", "GATEWAY_DATA_DIR", "GATEWAY_HTTP_BIND", "GATEWAY_LOG"] {
        command.env_remove(name);
    }
    command.env("TEST_TOKEN", "hunter2").args(arguments).output().expect("the program starts")
}

/// Checks this text; `{dir}` in it becomes `dir`.
fn check(dir: &Path, text: &str) -> Output {
    let file = dir.join("gateway.toml");
    fs::write(&file, text.replace("{dir}", &dir.display().to_string())).expect("writable");
    gateway(&["check", "--config", &file.display().to_string()])
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_example_passes_and_nothing_is_left_behind() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let data_dir = dir.path().join("a/b").display().to_string();
    let output = gateway(&["check", "--config", EXAMPLE, "--data-dir", &data_dir]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("# flag --data-dir") && out(&output).contains("# OK: "), "{}", out(&output));
    assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0);
}

#[test]
fn faults_go_to_stderr_with_exit_code_2() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let output = check(dir.path(), "[gateway]\nnmae = \"a\"\n[listen]\nbind = 5\n");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(out(&output), "");
    let report = err(&output);
    assert!(report.starts_with("error: 2 faults in the configuration\n"), "{report}");
    assert!(
        report.contains("gateway.toml:2:1: unknown key `nmae`") && report.contains("gateway.toml:4:8: "),
        "{report}"
    );
}

#[test]
fn a_directory_that_cannot_be_written_is_a_fault_at_the_line_that_names_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::write(dir.path().join("taken"), "").expect("writable");
    let output =
        check(dir.path(), "[gateway]\ndata_dir = \"{dir}/data\"\n[listen]\n[[file]]\ndir = \"{dir}/taken/files\"\n");
    assert_eq!(output.status.code(), Some(2));
    let report = err(&output);
    assert!(
        report.contains("gateway.toml:5:7: directory ") && report.contains("/taken/files cannot be written"),
        "{report}"
    );
    assert!(!dir.path().join("data").exists());
}

#[test]
fn secrets_are_checked_but_not_printed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let text = "[gateway]\ndata_dir = \"{dir}/data\"\n[listen]\n[[influx]]\norg = \"o\"\ntoken_env = \"TEST_TOKEN\"\n";
    let output = check(dir.path(), text);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("gateway.toml:6, read: ***"), "{}", out(&output));
    assert!(!out(&output).contains("hunter2") && !err(&output).contains("hunter2"));
}

#[test]
fn misuse_of_the_command_line_exits_with_2() {
    for arguments in [
        &["check"][..],
        &["check", "--config", "/nowhere.toml"],
        &["chekc"],
        &["--log-level", "gateway=loud", "check", "--config", EXAMPLE],
        &["check", "--config", EXAMPLE, "--http", "localhost"],
    ] {
        let output = gateway(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
        assert!(err(&output).starts_with("error: "), "{arguments:?}: {}", err(&output));
    }
}
