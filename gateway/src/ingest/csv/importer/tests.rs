use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::metrics::Metrics;
use crate::queue::{Log, Queue, QueueSeq, Reader};
use crate::shutdown;

/// A queue in a directory with an importer on it: one run of a gateway.
struct Run {
    importer: Importer,
    reader: Reader,
    metrics: Metrics,
    queue: Queue,
}

impl Run {
    fn start(dir: &Path) -> Self {
        let metrics = Metrics::default();
        let config =
            queue::Config { absent_grace: Duration::from_secs(3_600), ..queue::Config::new(dir.join("queue")) };
        let queue = Queue::open(&config, metrics.queue.clone()).unwrap();
        let reader = queue.reader("sink");
        let (ingest, imports) = (metrics.ingest.clone(), metrics.imports.clone());
        let importer = Importer::open(queue.appender(), &queue.monitor(), Clock::system(), ingest, imports).unwrap();
        Self { importer, reader, metrics, queue }
    }

    async fn import(&self, path: &Path) -> Result<Report, Failure> {
        let (_trigger, stop) = shutdown::channel();
        self.importer.import(&self.job(path), &stop).await
    }

    fn job(&self, path: &Path) -> Job {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let id = ImportId::random();
        self.importer.board().add(id, &file, "folder", 0);
        Job { id, path: path.to_owned(), file, mapping: Arc::default() }
    }

    /// Payloads of all records, in order.
    fn records(&self) -> Vec<String> {
        let (mut at, mut payloads) = (QueueSeq(0), Vec::new());
        while let Some(block) = self.reader.read(Log::Raw, at).unwrap() {
            payloads.extend(
                block.records_from(at).map(|(_, record)| String::from_utf8_lossy(&record.payload).into_owned()),
            );
            at = block.end();
        }
        payloads
    }

    fn files(&self, outcome: &'static str) -> u64 {
        self.metrics.imports.files.get_or_create_owned(&OutcomeLabel { outcome }).get()
    }
}

/// `ts,a` with one row a second, but for these lines.
fn file(dir: &Path, rows: u64, bad_lines: &[u64]) -> PathBuf {
    let mut text = "ts,a\n".to_owned();
    for n in 0..rows {
        let is_bad = bad_lines.contains(&(n + 2));
        text.push_str(&if is_bad { "?\n".to_owned() } else { format!("{},{n}\n", 1_772_366_400 + n) });
    }
    let path = dir.join("motor-1.csv");
    fs::write(&path, text).unwrap();
    path
}

/// What the queue must hold of `file`.
fn expected(rows: u64) -> Vec<String> {
    (0..rows).map(|n| format!("{{\"ts\":{},\"a\":{n}}}", (1_772_366_400 + n) * 1_000_000)).collect()
}

#[tokio::test]
async fn of_ten_thousand_rows_with_one_bad_all_others_are_stored_and_it_is_told_by_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), 10_000, &[7_001]);
    let run = Run::start(dir.path());
    let report = run.import(&path).await.unwrap();
    assert_eq!((report.rows, report.stored, report.rejected), (10_000, 9_999, 1));
    assert_eq!(report.errors.len(), 1);
    assert_eq!((report.errors[0].line, report.errors[0].reason.as_str()), (7_001, "1 columns instead of 2"));
    assert_eq!(run.records().len(), 9_999);
    let door = DoorLabel { door: "csv" };
    assert_eq!(run.metrics.ingest.messages.get_or_create_owned(&door).get(), 9_999);
    let refused = DoorReason { door: "csv", reason: "columns" };
    assert_eq!(run.metrics.ingest.refused.get_or_create_owned(&refused).get(), 1);
    assert_eq!(run.metrics.imports.bytes.get() + "ts,a\n".len() as u64, report.bytes);
}

#[tokio::test]
async fn the_same_file_again_adds_nothing_under_any_name_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    fs::write(&path, "ts,device,a\n1772366400,m,1\n1772366401,m,2\n").unwrap();
    let run = Run::start(dir.path());
    assert_eq!(run.import(&path).await.unwrap().stored, 2);
    let other = dir.path().join("b.csv");
    fs::copy(&path, &other).unwrap();
    let again = run.import(&other).await.unwrap();
    assert!(again.already_imported && again.stored == 0);
    run.queue.close().unwrap();
    let run = Run::start(dir.path());
    assert!(run.import(&path).await.unwrap().already_imported);
    assert_eq!(run.records().len(), 2);
    assert_eq!((run.files("already_imported"), run.files("imported")), (1, 0));
}

