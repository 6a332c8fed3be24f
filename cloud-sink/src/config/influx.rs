//! `[influx]` and `[batch]`: where points go, and how many at a time.

use std::path::PathBuf;

use serde::Deserialize;

use super::Fault;
use super::secret::{Secret, read_secret};

#[derive(Clone, Debug)]
pub struct Influx {
    pub url: String,
    pub org: String,
    pub bucket: String,
    token: Secret,
}

impl Influx {
    pub fn token(&self) -> &str {
        self.token.expose()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InfluxFile {
    url: String,
    org: String,
    bucket: String,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
}

impl InfluxFile {
    pub(super) fn resolve(self) -> Result<Influx, Fault> {
        let Self { url, org, bucket, token_file, token_env } = self;
        let parsed = reqwest::Url::parse(&url).map_err(|e| Fault::new("influx.url", format!("{url}: {e}")))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host().is_none() {
            return Err(Fault::new("influx.url", format!("{url}: wanted http://host:port or https://host:port")));
        }
        let token = read_secret("influx.token", token_file, token_env)?
            .ok_or_else(|| Fault::new("influx", "wanted one of token_file and token_env"))?;
        Ok(Influx { url, org, bucket, token })
    }
}

/// When a batch is full.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Batch {
    pub records_max: usize,
    /// Bytes of line protocol before compression.
    pub max_bytes: usize,
    /// A batch that is not full goes out after this many milliseconds.
    pub max_age_ms: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self { records_max: 5_000, max_bytes: 1 << 20, max_age_ms: 500 }
    }
}

impl Batch {
    pub(super) fn check(self) -> Result<Self, Fault> {
        match self {
            Self { records_max: 1.., max_bytes: 1.., max_age_ms: 1.. } => Ok(self),
            Self { .. } => Err(Fault::new("batch", "records_max, max_bytes and max_age_ms must be above 0")),
        }
    }
}
