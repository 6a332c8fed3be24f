//! A real headless Chromium, driven through chromedriver's WebDriver interface (plain HTTP and JSON).

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::eventually::eventually;
use crate::gateway::http_client;
use crate::process::Process;
use crate::stack::run_dir;

const START_DEADLINE: Duration = Duration::from_secs(60);

/// No sandbox: as root, Chromium has none. The rest keeps it quiet and off the network.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--remote-debugging-port=0",
    "--window-size=1280,1400",
];

/// A window of a fresh profile. Dropping it ends driver and browser.
pub struct Browser {
    _driver: Process,
    // Started here and not by the driver, which would leave it behind when killed.
    _chromium: Process,
    client: reqwest::Client,
    session_url: String,
}

impl Browser {
    /// # Errors
    /// chromedriver or Chromium are missing or do not start.
    pub async fn start() -> Result<Self> {
        let profile = tempfile::TempDir::new_in(run_dir())?.keep();
        let profile_flag = format!("--user-data-dir={}", profile.display());
        let flags: Vec<&str> = FLAGS.into_iter().chain([profile_flag.as_str(), "about:blank"]).collect();
        let mut chromium = Process::start_program(Path::new("chromium"), &flags, &[])?;
        let mut driver = Process::start_program(Path::new("chromedriver"), &["--port=0"], &[])?;
        let (debugger, port) = eventually("start of the browser", START_DEADLINE, async || {
            chromium.still_running()?;
            driver.still_running()?;
            // Two lines: the port, and a path that only a debugger needs.
            let devtools = std::fs::read_to_string(profile.join("DevToolsActivePort"))?;
            let (debugger, _) = devtools.split_once('\n').context("Chromium has not named its port yet")?;
            Ok((debugger.to_owned(), port(&driver.stdout()).context("chromedriver has not named its port yet")?))
        })
        .await?;
        let client = http_client()?;
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "debuggerAddress": format!("127.0.0.1:{debugger}") },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let sessions = format!("http://127.0.0.1:{port}/session");
        let session = value(client.post(&sessions).body(capabilities.to_string())).await?;
        let id = session["sessionId"].as_str().context("no session id")?;
        Ok(Self { _driver: driver, _chromium: chromium, client, session_url: format!("{sessions}/{id}") })
    }

    /// Returns once the page has loaded.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.post("/url", json!({ "url": url })).await?;
        Ok(())
    }

    /// Runs a function body in the page and returns what it returns.
    ///
    /// # Errors
    /// It throws.
    pub async fn run(&self, script: &str) -> Result<Value> {
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// What the page and the browser complained about since the last call: console errors and failed requests.
    ///
    /// # Errors
    /// The browser is gone.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let log = self.post("/se/log", json!({ "type": "browser" })).await?;
        let entries = log.as_array().context("the log is no list")?;
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        Ok(severe.map(|entry| entry["message"].to_string()).collect())
    }

    /// The window as PNG, in base64.
    ///
    /// # Errors
    /// The browser is gone.
    pub async fn screenshot(&self) -> Result<String> {
        let image = value(self.client.get(format!("{}/screenshot", self.session_url))).await?;
        Ok(image.as_str().context("the screenshot is no text")?.to_owned())
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        value(self.client.post(format!("{}{path}", self.session_url)).body(body.to_string())).await
    }
}

async fn value(request: reqwest::RequestBuilder) -> Result<Value> {
    let answer = request.header("Content-Type", "application/json").send().await?;
    let status = answer.status();
    let mut answer: Value = serde_json::from_str(&answer.text().await?)?;
    let value = answer["value"].take();
    ensure!(status.is_success(), "the browser says {status}: {} {}", value["error"], value["message"]);
    Ok(value)
}

/// From chromedriver's line "ChromeDriver was started successfully on port 12345."
fn port(stdout: &str) -> Option<u16> {
    let (_, after) = stdout.split_once("started successfully on port ")?;
    after.split_once('.')?.0.parse().ok()
}
