//! Why a connection ends: one list for logs, metrics and v5 reason codes.

use std::time::Duration;

use crate::ingest::access::Denied;
use crate::ingest::{MqttVersion, wire};

/// CONNACK's code for a client that is not let in.
pub(super) fn conn_ack_code(denied: Denied, version: MqttVersion) -> u8 {
    match (version, denied) {
        (MqttVersion::V311, Denied::BadCredentials) => 4,
        (MqttVersion::V311, Denied::NotAuthorized) => 5,
        (MqttVersion::V311, Denied::IdRejected) => 2,
        (MqttVersion::V311, Denied::Unavailable) => 3,
        (MqttVersion::V5, Denied::BadCredentials) => 0x86,
        (MqttVersion::V5, Denied::NotAuthorized) => 0x87,
        (MqttVersion::V5, Denied::IdRejected) => 0x85,
        (MqttVersion::V5, Denied::Unavailable) => 0x88,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::ingest) enum Close {
    #[error("the gateway is stopping")]
    Stopping,
    #[error("the peer closed the connection")]
    PeerClosed,
    #[error("the peer sent DISCONNECT, reason code {0:#04x}")]
    PeerDisconnected(u8),
    #[error("{0}")]
    Io(String),
    #[error("the broker refused the connection: {0}")]
    Refused(String),
    #[error("the broker granted none of the topic filters; check its access rules and `subscribe`")]
    NothingGranted,
    #[error("a client without an id asked for a kept session")]
    IdMissing,
    #[error("another connection took over the client id")]
    TakenOver,
    #[error("the handshake took too long")]
    NotOpened,
    #[error("nothing heard for {0:?}")]
    Silent(Duration),
    #[error("the peer takes none of our bytes")]
    Stalled,
    #[error("no data for {0:?}, although the connection stands; connecting anew")]
    NoData(Duration),
    #[error("the client was turned away: {0}")]
    TurnedAway(Denied),
    #[error("the user is gone from the users file, or has another password")]
    Revoked,
    #[error("the client may not publish to {0:?}; see the rules of `listen`")]
    NotAllowed(String),
    #[error("more messages without acknowledgement than were allowed, see `receive_max`")]
    ReceiveMaximum,
    #[error("a topic alias was used that was not allowed, or stands for nothing")]
    TopicAlias,
    #[error("the topic is empty or has a wildcard or a NUL in it")]
    TopicInvalid,
    #[error("{0} was not due")]
    Unexpected(&'static str),
    #[error(transparent)]
    Malformed(#[from] wire::Error),
}

/// What kind of end it is, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ingest) enum Kind {
    /// The gateway is stopping.
    Stop,
    /// The peer wanted it so.
    Departure,
    /// The line, or the peer's silence.
    Loss,
    /// Something was not as it should be.
    Fault,
}

impl Close {
    pub(in crate::ingest) fn kind(&self) -> Kind {
        match self {
            Self::Stopping => Kind::Stop,
            Self::PeerClosed | Self::PeerDisconnected(_) => Kind::Departure,
            Self::Io(_) | Self::Silent(_) | Self::NoData(_) => Kind::Loss,
            Self::Refused(_)
            | Self::NothingGranted
            | Self::IdMissing
            | Self::TakenOver
            | Self::NotOpened
            | Self::TurnedAway(_)
            | Self::NotAllowed(_)
            | Self::Revoked
            | Self::ReceiveMaximum
            | Self::Stalled
            | Self::TopicAlias
            | Self::TopicInvalid
            | Self::Unexpected(_)
            | Self::Malformed(_) => Kind::Fault,
        }
    }

    /// For metrics: few values.
    pub(in crate::ingest) fn label(&self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::PeerClosed => "peer_closed",
            Self::PeerDisconnected(_) => "peer_disconnected",
            Self::Io(_) => "io",
            Self::Refused(_) => "refused",
            Self::NothingGranted => "nothing_granted",
            Self::IdMissing => "id_missing",
            Self::TakenOver => "taken_over",
            Self::NotOpened => "not_opened",
            Self::Silent(_) => "silent",
            Self::Stalled => "stalled",
            Self::NoData(_) => "no_data",
            Self::TurnedAway(denied) => denied.label(),
            Self::Revoked => "revoked",
            Self::NotAllowed(_) => "not_allowed",
            Self::ReceiveMaximum => "receive_max",
            Self::TopicAlias => "topic_alias",
            Self::TopicInvalid => "topic_invalid",
            Self::Unexpected(_) => "unexpected_packet",
            Self::Malformed(wire::Error::TooLarge { .. }) => "too_large",
            Self::Malformed(wire::Error::Protocol(_)) => "protocol_level",
            Self::Malformed(wire::Error::Malformed(_) | wire::Error::Codec { .. }) => "malformed",
        }
    }

    /// Whether a message was turned away with it, not just a connection.
    pub(in crate::ingest) fn refuses_a_message(&self) -> bool {
        match self {
            Self::NotAllowed(_) | Self::ReceiveMaximum | Self::TopicAlias | Self::TopicInvalid => true,
            Self::Malformed(e) => matches!(e, wire::Error::TooLarge { .. } | wire::Error::Malformed(_)),
            Self::Stopping
            | Self::PeerClosed
            | Self::PeerDisconnected(_)
            | Self::Io(_)
            | Self::Refused(_)
            | Self::NothingGranted
            | Self::IdMissing
            | Self::TakenOver
            | Self::NotOpened
            | Self::Silent(_)
            | Self::NoData(_)
            | Self::TurnedAway(_)
            | Self::Revoked
            | Self::Stalled
            | Self::Unexpected(_) => false,
        }
    }

    /// The reason in a server's v5 DISCONNECT; `None` if the peer is not there to read it or was told otherwise.
    pub(super) fn server_code(&self) -> Option<u8> {
        match self {
            Self::PeerClosed
            | Self::PeerDisconnected(_)
            | Self::Io(_)
            | Self::Refused(_)
            | Self::NothingGranted
            | Self::IdMissing
            | Self::NotOpened
            | Self::Stalled
            | Self::TurnedAway(_)
            | Self::Malformed(wire::Error::Protocol(_)) => None,
            Self::Stopping => Some(0x8b),
            Self::TakenOver => Some(0x8e),
            Self::Silent(_) => Some(0x8d),
            Self::NoData(_) => Some(0x00),
            Self::NotAllowed(_) => Some(0x87),
            Self::Revoked => Some(0x98),
            Self::ReceiveMaximum => Some(0x93),
            Self::TopicAlias => Some(0x94),
            Self::TopicInvalid => Some(0x90),
            Self::Unexpected(_) => Some(0x82),
            Self::Malformed(wire::Error::TooLarge { .. }) => Some(0x95),
            Self::Malformed(wire::Error::Malformed(_) | wire::Error::Codec { .. }) => Some(0x81),
        }
    }

    /// The same for a client, which may not use all codes; 3.1.1 sends DISCONNECT without it.
    pub(super) fn client_code(&self) -> Option<u8> {
        match self {
            Self::Stopping | Self::NothingGranted | Self::Silent(_) | Self::NoData(_) | Self::TakenOver => Some(0x00),
            Self::PeerClosed
            | Self::PeerDisconnected(_)
            | Self::Io(_)
            | Self::Refused(_)
            | Self::IdMissing
            | Self::NotOpened
            | Self::Stalled
            | Self::TurnedAway(_)
            | Self::Revoked
            | Self::NotAllowed(_)
            | Self::ReceiveMaximum
            | Self::TopicAlias
            | Self::TopicInvalid
            | Self::Unexpected(_)
            | Self::Malformed(_) => self.server_code(),
        }
    }
}
