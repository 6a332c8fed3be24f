//! The promises of a connection, with time and receipts in the test's hand.

use bytes::Bytes;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;

mod kept;
mod limits;

use super::*;
use crate::clock::ClockBoot;
use crate::ingest::wire::{Frame, Packet};
use crate::queue::Flags;

const SECOND: Duration = Duration::from_secs(1);
const STAMP: Stamp = Stamp { boot: ClockBoot(1), since_boot_ns: 42 };

/// A session with its clock and what it has asked for.
struct Rig {
    session: Session,
    now: Instant,
    /// With records in them; what has only a state is durable at once.
    appends: Vec<(Ticket, Vec<Record>)>,
    /// Changes of what is kept, in the order in which they were handed over.
    states: Vec<StateChange>,
    news: Vec<Action>,
    refused: Vec<Refused>,
    /// What is kept of the client that is to be admitted.
    kept: Option<Kept>,
    /// `None`: everything.
    may_publish: Option<&'static [&'static str]>,
    closed: Option<Close>,
}

impl Rig {
    fn new(session: Session, now: Instant) -> Self {
        Self {
            session,
            now,
            appends: Vec::new(),
            states: Vec::new(),
            news: Vec::new(),
            refused: Vec::new(),
            kept: None,
            may_publish: None,
            closed: None,
        }
    }

    fn dialer(version: MqttVersion) -> Self {
        Self::dialer_of(&MqttConfig { version, ..MqttConfig::default() }, Epoch(1))
    }

    fn dialer_of(config: &MqttConfig, epoch: Epoch) -> Self {
        let now = Instant::now();
        Self::new(Session::dial(config, Subscribe::Always, Kept::default(), epoch, now).unwrap(), now)
    }

    /// A dialer that is connected and subscribed, with nothing left to send.
    fn open_dialer(version: MqttVersion) -> Self {
        let mut rig = Self::dialer(version);
        match version {
            MqttVersion::V311 => rig.hear(&[0x20, 2, 0, 0, 0x90, 3, 0, 1, 1]),
            MqttVersion::V5 => rig.hear(&[0x20, 3, 0, 0, 0, 0x90, 4, 0, 1, 0, 1]),
        }
        rig.sent();
        rig
    }

    fn listener() -> Self {
        Self::listener_of(&ListenConfig::default())
    }

    fn listener_of(limits: &ListenConfig) -> Self {
        let now = Instant::now();
        Self::new(Session::accept(limits, "given".into(), Epoch(1), now), now)
    }

    fn open_listener(version: MqttVersion, keep_alive: u16) -> Self {
        let mut rig = Self::listener();
        rig.hear(&connect_bytes(version, "sensor", true, keep_alive));
        rig.sent();
        rig
    }

    fn hear(&mut self, bytes: &[u8]) {
        let mut buffer = BytesMut::from(bytes);
        while self.session.takes_bytes() && self.session.on_bytes(&mut buffer, STAMP, self.now) == Decoded::HasRest {
            self.act();
        }
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.session.poll() {
            match action {
                Action::Append { ticket, records, state } => {
                    self.states.extend(state);
                    self.session.on_appended(self.now);
                    if records.is_empty() {
                        self.session.on_receipt(ticket, self.now);
                    } else {
                        self.appends.push((ticket, records));
                    }
                }
                Action::Admit(_) => {
                    let grant = Grant::for_tests(self.may_publish);
                    let admission = Admission { grant, kept: self.kept.take() };
                    self.session.admit(admission, self.now);
                }
                Action::Refused(refused) => self.refused.push(refused),
                Action::Closed(why) => self.closed = Some(why),
                news @ (Action::Opened(_) | Action::Subscribed { .. } | Action::Listens) => self.news.push(news),
            }
        }
    }

    fn receipt(&mut self, append: usize) -> Settled {
        let ticket = self.appends[append].0;
        let settled = self.session.on_receipt(ticket, self.now);
        self.act();
        settled
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.on_tick(self.now);
        self.act();
    }

