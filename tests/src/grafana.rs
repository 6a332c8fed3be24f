//! Grafana's dashboards and alert rules as Grafana would evaluate them: which queries, and what stands for variables.
//!
//! Macros and variables are replaced as Grafana's backend does for Flux (`v.timeRangeStart`, `${name}`, `${name:regex}`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::influx::{Influx, column};
use crate::process::Process;
use crate::stack;

const NODE_ENDS: Duration = Duration::from_secs(120);
/// What a panel of usual width asks for in a range of some days.
const WINDOW_PERIOD: &str = "10m";

pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cloud-sink/grafana")
}

/// All dashboards, by file name.
///
/// # Errors
/// They cannot be read.
pub fn dashboards() -> Result<BTreeMap<String, Value>> {
    let files = std::fs::read_dir(directory().join("dashboards"))?;
    files
        .map(|file| {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            Ok((name, serde_json::from_str(&std::fs::read_to_string(file.path())?)?))
        })
        .collect()
}

/// A query of an alert rule.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Rule {
    pub title: String,
    pub flux: Option<String>,
    pub promql: Option<String>,
}

/// Checks dashboards against Grafana's published schema, and the provisioning; returns the queries of the alert rules.
///
/// # Errors
/// What is wrong with them.
pub async fn check() -> Result<Vec<Rule>> {
    let modules = spawn_blocking(stack::grafana_modules).await??;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/schema.mjs");
    let args = [program.display().to_string(), modules, directory().display().to_string()];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = Process::start_program(Path::new("node"), &args, &[])?.ended(NODE_ENDS).await?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    ended.stdout.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The range that a dashboard shows, as Flux says times.
#[derive(Clone, Debug)]
pub struct Range {
    pub start: String,
    pub stop: String,
}

/// What a variable stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    One(String),
    Several(Vec<String>),
    /// The variable's own word for all.
    All(String),
}

/// Which of a variable's values are chosen where it allows several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    All,
    EachTicked,
}

/// Variables by name.
pub type Variables = BTreeMap<String, Chosen>;

/// Asks for the values of a dashboard's variables, one after the other, as later ones rest on earlier ones. Those of
/// Prometheus are left out.
///
/// # Errors
/// One has no values.
pub async fn variables(dashboard: &Value, influx: &Influx, range: &Range, choice: Choice) -> Result<Variables> {
    let mut variables = Variables::new();
    for variable in list(&dashboard["templating"]["list"]) {
        let name = variable["name"].as_str().context("a variable without a name")?.to_owned();
        let chosen = match (variable["type"].as_str(), variable["query"]["query"].as_str()) {
            (Some("custom"), _) => Chosen::One(text(&variable["current"]["value"])?),
            (Some("query"), Some(query)) if variable["datasource"]["type"] == "influxdb" => {
                let rows = influx.query_rows(&flux(query, &variables, influx.bucket(), range)?).await?;
                let values = rows.iter().map(|row| column(row, "_value").map(str::to_owned));
                let mut values = values.collect::<Result<Vec<_>>>()?;
                values.sort();
                ensure!(!values.is_empty(), "{}: variable {name} has no values", dashboard["title"]);
                match (variable["multi"] == true, choice) {
                    (true, Choice::All) => Chosen::All(text(&variable["allValue"])?),
                    (true, Choice::EachTicked) => Chosen::Several(values),
                    (false, _) => Chosen::One(values.remove(0)),
                }
            }
            (Some("query" | "datasource"), _) => continue,
            (kind, _) => bail!("{}: a variable of kind {kind:?}", dashboard["title"]),
        };
        variables.insert(name, chosen);
    }
    Ok(variables)
}

/// Panels' and annotations' queries in Flux, with where they are.
pub fn flux_queries(dashboard: &Value) -> Vec<(String, &str)> {
    let panels = list(&dashboard["panels"]).iter().flat_map(|panel| {
        let queries = list(&panel["targets"]).iter().filter_map(|target| target["query"].as_str());
        queries.map(move |query| (format!("panel {} {}", panel["id"], panel["title"]), query))
    });
    let annotations = list(&dashboard["annotations"]["list"]).iter();
    let annotations =
        annotations.filter_map(|a| Some((format!("annotation {}", a["name"]), a["target"]["query"].as_str()?)));
    panels.chain(annotations).collect()
}

