//! The ways out of alerts: each sends one message and says what became of it.
//!
//! # Invariants
//! - Each attempt ends within the channel's timeout.
//! - `NotSent` is said only if nothing can have arrived; in doubt it is `Unknown`.
//! - No outcome shows a secret: addresses of webhooks are left out of all texts.

mod http;
mod mqtt;
mod smtp;

use std::fmt;
use std::time::Duration;

use super::message::Message;
use super::settings::{Config, Target};
use crate::text::cut;

/// An answer is quoted up to here, bytes.
const QUOTE_MAX_BYTES: usize = 300;

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Sent(Said),
    /// It has certainly not arrived; later it may. `after`: the other side asks for at least this pause.
    NotSent {
        reason: String,
        after: Option<Duration>,
    },
    /// It may have arrived: the connection ended, or nothing was said in time.
    Unknown {
        reason: String,
    },
    /// The other side does not take this message; others it may.
    Refused {
        reason: String,
    },
    /// It takes none, until somebody mends a setting here or there.
    Misconfigured {
        reason: String,
    },
}

impl Outcome {
    fn not_sent(reason: impl fmt::Display) -> Self {
        Self::NotSent { reason: reason.to_string(), after: None }
    }

    fn unknown(reason: impl fmt::Display) -> Self {
        Self::Unknown { reason: reason.to_string() }
    }
}

/// What the other side said when it took the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said(pub String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug)]
pub(super) enum Channel {
    Http(Box<http::HttpChannel>),
    Smtp(smtp::SmtpChannel),
    Mqtt(mqtt::MqttChannel),
}

impl Channel {
    pub(super) fn new(config: &Config) -> Self {
        let timeout = config.timeout;
        match &config.target {
            Target::Slack(http) => Self::Http(Box::new(http::HttpChannel::new(http, http::Body::Slack, timeout))),
            Target::Webhook { http, template, .. } => {
                Self::Http(Box::new(http::HttpChannel::new(http, http::Body::Json(template.clone()), timeout)))
            }
            Target::Smtp(mail) => Self::Smtp(smtp::SmtpChannel::new(mail, timeout)),
            Target::Mqtt(mqtt) => Self::Mqtt(mqtt::MqttChannel::new(mqtt, timeout)),
        }
    }

    pub(super) async fn send(&self, message: &Message) -> Outcome {
        match self {
            Self::Http(channel) => channel.send(message).await,
            Self::Smtp(channel) => channel.send(message).await,
            Self::Mqtt(channel) => channel.send(message).await,
        }
    }
}

/// An answer for logs: one line, cut.
fn quote(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&line, QUOTE_MAX_BYTES).replace(char::is_control, "")
}