    /// Takes the output as the peer would.
    fn sent(&mut self) -> Bytes {
        let sent = Bytes::copy_from_slice(self.session.output());
        self.session.on_written(sent.len(), self.now);
        sent
    }
}

fn connect_bytes(version: MqttVersion, client_id: &str, clean: bool, keep_alive: u16) -> BytesMut {
    let mut out = BytesMut::new();
    match version {
        MqttVersion::V311 => {
            let mut connect = v4::Connect::new(client_id);
            (connect.clean_session, connect.keep_alive) = (clean, keep_alive);
            connect.write(&mut out).unwrap();
        }
        MqttVersion::V5 => {
            let connect = v5::Connect { keep_alive, client_id: client_id.into(), clean_start: clean, properties: None };
            connect.write(&None, &None, &mut out).unwrap();
        }
    }
    out
}

/// A 3.1.1 PUBLISH, or a v5 one without properties.
fn publish_bytes(version: MqttVersion, first: u8, topic: &str, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = [&(topic.len() as u16).to_be_bytes()[..], topic.as_bytes()].concat();
    if first & 6 != 0 {
        body.extend(packet_id.to_be_bytes());
    }
    if version == MqttVersion::V5 {
        body.push(0);
    }
    body.extend(payload);
    let mut out = vec![first];
    let mut length = body.len();
    while length >= 128 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(body);
    out
}

fn qos1(packet_id: u16) -> Vec<u8> {
    publish_bytes(MqttVersion::V311, 0x32, "sensors/a", packet_id, b"21.5")
}

fn acks(ids: &[u16]) -> Vec<u8> {
    ids.iter().flat_map(|id| [0x40, 2, (id >> 8) as u8, *id as u8]).collect()
}

#[test]
fn puback_waits_for_the_receipt() {
    for mut rig in [Rig::open_dialer(MqttVersion::V311), Rig::open_listener(MqttVersion::V311, 60)] {
        rig.hear(&qos1(7));
        assert_eq!(rig.appends.len(), 1);
        assert_eq!(rig.sent(), "");
        assert_eq!(rig.receipt(0), Settled { records: 1, payload_bytes: 4, acks: 1, ended: 1 });
        assert_eq!(rig.sent(), acks(&[7]));
    }
}

#[test]
fn pubacks_leave_in_receive_order_whatever_the_order_of_the_receipts() {
    let mut rig = Rig::open_dialer(MqttVersion::V311);
    rig.hear(&[qos1(5), qos1(3)].concat());
    rig.hear(&qos1(9));
    rig.hear(&qos1(1));
    assert_eq!(rig.receipt(2).acks, 0);
    assert_eq!(rig.receipt(1).acks, 0);
    assert_eq!(rig.sent(), "");
    assert_eq!(rig.receipt(0).acks, 4);
    assert_eq!(rig.sent(), acks(&[5, 3, 9, 1]));
}

#[test]
fn a_receipt_of_an_old_connection_acknowledges_nothing_on_the_new_one() {
    let config = MqttConfig::default();
    let mut old = Rig::open_dialer(MqttVersion::V311);
    old.hear(&qos1(7));
    let mut new = Rig::dialer_of(&config, Epoch(2));
    new.hear(&[0x20, 2, 1, 0]);
    new.hear(&qos1(8));
    new.sent();
    let settled = new.session.on_receipt(old.appends[0].0, new.now);
    assert_eq!((settled, &new.sent()[..]), (Settled::default(), &b""[..]));
    new.receipt(0);
    assert_eq!(new.sent(), acks(&[8]));
}

#[test]
fn a_receipt_counts_once() {
    let mut rig = Rig::open_dialer(MqttVersion::V311);
    rig.hear(&qos1(7));
    rig.receipt(0);
    rig.sent();
    assert_eq!(rig.receipt(0), Settled::default());
    assert_eq!(rig.sent(), "");
}

