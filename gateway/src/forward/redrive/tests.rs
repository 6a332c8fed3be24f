use std::path::Path;
use std::sync::{Arc, Mutex};

use firmware_protocol::decode::{Decoder, Route};
use firmware_protocol::measurement::{EventTime, Received};

use super::*;
use crate::clock::SharedClockMap;
use crate::forward::quarantine::Quarantine;
use crate::forward::testing::{labels, record};
use crate::forward::{FileFormat, Times};
use crate::queue::Record;
use crate::shutdown;

const NOON: EventTime = EventTime(1_795_262_400_000_000_000);

fn route(topic: &str, version: u32) -> Route {
    Route { id: "plant".into(), topic: topic.into(), version, ..Route::default() }
}

fn encoding(route: Route) -> Encoding {
    let decoder = Arc::new(Decoder::new(vec![route]).unwrap());
    Encoding { labels: labels(), decoder, clock: SharedClockMap::default(), future_max: Duration::from_secs(3_600) }
}

/// Puts records of `plant/pump` aside that nothing could read, at noon, under a decoder of this version.
async fn set_aside(dir: &Path, version: u32, payloads: &[(u64, &str)]) {
    let record = |payload: &str| record("plant/pump", payload.as_bytes());
    let stamp = record("").received;
    let encoding = encoding(route("plant/{device}", version));
    *encoding.clock.write() = ClockMap::of(stamp, Received::known(NOON));
    let mut quarantine = Quarantine::open(dir, "archive", encoding.decoder, encoding.clock).unwrap();
    for (seq, payload) in payloads {
        let why = Undeliverable { reason: "json", detail: "of old".into() };
        quarantine.keep(Log::Raw, QueueSeq(*seq), &record(payload), &why);
    }
    quarantine.flush().await.unwrap();
}

fn file_sink(dir: &Path) -> SinkConfig {
    SinkConfig::File(FileConfig {
        name: "archive".into(),
        dir: dir.join("out"),
        format: FileFormat::LineProtocol,
        rotate_bytes: 1 << 20,
        files_max: 3,
        delivery: DeliveryConfig::default(),
    })
}

async fn run(dir: &Path, route: Route, reason: Option<&str>) -> Outcome {
    let mut outcome = Outcome::default();
    let (_trigger, stop) = shutdown::channel();
    let shelf = Shelf::new(dir, "archive");
    redrive(&file_sink(dir), &encoding(route), &shelf, reason, stop, &mut outcome).await.unwrap();
    outcome
}

/// Places and reasons of what is in the quarantine.
fn kept(dir: &Path) -> Vec<(String, String)> {
    let shelf = Shelf::new(dir, "archive");
    let files = shelf.files().unwrap().into_iter().map(|path| std::fs::read(path).unwrap());
    let lines = files.flat_map(|f| f.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>());
    lines.filter(|l| !l.is_empty()).map(|l| Line::parse(&l).unwrap()).map(|l| (l.place(), l.reason)).collect()
}

#[tokio::test]
async fn what_can_be_decoded_now_goes_out_as_it_would_have_and_the_rest_stays_with_its_new_reason() {
    let dir = tempfile::tempdir().unwrap();
    set_aside(dir.path(), 1, &[(5, "21.5"), (6, "{\"x\":"), (7, "{\"x\":\"high\"}"), (5, "21.5")]).await;
    let outcome = run(dir.path(), route("plant/{device}", 1), None).await;
    let failed = BTreeMap::from([("json".to_owned(), 1), ("no_readings".to_owned(), 1)]);
    assert_eq!(outcome, Outcome { sent: 1, repeated: 1, failed, ..Outcome::default() });
    // Received at noon, told apart by the sequence that it had.
    let text = std::fs::read_to_string(dir.path().join("out/archive-redriven-00000001.lp.part")).unwrap();
    assert_eq!(text, format!("sensor,device=pump,gateway=edge-1 value=21.5 {}\n", NOON.0 + 5));
    let stays = [("raw/6".to_owned(), "json".to_owned()), ("raw/7".to_owned(), "no_readings".to_owned())];
    assert_eq!(kept(dir.path()), stays);
    assert_eq!(run(dir.path(), route("plant/{device}", 1), None).await.sent, 0, "once");
}

#[tokio::test]
async fn an_earlier_version_of_the_decoder_leaves_the_record_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    set_aside(dir.path(), 2, &[(5, "21.5")]).await;
    let outcome = run(dir.path(), route("plant/{device}", 1), None).await;
    assert_eq!(outcome.failed, BTreeMap::from([("decoder_version".to_owned(), 1)]));
    assert_eq!(run(dir.path(), route("plant/{device}", 3), None).await.sent, 1);
    assert!(kept(dir.path()).is_empty());
}

