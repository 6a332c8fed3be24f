//! Grafana's dashboards and provisioning: as files for its provisioning to load, or by its HTTP API.
//!
//! Files are written as they lie in `cloud-sink/grafana`; see the notes there. By the API only dashboards are put:
//! data sources hold a token for reading, which cloud-sink does not have, and alert rules name contact points.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};

use super::http::Api;
use super::state::Dashboard;
use crate::config;

/// (path below the directory, text).
pub const FILES: [(&str, &str); 9] = [
    ("dashboards/fleet.json", include_str!("../../grafana/dashboards/fleet.json")),
    ("dashboards/device.json", include_str!("../../grafana/dashboards/device.json")),
    ("dashboards/anomalies.json", include_str!("../../grafana/dashboards/anomalies.json")),
    ("dashboards/pipeline.json", include_str!("../../grafana/dashboards/pipeline.json")),
    ("provisioning/datasources/sensors.yaml", include_str!("../../grafana/provisioning/datasources/sensors.yaml")),
    ("provisioning/dashboards/sensors.yaml", include_str!("../../grafana/provisioning/dashboards/sensors.yaml")),
    ("provisioning/alerting/influxdb.yaml", include_str!("../../grafana/provisioning/alerting/influxdb.yaml")),
    ("provisioning/alerting/prometheus.yaml", include_str!("../../grafana/provisioning/alerting/prometheus.yaml")),
    ("README.md", include_str!("../../grafana/README.md")),
];

pub(super) fn files() -> BTreeMap<String, String> {
    FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

/// Those of [`FILES`] that are in the directory.
///
/// # Errors
/// One is there and cannot be read.
pub(super) fn read_files(dir: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for (path, _) in FILES {
        match std::fs::read(dir.join(path)) {
            Ok(bytes) => {
                files.insert(path.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e).with_context(|| dir.join(path).display().to_string()),
        }
    }
    Ok(files)
}

/// # Errors
/// The file, or its directory, cannot be written.
pub(super) fn write_file(dir: &Path, path: &str, text: &str) -> anyhow::Result<()> {
    let file = dir.join(path);
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    std::fs::write(&file, text).with_context(|| file.display().to_string())
}

/// All dashboards by uid.
///
/// # Errors
/// One of the files is no dashboard.
pub(super) fn dashboards() -> anyhow::Result<BTreeMap<String, Dashboard>> {
    let files = FILES.iter().filter(|(path, _)| path.starts_with("dashboards/"));
    files
        .map(|(path, text)| {
            let json: Value = serde_json::from_str(text).with_context(|| format!("{path} is no JSON"))?;
            let (uid, title) = (json["uid"].as_str(), json["title"].as_str());
            let (uid, title) = uid.zip(title).with_context(|| format!("{path} has no uid or title"))?;
            Ok((uid.to_owned(), Dashboard { title: title.to_owned(), json: bare(json.clone()) }))
        })
        .collect()
}

/// Without what Grafana adds to a dashboard or counts in it.
fn bare(mut dashboard: Value) -> Value {
    if let Some(members) = dashboard.as_object_mut() {
        for added in ["id", "version", "iteration", "gnetId"] {
            members.remove(added);
        }
    }
    dashboard
}

pub(super) struct Grafana {
    api: Api,
    folder: String,
}

impl Grafana {
    /// # Errors
    /// The token cannot be in a header.
    pub(super) fn new(config: &config::Grafana) -> anyhow::Result<Self> {
        let api = Api::new("Grafana", &config.url, &format!("Bearer {}", config.token()))?;
        Ok(Self { api, folder: config.folder.clone() })
    }

    /// Those of the named dashboards that Grafana has.
    ///
    /// # Errors
    /// Grafana does not answer.
    pub(super) async fn read(&self, uids: impl Iterator<Item = &str>) -> anyhow::Result<BTreeMap<String, Dashboard>> {
        let mut dashboards = BTreeMap::new();
        for uid in uids {
            let Some(mut found) = self.api.get(&format!("/api/dashboards/uid/{uid}"), &[]).await? else { continue };
            let json = bare(found["dashboard"].take());
            let title = json["title"].as_str().unwrap_or_default().to_owned();
            dashboards.insert(uid.to_owned(), Dashboard { title, json });
        }
        Ok(dashboards)
    }

    /// In the folder of the configuration, which is made if there is none.
    ///
    /// # Errors
    /// Grafana refuses.
    pub(super) async fn put(&self, dashboard: &Dashboard) -> anyhow::Result<()> {
        let folder = self.folder_uid().await?;
        let body = json!({
            "dashboard": dashboard.json,
            "folderUid": folder,
            "overwrite": true,
            "message": concat!("cloud-sink ", env!("CARGO_PKG_VERSION")),
        });
        self.api.send(Method::POST, "/api/dashboards/db", &body).await.map(drop)
    }

    async fn folder_uid(&self) -> anyhow::Result<String> {
        let folders = self.api.get("/api/folders", &[("limit", "1000")]).await?.unwrap_or_default();
        let found = folders.as_array().into_iter().flatten().find(|f| f["title"] == *self.folder).cloned();
        let folder = match found {
            Some(folder) => folder,
            None => self.api.send(Method::POST, "/api/folders", &json!({ "title": self.folder })).await?,
        };
        Ok(folder["uid"].as_str().context("Grafana sent a folder without a uid")?.to_owned())
    }
}

#[cfg(test)]
mod tests;