#[test]
fn a_record_is_what_came_in() {
    let mut rig = Rig::open_listener(MqttVersion::V311, 60);
    rig.hear(&publish_bytes(MqttVersion::V311, 0x3b, "sensors/a", 7, b"21.5"));
    let expected = Record {
        door: Door::Listen,
        flags: Flags { qos: 1, retained: true, redelivered: true },
        received: STAMP,
        topic: "sensors/a".into(),
        payload: "21.5".into(),
        content_type: Bytes::new(),
        table: Bytes::new(),
    };
    assert_eq!(rig.appends[0].1, [expected]);
}

#[test]
fn qos_0_is_stored_without_a_puback() {
    let mut rig = Rig::open_listener(MqttVersion::V5, 60);
    rig.hear(&publish_bytes(MqttVersion::V5, 0x30, "sensors/a", 0, b"1"));
    assert_eq!(rig.receipt(0), Settled { records: 1, payload_bytes: 1, acks: 0, ended: 0 });
    assert_eq!(rig.sent(), "");
}

#[test]
fn one_read_makes_one_batch_up_to_the_queues_group() {
    let mut rig = Rig::open_dialer(MqttVersion::V311);
    let many: Vec<u8> = (1..=2_500).flat_map(qos1).collect();
    rig.hear(&many);
    let sizes: Vec<usize> = rig.appends.iter().map(|(_, records)| records.len()).collect();
    assert_eq!(sizes, [1_024, 1_024, 452]);
}

#[test]
fn a_full_window_of_20_is_acknowledged_in_one_write_without_waiting_for_more() {
    let mut rig = Rig::open_dialer(MqttVersion::V311);
    let window: Vec<u8> = (1..=20).flat_map(qos1).collect();
    rig.hear(&window);
    rig.receipt(0);
    assert_eq!(rig.sent(), acks(&(1..=20).collect::<Vec<_>>()));
}

#[test]
fn a_packet_in_two_pieces_is_one_record() {
    let mut rig = Rig::open_dialer(MqttVersion::V311);
    let bytes = qos1(7);
    let mut buffer = BytesMut::from(&bytes[..5]);
    assert_eq!(rig.session.on_bytes(&mut buffer, STAMP, rig.now), Decoded::NeedsBytes);
    buffer.extend_from_slice(&bytes[5..]);
    rig.session.on_bytes(&mut buffer, STAMP, rig.now);
    rig.act();
    assert_eq!(rig.appends.len(), 1);
}

/// Fills the bytes in flight.
fn paused_dialer() -> Rig {
    let mut rig = Rig::open_dialer(MqttVersion::V311);
    let mut id = 0;
    while rig.session.takes_bytes() {
        id += 1;
        rig.hear(&publish_bytes(MqttVersion::V311, 0x32, "sensors/a", id, &[0; 100_000]));
    }
    assert_eq!(usize::from(id), IN_FLIGHT_MAX_BYTES / 100_000 + 1);
    rig
}

#[test]
fn reading_stops_at_the_cap_and_goes_on_after_a_receipt() {
    let mut rig = paused_dialer();
    rig.receipt(0);
    assert!(rig.session.takes_bytes());
}

#[test]
fn a_lower_limit_pauses_reading_until_it_is_lifted_or_met() {
    let mut rig = Rig::open_dialer(MqttVersion::V311);
    rig.hear(&qos1(1));
    rig.session.limit_in_flight(10, rig.now);
    assert!(!rig.session.takes_bytes());
    rig.session.limit_in_flight(10_000, rig.now);
    assert!(rig.session.takes_bytes());
    rig.session.limit_in_flight(10, rig.now);
    rig.receipt(0);
    assert!(rig.session.takes_bytes());
}

#[test]
fn keepalive_is_sent_while_reading_is_paused() {
    let mut rig = paused_dialer();
    for _ in 0..10 {
        rig.pass(30 * SECOND);
        assert_eq!(rig.sent(), &[0xc0, 0][..]);
    }
    assert_eq!(rig.closed, None);
    // The broker gets its time to answer again.
    rig.receipt(0);
    rig.pass(29 * SECOND);
    assert_eq!(rig.closed, None);
}

