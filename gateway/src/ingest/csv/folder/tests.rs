use super::*;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::queue::{self, Log, Queue};
use crate::shutdown::{self, Trigger};

const SETTLE: Duration = Duration::from_secs(2);

fn state(dir: &Path, text: &str) -> Fingerprint {
    let path = dir.join("x");
    fs::write(&path, text).unwrap();
    Fingerprint::of(&fs::metadata(&path).unwrap())
}

fn files(state: Fingerprint) -> Files {
    [("b.csv".to_owned(), state), ("a.csv".to_owned(), state)].into()
}

fn names(settled: Vec<(String, Fingerprint)>) -> Vec<String> {
    settled.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_file_is_taken_once_it_has_not_changed_for_the_time_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (short, long) = (state(dir.path(), "1"), state(dir.path(), "12"));
    let (mut candidates, start) = (Candidates::default(), Instant::now());
    let mut at =
        |found: &Files, seconds| names(candidates.settled(found, start + Duration::from_secs(seconds), SETTLE));
    assert!(at(&files(short), 0).is_empty());
    assert!(at(&files(short), 1).is_empty());
    assert!(at(&files(long), 2).is_empty(), "it has grown");
    assert!(at(&files(long), 3).is_empty());
    assert_eq!(at(&files(long), 4), ["a.csv", "b.csv"]);
}

#[test]
fn a_file_that_was_tried_is_taken_again_only_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (state(dir.path(), "1"), state(dir.path(), "12"));
    let (mut candidates, now) = (Candidates::default(), Instant::now());
    assert_eq!(names(candidates.settled(&files(old), now, Duration::ZERO)), ["a.csv", "b.csv"]);
    candidates.tried("a.csv".into(), old);
    assert_eq!(names(candidates.settled(&files(old), now, Duration::ZERO)), ["b.csv"]);
    assert_eq!(names(candidates.settled(&files(new), now, Duration::ZERO)), ["a.csv", "b.csv"]);
    candidates.settled(&Files::new(), now, Duration::ZERO);
    assert!(candidates.seen.is_empty() && candidates.tried.is_empty(), "what has gone is forgotten");
}

#[test]
fn the_first_names_are_looked_at_first_and_marked_files_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..CANDIDATES_MAX + 5 {
        fs::write(dir.path().join(format!("{n:05}.csv")), "").unwrap();
    }
    for name in [".hidden.csv", "a.txt", "00001.csv.done", "00002.csv.failed"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    fs::create_dir(dir.path().join("0.csv")).unwrap();
    let file = dir.path().join("00003.csv");
    let marked = Fingerprint::of(&fs::metadata(&file).unwrap());
    marker::write(&file, marked, Verdict::Done(&Report::repeated("00003.csv", 0))).unwrap();
    let found = look(dir.path(), &Glob::default()).unwrap().files;
    assert_eq!(found.len(), CANDIDATES_MAX);
    assert!(found.contains_key("00000.csv") && found.contains_key("00001.csv") && !found.contains_key("00003.csv"));
    assert!(look(&dir.path().join("none"), &Glob::default()).is_err());
}

/// A folder that is watched.
struct Watched {
    dir: tempfile::TempDir,
    queue: Queue,
    trigger: Trigger,
    task: tokio::task::JoinHandle<Result<(), Failure>>,
}

impl Watched {
    fn start(after: After, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("in");
        fs::create_dir(&folder).unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
        let queue = Queue::open(&queue::Config::new(dir.path().join("queue")), Metrics::default().queue).unwrap();
        let m = Metrics::default();
        let importer =
            Importer::open(queue.appender(), &queue.monitor(), Clock::system(), m.ingest, m.imports).unwrap();
        let (trigger, stop) = shutdown::channel();
        let config = FolderConfig {
            dir: folder,
            pattern: Glob::default(),
            poll: Duration::from_millis(1),
            settle: Duration::ZERO,
            after,
            mapping: Mapping::default(),
        };
        let task = tokio::spawn(watch(config, importer, stop));
        Self { dir, queue, trigger, task }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("in").join(name)
    }

    /// Waits for a file with this text in it.
    async fn wait_for(&self, name: &str, part: &str) -> serde_json::Value {
        loop {
            match fs::read_to_string(self.path(name)) {
                Ok(text) if text.contains(part) => return serde_json::from_str(&text).unwrap(),
                Ok(_) | Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    async fn stop(self) -> u64 {
        self.trigger.stop();
        self.task.await.unwrap().unwrap();
        self.queue.monitor().end(Log::Raw).0
    }
}

const GOOD: &str = "ts,a\n1772366400,1\n?,2\n1772366402,3\n";

#[tokio::test]
async fn a_marker_with_the_report_says_that_a_file_is_in_and_the_file_stays() {
    let watched = Watched::start(After::Keep, &[("m.csv", GOOD)]);
    let marker = watched.wait_for("m.csv.done", "stored").await;
    assert_eq!((marker["rows"].as_u64(), marker["stored"].as_u64()), (Some(3), Some(2)));
    assert_eq!(marker["errors"][0]["line"].as_u64(), Some(3));
    assert_eq!(fs::read_to_string(watched.path("m.csv")).unwrap(), GOOD);
    assert_eq!(watched.stop().await, 2);
}

#[tokio::test]
async fn a_refused_file_is_marked_with_the_reason_and_tried_again_when_it_was_mended() {
    let watched = Watched::start(After::Keep, &[("m.csv", "a,b\n1,2\n")]);
    let marker = watched.wait_for("m.csv.failed", "error").await;
    assert!(marker["error"].as_str().unwrap().contains("time_column"), "{marker}");
    fs::write(watched.path("new"), GOOD).unwrap();
    fs::rename(watched.path("new"), watched.path("m.csv")).unwrap();
    watched.wait_for("m.csv.done", "stored").await;
    assert!(!watched.path("m.csv.failed").exists());
    assert_eq!(watched.stop().await, 2);
}

#[tokio::test]
async fn files_are_moved_or_deleted_if_that_is_asked_for() {
    let watched = Watched::start(After::Move, &[("m.csv", GOOD)]);
    watched.wait_for("m.csv.done", "stored").await;
    while watched.path("m.csv").exists() {
        tokio::task::yield_now().await;
    }
    assert_eq!(fs::read_to_string(watched.path("done/m.csv")).unwrap(), GOOD);
    assert_eq!(watched.stop().await, 2);

    let watched = Watched::start(After::Delete, &[("m.csv", GOOD)]);
    watched.wait_for("m.csv.done", "stored").await;
    while watched.path("m.csv").exists() {
        tokio::task::yield_now().await;
    }
    assert_eq!(watched.stop().await, 2);
}
