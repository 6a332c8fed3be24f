//! The packets that go through rumqttc's codec: all but the frequent ones.

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::{self as v4_base, v4};
use rumqttc::v5::mqttbytes::{self as v5_base, v5};

use super::{ConnAck, Connect, Error, Packet, Will};
use crate::ingest::{MqttConfig, MqttVersion};
use crate::publisher;
use crate::secret::Secret;

/// Reads one whole frame.
pub(super) fn read(version: MqttVersion, packet: &[u8], name: &'static str) -> Result<Packet, Error> {
    let mut stream = BytesMut::from(packet);
    match version {
        MqttVersion::V311 => match v4::Packet::read(&mut stream, packet.len()) {
            Ok(read) => Ok(from_v4(read)),
            Err(e) => Err(Error::Codec { packet: name, reason: e.to_string() }),
        },
        MqttVersion::V5 => match v5::Packet::read(&mut stream, None) {
            Ok(read) => Ok(from_v5(read)),
            Err(e) => Err(Error::Codec { packet: name, reason: e.to_string() }),
        },
    }
}

fn from_v4(packet: v4::Packet) -> Packet {
    match packet {
        v4::Packet::Connect(c) => {
            let (username, password) =
                c.login.map_or((None, None), |login| credentials(login.username, login.password));
            Packet::Connect(Box::new(Connect {
                version: MqttVersion::V311,
                client_id: c.client_id,
                clean: c.clean_session,
                keep_alive: c.keep_alive,
                username,
                password,
                will: c.last_will.map(|will| Will {
                    topic: will.topic.into(),
                    payload: will.message,
                    content_type: Bytes::new(),
                    qos: will.qos as u8,
                    retained: will.retain,
                    delay_s: 0,
                }),
                session_expiry_s: None,
                packet_max_bytes: None,
            }))
        }
        v4::Packet::ConnAck(c) => Packet::ConnAck(ConnAck {
            session_present: c.session_present,
            refused: (c.code != v4::ConnectReturnCode::Success).then(|| format!("{:?}", c.code)),
            server_keep_alive: None,
        }),
        v4::Packet::SubAck(s) => Packet::SubAck(
            s.return_codes
                .iter()
                .map(|code| match code {
                    v4::SubscribeReasonCode::Success(qos) => *qos as u8,
                    v4::SubscribeReasonCode::Failure => 0x80,
                })
                .collect(),
        ),
        v4::Packet::Subscribe(s) => {
            Packet::Subscribe { packet_id: s.pkid, filters: s.filters.into_iter().map(|f| f.path).collect() }
        }
        v4::Packet::Unsubscribe(u) => Packet::Unsubscribe { packet_id: u.pkid, filters: u.topics },
        v4::Packet::PingReq => Packet::PingReq,
        v4::Packet::PingResp => Packet::PingResp,
        v4::Packet::Disconnect => Packet::Disconnect { reason: 0, session_expiry_s: None },
        v4::Packet::Publish(_) => Packet::Foreign("PUBLISH"),
        v4::Packet::PubAck(_) => Packet::Foreign("PUBACK"),
        v4::Packet::PubRec(_) => Packet::Foreign("PUBREC"),
        v4::Packet::PubRel(_) => Packet::Foreign("PUBREL"),
        v4::Packet::PubComp(_) => Packet::Foreign("PUBCOMP"),
        v4::Packet::UnsubAck(_) => Packet::Foreign("UNSUBACK"),
    }
}