/// Reads a message that the queue does not take.
fn hold_up(rig: &mut Rig) -> Ticket {
    rig.session.on_bytes(&mut BytesMut::from(&qos1(1)[..]), STAMP, rig.now);
    let Some(Action::Append { ticket, .. }) = rig.session.poll() else { panic!("a batch") };
    ticket
}

#[test]
fn a_client_that_waits_for_the_queue_gets_its_pings_answered() {
    let mut rig = Rig::open_listener(MqttVersion::V311, 10);
    hold_up(&mut rig);
    for _ in 0..10 {
        rig.pass(10 * SECOND);
        assert!(rig.session.takes_bytes());
        rig.session.on_bytes(&mut BytesMut::from(&[0xc0, 0][..]), STAMP, rig.now);
        assert_eq!(rig.sent(), &[0xd0, 0][..]);
    }
    assert_eq!(rig.closed, None);
}

#[test]
fn a_broker_is_pinged_and_heard_while_the_queue_takes_nothing() {
    let mut rig = Rig::open_dialer(MqttVersion::V311);
    hold_up(&mut rig);
    for _ in 0..10 {
        rig.pass(30 * SECOND);
        assert_eq!(rig.sent(), &[0xc0, 0][..]);
        rig.session.on_bytes(&mut BytesMut::from(&[0xd0, 0][..]), STAMP, rig.now);
    }
    assert!(rig.session.takes_bytes() && rig.closed.is_none());
}

#[test]
fn what_is_read_while_the_queue_takes_nothing_is_bounded_and_one_batch_later() {
    for (payload, messages) in [(100_000, IN_FLIGHT_MAX_BYTES / 100_000), (10, BATCH_RECORDS_MAX)] {
        let mut rig = Rig::open_dialer(MqttVersion::V311);
        let first = hold_up(&mut rig);
        let bytes = publish_bytes(MqttVersion::V311, 0x32, "sensors/a", 7, &vec![0; payload]);
        let mut buffer = BytesMut::new();
        (0..2 * messages).for_each(|_| buffer.extend_from_slice(&bytes));
        while rig.session.takes_bytes() && rig.session.on_bytes(&mut buffer, STAMP, rig.now) == Decoded::HasRest {}
        assert_eq!(rig.session.poll(), None, "the queue has not taken the one before");
        rig.session.on_appended(rig.now);
        let Some(Action::Append { ticket, records, .. }) = rig.session.poll() else { panic!("a batch") };
        assert!((messages..=messages + 1).contains(&records.len()), "{} of {messages}", records.len());
        rig.session.on_receipt(ticket, rig.now);
        assert_eq!(rig.sent(), Bytes::new(), "in order");
        rig.session.on_receipt(first, rig.now);
        assert_eq!(rig.sent().len(), 4 * (1 + records.len()));
    }
}

#[test]
fn a_silent_broker_is_pinged_and_then_given_up() {
    let mut rig = Rig::open_dialer(MqttVersion::V311);
    rig.pass(29 * SECOND);
    assert_eq!(rig.sent(), "");
    rig.pass(SECOND);
    assert_eq!(rig.sent(), &[0xc0, 0][..]);
    rig.pass(14 * SECOND);
    assert_eq!(rig.closed, None);
    rig.pass(SECOND);
    assert_eq!(rig.closed, Some(Close::Silent(45 * SECOND)));
}

#[test]
fn a_broker_that_answers_pings_stays() {
    let mut rig = Rig::open_dialer(MqttVersion::V311);
    for _ in 0..100 {
        let due = rig.session.next_tick().expect("a ping is due some time");
        rig.pass(due - rig.now);
        assert_eq!(rig.sent(), &[0xc0, 0][..]);
        rig.hear(&[0xd0, 0]);
    }
    assert_eq!(rig.closed, None);
}

#[test]
fn the_brokers_own_keep_alive_counts() {
    let mut rig = Rig::dialer(MqttVersion::V5);
    rig.hear(&[0x20, 6, 0, 0, 3, 19, 0, 5]);
    rig.sent();
    rig.pass(5 * SECOND);
    assert_eq!(rig.sent(), &[0xc0, 0][..]);
}

