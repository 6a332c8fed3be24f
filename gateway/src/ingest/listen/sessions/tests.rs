use super::*;
use crate::clock::Stamp;
use crate::queue::{Door, Flags};

const SECOND: Duration = Duration::from_secs(1);

fn kept(expiry_s: u32) -> Kept {
    Kept { expiry_s, ..Kept::default() }
}

fn will(payload: &'static str) -> Record {
    Record {
        door: Door::Listen,
        flags: Flags::default(),
        received: Stamp::default(),
        topic: "t".into(),
        payload: payload.into(),
        content_type: Default::default(),
        table: bytes::Bytes::new(),
    }
}

fn sessions(away_max: usize) -> Arc<Sessions> {
    Arc::new(Sessions::new(away_max, Vec::new(), Instant::now()))
}

fn meters() -> Meters {
    Meters::new(crate::metrics::Ingest::default(), Door::Listen)
}

async fn seat(sessions: &Arc<Sessions>, id: &str, epoch: u64) -> Seat {
    sessions.seat(id.into(), Epoch(epoch), &meters()).await
}

/// Connects and leaves at `now`.
async fn visit(sessions: &Arc<Sessions>, id: &str, rest: Rest, now: Instant) {
    seat(sessions, id, 1).await.leave(rest, now);
}

fn swept(sessions: &Sessions, now: Instant) -> (Vec<String>, Vec<&'static str>) {
    let due = sessions.sweep(|will| will, now);
    let ended = due.state.iter().map(|(name, value)| {
        assert_eq!(*value, None);
        name.clone()
    });
    let payloads = due.raw.iter().map(|r| if r.payload == "late" { "late" } else { "?" });
    (ended.collect(), payloads.collect())
}

#[tokio::test]
async fn what_a_client_leaves_is_there_when_it_comes_back() {
    let (sessions, now) = (sessions(10), Instant::now());
    let mut rest = kept(60);
    rest.filters.push("gateway/#".into());
    visit(&sessions, "a", Rest { kept: Some(rest.clone()), late_will: None }, now).await;
    assert_eq!(seat(&sessions, "a", 2).await.take_kept(), Some(rest));
    assert_eq!(seat(&sessions, "a", 3).await.take_kept(), None, "whoever took it has it");
}

#[tokio::test]
async fn a_session_ends_durably_when_its_time_has_come_and_not_before() {
    let (sessions, now) = (sessions(10), Instant::now());
    visit(&sessions, "short", Rest { kept: Some(kept(60)), late_will: None }, now).await;
    visit(&sessions, "for-ever", Rest { kept: Some(kept(u32::MAX)), late_will: None }, now).await;
    assert_eq!(swept(&sessions, now + 59 * SECOND), (vec![], vec![]));
    assert_eq!(swept(&sessions, now + 60 * SECOND), (vec!["listen/short".into()], vec![]));
    assert_eq!(swept(&sessions, now + 1_000_000 * SECOND), (vec![], vec![]));
    assert_eq!(sessions.kept(), 1);
}

#[tokio::test]
async fn beyond_the_limit_the_one_away_for_longest_is_forgotten() {
    let (sessions, now) = (sessions(2), Instant::now());
    for (i, id) in ["a", "b", "c"].into_iter().enumerate() {
        visit(&sessions, id, Rest { kept: Some(kept(600)), late_will: None }, now + i as u32 * SECOND).await;
    }
    assert_eq!(swept(&sessions, now + 3 * SECOND), (vec!["listen/a".into()], vec![]));
}

#[tokio::test]
async fn a_delayed_will_is_said_when_it_is_due_or_with_the_end_of_its_session() {
    let (sessions, now) = (sessions(10), Instant::now());
    let late = |delay| Some((will("late"), delay * SECOND));
    visit(&sessions, "waits", Rest { kept: Some(kept(600)), late_will: late(30) }, now).await;
    visit(&sessions, "ends", Rest { kept: Some(kept(10)), late_will: late(30) }, now).await;
    assert_eq!(swept(&sessions, now + 10 * SECOND), (vec!["listen/ends".into()], vec!["late"]));
    assert_eq!(swept(&sessions, now + 30 * SECOND), (vec![], vec!["late"]));
    assert_eq!(swept(&sessions, now + 31 * SECOND), (vec![], vec![]), "once");
}

#[tokio::test]
async fn a_client_that_is_back_in_time_takes_its_will_back() {
    let (sessions, now) = (sessions(10), Instant::now());
    let rest = Rest { kept: Some(kept(600)), late_will: Some((will("late"), 30 * SECOND)) };
    visit(&sessions, "a", rest, now).await;
    let back = seat(&sessions, "a", 2).await;
    back.take_kept();
    assert_eq!(swept(&sessions, now + 30 * SECOND), (vec![], vec![]));
}

#[tokio::test]
async fn a_new_connection_waits_until_the_old_one_has_handed_over() {
    let (sessions, now) = (sessions(10), Instant::now());
    let mut old = seat(&sessions, "a", 1).await;
    let new = tokio::spawn({
        let sessions = sessions.clone();
        async move { seat(&sessions, "a", 2).await.take_kept() }
    });
    old.wanted().await;
    assert!(!new.is_finished());
    old.leave(Rest { kept: Some(kept(60)), late_will: None }, now);
    assert_eq!(new.await.unwrap(), Some(kept(60)));
}

#[tokio::test]
async fn what_was_kept_before_the_start_is_there() {
    let before = vec![("a".to_owned(), kept(60))];
    let sessions = Arc::new(Sessions::new(10, before, Instant::now()));
    assert_eq!(seat(&sessions, "a", 1).await.take_kept(), Some(kept(60)));
}
