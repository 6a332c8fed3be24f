//! InfluxDB's HTTP API, as far as the tests need it: buckets, tasks, points.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::eventually::eventually;
use crate::gateway::http_client;

/// The shortest that InfluxDB makes: shards may not be longer than points stay.
const SHARD_MIN_S: u64 = 3_600;

/// One bucket of a running server.
#[derive(Clone, Debug)]
pub struct Influx {
    client: Client,
    url: String,
    org: String,
    token: String,
    bucket: String,
}

/// One field of one point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub device: String,
    pub at_ns: i64,
    pub value: f64,
}

impl Influx {
    /// # Errors
    /// There is no HTTP client.
    pub fn new(url: String, org: String, token: String, bucket: &str) -> Result<Self> {
        Ok(Self { client: http_client()?, url, org, token, bucket: bucket.to_owned() })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn org(&self) -> &str {
        &self.org
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Another bucket of the same server, be it there or not.
    pub fn other(&self, bucket: &str) -> Self {
        Self { bucket: bucket.to_owned(), ..self.clone() }
    }

    /// # Errors
    /// The server does not answer, or has one of this name.
    pub async fn create_bucket(&self) -> Result<()> {
        let found = self.get("/api/v2/orgs", &[("org", &self.org)]).await?;
        let bucket = json!({ "orgID": found["orgs"][0]["id"], "name": self.bucket, "retentionRules": [] });
        self.send(self.client.post(self.path("/api/v2/buckets")).body(bucket.to_string())).await?;
        Ok(())
    }

    /// Whose names begin as this one's.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn buckets(&self) -> Result<Vec<String>> {
        let found = self.get("/api/v2/buckets", &[("org", &self.org), ("limit", "100")]).await?;
        let names = found["buckets"].as_array().into_iter().flatten().filter_map(|b| b["name"].as_str());
        Ok(names.filter(|name| name.starts_with(&self.bucket)).map(str::to_owned).collect())
    }

    /// Seconds that points stay in the bucket; 0 is for ever.
    ///
    /// # Errors
    /// There is no such bucket.
    pub async fn retention_s(&self) -> Result<u64> {
        let found = self.get("/api/v2/buckets", &[("org", &self.org), ("name", &self.bucket)]).await?;
        Ok(found["buckets"][0]["retentionRules"][0]["everySeconds"].as_u64().unwrap_or_default())
    }

    /// # Errors
    /// There is no such bucket, or the server refuses.
    pub async fn set_retention_s(&self, seconds: u64) -> Result<()> {
        let found = self.get("/api/v2/buckets", &[("org", &self.org), ("name", &self.bucket)]).await?;
        let id = found["buckets"][0]["id"].as_str().context("no such bucket")?;
        let rule = json!({ "type": "expire", "everySeconds": seconds, "shardGroupDurationSeconds": SHARD_MIN_S });
        let change = json!({ "retentionRules": [rule] });
        let request = self.client.patch(self.path(&format!("/api/v2/buckets/{id}")));
        self.send(request.body(change.to_string())).await?;
        Ok(())
    }

    /// Changes a task, such as `{"status": "inactive"}`.
    ///
    /// # Errors
    /// There is no such task, or the server refuses.
    pub async fn change_task(&self, name: &str, change: &Value) -> Result<()> {
        let id = self.task(name).await?;
        let request = self.client.patch(self.path(&format!("/api/v2/tasks/{id}")));
        self.send(request.body(change.to_string())).await?;
        Ok(())
    }

    /// Runs a task as if it were this time, seconds since 1970, and waits for its end.
    ///
    /// # Errors
    /// It failed; the message has its log.
    pub async fn run_task(&self, name: &str, at_s: u64, deadline: Duration) -> Result<()> {
        let id = self.task(name).await?;
        let at = self.time(at_s).await?;
        let runs = format!("/api/v2/tasks/{id}/runs");
        let body = json!({ "scheduledFor": at }).to_string();
        let run: Value = serde_json::from_str(&self.send(self.client.post(self.path(&runs)).body(body)).await?)?;
        let run = format!("{runs}/{}", run["id"].as_str().context("a run without an id")?);
        eventually(&format!("end of {name}"), deadline, async || {
            let now = self.get(&run, &[]).await?;
            ensure!(now["status"] == "success", "{now}");
            Ok(())
        })
        .await
    }

    /// A time, seconds since 1970, as Flux and the API write it.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn time(&self, at_s: u64) -> Result<String> {
        let at_ns = at_s * 1_000_000_000;
        let flux = format!("import \"array\"\narray.from(rows: [{{at: string(v: time(v: {at_ns}))}}])");
        Ok(column(self.query_rows(&flux).await?.first().context("no time")?, "at")?.to_owned())
    }