fn from_v5(packet: v5::Packet) -> Packet {
    match packet {
        v5::Packet::Connect(c, will, login) => {
            let (username, password) = login.map_or((None, None), |login| credentials(login.username, login.password));
            Packet::Connect(Box::new(Connect {
                version: MqttVersion::V5,
                client_id: c.client_id,
                clean: c.clean_start,
                keep_alive: c.keep_alive,
                username,
                password,
                will: will.map(|will| {
                    let (delay_s, content_type) =
                        will.properties.map_or((None, None), |p| (p.delay_interval, p.content_type));
                    Will {
                        topic: will.topic,
                        payload: will.message,
                        content_type: content_type.unwrap_or_default().into(),
                        qos: will.qos as u8,
                        retained: will.retain,
                        delay_s: delay_s.unwrap_or_default(),
                    }
                }),
                session_expiry_s: c.properties.as_ref().and_then(|p| p.session_expiry_interval),
                packet_max_bytes: c.properties.as_ref().and_then(|p| p.max_packet_size),
            }))
        }
        v5::Packet::ConnAck(c) => {
            let reason = c.properties.as_ref().and_then(|p| p.reason_string.clone());
            Packet::ConnAck(ConnAck {
                session_present: c.session_present,
                refused: (c.code != v5::ConnectReturnCode::Success).then(|| match reason {
                    Some(reason) => format!("{:?}: {reason}", c.code),
                    None => format!("{:?}", c.code),
                }),
                server_keep_alive: c.properties.and_then(|p| p.server_keep_alive),
            })
        }
        v5::Packet::SubAck(s) => Packet::SubAck(
            s.return_codes
                .iter()
                .map(|code| match code {
                    v5::SubscribeReasonCode::Success(qos) => *qos as u8,
                    v5::SubscribeReasonCode::Failure | v5::SubscribeReasonCode::Unspecified => 0x80,
                    v5::SubscribeReasonCode::ImplementationSpecific => 0x83,
                    v5::SubscribeReasonCode::NotAuthorized => 0x87,
                    v5::SubscribeReasonCode::TopicFilterInvalid => 0x8f,
                    v5::SubscribeReasonCode::PkidInUse => 0x91,
                    v5::SubscribeReasonCode::QuotaExceeded => 0x97,
                    v5::SubscribeReasonCode::SharedSubscriptionsNotSupported => 0x9e,
                    v5::SubscribeReasonCode::SubscriptionIdNotSupported => 0xa1,
                    v5::SubscribeReasonCode::WildcardSubscriptionsNotSupported => 0xa2,
                })
                .collect(),
        ),
        v5::Packet::Subscribe(s) => {
            Packet::Subscribe { packet_id: s.pkid, filters: s.filters.into_iter().map(|f| f.path).collect() }
        }
        v5::Packet::Unsubscribe(u) => Packet::Unsubscribe { packet_id: u.pkid, filters: u.filters },
        v5::Packet::PingReq(_) => Packet::PingReq,
        v5::Packet::PingResp(_) => Packet::PingResp,
        v5::Packet::Disconnect(d) => Packet::Disconnect { reason: d.reason_code as u8, session_expiry_s: None },
        v5::Packet::Auth(_) => Packet::Foreign("AUTH"),
        v5::Packet::Publish(_) => Packet::Foreign("PUBLISH"),
        v5::Packet::PubAck(_) => Packet::Foreign("PUBACK"),
        v5::Packet::PubRec(_) => Packet::Foreign("PUBREC"),
        v5::Packet::PubRel(_) => Packet::Foreign("PUBREL"),
        v5::Packet::PubComp(_) => Packet::Foreign("PUBCOMP"),
        v5::Packet::UnsubAck(_) => Packet::Foreign("UNSUBACK"),
    }
}

/// rumqttc gives an empty text for what is not there.
fn credentials(username: String, password: String) -> (Option<String>, Option<Secret>) {
    let given = |text: String| (!text.is_empty()).then_some(text);
    (given(username), given(password).map(Secret::new))
}

/// What a gateway says of itself at a broker: retained, and by last will.
pub(in crate::ingest) struct Status;

impl Status {
    pub(in crate::ingest) const ONLINE: &'static str = publisher::ONLINE;
    pub(in crate::ingest) const OFFLINE: &'static str = publisher::OFFLINE;
}

/// CONNECT of a persistent session.
///
/// # Errors
/// It is longer than MQTT can say.
pub(in crate::ingest) fn connect(config: &MqttConfig, out: &mut BytesMut) -> Result<(), Error> {
    let keep_alive = config.keep_alive.as_secs().min(u64::from(u16::MAX)) as u16;
    let login = config.username.as_deref().map(|name| (name, config.password.as_ref().map_or("", |p| p.expose())));
    let status_topic = Some(config.status_topic.as_str()).filter(|topic| !topic.is_empty());
    match config.version {
        MqttVersion::V311 => {
            let mut packet = v4::Connect::new(config.client_id.as_str());
            packet.clean_session = false;
            packet.keep_alive = keep_alive;
            packet.login = login.map(|(name, password)| v4::Login::new(name, password));
            let qos = v4_base::QoS::AtLeastOnce;
            packet.last_will = status_topic.map(|topic| v4::LastWill::new(topic, Status::OFFLINE, qos, true));
            write_v4(&v4::Packet::Connect(packet), out)
        }
        MqttVersion::V5 => {
            let mut properties = v5::ConnectProperties::new();
            properties.session_expiry_interval = Some(config.session_expiry.as_secs().min(u64::from(u32::MAX)) as u32);
            properties.max_packet_size = Some(config.packet_max_bytes.min(u32::MAX as usize) as u32);
            properties.topic_alias_max = Some(0);
            let packet = v5::Connect {
                keep_alive,
                client_id: config.client_id.clone(),
                clean_start: false,
                properties: Some(properties),
            };
            let login = login.map(|(name, password)| v5::Login::new(name, password));
            let qos = v5_base::QoS::AtLeastOnce;
            let will = status_topic.map(|topic| v5::LastWill::new(topic, Status::OFFLINE, qos, true, None));
            write_v5(&v5::Packet::Connect(packet, will, login), out)
        }
    }
}

