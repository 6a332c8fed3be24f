//! `gateway passwd` as a user meets it: on a pipe, on a terminal, and what it leaves in the file.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use gateway::ingest::access::users::Users;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

fn passwd(file: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.env_remove("GATEWAY_LOG").args(["passwd", "--file"]).arg(file).args(arguments);
    command
}

fn by_pipe(file: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = passwd(file, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // It may end without reading.
    drop(child.stdin.take().expect("piped").write_all(input.as_bytes()));
    child.wait_with_output().expect("it ends")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn names(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("readable");
    Users::parse(&text).expect("a valid file");
    text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn users_are_added_changed_and_taken_out() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("users");
    for name in ["pump", "fan"] {
        let output = by_pipe(&file, &[name], "secret\n");
        assert!(output.status.success(), "{}", told(&output));
    }
    assert_eq!(names(&file), ["pump", "fan"]);
    let before = fs::read_to_string(&file).expect("readable");
    assert!(!before.contains("secret") && before.contains(":$argon2id$v=19$m=19456,t=2,p=1$"), "{before}");

    assert!(by_pipe(&file, &["pump"], "other").status.success());
    let after = fs::read_to_string(&file).expect("readable");
    assert_ne!(before.lines().next(), after.lines().next());
    assert_eq!(before.lines().nth(1), after.lines().nth(1));

    assert!(by_pipe(&file, &["--delete", "pump"], "").status.success());
    assert_eq!(names(&file), ["fan"]);
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("users");
    for (arguments, input, message) in [
        (&["a:b"][..], "x\n", "cannot be a user's name"),
        (&["a"], "\n", "the password is empty"),
        (&["a"], "", "the password is empty"),
        (&["--delete", "a"], "", "has no user \"a\""),
    ] {
        let output = by_pipe(&file, arguments, input);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(told(&output).contains(message), "{arguments:?}: {}", told(&output));
        assert!(!file.exists());
    }
    fs::write(&file, "a:hunter2\n").expect("writable");
    let output = by_pipe(&file, &["b"], "x\n");
    assert!(told(&output).contains("line 1: not an argon2id hash") && !told(&output).contains("hunter2"));
    assert_eq!(fs::read_to_string(&file).expect("readable"), "a:hunter2\n");
}

/// Types each line once its prompt is there; all that the terminal has shown, and whether it ended well.
fn by_terminal(file: &Path, lines: &[(&str, &str)]) -> (String, bool) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("may be used");
    let name = ptsname(&master, Vec::new()).expect("has a name");
    let slave = File::options().read(true).write(true).open(name.to_str().expect("ascii")).expect("opens");
    let mut command = passwd(file, &["pump"]);
    command.stdin(slave.try_clone().expect("a copy")).stderr(slave.try_clone().expect("a copy")).stdout(slave);
    let mut child = command.spawn().expect("the program starts");
    // The copies of the terminal in here: without them reading ends when the program does.
    drop(command);
    let mut master = File::from(master);
    let mut shown = String::new();
    for (prompt, typed) in lines {
        while !shown.contains(prompt) {
            assert!(read(&mut master, &mut shown), "{shown}");
        }
        master.write_all(typed.as_bytes()).expect("a terminal takes it");
    }
    while read(&mut master, &mut shown) {}
    (shown, child.wait().expect("it ends").success())
}

/// What the terminal shows next; `false` at its end.
fn read(master: &mut File, shown: &mut String) -> bool {
    let mut bytes = [0; 256];
    // Linux tells the end of the other side by an error.
    let count = master.read(&mut bytes).unwrap_or(0);
    shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
    count > 0
}

#[test]
fn a_password_is_typed_twice_and_never_shown() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("users");
    let (shown, ended_well) = by_terminal(&file, &[("Password of \"pump\": ", "secret\n"), ("again: ", "secret\n")]);
    assert!(ended_well && !shown.contains("secret"), "{shown}");
    assert_eq!(names(&file), ["pump"]);

    let before = fs::read_to_string(&file).expect("readable");
    let (shown, ended_well) = by_terminal(&file, &[("Password of", "secret\n"), ("again: ", "secert\n")]);
    assert!(!ended_well && shown.contains("the two passwords differ"), "{shown}");
    assert_eq!(fs::read_to_string(&file).expect("readable"), before);
}