    async fn task(&self, name: &str) -> Result<String> {
        let found = self.get("/api/v2/tasks", &[("org", &self.org), ("name", name)]).await?;
        Ok(found["tasks"][0]["id"].as_str().with_context(|| format!("no task {name}"))?.to_owned())
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        Ok(serde_json::from_str(&self.send(self.client.get(self.path(path)).query(query)).await?)?)
    }

    /// Writes line protocol, times in nanoseconds.
    ///
    /// # Errors
    /// The server does not take it.
    pub async fn write(&self, lines: String) -> Result<()> {
        let query = [("org", &self.org), ("bucket", &self.bucket)];
        self.send(self.client.post(self.path("/api/v2/write")).query(&query).body(lines)).await?;
        Ok(())
    }

    /// Points of a measurement's field, in no particular order.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn points(&self, measurement: &str, field: &str) -> Result<Vec<Point>> {
        self.points_where(measurement, field, "true", 0).await
    }

    /// The same of some devices: an answer with a million points takes long.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn points_of(&self, measurement: &str, field: &str, devices: &[&str]) -> Result<Vec<Point>> {
        self.points_since(measurement, field, devices, 0).await
    }

    /// The same from this time on.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn points_since(
        &self,
        measurement: &str,
        field: &str,
        devices: &[&str],
        from_ns: i64,
    ) -> Result<Vec<Point>> {
        let devices: Vec<String> = devices.iter().map(|device| format!("r.device == \"{device}\"")).collect();
        self.points_where(measurement, field, &devices.join(" or "), from_ns).await
    }

    async fn points_where(&self, measurement: &str, field: &str, condition: &str, from_ns: i64) -> Result<Vec<Point>> {
        let then = format!(
            "filter(fn: (r) => {condition}) |> keep(columns: [\"device\", \"_time\", \"_value\"]) \
             |> map(fn: (r) => ({{r with _time: int(v: r._time), _value: float(v: r._value)}})) |> group()"
        );
        self.query(measurement, field, from_ns, &then).await?.iter().map(point).collect()
    }

    /// Number of points of a measurement's field: cheaper to ask again and again.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn count(&self, measurement: &str, field: &str) -> Result<u64> {
        let then = "count() |> keep(columns: [\"_value\"]) |> group() |> sum()";
        let rows = self.query(measurement, field, 0, then).await?;
        let Some(row) = rows.first() else { return Ok(0) };
        Ok(column(row, "_value")?.parse()?)
    }

    /// The rows that any Flux yields. An error while it runs comes inside a 200 answer.
    ///
    /// # Errors
    /// The query is wrong, or failed.
    pub async fn query_rows(&self, flux: &str) -> Result<Vec<Row>> {
        let request = self.client.post(self.path("/api/v2/query")).query(&[("org", &self.org)]);
        let request = request.header("Content-Type", "application/vnd.flux").header("Accept", "application/csv");
        let text = self.send(request.body(flux.to_owned())).await?;
        let rows = rows(&text);
        let failed = rows.iter().flatten().find(|(column, _)| column == "error");
        ensure!(failed.is_none(), "InfluxDB says {text}");
        Ok(rows)
    }

    async fn query(&self, measurement: &str, field: &str, from_ns: i64, then: &str) -> Result<Vec<Row>> {
        let flux = format!(
            "from(bucket: \"{}\") |> range(start: time(v: {from_ns}), stop: 2100-01-01T00:00:00Z) \
             |> filter(fn: (r) => r._measurement == \"{measurement}\" and r._field == \"{field}\") |> {then}",
            self.bucket
        );
        self.query_rows(&flux).await
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn send(&self, request: RequestBuilder) -> Result<String> {
        let answer = request.header("Authorization", format!("Token {}", self.token)).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "InfluxDB says {status}: {text}");
        Ok(text)
    }
}

/// A row of a Flux answer: (column, value).
pub type Row = Vec<(String, String)>;

/// Annotated CSV is not asked for: each table begins with its header and ends with an empty line. Names and numbers
/// alone are read with it, so no field is ever quoted.
fn rows(csv: &str) -> Vec<Row> {
    let tables = csv.split("\r\n\r\n").map(|table| table.lines().filter(|line| !line.is_empty()));
    let tables = tables.filter_map(|mut lines| Some((lines.next()?, lines)));
    tables
        .flat_map(|(header, lines)| {
            lines
                .map(move |line| header.split(',').map(str::to_owned).zip(line.split(',').map(str::to_owned)).collect())
        })
        .collect()
}

/// # Errors
/// The row has no such column.
pub fn column<'a>(row: &'a Row, name: &str) -> Result<&'a str> {
    let found = row.iter().find(|(column, _)| column == name);
    found.map(|(_, value)| value.as_str()).with_context(|| format!("InfluxDB sent no column {name}: {row:?}"))
}

fn point(row: &Row) -> Result<Point> {
    Ok(Point {
        device: column(row, "device")?.to_owned(),
        at_ns: column(row, "_time")?.parse()?,
        value: column(row, "_value")?.parse()?,
    })
}
