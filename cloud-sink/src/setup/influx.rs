//! Buckets and tasks, by InfluxDB's HTTP API.
//!
//! The influxdb2 crate has no call that changes a bucket, so all of them go the same way here.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};

use super::http::Api;
use super::state::{Bucket, Kept, Task};
use crate::config;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) struct Influx {
    api: Api,
    org: String,
    org_id: String,
}

impl Influx {
    /// # Errors
    /// InfluxDB does not answer, or does not know the organisation.
    pub(super) async fn connect(config: &config::Influx) -> anyhow::Result<Self> {
        let api = Api::new("InfluxDB", &config.url, &format!("Token {}", config.token()))?;
        let answer = api.get("/api/v2/orgs", &[("org", &config.org)]).await?;
        let org_id = answer.as_ref().and_then(|a| a["orgs"][0]["id"].as_str()).with_context(|| {
            format!(
                "InfluxDB knows no organisation {}, or the token may not see it\n  hint: setup needs a token that may \
                 read and write buckets and tasks, and read the organisation",
                config.org
            )
        })?;
        let org_id = org_id.to_owned();
        Ok(Self { api, org: config.org.clone(), org_id })
    }

    /// Those of the named buckets that exist.
    ///
    /// # Errors
    /// InfluxDB does not answer.
    pub(super) async fn buckets(&self, names: impl Iterator<Item = &str>) -> anyhow::Result<BTreeMap<String, Bucket>> {
        let mut buckets = BTreeMap::new();
        for name in names {
            let Some(found) = self.named("/api/v2/buckets", "buckets", name).await? else { continue };
            let rules = found["retentionRules"].as_array().into_iter().flatten();
            let secs = rules.filter(|rule| rule["type"] == "expire").find_map(|rule| rule["everySeconds"].as_u64());
            let bucket = Bucket { id: id(&found)?, kept: Kept::of_secs(secs.unwrap_or_default()) };
            buckets.insert(name.to_owned(), bucket);
        }
        Ok(buckets)
    }

    /// Those of the named tasks that exist; of several that have one name, InfluxDB's first.
    ///
    /// # Errors
    /// InfluxDB does not answer.
    pub(super) async fn tasks(&self, names: impl Iterator<Item = &str>) -> anyhow::Result<BTreeMap<String, Task>> {
        let mut tasks = BTreeMap::new();
        for name in names {
            let Some(found) = self.named("/api/v2/tasks", "tasks", name).await? else { continue };
            let flux = found["flux"].as_str().unwrap_or_default().to_owned();
            let task = Task { id: id(&found)?, flux, active: found["status"] == "active" };
            tasks.insert(name.to_owned(), task);
        }
        Ok(tasks)
    }

    async fn named(&self, path: &str, list: &str, name: &str) -> anyhow::Result<Option<Value>> {
        let answer = self.api.get(path, &[("org", &self.org), ("name", name)]).await?;
        let found = answer.as_ref().and_then(|a| a[list].as_array()).into_iter().flatten();
        Ok(found.into_iter().find(|item| item["name"] == name).cloned())
    }

    /// # Errors
    /// InfluxDB refuses.
    pub(super) async fn create_bucket(&self, name: &str, kept: Kept) -> anyhow::Result<()> {
        let body = json!({ "orgID": self.org_id, "name": name, "retentionRules": [{ "type": "expire", "everySeconds": kept.secs() }] });
        self.api.send(Method::POST, "/api/v2/buckets", &body).await.map(drop)
    }

    /// # Errors
    /// InfluxDB refuses.
    pub(super) async fn set_retention(&self, bucket_id: &str, kept: Kept) -> anyhow::Result<()> {
        let rule = json!({ "type": "expire", "everySeconds": kept.secs(), "shardGroupDurationSeconds": shard(kept).as_secs() });
        let body = json!({ "retentionRules": [rule] });
        self.api.send(Method::PATCH, &format!("/api/v2/buckets/{bucket_id}"), &body).await.map(drop)
    }

    /// # Errors
    /// InfluxDB refuses.
    pub(super) async fn create_task(&self, flux: &str) -> anyhow::Result<()> {
        let body = json!({ "orgID": self.org_id, "flux": flux, "status": "active" });
        self.api.send(Method::POST, "/api/v2/tasks", &body).await.map(drop)
    }

    /// `change`: the members of the task that are to be others.
    ///
    /// # Errors
    /// InfluxDB refuses.
    pub(super) async fn change_task(&self, id: &str, change: &Value) -> anyhow::Result<()> {
        self.api.send(Method::PATCH, &format!("/api/v2/tasks/{id}"), change).await.map(drop)
    }
}

/// How long a time each of a bucket's shards covers: as InfluxDB chooses it for a new bucket. It keeps the old length when
/// a retention changes, and refuses one that is shorter than its shards.
/// <https://docs.influxdata.com/influxdb/v2/reference/internals/shards/#shard-group-duration>
fn shard(kept: Kept) -> Duration {
    match kept {
        Kept::For(time) if time < 2 * DAY => HOUR,
        Kept::For(time) if time < 180 * DAY => DAY,
        Kept::For(_) | Kept::Always => 7 * DAY,
    }
}

fn id(found: &Value) -> anyhow::Result<String> {
    Ok(found["id"].as_str().context("InfluxDB sent something without an id")?.to_owned())
}