#[test]
fn a_dialer_asks_for_its_old_session_and_subscribes() {
    for (version, ack) in [(MqttVersion::V311, &[0x20, 2, 1, 0][..]), (MqttVersion::V5, &[0x20, 3, 1, 0, 0])] {
        let mut rig = Rig::dialer(version);
        let sent = rig.sent();
        let frame = Frame::peek(&sent, usize::MAX).unwrap().unwrap();
        let Ok(Packet::Connect(connect)) = wire::decode(version, &sent, frame) else { panic!("not a CONNECT") };
        assert_eq!((connect.version, connect.clean, connect.keep_alive), (version, false, 30));
        rig.hear(ack);
        assert!(matches!(&rig.news[..], [Action::Opened(Opened { session_present: true, .. })]));
        assert_eq!(rig.sent()[0], 0x82);
    }
}

#[test]
fn refused_filters_are_named_and_if_all_are_the_connection_ends() {
    let config = MqttConfig { subscribe: vec!["a".into(), "b".into(), "c".into()], ..MqttConfig::default() };
    let mut rig = Rig::dialer_of(&config, Epoch(1));
    rig.hear(&[0x20, 2, 0, 0]);
    rig.hear(&[0x90, 5, 0, 1, 1, 0x80, 0]);
    let refused = vec![("b".to_owned(), 0x80), ("c".to_owned(), 0)];
    assert_eq!(rig.news[1], Action::Subscribed { refused });

    let mut rig = Rig::dialer_of(&config, Epoch(1));
    rig.hear(&[0x20, 2, 0, 0]);
    rig.hear(&[0x90, 5, 0, 1, 0x80, 0x80, 0x80]);
    assert_eq!(rig.closed, Some(Close::NothingGranted));
}

#[test]
fn a_refusal_of_the_broker_says_why() {
    let mut rig = Rig::dialer(MqttVersion::V311);
    rig.hear(&[0x20, 2, 0, 5]);
    assert_eq!(rig.closed, Some(Close::Refused("NotAuthorized".into())));
}

#[test]
fn a_broker_that_never_answers_connect_is_given_up() {
    let mut rig = Rig::dialer(MqttVersion::V311);
    rig.sent();
    rig.pass(CONN_ACK_TIMEOUT);
    assert_eq!(rig.closed, Some(Close::NotOpened));
}

#[test]
fn a_client_that_never_connects_is_dropped_without_a_word() {
    let mut rig = Rig::listener();
    rig.pass(10 * SECOND);
    assert_eq!((rig.closed.take(), &rig.sent()[..]), (Some(Close::NotOpened), &b""[..]));
}

#[test]
fn a_client_silent_for_one_and_a_half_keep_alives_is_dropped() {
    let mut rig = Rig::open_listener(MqttVersion::V5, 10);
    rig.pass(10 * SECOND);
    rig.hear(&[0xc0, 0]);
    assert_eq!(rig.sent(), &[0xd0, 0][..]);
    rig.pass(14 * SECOND);
    assert_eq!(rig.closed, None);
    rig.pass(SECOND);
    assert_eq!(rig.closed, Some(Close::Silent(15 * SECOND)));
    assert_eq!(rig.sent(), &[0xe0, 1, 0x8d][..]);
}

#[test]
fn a_client_without_keep_alive_may_be_silent() {
    let mut rig = Rig::open_listener(MqttVersion::V311, 0);
    assert_eq!(rig.session.next_tick(), None);
    rig.pass(1_000_000 * SECOND);
    assert_eq!(rig.closed, None);
}

#[test]
fn a_client_is_not_blamed_for_silence_while_it_was_not_read() {
    let mut rig = Rig::open_listener(MqttVersion::V311, 10);
    while rig.session.takes_bytes() {
        rig.hear(&publish_bytes(MqttVersion::V311, 0x32, "a", 1, &[0; 200_000]));
    }
    rig.pass(100 * SECOND);
    for append in 0..rig.appends.len() {
        rig.receipt(append);
    }
    rig.sent();
    rig.pass(14 * SECOND);
    assert_eq!(rig.closed, None);
    rig.pass(SECOND);
    assert_eq!(rig.closed, Some(Close::Silent(15 * SECOND)));
}

