//! What the aliases of Sparkplug edge nodes mean, and whether their sequences have holes. Pure.
//!
//! # Invariants
//! - What aliases mean follows from the stored births in their order. Sequences only decide on requests, so they are
//!   forgotten with the process.

use std::collections::HashMap;

use firmware_protocol::sparkplug::{Birth, EdgeNode, Label, Message, Payload, Seq, Topic};

use super::tables::{self, Table, Tables};
use super::waiting::{Sender, Wanted};
use super::{Meaning, Wish};

/// Front of all topics of the namespace: what is else costs no more.
const NAMESPACE: &[u8] = b"spBv1.0/";
/// Edge nodes whose sequences are followed; for a new one beyond that all begin anew.
const FOLLOWED_MAX: usize = 4_096;
/// Births of one sender take each other's place.
const TABLE: u32 = 0;

/// A message of an edge node, or of a device behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge<'t> {
    message: Message,
    node: EdgeNode<'t>,
    device: Option<&'t str>,
}

impl<'t> Edge<'t> {
    pub(super) fn of(topic: &'t [u8]) -> Option<Self> {
        if !is_edge(topic) {
            return None;
        }
        match Topic::parse(std::str::from_utf8(topic).ok()?)? {
            Topic::Edge { message, node, device } => Some(Self { message, node, device }),
            Topic::Host { .. } => None,
        }
    }

    /// The table that its data is read by, or that it tells.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted { sender: Sender::Edge(self.source()), table: TABLE }
    }

    /// Whose numbers they are.
    fn source(&self) -> String {
        Topic::Edge { message: self.message, node: self.node, device: self.device }.source()
    }

    pub(super) fn is_birth(&self) -> bool {
        self.message == Message::Birth
    }

    /// Who is asked.
    pub(super) fn node(&self) -> Sender {
        Sender::Edge(self.node.to_string())
    }

    /// Of a device's births its node is asked, too.
    pub(super) fn rebirth(&self) -> Wish {
        Wish::Rebirth { group: self.node.group.to_owned(), node: self.node.node.to_owned() }
    }
}

/// Whether it may be such a topic.
pub(super) fn is_edge(topic: &[u8]) -> bool {
    topic.starts_with(NAMESPACE)
}

#[derive(Debug, Default)]
pub(super) struct Edges {
    /// By [`Edge::source`].
    tables: Tables,
    /// The sequence that each node is expected to go on with.
    expected: HashMap<String, Seq>,
}

impl Edges {
    pub(super) fn meaning(&self, edge: &Edge<'_>, payload: &[u8]) -> Meaning {
        if edge.message != Message::Data {
            return Meaning::None;
        }
        let Ok(payload) = Payload::parse(payload) else { return Meaning::None };
        let metrics = payload.metrics().filter_map(Result::ok).filter(|metric| metric.has_reading());
        let mut aliases = metrics.filter_map(|metric| match metric.label() {
            Ok(Label::Alias(alias)) => Some(alias),
            Ok(Label::Name(_)) | Err(_) => None,
        });
        let source = edge.source();
        let table = self.tables.get(&source, TABLE);
        if aliases.any(|alias| !table.is_some_and(|table| table.has(alias))) {
            return Meaning::Unknown(edge.wanted());
        }
        table.map_or(Meaning::None, |table| Meaning::Known(table.part(&payload.numbers().collect::<Vec<_>>())))
    }

    /// A stored message.
    pub(super) fn note(&mut self, edge: &Edge<'_>, payload: &[u8]) {
        match edge.message {
            Message::Birth => {
                let source = edge.source();
                if edge.device.is_none() {
                    // Its devices are born anew after it.
                    self.tables.forget_below(&format!("{source}/"));
                }
                if let Ok(birth) = Birth::parse(payload) {
                    self.tables.learn(&source, TABLE, Table::new(birth.entries().iter().copied()));
                }
            }
            Message::Data => self.tables.heard(&edge.source()),
            Message::Death | Message::Command => {}
        }
    }

    /// Whether messages of the node are missing before this one. One that comes again is none.
    pub(super) fn follow(&mut self, edge: &Edge<'_>, payload: &[u8]) -> bool {
        let is_counted = match edge.message {
            Message::Birth | Message::Data => true,
            Message::Death => edge.device.is_some(),
            Message::Command => false,
        };
        let seq = Payload::parse(payload).ok().and_then(|payload| payload.seq);
        let Some(seq) = seq.filter(|_| is_counted) else { return false };
        let node = edge.node.to_string();
        let begins = edge.is_birth() && edge.device.is_none();
        let expected = self.expected.get(&node).copied();
        let is_again = expected.is_some_and(|expected| expected == seq.next());
        if self.expected.len() >= FOLLOWED_MAX && expected.is_none() {
            self.expected.clear();
        }
        self.expected.insert(node, seq.next());
        !begins && !is_again && expected.is_some_and(|expected| expected != seq)
    }

    pub(super) fn len(&self) -> usize {
        self.tables.len()
    }

    pub(super) fn save(&self) -> Vec<tables::Saved> {
        self.tables.save()
    }

    pub(super) fn restored(saved: Vec<tables::Saved>) -> Self {
        Self { tables: Tables::restored(saved), expected: HashMap::new() }
    }
}
