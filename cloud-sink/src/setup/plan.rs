//! From what is wanted and what is there to steps. Pure.
//!
//! # Invariants
//! - No step deletes anything: no topic, no partition, no bucket, no point. A retention is only made shorter when that
//!   was asked for by name, because Kafka and InfluxDB then delete what is older.
//! - The plan of a state that has been brought about is empty.

use std::fmt;

use super::state::{Bucket, Dashboard, Kept, State, Task, Topic};

/// Kafka's name of a topic's retention.
pub(super) const RETENTION_MS: &str = "retention.ms";

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    CreateTopic { name: String, topic: Topic },
    AddPartitions { topic: String, from: u32, to: u32 },
    SetTopic { topic: String, key: String, from: Option<String>, to: String },
    CreateBucket { name: String, kept: Kept },
    SetRetention { bucket: String, id: String, from: Kept, to: Kept },
    CreateTask { name: String, flux: String },
    SetScript { task: String, id: String, flux: String },
    Activate { task: String, id: String },
    WriteFile { path: String, text: String, is_new: bool },
    PutDashboard { uid: String, dashboard: Dashboard, is_new: bool },
}

/// Drift that setup does not mend by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    FewerPartitions { topic: String, is: u32, wanted: u32 },
    Replication { topic: String, is: u32, wanted: u32 },
    ShorterTopic { topic: String, is_ms: String, wanted_ms: String },
    ShorterBucket { bucket: String, is: Kept, wanted: Kept },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub left: Vec<Left>,
}

impl Plan {
    /// `shorten`: retentions may become shorter, too.
    pub fn new(wanted: &State, found: &State, shorten: bool) -> Self {
        let mut plan = Self::default();
        for (name, topic) in &wanted.topics {
            plan.topic(name, topic, found.topics.get(name), shorten);
        }
        for (name, bucket) in &wanted.buckets {
            plan.bucket(name, bucket, found.buckets.get(name), shorten);
        }
        // After the buckets: InfluxDB refuses a task whose buckets it does not know.
        for (name, task) in &wanted.tasks {
            plan.task(name, task, found.tasks.get(name));
        }
        for (path, text) in &wanted.files {
            let there = found.files.get(path);
            if there != Some(text) {
                let (path, text) = (path.clone(), text.clone());
                plan.steps.push(Step::WriteFile { path, text, is_new: there.is_none() });
            }
        }
        for (uid, dashboard) in &wanted.dashboards {
            let there = found.dashboards.get(uid);
            if there != Some(dashboard) {
                let (uid, dashboard) = (uid.clone(), dashboard.clone());
                plan.steps.push(Step::PutDashboard { uid, dashboard, is_new: there.is_none() });
            }
        }
        plan
    }

    fn topic(&mut self, name: &str, wanted: &Topic, found: Option<&Topic>, shorten: bool) {
        let Some(found) = found else {
            return self.steps.push(Step::CreateTopic { name: name.to_owned(), topic: wanted.clone() });
        };
        let topic = name.to_owned();
        match found.partitions.cmp(&wanted.partitions) {
            std::cmp::Ordering::Less => self.steps.push(Step::AddPartitions {
                topic: topic.clone(),
                from: found.partitions,
                to: wanted.partitions,
            }),
            std::cmp::Ordering::Greater => self.left.push(Left::FewerPartitions {
                topic: topic.clone(),
                is: found.partitions,
                wanted: wanted.partitions,
            }),
            std::cmp::Ordering::Equal => {}
        }
        if let (Some(wanted), Some(is)) = (wanted.replication, found.replication)
            && wanted != is
        {
            self.left.push(Left::Replication { topic: topic.clone(), is, wanted });
        }
        for (key, value) in &wanted.settings {
            let is = found.settings.get(key);
            if is == Some(value) {
                continue;
            }
            match is {
                Some(is) if key == RETENTION_MS && !shorten && is_longer(is, value) => {
                    let (is_ms, wanted_ms) = (is.clone(), value.clone());
                    self.left.push(Left::ShorterTopic { topic: topic.clone(), is_ms, wanted_ms });
                }
                Some(_) | None => self.steps.push(Step::SetTopic {
                    topic: topic.clone(),
                    key: key.clone(),
                    from: is.cloned(),
                    to: value.clone(),
                }),
            }
        }
    }

    fn bucket(&mut self, name: &str, wanted: &Bucket, found: Option<&Bucket>, shorten: bool) {
        let bucket = name.to_owned();
        let (to, Some(found)) = (wanted.kept, found) else {
            return self.steps.push(Step::CreateBucket { name: bucket, kept: wanted.kept });
        };
        if to > found.kept || (to < found.kept && shorten) {
            self.steps.push(Step::SetRetention { bucket, id: found.id.clone(), from: found.kept, to });
        } else if to < found.kept {
            self.left.push(Left::ShorterBucket { bucket, is: found.kept, wanted: to });
        }
    }