#[test]
fn a_peer_that_takes_no_bytes_is_given_up() {
    let mut rig = Rig::open_listener(MqttVersion::V311, 0);
    rig.hear(&qos1(1));
    rig.receipt(0);
    rig.pass(OUTPUT_STALL_MAX);
    assert_eq!(rig.closed, Some(Close::Stalled));
}

#[test]
fn a_peer_that_takes_no_acks_is_not_read_any_more() {
    let mut rig = Rig::open_listener(MqttVersion::V311, 0);
    let mut reads = 0;
    while rig.session.takes_bytes() {
        let thousand: Vec<u8> = (1..=1_000).flat_map(qos1).collect();
        rig.hear(&thousand);
        rig.receipt(reads);
        reads += 1;
    }
    assert_eq!(reads, OUTPUT_MAX_BYTES / 4_000 + 1);
}

#[test]
fn a_topic_with_a_wildcard_is_refused() {
    let mut rig = Rig::open_listener(MqttVersion::V5, 60);
    rig.hear(&publish_bytes(MqttVersion::V5, 0x30, "a/#", 0, b"1"));
    assert_eq!((rig.closed.take(), &rig.sent()[..]), (Some(Close::TopicInvalid), &[0xe0, 1, 0x90][..]));
}

#[test]
fn what_came_before_a_malformed_packet_is_stored_and_acknowledged() {
    let mut rig = Rig::open_listener(MqttVersion::V5, 60);
    let good = publish_bytes(MqttVersion::V5, 0x32, "a", 7, b"1");
    rig.hear(&[&good[..], &[0x30, 3, 0, 9, b'a']].concat());
    assert_eq!((rig.appends.len(), &rig.closed), (1, &None));
    rig.receipt(0);
    assert!(matches!(rig.closed, Some(Close::Malformed(_))));
    assert_eq!(rig.sent(), [&acks(&[7])[..], &[0xe0, 1, 0x81]].concat());
}

#[test]
fn a_stop_acknowledges_what_was_read_and_then_says_goodbye() {
    let mut rig = Rig::open_dialer(MqttVersion::V311);
    rig.hear(&qos1(7));
    rig.session.close(Close::Stopping, rig.now);
    rig.act();
    assert!(!rig.session.takes_bytes());
    assert_eq!((rig.sent(), &rig.closed), (Bytes::new(), &None));
    rig.receipt(0);
    assert_eq!(rig.closed, Some(Close::Stopping));
    assert_eq!(rig.sent(), [&acks(&[7])[..], &[0xe0, 0]].concat());
}

#[test]
fn a_stop_does_not_wait_for_ever_for_a_receipt() {
    let mut rig = Rig::open_listener(MqttVersion::V5, 60);
    rig.hear(&publish_bytes(MqttVersion::V5, 0x32, "a", 7, b"1"));
    rig.session.close(Close::Stopping, rig.now);
    rig.pass(DRAIN_MAX);
    assert_eq!((rig.closed.take(), &rig.sent()[..]), (Some(Close::Stopping), &[0xe0, 1, 0x8b][..]));
}

#[test]
fn qos_0_messages_right_before_disconnect_are_stored() {
    let mut rig = Rig::open_listener(MqttVersion::V311, 60);
    let last = publish_bytes(MqttVersion::V311, 0x30, "a", 0, b"1");
    rig.hear(&[&last[..], &[0xe0, 0]].concat());
    assert_eq!(rig.appends[0].1.len(), 1);
    rig.receipt(0);
    assert_eq!(rig.closed, Some(Close::PeerDisconnected(0)));
}

