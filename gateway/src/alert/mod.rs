//! Alerts: each incident becomes one message when it opens and one when it is over, in every channel that wants it.
//!
//! # Invariants
//! - A message is durable as *going out* before it goes, and as *told* once the other side has taken it. So it is sent once,
//!   and a second time only if the gateway or the link died between: then it carries the same id, and says so.
//! - What was told of an incident is known across crashes, for the [`outbox::KEPT_MAX`] incidents last heard of and for all
//!   that are open.
//! - What came in quiet hours or beyond the rate is not lost: it goes out as one summary.
//! - A channel that is away holds up no other channel, nor anything else of the gateway.
//!
//! # Flow
//! ```text
//! queue: derived log ─▶ task ─incident─▶ outbox (pure): what is due ─▶ message ─▶ channel ─▶ Slack, webhook, mail, MQTT
//!                         │ ─window, anomaly─▶ history ─▶ plot ──────────┘            │
//!                         ◀─ cursor and state in one transaction ◀── outcome ◀────────┘
//! ```
//!
//! # Not here
//! What an incident is: `detect::incident` says that. Windows, anomalies and gaps make no messages.

mod channel;
mod history;
mod message;
mod outbox;
mod plot;
mod quiet;
mod rate;
mod settings;
mod task;
mod template;

#[cfg(test)]
mod testing;

pub use channel::Said;
pub use quiet::{Quiet, Span};
pub use settings::{Config, Headers, Http, Mail, MailTls, Mqtt, Rules, Sender, Target};
pub use task::{Error, Task, run};
pub use template::{Template, TemplateFault};

use channel::{Channel, Outcome};
use message::Message;

/// Name of the consumer in the queue, and of its state.
pub const CONSUMER: &str = "alerts";

/// Sends a test message to one channel, as `gateway alert test` does.
///
/// # Errors
/// What the other side said, or why it could not be asked.
pub async fn test(config: &Config, sender: &Sender) -> Result<Said, String> {
    match Channel::new(config).send(&Message::test(config, sender)).await {
        Outcome::Sent(said) => Ok(said),
        Outcome::NotSent { reason, .. }
        | Outcome::Unknown { reason }
        | Outcome::Refused { reason }
        | Outcome::Misconfigured { reason } => Err(reason),
    }
}
