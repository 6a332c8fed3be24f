//! `gateway check` as a user meets it: what it prints, where, and its exit code.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

    let taken = dir.path().join("taken").display().to_string();
    let output = gateway(&["check", "--config", EXAMPLE, "--data-dir", &taken]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("\n--data-dir: directory "), "{}", err(&output));
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

/// A certificate for a test, valid for `days` from now; the paths of it and its key.
fn certificate(dir: &Path, name: &str, days: u32) -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec!["gateway.example".to_owned()]).expect("a name");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let day = Duration::from_secs(86_400);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    // An hour more, so that whole days are left.
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + day / 24 + day * days;
    let (pem, secret) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    fs::write(&pem, params.self_signed(&key).expect("a certificate").pem()).expect("writable");
    fs::write(&secret, key.serialize_pem()).expect("writable");
    (pem.display().to_string(), secret.display().to_string())
}

#[test]
fn certificates_are_proven_and_their_days_counted() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (pem, key) = certificate(dir.path(), "one", 90);
    let (soon, soon_key) = certificate(dir.path(), "soon", 3);
    let door = |pem: &str, key: &str| {
        let text = format!("tls_cert_file = {pem:?}\ntls_key_file = {key:?}\n");
        check(dir.path(), &format!("[gateway]\ndata_dir = \"{{dir}}/data\"\n[listen]\n{text}"))
    };
    let output = door(&pem, &key);
    assert!(out(&output).contains("# certificate of listen, ") && out(&output).contains(": expires in 90 days\n"));
    assert!(out(&door(&soon, &soon_key)).contains(": WARNING: expires in 3 days\n"));

    let output = door(&pem, &soon_key);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("gateway.toml:4:17: private key") && err(&output).contains("does not belong"));
    let secret = fs::read_to_string(&key).expect("readable");
    assert!(!out(&output).contains(secret.lines().nth(1).expect("base64")));
}

#[test]
fn a_users_file_is_read_and_none_of_it_shown() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let text =
        "[gateway]\ndata_dir = \"{dir}/data\"\n[listen]\nbind = \"0.0.0.0:1883\"\nusers_file = \"{dir}/users\"\n";
    fs::write(dir.path().join("users"), "pump:hunter2\n").expect("writable");
    let output = check(dir.path(), text);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("gateway.toml:5:14: users file") && err(&output).contains("line 1: not an argon2id"));
    assert!(!err(&output).contains("hunter2"));

    fs::write(dir.path().join("users"), "# none yet\n").expect("writable");
    let output = check(dir.path(), text);
    assert!(out(&output).contains("/users: 0 users\n"), "{}", out(&output));
    assert!(out(&output).contains("# WARNING: passwords of sensors cross the network in the clear"));
}
