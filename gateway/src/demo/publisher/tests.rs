use tokio::net::TcpListener;

use super::*;
use crate::demo::device::Start;
use crate::demo::plan::{Sampling, fleet};
use crate::shutdown;

/// One accepted connection of a broker that does exactly what the test says.
struct Session {
    stream: TcpStream,
    input: BytesMut,
}

impl Session {
    /// Accepts and answers CONNECT with success.
    async fn accept(listener: &TcpListener) -> Self {
        let mut session = Self { stream: listener.accept().await.unwrap().0, input: BytesMut::new() };
        assert!(matches!(session.read().await, Packet::Connect(_)));
        session.stream.write_all(&[0x20, 2, 0, 0]).await.unwrap();
        session
    }

    async fn read(&mut self) -> Packet {
        read_packet(&mut self.stream, &mut self.input).await.unwrap()
    }

    async fn publishes(&mut self, count: usize) -> Vec<Publish> {
        let mut publishes = Vec::new();
        while publishes.len() < count {
            let Packet::Publish(publish) = self.read().await else { panic!("no PUBLISH") };
            publishes.push(publish);
        }
        publishes
    }

    async fn acknowledge(&mut self, publishes: &[Publish]) {
        let bytes: Vec<u8> = publishes.iter().flat_map(|p| [0x40, 2, (p.pkid >> 8) as u8, p.pkid as u8]).collect();
        self.stream.write_all(&bytes).await.unwrap();
    }
}

/// One JSON device, a message each five seconds of event time from 0 on.
fn one_device() -> Vec<Device> {
    let start = Start { seed: 1, at_ms: 0, monday_at_ms: 0 };
    fleet(2, "sensors/{device}", Sampling::Natural { stretch: 1 }, start).split_off(1)
}

