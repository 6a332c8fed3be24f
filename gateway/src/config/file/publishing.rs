//! Keys of those who publish to a broker: where it is, and as whom.

use super::{Named, not_empty, security};
use crate::config::reader::Section;
use crate::config::secrets::{self, Keys};
use crate::config::urls;
use crate::config::values::Wrong;
use crate::publisher::Broker;
use crate::secret::Secret;

/// Of MQTT.
const TOPIC_MAX_BYTES: usize = 65_535;

/// `name`: of what publishes, for what is said of its files; `client_id`: if the file names none.
pub(super) fn broker(s: &mut Section<'_, '_>, name: &str, default_client_id: String, named: &mut Named) -> Broker {
    let url = s.checked("url", "mqtt://127.0.0.1:1883".to_owned(), |url: &String| urls::mqtt(url).map(drop));
    let default = || urls::Broker { host: "127.0.0.1".to_owned(), port: 1_883, is_tls: false };
    let urls::Broker { host, port, is_tls } = urls::mqtt(&url).unwrap_or_else(|_| default());
    let tls = security::client(s, is_tls.then_some(name), named);
    let mut client_id = s.value("client_id", String::new());
    if client_id.is_empty() {
        client_id = default_client_id;
        s.stands_for("client_id", &client_id);
    }
    let username = s.value("username", String::new());
    let password = secrets::read(s, &Keys { file: "password_file", variable: "password_env" });
    if password.is_some() && username.is_empty() {
        s.fault(None, "a password without a username is not allowed in MQTT 3.1.1", "set `username` too");
    }
    let login = Some((username, password)).filter(|(username, _): &(String, Option<Secret>)| !username.is_empty());
    Broker { host, port, tls, client_id, login }
}

pub(super) fn topic(topic: &str) -> Result<(), Wrong> {
    not_empty(topic)?;
    if topic.contains(['+', '#']) || topic.len() > TOPIC_MAX_BYTES {
        return Err(Wrong::new("is no topic that can be published to", "write a topic without + and #"));
    }
    Ok(())
}