#[tokio::test]
async fn files_that_name_their_device_are_two_though_their_bytes_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (file(dir.path(), 3, &[]), dir.path().join("motor-2.csv"));
    fs::copy(&one, &two).unwrap();
    let run = Run::start(dir.path());
    for path in [one, two] {
        assert_eq!(run.import(&path).await.unwrap().stored, 3);
    }
}

#[tokio::test]
async fn an_import_that_dies_between_any_two_batches_goes_on_without_losing_or_repeating_a_row() {
    let dir = tempfile::tempdir().unwrap();
    let rows = 20_000;
    let path = file(dir.path(), rows, &[]);
    let mut deaths = 0;
    loop {
        let mut run = Run::start(dir.path());
        let durable = run.reader.end(Log::Raw);
        // Dies as soon as one batch more is durable; others may be on their way.
        let one_more = async {
            while run.reader.end(Log::Raw) == durable {
                run.reader.changed().await.unwrap();
            }
        };
        let (_trigger, stop) = shutdown::channel();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let job = Job { id: ImportId::random(), path: path.clone(), file, mapping: Arc::default() };
        let report = tokio::select! {
            biased;
            () = one_more => None,
            outcome = run.importer.import(&job, &stop) => Some(outcome.unwrap()),
        };
        drop(run.importer);
        run.queue.close().unwrap();
        match report {
            None => deaths += 1,
            Some(report) => {
                // The last batch may have become durable just before a death.
                assert!(report.already_imported || (report.rows, report.stored) == (rows, rows), "{report:?}");
                break;
            }
        }
        assert!(deaths < 100, "each run brings the import further");
    }
    assert!(deaths >= 3, "{deaths}");
    let run = Run::start(dir.path());
    assert_eq!(run.records(), expected(rows));
    assert!(run.import(&path).await.unwrap().already_imported);
}

#[tokio::test]
async fn a_file_that_two_bring_at_the_same_time_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), 10_000, &[]);
    let run = Run::start(dir.path());
    let (one, two) = tokio::join!(run.import(&path), run.import(&path));
    let stored = [one.unwrap(), two.unwrap()].map(|report| report.stored);
    assert_eq!(stored.iter().sum::<u64>(), 10_000);
    assert_eq!(run.records(), expected(10_000));
}

#[tokio::test]
async fn a_stop_ends_an_import_and_the_next_start_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), 10_000, &[]);
    let run = Run::start(dir.path());
    let (trigger, stop) = shutdown::channel();
    trigger.stop();
    assert!(matches!(run.importer.import(&run.job(&path), &stop).await, Err(Failure::Stopped)));
    run.queue.close().unwrap();
    let run = Run::start(dir.path());
    assert_eq!(run.import(&path).await.unwrap().rows, 10_000);
    assert_eq!(run.records(), expected(10_000));
}

#[tokio::test]
async fn what_cannot_be_imported_is_refused_before_any_row_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::start(dir.path());
    let mut latin_1 = "ts,a\n".to_owned().into_bytes();
    (0..10_000).for_each(|n| latin_1.extend(format!("{},{n}\n", 1_772_366_400 + n).bytes()));
    latin_1.extend(b"1772366400,\xB0\n");
    for (name, bytes, reason) in [
        ("empty.csv", &b""[..], "no line with columns"),
        ("timeless.csv", b"a,b\n1,2\n", "which column has the time"),
        ("latin1.csv", &latin_1, "line 10002 has the byte 0xb0"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let failure = run.import(&path).await.unwrap_err();
        assert!(failure.to_string().contains(reason), "{failure}");
    }
    assert!(matches!(run.import(&dir.path().join("none.csv")).await, Err(Failure::Unreadable(_))));
    assert!(matches!(run.import(dir.path()).await, Err(Failure::Unreadable(_))));
    assert_eq!((run.records().len(), run.files("refused"), run.files("unreadable")), (0, 3, 2));
}

#[tokio::test]
async fn progress_ends_with_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::start(dir.path());
    let job = run.job(&file(dir.path(), 5, &[]));
    let (_trigger, stop) = shutdown::channel();
    let report = run.importer.import(&job, &stop).await.unwrap();
    let snapshot = run.importer.board().get(job.id, Instant::now()).unwrap();
    assert_eq!((snapshot.state, snapshot.rows, snapshot.report), ("done", 5, Some(report)));
}