fn job(listener: &TcpListener, messages: i64) -> Job {
    Job {
        broker: listener.local_addr().unwrap().to_string(),
        client_prefix: "test".into(),
        qos: Qos::AtLeastOnce,
        pace: Pace::FlatOut,
        until_ms: Some(messages * 5_000),
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

#[tokio::test]
async fn every_message_is_sent_once_and_counted_when_acknowledged() {
    let (listener, counts, (_trigger, stop)) = (listener().await, Arc::new(Counts::default()), shutdown::channel());
    let job = job(&listener, 100);
    let broker = async {
        let mut session = Session::accept(&listener).await;
        let publishes = session.publishes(100).await;
        session.acknowledge(&publishes).await;
        assert_eq!(session.read().await, Packet::Disconnect);
        publishes
    };
    let (publishes, devices) = tokio::join!(broker, run(one_device(), job, counts.clone(), stop));
    let mut again = one_device();
    for p in publishes {
        assert_eq!((p.topic.as_str(), p.dup), ("sensors/temperature-1", false));
        assert_eq!(p.payload, again[0].next_message().payload);
    }
    assert_eq!((counts.sent.load(Relaxed), counts.acked.load(Relaxed)), (100, 100));
    assert_eq!(counts.readings.load(Relaxed), 200);
    assert_eq!(devices[0].due_at_ms(), again[0].due_at_ms(), "the device goes on where it stopped");
}

#[tokio::test]
async fn unacknowledged_messages_are_bounded() {
    let (listener, counts, (_trigger, stop)) = (listener().await, Arc::new(Counts::default()), shutdown::channel());
    let job = job(&listener, 2_000);
    let broker = async {
        let mut session = Session::accept(&listener).await;
        let mut received = 0;
        while received < 2_000 {
            let publishes = session.publishes(usize::from(INFLIGHT_MAX)).await;
            assert_eq!(counts.sent.load(Relaxed) - counts.acked.load(Relaxed), u64::from(INFLIGHT_MAX));
            session.acknowledge(&publishes).await;
            received += publishes.len();
        }
        assert_eq!(session.read().await, Packet::Disconnect);
    };
    tokio::join!(broker, run(one_device(), job, counts.clone(), stop));
    assert_eq!(counts.acked.load(Relaxed), 2_000);
}

#[tokio::test]
async fn a_lost_connection_repeats_what_was_not_acknowledged_marked_as_repeat() {
    let (listener, counts, (_trigger, stop)) = (listener().await, Arc::new(Counts::default()), shutdown::channel());
    let job = job(&listener, 10);
    let broker = async {
        let mut session = Session::accept(&listener).await;
        let first = session.publishes(10).await;
        session.acknowledge(&first[..4]).await;
        // The acknowledgements must have been taken before the connection goes.
        while counts.acked.load(Relaxed) < 4 {
            tokio::task::yield_now().await;
        }
        drop(session);
        let mut session = Session::accept(&listener).await;
        let again = session.publishes(6).await;
        assert!(again.iter().all(|p| p.dup));
        let ids = |p: &[Publish]| p.iter().map(|p| (p.pkid, p.payload.clone())).collect::<Vec<_>>();
        assert_eq!(ids(&again), ids(&first[4..]));
        session.acknowledge(&again).await;
        assert_eq!(session.read().await, Packet::Disconnect);
    };
    tokio::join!(broker, run(one_device(), job, counts.clone(), stop));
    assert_eq!((counts.sent.load(Relaxed), counts.acked.load(Relaxed), counts.repeated.load(Relaxed)), (10, 10, 6));
    assert_eq!(counts.disconnects.load(Relaxed), 1);
}

#[tokio::test]
async fn a_refusal_is_tried_again() {
    let (listener, counts, (_trigger, stop)) = (listener().await, Arc::new(Counts::default()), shutdown::channel());
    let job = job(&listener, 1);
    let broker = async {
        let (mut refused, _) = listener.accept().await.unwrap();
        refused.write_all(&[0x20, 2, 0, 3]).await.unwrap();
        let mut session = Session::accept(&listener).await;
        let publishes = session.publishes(1).await;
        session.acknowledge(&publishes).await;
    };
    tokio::join!(broker, run(one_device(), job, counts.clone(), stop));
    assert_eq!((counts.acked.load(Relaxed), counts.disconnects.load(Relaxed)), (1, 1));
}

#[tokio::test]
async fn a_stop_ends_a_publisher_without_a_broker() {
    let listener = listener().await;
    let (counts, (trigger, stop)) = (Arc::new(Counts::default()), shutdown::channel());
    let job = Job { until_ms: None, ..job(&listener, 0) };
    drop(listener);
    let stopper = async {
        while counts.disconnects.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        trigger.stop();
    };
    tokio::join!(stopper, run(one_device(), job, counts.clone(), stop));
    assert_eq!(counts.sent.load(Relaxed), 0);
}

#[tokio::test]
async fn quality_of_service_0_waits_for_no_acknowledgement() {
    let (listener, counts, (_trigger, stop)) = (listener().await, Arc::new(Counts::default()), shutdown::channel());
    let job = Job { qos: Qos::AtMostOnce, ..job(&listener, 1_000) };
    let broker = async {
        let mut session = Session::accept(&listener).await;
        assert!(session.publishes(1_000).await.iter().all(|p| p.pkid == 0));
        assert_eq!(session.read().await, Packet::Disconnect);
    };
    tokio::join!(broker, run(one_device(), job, counts.clone(), stop));
    assert_eq!((counts.sent.load(Relaxed), counts.acked.load(Relaxed)), (1_000, 0));
}

#[test]
fn a_clocked_message_is_due_by_its_event_time_over_the_speed() {
    let origin = Instant::now();
    let pace = Pace::Clock { origin_at_ms: 10_000, origin, speed: 4.0 };
    assert_eq!(pace.due(18_000), Some(origin + Duration::from_secs(2)));
    assert_eq!(pace.due(9_000), Some(origin), "what is overdue is due at once");
}
