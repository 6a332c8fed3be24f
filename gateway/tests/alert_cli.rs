//! `gateway alert test`, as a person runs it: what goes out, what is said, how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::JoinHandle;

/// One request of a fake Slack: its head and its body.
fn slack(answer: &'static str) -> (String, JoinHandle<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is left");
    let url = format!("http://{}/services/T0/hunter2", listener.local_addr().expect("it is bound"));
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client comes");
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).expect("a head in full"), 0, "cut off: {head}");
        }
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.expect("a length")];
        stream.read_exact(&mut body).expect("a body in full");
        stream.get_mut().write_all(answer.as_bytes()).expect("the client waits");
        (head, String::from_utf8(body).expect("text"))
    });
    (url, served)
}

fn run(dir: &Path, url: &str, name: &str) -> Output {
    let config = dir.join("gateway.toml");
    let text = "[gateway]\nname = \"edge-1\"\n[listen]\n[[alert]]\nkind = \"slack\"\nname = \"team\"\nurl_env = \"TEAM_URL\"\n";
    std::fs::write(&config, text).expect("writable");
    Command::new(env!("CARGO_BIN_EXE_gateway"))
        .args(["alert", "test", "--config"])
        .arg(&config)
        .arg(name)
        .env("TEAM_URL", url)
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .expect("the gateway runs")
}

#[test]
fn a_test_message_goes_out_and_what_the_other_side_says_is_told() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (url, served) = slack("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let output = run(dir.path(), &url, "team");
    // Asked first: a program that sent nothing leaves the fake waiting.
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "team (slack): taken: 200 ok\n");
    let (head, body) = served.join().expect("the fake Slack ends");
    assert!(head.to_ascii_lowercase().contains("idempotency-key: edge-1/team/test"), "{head}");
    assert!(body.starts_with("{\"text\":\"test of the alert channel team\\n"), "{body}");
}

#[test]
fn a_refusal_and_a_wrong_name_are_told_without_the_secret() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (url, served) = slack("HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\nno_service");
    let refused = run(dir.path(), &url, "team");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(
        told.contains("team (slack) did not take the message: 404 no_service") && !told.contains("hunter2"),
        "{told}"
    );
    served.join().expect("the fake Slack ends");
    let unknown = run(dir.path(), &url, "tema");
    let told = String::from_utf8_lossy(&unknown.stderr);
    assert!(
        told.contains("there is no alert channel \"tema\"") && told.contains("hint: the channels are team"),
        "{told}"
    );
}