#[tokio::test]
async fn other_reasons_than_the_one_asked_for_are_left_alone_and_so_is_what_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    set_aside(dir.path(), 1, &[(5, "21.5")]).await;
    let outcome = run(dir.path(), route("plant/{device}", 1), Some("no_route")).await;
    assert_eq!(outcome, Outcome { passed_over: 1, ..Outcome::default() });
    let file = Shelf::new(dir.path(), "archive").complete().unwrap().remove(0);
    let text = [std::fs::read(&file).unwrap(), b"nonsense\n".to_vec()].concat();
    std::fs::write(&file, text).unwrap();
    let outcome = run(dir.path(), route("plant/{device}", 1), None).await;
    assert_eq!(outcome, Outcome { sent: 1, unreadable: 1, ..Outcome::default() });
    assert_eq!(std::fs::read(&file).unwrap(), b"nonsense\n");
}

/// Batches of sequences; refuses those with a multiple of 7, and is away from the `up_to`-th batch on.
struct Picky {
    taken: Arc<Mutex<Vec<u64>>>,
    up_to: usize,
}

#[derive(Default)]
struct Sequences(Vec<u64>);

impl Encoder for Sequences {
    type Batch = Vec<u64>;

    fn push(&mut self, _: Log, seq: QueueSeq, _: &Record) -> Result<Times, Undeliverable> {
        self.0.push(seq.0);
        Ok(Times::default())
    }

    fn pending_bytes(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self) -> Option<Vec<u64>> {
        (!self.0.is_empty()).then(|| std::mem::take(&mut self.0))
    }
}

impl Sink for Picky {
    type Batch = Vec<u64>;

    fn wire_bytes(batch: &Vec<u64>) -> u64 {
        batch.len() as u64
    }

    async fn send(&self, batch: &Vec<u64>) -> Result<(), SinkError> {
        let mut taken = self.taken.lock().unwrap();
        if taken.len() >= self.up_to {
            return Err(SinkError::Retry { reason: "away".into(), after: None });
        }
        if batch.iter().any(|seq| seq % 7 == 0) {
            return Err(SinkError::Reject { reason: "a multiple of 7".into() });
        }
        taken.extend(batch);
        Ok(())
    }
}

/// Re-drives 1 to 20 in batches of 8.
async fn picky(dir: &Path, up_to: usize) -> (Vec<u64>, Outcome, Result<(), RedriveError>) {
    let payloads: Vec<(u64, &str)> = (1..=20).map(|seq| (seq, "1")).collect();
    set_aside(dir, 1, &payloads).await;
    let shelf = Shelf::new(dir, "archive");
    shelf.complete_part().unwrap();
    let files = shelf.complete().unwrap();
    let (mut outcome, taken) = (Outcome::default(), Arc::new(Mutex::new(Vec::new())));
    let (_trigger, stop) = shutdown::channel();
    let encoding = encoding(route("plant/{device}", 1));
    let work = Work { name: "archive".into(), encoding, reason: None, stop, outcome: &mut outcome };
    let delivery = DeliveryConfig { batch_records_max: 8, ..DeliveryConfig::default() };
    let sink = Picky { taken: taken.clone(), up_to };
    let redrive = Redrive { work, encoder: Sequences::default(), sink, delivery, seen: HashSet::new() };
    let ended = redrive.run(Files { shelf: &shelf, files }).await;
    let taken = taken.lock().unwrap().clone();
    (taken, outcome, ended)
}

#[tokio::test]
async fn the_records_that_the_sink_refuses_are_found_and_all_others_go_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (taken, outcome, ended) = picky(dir.path(), usize::MAX).await;
    ended.unwrap();
    assert_eq!(taken, (1..=20).filter(|seq| seq % 7 != 0).collect::<Vec<u64>>());
    assert_eq!((outcome.sent, outcome.failed.get("rejected")), (18, Some(&2)));
    let rejected = |place: &str| (place.to_owned(), "rejected".to_owned());
    assert_eq!(kept(dir.path()), [rejected("raw/7"), rejected("raw/14")]);
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_that_went_away_did_not_confirm_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (taken, outcome, ended) = picky(dir.path(), 6).await;
    assert!(matches!(ended, Err(RedriveError::Away { .. })), "{ended:?}");
    assert_eq!((taken, outcome), (vec![1, 2, 3, 4, 5, 6], Outcome { sent: 6, ..Outcome::default() }));
    let as_it_was: Vec<_> = (7..=20).map(|seq| (format!("raw/{seq}"), "json".to_owned())).collect();
    assert_eq!(kept(dir.path()), as_it_was);
}

#[tokio::test]
async fn a_second_re_drive_of_the_same_quarantine_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    set_aside(dir.path(), 1, &[(5, "21.5")]).await;
    let shelf = Shelf::new(dir.path(), "archive");
    shelf.complete_part().unwrap();
    let _held = shelf.hold(&shelf.complete().unwrap()[0]).unwrap();
    let (_trigger, stop) = shutdown::channel();
    let encoding = encoding(route("plant/{device}", 1));
    let mut outcome = Outcome::default();
    let ended = redrive(&file_sink(dir.path()), &encoding, &shelf, None, stop, &mut outcome).await;
    assert!(matches!(ended, Err(RedriveError::Busy { .. })), "{ended:?}");
    assert_eq!(outcome, Outcome::default());
}