/// SUBSCRIBE to all filters in one packet.
///
/// # Errors
/// It is longer than MQTT can say.
pub(in crate::ingest) fn subscribe(config: &MqttConfig, packet_id: u16, out: &mut BytesMut) -> Result<(), Error> {
    match config.version {
        MqttVersion::V311 => {
            let qos = match config.qos {
                0 => v4_base::QoS::AtMostOnce,
                1 => v4_base::QoS::AtLeastOnce,
                _ => v4_base::QoS::ExactlyOnce,
            };
            let filters = config.subscribe.iter().map(|f| v4::SubscribeFilter::new(f.clone(), qos));
            let mut packet = v4::Subscribe::new_many(filters);
            packet.pkid = packet_id;
            write_v4(&v4::Packet::Subscribe(packet), out)
        }
        MqttVersion::V5 => {
            let qos = match config.qos {
                0 => v5_base::QoS::AtMostOnce,
                1 => v5_base::QoS::AtLeastOnce,
                _ => v5_base::QoS::ExactlyOnce,
            };
            let filters = config.subscribe.iter().map(|f| {
                let mut filter = v5::Filter::new(f.clone(), qos);
                // A subscription that the broker still has does not bring its retained messages again.
                filter.retain_forward_rule = v5::RetainForwardRule::OnNewSubscribe;
                filter
            });
            let mut packet = v5::Subscribe::new_many(filters, None);
            packet.pkid = packet_id;
            write_v5(&v5::Packet::Subscribe(packet), out)
        }
    }
}

/// UNSUBSCRIBE from filters that are no longer wanted.
///
/// # Errors
/// It is longer than MQTT can say.
pub(in crate::ingest) fn unsubscribe(
    version: MqttVersion,
    packet_id: u16,
    filters: &[String],
    out: &mut BytesMut,
) -> Result<(), Error> {
    match version {
        MqttVersion::V311 => {
            let packet = v4::Unsubscribe { pkid: packet_id, topics: filters.to_vec() };
            write_v4(&v4::Packet::Unsubscribe(packet), out)
        }
        MqttVersion::V5 => {
            let packet = v5::Unsubscribe { pkid: packet_id, filters: filters.to_vec(), properties: None };
            write_v5(&v5::Packet::Unsubscribe(packet), out)
        }
    }
}

/// What CONNACK of `listen` tells; all but `session_present` is for v5 alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::ingest) struct Accepted {
    pub(in crate::ingest) session_present: bool,
    /// If it is another than the client asked for, seconds.
    pub(in crate::ingest) session_expiry_s: Option<u32>,
    /// For a client without an id of its own.
    pub(in crate::ingest) assigned_id: Option<String>,
    pub(in crate::ingest) packet_max_bytes: usize,
    pub(in crate::ingest) receive_max: u16,
    pub(in crate::ingest) topic_alias_max: u16,
}

/// # Errors
/// It is longer than MQTT can say.
pub(in crate::ingest) fn conn_ack_accepted(
    version: MqttVersion,
    accepted: Accepted,
    out: &mut BytesMut,
) -> Result<(), Error> {
    let session_present = accepted.session_present;
    match version {
        MqttVersion::V311 => {
            write_v4(&v4::Packet::ConnAck(v4::ConnAck::new(v4::ConnectReturnCode::Success, session_present)), out)
        }
        MqttVersion::V5 => {
            let properties = v5::ConnAckProperties {
                session_expiry_interval: accepted.session_expiry_s,
                receive_max: Some(accepted.receive_max),
                // Left out, it means 2.
                max_qos: None,
                retain_available: None,
                max_packet_size: Some(accepted.packet_max_bytes.min(u32::MAX as usize) as u32),
                assigned_client_identifier: accepted.assigned_id,
                topic_alias_max: Some(accepted.topic_alias_max),
                reason_string: None,
                user_properties: Vec::new(),
                wildcard_subscription_available: None,
                subscription_identifiers_available: Some(0),
                shared_subscription_available: Some(0),
                server_keep_alive: None,
                response_information: None,
                server_reference: None,
                authentication_method: None,
                authentication_data: None,
            };
            let code = v5::ConnectReturnCode::Success;
            write_v5(&v5::Packet::ConnAck(v5::ConnAck { session_present, code, properties: Some(properties) }), out)
        }
    }
}

fn write_v4(packet: &v4::Packet, out: &mut BytesMut) -> Result<(), Error> {
    match packet.write(out, usize::MAX) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::Codec { packet: "packet to send", reason: e.to_string() }),
    }
}

fn write_v5(packet: &v5::Packet, out: &mut BytesMut) -> Result<(), Error> {
    match packet.write(out, None) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::Codec { packet: "packet to send", reason: e.to_string() }),
    }
}