#[test]
fn a_listener_answers_subscriptions_with_a_refusal_for_each_filter() {
    let mut rig = Rig::open_listener(MqttVersion::V311, 60);
    rig.hear(&[0x82, 10, 0, 9, 0, 1, b'a', 1, 0, 1, b'b', 0]);
    assert_eq!(rig.sent(), &[0x90, 4, 0, 9, 0x80, 0x80][..]);
    rig.hear(&[0xa2, 5, 0, 10, 0, 1, b'a']);
    assert_eq!(rig.sent(), &[0xb0, 2, 0, 10][..]);

    let mut rig = Rig::open_listener(MqttVersion::V5, 60);
    rig.hear(&[0x82, 7, 0, 9, 0, 0, 1, b'a', 1]);
    assert_eq!(rig.sent(), &[0x90, 4, 0, 9, 0, 0x87][..]);
    rig.hear(&[0xa2, 6, 0, 10, 0, 0, 1, b'a']);
    assert_eq!(rig.sent(), &[0xb0, 4, 0, 10, 0, 0x11][..]);
    assert_eq!(rig.closed, None);
}

#[test]
fn conn_ack_tells_a_v5_client_what_is_not_offered() {
    let mut rig = Rig::listener();
    rig.hear(&connect_bytes(MqttVersion::V5, "", true, 60));
    let mut sent = BytesMut::from(&rig.sent()[..]);
    let Ok(v5::Packet::ConnAck(ack)) = v5::Packet::read(&mut sent, None) else { panic!("not a CONNACK") };
    let offered = ack.properties.expect("limits are announced");
    assert_eq!(
        (offered.max_qos, offered.topic_alias_max, offered.receive_max, offered.session_expiry_interval),
        (None, Some(16), Some(1_024), None)
    );
    assert_eq!(
        (offered.max_packet_size, offered.assigned_client_identifier.as_deref()),
        (Some(262_144), Some("given"))
    );
}

#[test]
fn a_3_1_1_client_without_an_id_needs_a_clean_session() {
    let mut rig = Rig::listener();
    rig.hear(&connect_bytes(MqttVersion::V311, "", false, 60));
    assert_eq!((rig.closed.take(), &rig.sent()[..]), (Some(Close::IdMissing), &[0x20, 2, 0, 2][..]));
}

#[test]
fn a_client_of_another_protocol_level_is_told_in_its_own_words() {
    let mut rig = Rig::listener();
    rig.hear(&[&[0x10, 12, 0, 6][..], b"MQIsdp", &[3, 2, 0, 0]].concat());
    assert_eq!((rig.closed.take().unwrap().label(), &rig.sent()[..]), ("protocol_level", &[0x20, 2, 0, 1][..]));

    let mut rig = Rig::listener();
    rig.hear(&[&[0x10, 8, 0, 4][..], b"MQTT", &[6, 2]].concat());
    assert_eq!((rig.closed.take().unwrap().label(), &rig.sent()[..]), ("protocol_level", &[0x20, 3, 0, 0x84, 0][..]));
}

#[test]
fn packets_out_of_turn_end_the_connection() {
    let mut early = Rig::listener();
    early.hear(&qos1(1));
    assert_eq!((early.closed.take(), early.appends.len()), (Some(Close::Unexpected("PUBLISH")), 0));

    let mut noise = Rig::listener();
    noise.hear(b"GET / HTTP/1.1");
    assert_eq!(noise.closed, Some(Close::Unexpected("PUBACK")));

    let mut twice = Rig::open_listener(MqttVersion::V311, 60);
    twice.hear(&connect_bytes(MqttVersion::V311, "sensor", true, 60));
    assert_eq!(twice.closed, Some(Close::Unexpected("CONNECT")));

    let mut unasked = Rig::open_dialer(MqttVersion::V311);
    unasked.hear(&[0x90, 3, 0, 1, 1]);
    assert_eq!(unasked.closed, Some(Close::Unexpected("SUBACK")));
}

#[test]
fn a_too_large_packet_names_the_limit() {
    let mut rig = Rig::open_listener(MqttVersion::V5, 60);
    rig.hear(&[0x30, 0x80, 0x80, 0x80, 0x01]);
    let why = rig.closed.take().unwrap();
    assert!(why.to_string().contains("limit is 262144; raise `packet_max_bytes`"), "{why}");
    assert_eq!(rig.sent(), &[0xe0, 1, 0x95][..]);
}
