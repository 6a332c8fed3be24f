//! Sparkplug's topics: `spBv1.0/GROUP/TYPE/NODE[/DEVICE]`, and `spBv1.0/STATE/HOST` (section 4.1).

use std::fmt;

const NAMESPACE: &str = "spBv1.0";

/// What a topic of the namespace says about its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic<'t> {
    /// Of an edge node, or of a device behind it where there is one.
    Edge { message: Message, node: EdgeNode<'t>, device: Option<&'t str> },
    /// A host application comes or goes; its payload is JSON (section 6.4.27).
    Host { id: &'t str },
}

/// The message types of edge nodes (section 4.1.3); the topic's device tells those of a node from those of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// NBIRTH, DBIRTH: values, and what the numbers of later data mean.
    Birth,
    /// NDATA, DDATA: values that have changed.
    Data,
    /// NDEATH, DDEATH: gone.
    Death,
    /// NCMD, DCMD: what a host wants done.
    Command,
}

/// An edge node: unique in a broker's world, and the one to whom numbers, sequence and births belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EdgeNode<'t> {
    pub group: &'t str,
    pub node: &'t str,
}

impl<'t> Topic<'t> {
    /// `None` for all that is not of the namespace: other levels than it has, an unknown type, an empty name.
    pub fn parse(topic: &'t str) -> Option<Self> {
        let mut levels = topic.strip_prefix(NAMESPACE)?.strip_prefix('/')?.split('/');
        let (group, kind, node) = (levels.next()?, levels.next()?, levels.next());
        let device = levels.next();
        let names = [Some(group), node, device];
        if levels.next().is_some() || names.into_iter().flatten().any(str::is_empty) {
            return None;
        }
        let Some(node) = node else {
            return (group == "STATE" && !kind.is_empty()).then_some(Self::Host { id: kind });
        };
        let (message, of_device) = message(kind)?;
        (of_device == device.is_some()).then_some(Self::Edge { message, node: EdgeNode { group, node }, device })
    }

    /// Whom the message is from, as other records name their device: `GROUP/NODE`, `GROUP/NODE/DEVICE`, or the host's id.
    pub fn source(&self) -> String {
        match *self {
            Self::Edge { node, device: None, .. } => node.to_string(),
            Self::Edge { node, device: Some(device), .. } => [node.group, node.node, device].join("/"),
            Self::Host { id } => id.to_owned(),
        }
    }
}

fn message(kind: &str) -> Option<(Message, bool)> {
    Some(match kind {
        "NBIRTH" => (Message::Birth, false),
        "NDATA" => (Message::Data, false),
        "NDEATH" => (Message::Death, false),
        "NCMD" => (Message::Command, false),
        "DBIRTH" => (Message::Birth, true),
        "DDATA" => (Message::Data, true),
        "DDEATH" => (Message::Death, true),
        "DCMD" => (Message::Command, true),
        _ => return None,
    })
}

impl EdgeNode<'_> {
    /// The topic on which the node takes commands (section 4.2.1): QoS 0, not retained.
    pub fn command_topic(&self) -> String {
        [NAMESPACE, self.group, "NCMD", self.node].join("/")
    }
}

/// `GROUP/NODE`.
impl fmt::Display for EdgeNode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: EdgeNode<'static> = EdgeNode { group: "plant 1", node: "press" };

    #[test]
    fn all_message_types_are_known() {
        for (kind, message) in
            [("BIRTH", Message::Birth), ("DATA", Message::Data), ("DEATH", Message::Death), ("CMD", Message::Command)]
        {
            let of_node = format!("spBv1.0/plant 1/N{kind}/press");
            let of_device = format!("spBv1.0/plant 1/D{kind}/press/pump-7");
            let topic = Topic::parse(&of_node).unwrap();
            assert_eq!(topic, Topic::Edge { message, node: NODE, device: None });
            assert_eq!(topic.source(), "plant 1/press");
            let topic = Topic::parse(&of_device).unwrap();
            assert_eq!(topic, Topic::Edge { message, node: NODE, device: Some("pump-7") });
            assert_eq!(topic.source(), "plant 1/press/pump-7");
        }
        assert_eq!(Topic::parse("spBv1.0/STATE/scada"), Some(Topic::Host { id: "scada" }));
        assert_eq!(NODE.command_topic(), "spBv1.0/plant 1/NCMD/press");
    }

    #[test]
    fn topics_that_only_look_alike_are_none() {
        for topic in [
            "",
            "spBv1.0",
            "spBv1.0/g",
            "spBv1.0/g/NDATA",
            "spBv1.0/g/NDATA/",
            "spBv1.0//NDATA/n",
            "spBv1.0/g/NDATA/n/d",
            "spBv1.0/g/DDATA/n",
            "spBv1.0/g/DDATA/n/",
            "spBv1.0/g/DDATA/n/d/e",
            "spBv1.0/g/ndata/n",
            "spBv1.0/STATE/",
            "spBv1.0/STATE",
            "spAv1.0/g/NDATA/n",
            "spBv1.0x/g/NDATA/n",
            "x/spBv1.0/g/NDATA/n",
        ] {
            assert_eq!(Topic::parse(topic), None, "{topic}");
        }
    }
}
