//! `[[mqtt]]` and `[listen]`: the ways in.

use std::time::Duration;

use super::{DAY, HOUR, MINUTE, Named, SECOND, name, security};
use crate::config::faults::Place;
use crate::config::reader::{Reader, Section};
use crate::config::secrets::{self, Keys};
use crate::config::urls::Broker;
use crate::config::values::{Size, Wrong};
use crate::config::{filters, urls};
use crate::ingest::{ListenConfig, MqttConfig, MqttVersion};

/// Each broker has a task and a session of its own.
const BROKERS_MAX: usize = 16;
/// Topic filters of one broker: one SUBSCRIBE packet holds them.
const FILTERS_MAX: usize = 128;
/// Each connection may hold a packet in memory.
const CONNECTIONS_MAX: u64 = 20_000;
/// A session takes some hundred bytes in memory and on disk.
const SESSIONS_MAX: u64 = 100_000;
/// The queue takes payloads up to 1 MiB and topics up to 64 KiB; more than both together is never of use.
const PACKET_MAX: Size = Size(2 << 20);
const PACKET_MIN: Size = Size(1 << 10);
/// MQTT counts the keep-alive in seconds, in 16 bits.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(18 * 3_600);

pub(super) fn mqtt(reader: &mut Reader<'_>, gateway: &str, named: &mut Named) -> Vec<MqttConfig> {
    let mut seen: Vec<MqttConfig> = Vec::new();
    reader.tables("mqtt", BROKERS_MAX, |s| {
        let config = broker(s, gateway, named);
        if seen.iter().any(|other| other.name == config.name) {
            s.fault(
                Some("name"),
                format!("two brokers have the name \"{}\"", config.name),
                "give each [[mqtt]] its own `name`",
            );
        }
        let session = |c: &MqttConfig| (c.host.clone(), c.port, c.client_id.clone());
        if seen.iter().any(|other| session(other) == session(&config)) {
            let message = format!("two connections to one broker have the client id \"{}\"", config.client_id);
            s.fault(
                Some("client_id"),
                message,
                "give each its own: the broker would end one whenever the other begins",
            );
        }
        seen.push(config.clone());
        config
    })
}

fn broker(s: &mut Section<'_, '_>, gateway: &str, named: &mut Named) -> MqttConfig {
    let default = MqttConfig::default();
    let name = name(s, &default.name);
    let url = format!("mqtt://{}:{}", default.host, default.port);
    let url = s.checked("url", url, |url: &String| urls::mqtt(url).map(drop));
    let broker = urls::mqtt(&url).unwrap_or(Broker { host: default.host, port: default.port, is_tls: false });
    let tls = security::client(s, broker.is_tls.then_some(name.as_str()), named);
    let version = s.choice("version", default.version, &[("3.1.1", MqttVersion::V311), ("5", MqttVersion::V5)]);
    let mut client_id = s.value("client_id", String::new());
    if client_id.is_empty() {
        client_id = format!("{gateway}-{name}");
        s.stands_for("client_id", &client_id);
    }
    let username = Some(s.value("username", String::new())).filter(|username| !username.is_empty());
    let password = secrets::read(s, &Keys { file: "password_file", variable: "password_env" });
    if password.is_some() && username.is_none() && version == MqttVersion::V311 {
        s.fault(None, "a password without a username is not allowed in MQTT 3.1.1", "set `username` too");
    }
    MqttConfig {
        username,
        password,
        subscribe: s.checked("subscribe", default.subscribe, |filters| filters_check(filters)),
        qos: s.within("qos", u64::from(default.qos), 0..=2) as u8,
        status_topic: if s.value("status", true) { status_topic(gateway) } else { String::new() },
        no_data_after: s.within("no_data_after", default.no_data_after, Duration::ZERO..=30 * DAY),
        keep_alive: whole_seconds(s, "keep_alive", default.keep_alive, 5 * SECOND, KEEP_ALIVE_MAX),
        packet_max_bytes: packet_max(s, default.packet_max_bytes),
        session_expiry: whole_seconds(s, "session_expiry", default.session_expiry, MINUTE, 365 * DAY),
        reconnect_max: s.within("reconnect_max", default.reconnect_max, SECOND..=HOUR),
        name,
        host: broker.host,
        port: broker.port,
        tls,
        version,
        client_id,
    }
}

pub(super) fn listen(reader: &mut Reader<'_>, named: &mut Named) -> (Option<ListenConfig>, Place) {
    let Some(mut s) = reader.optional_table("listen") else { return (None, Place::File) };
    let default = ListenConfig::default();
    let bind = s.value("bind", default.bind);
    let (tls, access) = security::listen(&mut s, bind, named);
    let config = ListenConfig {
        bind,
        tls,
        access,
        connections_max: s.within("connections_max", default.connections_max as u64, 1..=CONNECTIONS_MAX) as usize,
        packet_max_bytes: packet_max(&mut s, default.packet_max_bytes),
        connect_timeout: s.within("connect_timeout", default.connect_timeout, SECOND..=5 * MINUTE),
        receive_max: s.within("receive_max", u64::from(default.receive_max), 1..=u64::from(u16::MAX)) as u16,
        session_expiry_max: whole_seconds(
            &mut s,
            "session_expiry_max",
            default.session_expiry_max,
            Duration::ZERO,
            365 * DAY,
        ),
        sessions_max: s.within("sessions_max", default.sessions_max as u64, 0..=SESSIONS_MAX) as usize,
        messages_per_second_max: s.within("messages_per_second_max", 0, 0..=u64::from(u32::MAX)) as u32,
        bytes_per_second_max: s.within("bytes_per_second_max", Size(0), Size(0)..=Size(1 << 40)).0,
    };
    let place = s.place("bind");
    s.finish();
    (Some(config), place)
}

/// As the status of a gateway is told everywhere.
fn status_topic(gateway: &str) -> String {
    crate::ingest::Results::new(gateway).status_topic()
}

fn packet_max(s: &mut Section<'_, '_>, default: usize) -> usize {
    s.within("packet_max", Size(default as u64), PACKET_MIN..=PACKET_MAX).0 as usize
}

/// A duration that MQTT counts in seconds.
fn whole_seconds(
    s: &mut Section<'_, '_>,
    key: &'static str,
    default: Duration,
    least: Duration,
    most: Duration,
) -> Duration {
    let value = s.within(key, default, least..=most);
    if value.subsec_nanos() != 0 {
        s.fault(Some(key), format!("`{key}` has a part of a second, which MQTT cannot say"), "write whole seconds");
    }
    value
}

fn filters_check(filters: &[String]) -> Result<(), Wrong> {
    if filters.is_empty() || filters.len() > FILTERS_MAX {
        let message = format!("holds {} topic filters, outside 1 to {FILTERS_MAX}", filters.len());
        return Err(Wrong::new(message, "name what to subscribe to, such as [\"sensors/#\"]"));
    }
    filters.iter().try_for_each(|filter| filters::check(filter))
}