/// The panels' queries in PromQL.
pub fn promql_queries(dashboard: &Value) -> Vec<&str> {
    let panels = list(&dashboard["panels"]).iter();
    panels.flat_map(|panel| list(&panel["targets"])).filter_map(|target| target["expr"].as_str()).collect()
}

/// Values of the variables that have a fixed list.
pub fn custom_options(dashboard: &Value) -> Vec<(String, String)> {
    let variables = list(&dashboard["templating"]["list"]).iter().filter(|v| v["type"] == "custom");
    let options = variables.flat_map(|v| list(&v["options"]).iter().map(move |o| (&v["name"], &o["value"])));
    options.filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value.as_str()?.to_owned()))).collect()
}

/// Names of the product's metrics in PromQL.
pub fn metric_names(promql: &str) -> Vec<&str> {
    let words = promql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("gateway_") || word.starts_with("cloud_sink_")).collect()
}

/// As it goes to InfluxDB.
///
/// # Errors
/// A variable that is not known.
pub fn flux(query: &str, variables: &Variables, bucket: &str, range: &Range) -> Result<String> {
    let mut out = String::new();
    let mut rest = query;
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, after) = after.split_once('}').with_context(|| format!("no end of a variable in {query}"))?;
        let (name, format) = variable.split_once(':').unwrap_or((variable, ""));
        let chosen = variables.get(name).with_context(|| format!("variable {name} is not known in {query}"))?;
        out.push_str(before);
        match (chosen, format) {
            // Grafana takes its word for all as it is.
            (Chosen::All(word), _) => out.push_str(word),
            (Chosen::One(value), "") => out.push_str(value),
            (Chosen::One(value), "regex") => out.push_str(&regex_escaped(value)),
            (Chosen::Several(values), "regex") => {
                let values: Vec<String> = values.iter().map(|value| regex_escaped(value)).collect();
                out.push_str(&format!("({})", values.join("|")));
            }
            (Chosen::One(_) | Chosen::Several(_), _) => bail!("variable {variable} has no form that Flux can read"),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out
        .replace("v.timeRangeStart", &range.start)
        .replace("v.timeRangeStop", &range.stop)
        .replace("v.windowPeriod", WINDOW_PERIOD)
        .replace("v.defaultBucket", &format!("\"{bucket}\"")))
}

fn regex_escaped(value: &str) -> String {
    let special = |c: char| r"\^$.*+?()[]{}|/".contains(c);
    value.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().with_context(|| format!("{value} is no text"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_written_as_grafana_writes_them() {
        let range = Range { start: "2026-01-01T00:00:00Z".into(), stop: "2026-01-02T00:00:00Z".into() };
        let variables = Variables::from([
            ("one".to_owned(), Chosen::One("a.b".into())),
            ("two".to_owned(), Chosen::Several(vec!["a.b".into(), "c/d".into()])),
            ("all".to_owned(), Chosen::All(".*".into())),
        ]);
        let written = |query| flux(query, &variables, "s", &range).unwrap();
        assert_eq!(written("${one} /^${one:regex}$/"), r"a.b /^a\.b$/");
        assert_eq!(written("/^${two:regex}$/ /^${all:regex}$/"), r"/^(a\.b|c\/d)$/ /^.*$/");
        assert_eq!(written("from(bucket: v.defaultBucket)"), "from(bucket: \"s\")");
        assert!(flux("${none}", &variables, "s", &range).is_err());
        assert!(flux("${two}", &variables, "s", &range).is_err());
    }

    #[test]
    fn metric_names_are_found_in_expressions() {
        let promql = r#"sum by (le) (rate(cloud_sink_write_seconds_bucket{x="y"}[5m])) > gateway_queue_held_up"#;
        assert_eq!(metric_names(promql), ["cloud_sink_write_seconds_bucket", "gateway_queue_held_up"]);
    }
}
