//! `[grafana]`: a Grafana that runs, for `cloud-sink setup`.

use std::path::PathBuf;

use serde::Deserialize;

use super::Fault;
use super::secret::{Secret, read_secret};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrafanaFile {
    url: String,
    #[serde(default = "default_folder")]
    folder: String,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
}

fn default_folder() -> String {
    "Sensors".into()
}

/// A Grafana whose dashboards are kept as this version of cloud-sink has them.
#[derive(Clone, Debug)]
pub struct Grafana {
    /// Without a slash at its end.
    pub url: String,
    /// Title of the folder that the dashboards go to.
    pub folder: String,
    token: Secret,
}

impl Grafana {
    pub fn token(&self) -> &str {
        self.token.expose()
    }
}

impl GrafanaFile {
    pub(super) fn resolve(self) -> Result<Grafana, Fault> {
        let Self { url, folder, token_file, token_env } = self;
        let parsed = reqwest::Url::parse(&url).map_err(|e| Fault::new("grafana.url", format!("{url}: {e}")))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host().is_none() {
            return Err(Fault::new("grafana.url", format!("{url}: wanted http://host:port or https://host:port")));
        }
        if folder.is_empty() {
            return Err(Fault::new("grafana.folder", "must not be empty"));
        }
        let token = read_secret("grafana.token", token_file, token_env)?
            .ok_or_else(|| Fault::new("grafana", "wanted one of token_file and token_env"))?;
        Ok(Grafana { url: url.trim_end_matches('/').to_owned(), folder, token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_grafana_never_shows_in_debug_output() {
        let file: GrafanaFile = toml::from_str("url = \"http://h:3000/\"\ntoken_env = \"PATH\"").unwrap();
        let grafana = file.resolve().unwrap();
        let shown = format!("{grafana:?}");
        assert!(shown.contains("***") && !shown.contains(grafana.token()), "{shown}");
        assert_eq!(grafana.url, "http://h:3000");
    }
}
