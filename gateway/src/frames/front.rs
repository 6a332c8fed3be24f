//! What a record is to its admission, by its first bytes and its topic.

use bytes::Bytes;
use firmware_protocol::frame::{Body, Header, HelloView, is_frame};

use super::edges::Edge;
use super::waiting::{Sender, Wanted};

/// What a record is to this module.
#[derive(Clone, Copy)]
pub(super) enum Front<'a> {
    /// A frame whose CRC is right, which is given with it.
    Frame(Header<'a>, u32),
    Edge(Edge<'a>),
    /// All else.
    Other,
}

impl<'a> Front<'a> {
    pub(super) fn of(payload: &'a [u8], topic: &'a [u8]) -> Self {
        let frame = if is_frame(payload) { Header::verify(payload).ok() } else { None };
        match (frame, Edge::of(topic)) {
            (Some((header, crc)), _) => Self::Frame(header, crc),
            (None, Some(edge)) => Self::Edge(edge),
            (None, None) => Self::Other,
        }
    }

    /// Which table the record tells.
    pub(super) fn told(&self, payload: &[u8]) -> Option<Wanted> {
        match self {
            Self::Frame(header, _) if Body::of(payload) == Ok(Body::Hello) => {
                let table = HelloView::parse(payload).ok()?.table.0;
                Some(Wanted { sender: Sender::Device(header.device.to_owned()), table })
            }
            Self::Edge(edge) if edge.is_birth() => Some(edge.wanted()),
            Self::Frame(..) | Self::Edge(_) | Self::Other => None,
        }
    }

    /// The device of a frame; empty for all else.
    pub(super) fn device(&self) -> &'a str {
        match self {
            Self::Frame(header, _) => header.device,
            Self::Edge(_) | Self::Other => "",
        }
    }
}

/// What the numbers of a record mean.
pub(super) enum Meaning {
    /// It has none, or they cannot be read: decoding tells.
    None,
    Known(Bytes),
    Unknown(Wanted),
}
