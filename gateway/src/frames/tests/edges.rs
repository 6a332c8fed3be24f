//! Sparkplug data with aliases, and the births that name them.

use firmware_protocol::sparkplug;

use super::tables::Site;
use super::*;

/// Fields of protobuf, the little of it that births and data need.
mod protobuf {
    fn varint(out: &mut Vec<u8>, mut value: u64) {
        while value > 0x7f {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    pub(super) fn number(out: &mut Vec<u8>, field: u64, value: u64) {
        varint(out, field << 3);
        varint(out, value);
    }

    pub(super) fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
        varint(out, field << 3 | 2);
        varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }
}

/// A message of metrics with name and alias; the values are 1, of the data type 3.
fn edge(topic: &'static str, seq: u64, metrics: &[(Option<&str>, u64)]) -> Record {
    let mut payload = Vec::new();
    protobuf::number(&mut payload, 1, 1_772_366_400_000);
    for (name, alias) in metrics {
        let mut metric = Vec::new();
        name.iter().for_each(|name| protobuf::bytes(&mut metric, 1, name.as_bytes()));
        protobuf::number(&mut metric, 2, *alias);
        protobuf::number(&mut metric, 4, 3);
        protobuf::number(&mut metric, 10, 1);
        protobuf::bytes(&mut payload, 2, &metric);
    }
    protobuf::number(&mut payload, 3, seq);
    assert!(sparkplug::Payload::parse(&payload).is_ok());
    Record { topic: Bytes::from_static(topic.as_bytes()), ..record(payload.into(), 0) }
}

const NBIRTH: &str = "spBv1.0/plant/NBIRTH/n";
const NDATA: &str = "spBv1.0/plant/NDATA/n";
const DBIRTH: &str = "spBv1.0/plant/DBIRTH/n/pump";
const DDATA: &str = "spBv1.0/plant/DDATA/n/pump";

fn rebirth() -> Wish {
    Wish::Rebirth { group: "plant".into(), node: "n".into() }
}

#[test]
fn data_with_aliases_goes_with_what_they_mean_and_waits_for_its_birth() {
    let mut site = Site::new();
    assert_eq!(site.commit([edge(NDATA, 3, &[(None, 7)]), edge(DDATA, 4, &[(None, 9)])]), []);
    assert_eq!(site.asked(), [rebirth()], "a node and its devices are asked together");
    site.crash();
    let log = site.commit([edge(NBIRTH, 0, &[(Some("flow"), 7)])]);
    assert_eq!((log.len(), log[1].table()), (2, "7\tflow\t\t3\n"));
    let log = site.commit([edge(DBIRTH, 1, &[(Some("level"), 9)]), edge(DDATA, 2, &[(None, 9)])]);
    assert_eq!((log.len(), log[1].table(), log[2].table()), (3, "9\tlevel\t\t3\n", "9\tlevel\t\t3\n"));
    site.crash();
    assert_eq!(site.commit([edge(DDATA, 3, &[(None, 9)])])[0].table(), "9\tlevel\t\t3\n");
}

#[test]
fn a_new_birth_of_a_node_makes_its_devices_numbers_unknown() {
    let mut site = Site::new();
    site.commit([edge(NBIRTH, 0, &[(Some("flow"), 7)]), edge(DBIRTH, 1, &[(Some("level"), 9)])]);
    site.commit([edge(NBIRTH, 0, &[(Some("flow"), 9)])]);
    assert_eq!(site.commit([edge(DDATA, 1, &[(None, 9)])]), []);
    assert_eq!(site.commit([edge(DBIRTH, 2, &[(Some("door"), 9)])])[1].table(), "9\tdoor\t\t3\n");
    site.snapshot();
    site.crash();
    assert_eq!(site.commit([edge(NDATA, 3, &[(None, 9)])])[0].table(), "9\tflow\t\t3\n");
}

#[test]
fn a_hole_in_a_nodes_sequence_makes_it_be_asked_for_its_births_and_nothing_waits() {
    let mut site = Site::new();
    let data = |seq| edge(NDATA, seq, &[(None, 7)]);
    site.commit([edge(NBIRTH, 0, &[(Some("flow"), 7)]), data(1), data(1), edge(DBIRTH, 2, &[]), data(3)]);
    site.commit((4..600).map(|seq| data(seq % 256)));
    assert_eq!(site.asked(), []);
    assert_eq!(site.commit([data(100)]).len(), 1);
    assert_eq!(site.asked(), [rebirth()]);
}

#[test]
fn what_names_its_metrics_waits_for_nothing() {
    let mut site = Site::new();
    assert_eq!(site.commit([edge(NDATA, 3, &[(Some("flow"), 7)])]).len(), 1);
    let broken = Record { payload: Bytes::from_static(b"\xff"), ..edge(NDATA, 4, &[]) };
    assert_eq!(site.commit([broken.clone()]), [broken], "decoding tells");
}
