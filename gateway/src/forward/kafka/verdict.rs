//! What a failure means for the batch. librdkafka has some 160 codes, nearly all of them passing.

use std::time::Duration;

use firmware_protocol::envelope::Topics;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::reports::LastError;
use crate::forward::SinkError;

/// The beginning of librdkafka's words for a certificate that does not hold.
const NOT_VERIFIED: &str = "certificate verify failed";

/// A message was refused.
pub(super) fn verdict(error: &KafkaError, topics: &Topics) -> SinkError {
    let reason = error.to_string();
    match error.rdkafka_error_code() {
        // Too large for the client, the broker or the topic: halves may pass.
        Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidRecord | Code::InvalidTimestamp) => {
            SinkError::Reject { reason }
        }
        Some(code) => match to_do(code, topics) {
            Some(to_do) => SinkError::Misconfigured { reason: format!("{reason}: {to_do}") },
            None => retry(reason),
        },
        None => retry(reason),
    }
}

/// Not all messages were answered for in time; `last_error`: the connection's.
pub(super) fn unanswered(timeout: Duration, last_error: Option<LastError>) -> SinkError {
    let waited = format!("no confirmation within {timeout:?}");
    let Some(LastError { code, text }) = last_error else { return retry(waited) };
    match code {
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => {
            SinkError::Misconfigured { reason: format!("{text}: correct `sasl`, `username` or the password") }
        }
        Some(Code::SSL) if text.contains(NOT_VERIFIED) => {
            SinkError::Misconfigured { reason: format!("{text}: correct `tls_ca_file`, or `bootstrap`") }
        }
        Some(_) | None => retry(format!("{waited}, last error: {text}")),
    }
}

/// What a person has to do, if only a person can help.
#[allow(clippy::wildcard_enum_match_arm, reason = "the library has some 160 codes, nearly all of them passing")]
fn to_do(code: Code, topics: &Topics) -> Option<String> {
    Some(match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::InvalidTopic => {
            let Topics { raw, windows, anomalies, gaps, .. } = topics;
            format!(
                "create the topics {raw}, {windows}, {anomalies} and {gaps}, or correct `topic_prefix` and `topic_names`"
            )
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            "let the user write to the topics, and write idempotently".to_owned()
        }
        Code::SaslAuthenticationFailed | Code::Authentication => {
            "correct `sasl`, `username` or the password".to_owned()
        }
        Code::PolicyViolation => "ask for the cluster's policy".to_owned(),
        Code::UnsupportedCompressionType => "choose another `compression`".to_owned(),
        _ => return None,
    })
}

pub(super) fn retry(reason: String) -> SinkError {
    SinkError::Retry { reason, after: None }
}
