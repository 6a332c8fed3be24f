//! Configuration files of the two programs under test.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use crate::influx::Influx;

/// The InfluxDB token goes to the programs through this variable.
pub const TOKEN_ENV: &str = "INFLUX_TOKEN";

/// A gateway's configuration under construction: text, so that the tests write what an operator would.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    toml: String,
}

impl GatewayConfig {
    pub fn new(data_dir: &Path) -> Self {
        let toml = format!(
            "[gateway]\nname = \"gw\"\ndata_dir = \"{}\"\n\n[http]\nbind = \"127.0.0.1:0\"\n",
            data_dir.display()
        );
        Self { toml }
    }

    pub fn broker(self, address: SocketAddr) -> Self {
        self.table(&format!(
            "[[mqtt]]\nurl = \"mqtt://{address}\"\nclient_id = \"gw\"\nsubscribe = [\"sensors/#\"]\nreconnect_max = \"1s\"\n"
        ))
    }

    /// More keys of the table that was added last.
    pub fn with(mut self, keys: &str) -> Self {
        self.toml.push_str(keys);
        self.toml.push('\n');
        self
    }

    pub fn listen(self) -> Self {
        self.listen_on("127.0.0.1:0")
    }

    pub fn listen_on(self, address: &str) -> Self {
        self.table(&format!("[listen]\nbind = \"{address}\"\n"))
    }

    /// Keys of `[queue]`.
    pub fn queue(self, keys: &str) -> Self {
        self.table(&format!("[queue]\n{keys}\n"))
    }

    /// Keys of one more `[[decode]]`.
    pub fn decode(self, keys: &str) -> Self {
        self.table(&format!("[[decode]]\n{keys}\n"))
    }

    /// Nothing is judged, so nothing waits for a window to close.
    pub fn without_detection(self) -> Self {
        self.table("[detect]\nenabled = false\n")
    }

    /// `url` is not always the one of `influx`: a link may lie between.
    pub fn influx(self, url: &str, influx: &Influx) -> Self {
        self.table(&format!("[[influx]]\n{}retry_max = \"1s\"\n", influx_keys(url, influx)))
    }

    /// With the token in a file, which may change.
    pub fn influx_by_file(self, influx: &Influx, token_file: &str) -> Self {
        let keys = influx_keys(influx.url(), influx);
        let keys: Vec<&str> = keys.lines().filter(|key| !key.starts_with("token_env")).collect();
        self.table(&format!("[[influx]]\n{}\ntoken_file = \"{token_file}\"\nretry_max = \"1s\"\n", keys.join("\n")))
    }

    pub fn kafka(self, bootstrap: &str, topic_prefix: &str) -> Self {
        self.table(&format!(
            "[[kafka]]\nbootstrap = \"{bootstrap}\"\ntopic_prefix = \"{topic_prefix}\"\nretry_max = \"1s\"\n"
        ))
    }

    /// Verdicts after two days of history, the least that there is.
    pub fn learning_two_days(self) -> Self {
        self.table("[detect]\nlearn = \"2d\"\n")
    }

    pub fn as_str(&self) -> &str {
        &self.toml
    }

    fn table(mut self, table: &str) -> Self {
        self.toml.push('\n');
        self.toml.push_str(table);
        self
    }
}

/// cloud-sink's configuration.
pub fn cloud_sink(bootstrap: &str, topic_prefix: &str, influx: &Influx) -> Result<String> {
    let mut toml = String::new();
    writeln!(
        toml,
        "[kafka]\nbootstrap = \"{bootstrap}\"\ntopic_prefix = \"{topic_prefix}\"\ngroup = \"{topic_prefix}\"\n"
    )?;
    writeln!(toml, "[influx]\n{}", influx_keys(influx.url(), influx))?;
    writeln!(toml, "[http]\nbind = \"127.0.0.1:0\"")?;
    Ok(toml)
}

fn influx_keys(url: &str, influx: &Influx) -> String {
    let (org, bucket) = (influx.org(), influx.bucket());
    format!("url = \"{url}\"\norg = \"{org}\"\nbucket = \"{bucket}\"\ntoken_env = \"{TOKEN_ENV}\"\n")
}