    fn task(&mut self, name: &str, wanted: &Task, found: Option<&Task>) {
        let (task, flux) = (name.to_owned(), wanted.flux.clone());
        let Some(found) = found else {
            return self.steps.push(Step::CreateTask { name: task, flux });
        };
        if found.flux.trim() != wanted.flux.trim() {
            self.steps.push(Step::SetScript { task: task.clone(), id: found.id.clone(), flux });
        }
        if !found.active {
            self.steps.push(Step::Activate { task, id: found.id.clone() });
        }
    }
}

/// Kafka's milliseconds: -1 is for ever. What is no number is taken for shorter: it is replaced.
fn is_longer(is: &str, wanted: &str) -> bool {
    let ms = |text: &str| text.parse::<i64>().ok().map(|ms| if ms < 0 { i64::MAX } else { ms });
    ms(is) > ms(wanted)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTopic { name, topic } => {
                write!(f, "topic {name}: is missing: create it, {} partitions", topic.partitions)?;
                topic.settings.iter().try_for_each(|(key, value)| write!(f, ", {key} {value}"))
            }
            Self::AddPartitions { topic, from, to } => write!(
                f,
                "topic {topic}: partitions are {from}, wanted {to}: add {} (devices change partitions: for a moment \
                 records of one device may be read out of order)",
                to - from
            ),
            Self::SetTopic { topic, key, from: Some(from), to } => {
                write!(f, "topic {topic}: {key} is {from}, wanted {to}: change")
            }
            Self::SetTopic { topic, key, from: None, to } => {
                write!(f, "topic {topic}: {key} is not set, wanted {to}: set")
            }
            Self::CreateBucket { name, kept } => write!(f, "bucket {name}: is missing: create it, points stay {kept}"),
            Self::SetRetention { bucket, from, to, .. } => {
                write!(f, "bucket {bucket}: points stay {from}, wanted {to}: change")
            }
            Self::CreateTask { name, .. } => write!(f, "task {name}: is missing: create it"),
            Self::SetScript { task, .. } => write!(f, "task {task}: its script differs: replace"),
            Self::Activate { task, .. } => write!(f, "task {task}: is not active: activate"),
            Self::WriteFile { path, is_new: true, .. } => write!(f, "file {path}: is missing: write"),
            Self::WriteFile { path, is_new: false, .. } => write!(f, "file {path}: differs: replace"),
            Self::PutDashboard { dashboard, is_new: true, .. } => {
                write!(f, "dashboard {}: is missing: create it", dashboard.title)
            }
            Self::PutDashboard { dashboard, is_new: false, .. } => {
                write!(f, "dashboard {}: differs: replace", dashboard.title)
            }
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewerPartitions { topic, is, wanted } => {
                write!(f, "topic {topic}: partitions are {is}, wanted {wanted}: left, Kafka cannot take any away")
            }
            Self::Replication { topic, is, wanted } => write!(
                f,
                "topic {topic}: replication is {is}, wanted {wanted}: left; kafka-reassign-partitions.sh changes it"
            ),
            Self::ShorterTopic { topic, is_ms, wanted_ms } => write!(
                f,
                "topic {topic}: {RETENTION_MS} is {is_ms}, wanted {wanted_ms}: left, less would delete records; \
                 --shorten does it"
            ),
            Self::ShorterBucket { bucket, is, wanted } => write!(
                f,
                "bucket {bucket}: points stay {is}, wanted {wanted}: left, less would delete points; --shorten does it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(partitions: u32, retention_ms: i64) -> Topic {
        let settings =
            [("cleanup.policy".to_owned(), "delete".to_owned()), (RETENTION_MS.into(), retention_ms.to_string())];
        Topic { partitions, replication: Some(3), settings: settings.into() }
    }

    fn bucket(secs: u64) -> Bucket {
        Bucket { id: "b1".into(), kept: Kept::of_secs(secs) }
    }

    fn task(flux: &str, active: bool) -> Task {
        Task { id: "t1".into(), flux: flux.into(), active }
    }

    fn dashboard(title: &str) -> Dashboard {
        Dashboard { title: title.into(), json: serde_json::json!({ "title": title }) }
    }

    fn state() -> State {
        State {
            topics: [("s.raw".into(), topic(12, 604_800_000))].into(),
            buckets: [("s".into(), bucket(86_400))].into(),
            tasks: [("s to s_1m".into(), task("from()", true))].into(),
            files: [("dashboards/a.json".into(), "{}".into())].into(),
            dashboards: [("a".into(), dashboard("A"))].into(),
        }
    }

    /// What the plan says, step by step, then what it leaves.
    fn said(found: &State, shorten: bool) -> Vec<String> {
        let plan = Plan::new(&state(), found, shorten);
        plan.steps.iter().map(ToString::to_string).chain(plan.left.iter().map(ToString::to_string)).collect()
    }

    fn changed(change: impl FnOnce(&mut State)) -> State {
        let mut found = state();
        change(&mut found);
        found
    }

    #[test]
    fn nothing_is_to_be_done_where_everything_is_as_wanted() {
        assert_eq!(Plan::new(&state(), &state(), false), Plan::default());
        assert_eq!(Plan::new(&state(), &state(), true), Plan::default());
    }

    #[test]
    fn all_that_is_missing_is_made_and_buckets_before_the_tasks_that_write_to_them() {
        assert_eq!(
            said(&State::default(), false),
            [
                "topic s.raw: is missing: create it, 12 partitions, cleanup.policy delete, retention.ms 604800000",
                "bucket s: is missing: create it, points stay 1 d",
                "task s to s_1m: is missing: create it",
                "file dashboards/a.json: is missing: write",
                "dashboard A: is missing: create it",
            ]
        );
    }

    #[test]
    fn what_is_not_looked_after_is_left_alone() {
        let found = changed(|s| {
            s.topics.insert("other".into(), topic(1, 1));
            s.buckets.insert("other".into(), bucket(1));
            s.tasks.insert("other".into(), task("", false));
            if let Some(t) = s.topics.get_mut("s.raw") {
                t.settings.insert("max.message.bytes".into(), "9".into());
            }
        });
        assert_eq!(said(&found, true), [""; 0]);
    }

    #[test]
    fn each_drift_is_told_with_what_is_and_what_is_wanted() {
        let found = changed(|s| {
            s.topics.insert(
                "s.raw".into(),
                Topic { settings: [(RETENTION_MS.into(), "86400000".into())].into(), ..topic(3, 0) },
            );
            s.buckets.insert("s".into(), bucket(3_600));
            s.tasks.insert("s to s_1m".into(), task("from", false));
            s.files.insert("dashboards/a.json".into(), "[]".into());
            s.dashboards.insert("a".into(), dashboard("B"));
        });
        assert_eq!(
            said(&found, false),
            [
                "topic s.raw: partitions are 3, wanted 12: add 9 (devices change partitions: for a moment records of \
                 one device may be read out of order)",
                "topic s.raw: cleanup.policy is not set, wanted delete: set",
                "topic s.raw: retention.ms is 86400000, wanted 604800000: change",
                "bucket s: points stay 3600 s, wanted 1 d: change",
                "task s to s_1m: its script differs: replace",
                "task s to s_1m: is not active: activate",
                "file dashboards/a.json: differs: replace",
                "dashboard A: differs: replace",
            ]
        );
    }

    #[test]
    fn nothing_is_taken_away_unless_shorter_retentions_were_asked_for() {
        let found = changed(|s| {
            s.topics.insert("s.raw".into(), Topic { replication: Some(1), ..topic(24, -1) });
            s.buckets.insert("s".into(), bucket(0));
        });
        let left = [
            "topic s.raw: partitions are 24, wanted 12: left, Kafka cannot take any away",
            "topic s.raw: replication is 1, wanted 3: left; kafka-reassign-partitions.sh changes it",
            "topic s.raw: retention.ms is -1, wanted 604800000: left, less would delete records; --shorten does it",
            "bucket s: points stay for ever, wanted 1 d: left, less would delete points; --shorten does it",
        ];
        assert_eq!(said(&found, false), left);
        assert_eq!(
            said(&found, true),
            [
                "topic s.raw: retention.ms is -1, wanted 604800000: change",
                "bucket s: points stay for ever, wanted 1 d: change",
                left[0],
                left[1],
            ]
        );
    }

    #[test]
    fn the_brokers_default_replication_is_no_drift() {
        let mut wanted = state();
        wanted.topics.insert("s.raw".into(), Topic { replication: None, ..topic(12, 604_800_000) });
        assert_eq!(Plan::new(&wanted, &state(), false), Plan::default());
    }

    #[test]
    fn forever_is_longer_than_any_time() {
        assert!(Kept::Always > Kept::of_secs(u64::MAX));
        assert!(is_longer("-1", "9223372036854775806"));
        assert!(!is_longer("86400000", "-1"));
        assert!(!is_longer("many", "1"));
    }
}
