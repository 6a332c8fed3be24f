//! MQTT clients that others wrote, let loose on the gateway's own door: paho, mosquitto_pub and mosquitto_sub.
//!
//! What paho does there is in `interop/promises.py`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::gateway::Home;
use crate::process::{Ended, Process};
use crate::stack;
use crate::stored::Stored;

/// For all promises of a set, which are put to the test at the same time.
const PAHO_ENDS: Duration = Duration::from_secs(90);
const PROGRAM_ENDS: Duration = Duration::from_secs(60);

/// What paho found.
pub struct Report {
    lines: Vec<Value>,
}

/// Puts a set of promises to the test; `door` says where the door is and what it asks for.
///
/// # Errors
/// The program failed; a promise that was not kept is in the report.
pub async fn paho(home: &Home, set: &str, door: &Value) -> Result<Report> {
    let python = spawn_blocking(stack::paho).await??;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/promises.py");
    let door = home.write("door.json", &door.to_string())?;
    // -B: nothing is written beside the program.
    let args = ["-B", &program.display().to_string(), set, &door];
    let ended = Process::start_program(Path::new(&python), &args, &[])?.ended(PAHO_ENDS).await?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    let lines = ended.stdout.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    Ok(Report { lines })
}

impl Report {
    /// Prints it, and returns what has to be in the queue, in order.
    ///
    /// # Errors
    /// A promise was not kept.
    pub fn all_kept(&self) -> Result<Vec<Sent>> {
        let mut broken = Vec::new();
        let mut sent = Vec::new();
        for line in &self.lines {
            let (kept, promise) = (line["kept"] == true, line["promise"].as_str().context("no promise")?);
            println!("{} v{} {promise}", if kept { "kept  " } else { "BROKEN" }, line["version"]);
            if !kept {
                broken.push(format!("{promise} v{}: {}", line["version"], line["why"].as_str().unwrap_or_default()));
            }
            for message in line["stored"].as_array().context("no list of messages")? {
                sent.push(Sent::read(message).with_context(|| format!("{promise}: {message}"))?);
            }
        }
        ensure!(!self.lines.is_empty(), "no promise was put to the test");
        ensure!(broken.is_empty(), "{} of {} promises broken:\n{}", broken.len(), self.lines.len(), broken.join("\n"));
        sent.sort();
        Ok(sent)
    }
}

/// A message that has to be in the queue, once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    topic: String,
    payload: String,
    qos: u64,
    retained: bool,
}

impl Sent {
    pub fn new(topic: &str, payload: &str, qos: u64, retained: bool) -> Self {
        Self { topic: topic.to_owned(), payload: payload.to_owned(), qos, retained }
    }

    fn read(message: &Value) -> Result<Self> {
        let text = |at: usize| message[at].as_str().context("no text");
        let qos = message[2].as_u64().context("no QoS")?;
        Ok(Self::new(text(0)?, text(1)?, qos, message[3] == true))
    }
}

/// The queue holds these messages and no others.
///
/// # Errors
/// One is missing, repeated, changed, or was not to be stored.
pub fn expect_stored(stored: &[Stored], sent: &[Sent]) -> Result<()> {
    let mut found: Vec<Sent> = stored.iter().map(|r| Sent::new(&r.topic, &r.payload, r.qos, r.retained)).collect();
    let mut sent = sent.to_vec();
    found.sort();
    sent.sort();
    let missing: Vec<_> = sent.iter().filter(|s| found.binary_search(s).is_err()).collect();
    let surplus: Vec<_> = found.iter().filter(|f| sent.binary_search(f).is_err()).collect();
    ensure!(missing.is_empty() && surplus.is_empty(), "missing: {missing:?}\nnot to be stored: {surplus:?}");
    ensure!(found.len() == sent.len(), "{} messages are stored as {} records", sent.len(), found.len());
    Ok(())
}

/// Publishes each line of a file with `mosquitto_pub`, and returns once all are acknowledged.
///
/// # Errors
/// It says that something went wrong.
pub async fn publish_lines(file: &str, args: &[&str]) -> Result<()> {
    // Its standard input is the file.
    let script = "file=$1; shift; exec mosquitto_pub -l \"$@\" <\"$file\"";
    let args = [&["-c", script, "publish_lines", file], args].concat();
    let ended = mosquitto("bash", &args).await?;
    ensure!(ended.status.success() && ended.stderr.is_empty(), "mosquitto_pub {args:?}: {ended:?}");
    Ok(())
}

/// Sets a user's password with `gateway passwd`, which reads it from its standard input.
///
/// # Errors
/// The file cannot be written.
pub async fn set_password(users_file: &str, user: &str, password: &str) -> Result<()> {
    let gateway = Process::path_of("gateway")?.display().to_string();
    let script = "password=$1; shift; exec \"$@\" <<<\"$password\"";
    let args = ["-c", script, "set_password", password, &gateway, "passwd", "--file", users_file, user];
    let ended = Process::start_program(Path::new("bash"), &args, &[])?.ended(PROGRAM_ENDS).await?;
    ensure!(ended.status.success(), "{ended:?}");
    Ok(())
}

/// Runs `mosquitto_pub` or `mosquitto_sub` to its end.
///
/// # Errors
/// There is none, or it runs on.
pub async fn mosquitto(program: &str, args: &[&str]) -> Result<Ended> {
    Process::start_program(Path::new(program), args, &[])?.ended(PROGRAM_ENDS).await
}
