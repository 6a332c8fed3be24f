//! `[archive]`: the object store, and when a roll ends.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::Fault;
use super::secret::{Secret, read_secret};

/// A roll is held in memory until it is stored. 1 GiB: what lies in one has 32-bit places.
const MAX_BYTES: std::ops::RangeInclusive<usize> = (1 << 20)..=(1 << 30);

#[derive(Clone, Debug)]
pub struct Archive {
    pub place: Place,
    /// Memory of what is read and not stored yet, over all partitions.
    pub max_bytes: usize,
    /// From a roll's first record.
    pub max_age: Duration,
}

/// Where the archive lies.
#[derive(Clone, Debug)]
pub enum Place {
    Folder(PathBuf),
    S3(Box<S3>),
}

#[derive(Clone, Debug)]
pub struct S3 {
    pub bucket: String,
    /// Before all names; empty for none.
    pub prefix: String,
    pub region: String,
    /// `None`: Amazon's own.
    pub endpoint: Option<String>,
    /// `None`: the role of the machine or container that this runs on.
    pub keys: Option<Keys>,
    /// PEM; besides the roots of the system.
    pub ca: Option<Vec<u8>>,
    /// `endpoint/bucket/name` rather than `bucket.endpoint/name`.
    pub path_style: bool,
}

#[derive(Clone, Debug)]
pub struct Keys {
    pub access_key: Secret,
    pub secret_key: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArchiveFile {
    url: String,
    endpoint: Option<String>,
    #[serde(default = "default_region")]
    region: String,
    path_style: Option<bool>,
    access_key_file: Option<PathBuf>,
    access_key_env: Option<String>,
    secret_key_file: Option<PathBuf>,
    secret_key_env: Option<String>,
    ca_file: Option<PathBuf>,
    #[serde(default = "default_max_bytes")]
    max_bytes: usize,
    #[serde(default = "default_max_age_s")]
    max_age_s: u64,
}

fn default_region() -> String {
    "us-east-1".into()
}

fn default_max_bytes() -> usize {
    64 << 20
}

fn default_max_age_s() -> u64 {
    300
}

impl ArchiveFile {
    pub(super) fn resolve(self) -> Result<Archive, Fault> {
        let (max_bytes, max_age_s) = (self.max_bytes, self.max_age_s);
        if !MAX_BYTES.contains(&max_bytes) {
            let (least, most) = MAX_BYTES.into_inner();
            return Err(Fault::new("archive.max_bytes", format!("{max_bytes} is not from {least} to {most}")));
        }
        if max_age_s == 0 {
            return Err(Fault::new("archive.max_age_s", "must be above 0"));
        }
        let place = self.place()?;
        Ok(Archive { place, max_bytes, max_age: Duration::from_secs(max_age_s) })
    }

    fn place(self) -> Result<Place, Fault> {
        let wrong = |what: &str| Fault::new("archive.url", format!("{}: {what}", self.url));
        let url = reqwest::Url::parse(&self.url).map_err(|e| wrong(&e.to_string()))?;
        match url.scheme() {
            "file" => match url.to_file_path() {
                Ok(folder) => Ok(Place::Folder(folder)),
                Err(()) => Err(wrong("wanted file:///folder")),
            },
            "s3" => {
                let bucket = url
                    .host_str()
                    .filter(|host| !host.is_empty())
                    .ok_or_else(|| wrong("wanted s3://bucket/prefix"))?
                    .to_owned();
                let prefix = url.path().trim_matches('/').to_owned();
                self.s3(bucket, prefix)
            }
            _ => Err(wrong("wanted file:///folder or s3://bucket/prefix")),
        }
    }

    fn s3(self, bucket: String, prefix: String) -> Result<Place, Fault> {
        if let Some(endpoint) = &self.endpoint {
            let url = reqwest::Url::parse(endpoint)
                .map_err(|e| Fault::new("archive.endpoint", format!("{endpoint}: {e}")))?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err(Fault::new("archive.endpoint", format!("{endpoint}: wanted http://… or https://…")));
            }
        }
        let access_key = read_secret("archive.access_key", self.access_key_file, self.access_key_env)?;
        let secret_key = read_secret("archive.secret_key", self.secret_key_file, self.secret_key_env)?;
        let keys = match (access_key, secret_key) {
            (Some(access_key), Some(secret_key)) => Some(Keys { access_key, secret_key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(Fault::new("archive", "access_key and secret_key are wanted both, or neither"));
            }
        };
        let read = |path: PathBuf| {
            std::fs::read(&path).map_err(|e| Fault::new("archive.ca_file", format!("{}: {e}", path.display())))
        };
        let ca = self.ca_file.map(read).transpose()?;
        // Stores that are not Amazon's rarely have a name in the DNS for each bucket.
        let path_style = self.path_style.unwrap_or(self.endpoint.is_some());
        let Self { region, endpoint, .. } = self;
        Ok(Place::S3(Box::new(S3 { bucket, prefix, region, endpoint, keys, ca, path_style })))
    }
}
