//! InfluxDB's HTTP API, as far as the oracle needs it: make a bucket, read points.

use anyhow::{Context, Result, ensure};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::gateway::http_client;

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

    /// # Errors
    /// The server does not answer, or has one of this name.
    pub async fn create_bucket(&self) -> Result<()> {
        let found: Value = serde_json::from_str(
            &self.send(self.client.get(self.path("/api/v2/orgs")).query(&[("org", &self.org)])).await?,
        )?;
        let bucket = json!({ "orgID": found["orgs"][0]["id"], "name": self.bucket, "retentionRules": [] });
        self.send(self.client.post(self.path("/api/v2/buckets")).body(bucket.to_string())).await?;
        Ok(())
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

    async fn query(&self, measurement: &str, field: &str, from_ns: i64, then: &str) -> Result<Vec<Row>> {
        let flux = format!(
            "from(bucket: \"{}\") |> range(start: time(v: {from_ns}), stop: 2100-01-01T00:00:00Z) \
             |> filter(fn: (r) => r._measurement == \"{measurement}\" and r._field == \"{field}\") |> {then}",
            self.bucket
        );
        let request = self.client.post(self.path("/api/v2/query")).query(&[("org", &self.org)]);
        let request = request.header("Content-Type", "application/vnd.flux").header("Accept", "application/csv");
        Ok(rows(&self.send(request.body(flux)).await?))
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
type Row = Vec<(String, String)>;

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

fn column<'a>(row: &'a Row, name: &str) -> Result<&'a str> {
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
