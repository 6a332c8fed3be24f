//! `[[kafka]]`.

use std::collections::BTreeMap;

use firmware_protocol::envelope::Topics;

use super::sinks::{delivery, unique_name};
use super::{Named, not_empty, servers};
use crate::config::reader::Section;
use crate::config::secrets::{self, Keys};
use crate::config::urls;
use crate::config::values::Wrong;
use crate::forward::{Compression, DeliveryConfig, HAS_TLS, KafkaConfig, KafkaLogin, KafkaSecurity, SaslMechanism};

/// Kafka's own limit for a topic is 249; the longest ending is `.dead-letters`.
const TOPIC_PREFIX_MAX: usize = 200;
const TOPIC_MAX: usize = 249;
/// What `topic_names` can name.
const KINDS: [&str; 4] = ["raw", "windows", "anomalies", "gaps"];
const LEAN_HINT: &str = "use a gateway that was built with the feature `kafka-tls`, as it is by default";

pub(super) fn read(s: &mut Section<'_, '_>, names: &mut Vec<String>, named: &mut Named) -> KafkaConfig {
    let name = unique_name(s, "kafka", names);
    let compressions = [
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
        ("snappy", Compression::Snappy),
        ("gzip", Compression::Gzip),
        ("none", Compression::None),
    ];
    KafkaConfig {
        bootstrap: s.checked("bootstrap", "127.0.0.1:9092".to_owned(), |servers| urls::bootstrap(servers)),
        topics: topics(s),
        compression: s.choice("compression", Compression::Lz4, &compressions),
        security: security(s, &name, named),
        delivery: delivery(s, &DeliveryConfig::default()),
        name,
    }
}

/// `topic_prefix`, and `topic_names` for those that are called otherwise.
fn topics(s: &mut Section<'_, '_>) -> Topics {
    let prefix = s.checked("topic_prefix", "sensors".to_owned(), |prefix: &String| topic(prefix, TOPIC_PREFIX_MAX));
    let mut named = s.checked("topic_names", BTreeMap::new(), |topics: &BTreeMap<String, String>| {
        topics.iter().try_for_each(|(kind, name)| {
            if !KINDS.contains(&kind.as_str()) {
                let message = format!("holds {kind:?}, which is no kind of record");
                return Err(Wrong::new(message, format!("the kinds are {}", KINDS.join(", "))));
            }
            topic(name, TOPIC_MAX)
        })
    });
    let default = Topics::new(&prefix);
    let mut of = |kind: &str, default: String| named.remove(kind).unwrap_or(default);
    Topics {
        raw: of("raw", default.raw),
        windows: of("windows", default.windows),
        anomalies: of("anomalies", default.anomalies),
        gaps: of("gaps", default.gaps),
        dead_letters: default.dead_letters,
    }
}

fn security(s: &mut Section<'_, '_>, sink: &str, named: &mut Named) -> KafkaSecurity {
    let is_tls = s.value("tls", false);
    let files = servers::tls(s, sink, is_tls.then_some("tls"), named);
    if is_tls && !HAS_TLS {
        s.fault(Some("tls"), "this gateway was built without TLS for Kafka", LEAN_HINT);
    }
    KafkaSecurity { tls: is_tls.then_some(files), login: login(s) }
}

fn login(s: &mut Section<'_, '_>) -> Option<KafkaLogin> {
    let mechanisms = [
        ("none", None),
        ("plain", Some(SaslMechanism::Plain)),
        ("scram-sha-256", Some(SaslMechanism::ScramSha256)),
        ("scram-sha-512", Some(SaslMechanism::ScramSha512)),
    ];
    let mechanism = s.choice("sasl", None, &mechanisms);
    let username =
        s.checked("username", String::new(), |name: &String| if name.is_empty() { Ok(()) } else { not_empty(name) });
    let password = secrets::read_source(s, &Keys { file: "password_file", variable: "password_env" });
    if !HAS_TLS && matches!(mechanism, Some(SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512)) {
        s.fault(Some("sasl"), "this gateway was built without SCRAM", LEAN_HINT);
    }
    let has_password_key = s.has("password_file") || s.has("password_env");
    match (mechanism, username.is_empty(), password) {
        (None, true, None) => None,
        (Some(mechanism), false, Some(password)) => Some(KafkaLogin { mechanism, username, password }),
        (None, _, _) => {
            let hint = "set `sasl` to \"scram-sha-512\", \"scram-sha-256\" or \"plain\", as the brokers want it";
            s.fault(None, "[[kafka]] has a login, but `sasl` is \"none\"", hint);
            None
        }
        // What is wrong with the password's place was told.
        (Some(_), false, None) if has_password_key => None,
        (Some(_), _, _) => {
            let hint = "set `username`, and `password_file` or `password_env`";
            s.fault(Some("sasl"), "`sasl` without a whole login", hint);
            None
        }
    }
}

fn topic(name: &str, max: usize) -> Result<(), Wrong> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > max || !name.chars().all(allowed) || matches!(name, "." | "..") {
        let hint = format!("1 to {max} of a-z, A-Z, 0-9, . _ and -");
        return Err(Wrong::new(format!("is {name:?}, which Kafka does not allow in a topic"), hint));
    }
    Ok(())
}
