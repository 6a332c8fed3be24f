//! What an `[[alert]]` table says, proven.

use std::path::PathBuf;
use std::time::Duration;

use firmware_protocol::derived::{Incident, Severity};

use super::quiet::Quiet;
use super::template::Template;
use crate::pattern;
use crate::publisher::Broker;
use crate::secret::Secret;

/// One `[[alert]]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Of what it has told, in logs and metrics.
    pub name: String,
    pub rules: Rules,
    /// Where a person can look at it; left out of messages if empty.
    pub page_url: String,
    /// One attempt may take this long.
    pub timeout: Duration,
    pub target: Target,
}

/// Who sends: in every message, so that one room can have the alerts of many gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    pub gateway: String,
    /// Left out if empty.
    pub site: String,
}

/// Which incidents a channel is told of, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    pub min_severity: Severity,
    /// Patterns: `*` is any text.
    pub devices: Vec<String>,
    /// An incident that is withdrawn within this time is not told of.
    pub after: Duration,
    /// Most messages within any hour.
    pub rate_max: u32,
    pub quiet: Quiet,
    /// Longest pause between two attempts (full jitter).
    pub retry_max: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            min_severity: Severity::Low,
            devices: vec!["*".to_owned()],
            after: Duration::ZERO,
            rate_max: 20,
            quiet: Quiet::default(),
            retry_max: Duration::from_secs(300),
        }
    }
}

impl Rules {
    /// Whether the incident is one for this channel, as severe as it is now.
    pub(super) fn take(&self, severity: Severity, device: &str) -> bool {
        severity >= self.min_severity && self.devices.iter().any(|pattern| pattern::matches(pattern, device))
    }

    /// Whether the channel could ever be told of it: its severity may still rise.
    pub(super) fn may_take(&self, incident: &Incident) -> bool {
        self.take(Severity::Critical, &incident.device)
    }
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A Slack-compatible incoming webhook: `{"text": …}`.
    Slack(Http),
    /// Any HTTP endpoint that takes JSON.
    Webhook {
        http: Http,
        template: Option<Template>,
        /// Whether the body has the plot.
        svg: bool,
    },
    Smtp(Mail),
    Mqtt(Mqtt),
}

impl Target {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Slack(_) => "slack",
            Self::Webhook { .. } => "webhook",
            Self::Smtp(_) => "smtp",
            Self::Mqtt(_) => "mqtt",
        }
    }

    /// Whether its messages can carry a plot.
    pub(super) fn shows_plots(&self) -> bool {
        match self {
            Self::Webhook { svg, .. } => *svg,
            Self::Smtp(_) => true,
            Self::Slack(_) | Self::Mqtt(_) => false,
        }
    }
}

/// Names and values; none is a secret.
pub type Headers = Vec<(String, String)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Its path often is the secret.
    pub url: Secret,
    /// Sent as `Authorization: Bearer …`.
    pub token: Option<Secret>,
    pub headers: Headers,
    /// Trusted besides the CAs that the program brings.
    pub ca_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// TLS from the first byte on (port 465).
    Implicit,
    /// TLS is asked for, and without it nothing is sent (port 587).
    Starttls,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    /// Trusted besides the CAs of this machine.
    pub ca_file: Option<PathBuf>,
    pub login: Option<(String, Secret)>,
    /// An address, or `Name <address>`, that was proven.
    pub from: String,
    pub to: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Mqtt {
    pub broker: Broker,
    pub topic: String,
    pub template: Option<Template>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_takes_what_is_severe_enough_and_of_its_devices() {
        let rules = Rules { min_severity: Severity::High, devices: vec!["pump-*".into()], ..Rules::default() };
        assert!(rules.take(Severity::Critical, "pump-1") && rules.take(Severity::High, "pump-1"));
        assert!(!rules.take(Severity::Medium, "pump-1") && !rules.take(Severity::High, "fan-1"));
    }
}
