//! What one connection may do.

use std::sync::Arc;

use super::topics::Filter;
use super::users::User;

/// Topics remembered per connection; most sensors publish under one to four.
const RECENT_MAX: usize = 4;
/// Longer topics are matched each time, so that a connection's memory stays within some hundred bytes.
const RECENT_TOPIC_MAX_BYTES: usize = 128;

/// What an admitted client may do, for as long as its connection stands.
#[derive(Debug)]
pub struct Grant {
    user: Option<Arc<str>>,
    /// By a password of the users file.
    proven: Option<Arc<User>>,
    publish: Publish,
    read: Box<[Filter]>,
}

#[derive(Debug)]
enum Publish {
    All,
    Some { filters: Box<[Filter]>, recent: Recent },
}

impl Grant {
    pub(super) fn of_all(user: Option<&str>, read: Vec<Filter>, proven: Option<Arc<User>>) -> Self {
        Self { user: user.map(Arc::from), proven, publish: Publish::All, read: read.into() }
    }

    pub(super) fn of_some(
        user: Option<&str>,
        publish: Vec<Filter>,
        read: Vec<Filter>,
        proven: Option<Arc<User>>,
    ) -> Self {
        let publish = Publish::Some { filters: publish.into(), recent: Recent::default() };
        Self { user: user.map(Arc::from), proven, publish, read: read.into() }
    }

    /// For tests of doors: `None` allows every topic.
    #[cfg(any(test, fuzzing))]
    pub(in crate::ingest) fn for_tests(publish: Option<&[&str]>) -> Self {
        let filters = |texts: &[&str]| texts.iter().map(|text| Filter::new(text)).collect::<Vec<_>>();
        match publish {
            None => Self::of_all(None, filters(&["gateway/#"]), None),
            Some(publish) => Self::of_some(None, filters(publish), filters(&["gateway/#"]), None),
        }
    }

    /// Its proven name.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub fn may_publish(&mut self, topic: &[u8]) -> bool {
        match &mut self.publish {
            Publish::All => true,
            Publish::Some { filters, recent } => {
                recent.get_or(topic, || filters.iter().any(|filter| filter.allows(topic)))
            }
        }
    }

    /// Whether it may subscribe to a topic filter; to shared ones (`$share/…`) nobody may.
    pub fn may_read(&self, filter: &str) -> bool {
        self.read.iter().any(|own| own.allows(filter.as_bytes()))
    }

    /// The user is gone from the users file, or has another password: the connection should end.
    pub fn is_revoked(&self) -> bool {
        self.proven.as_ref().is_some_and(|user| user.is_revoked())
    }
}

/// What was decided about the last topics. The buffers are used again, so that it costs nothing in the long run.
#[derive(Debug, Default)]
struct Recent {
    topics: Vec<(Vec<u8>, bool)>,
    /// The one to go next.
    oldest: usize,
}

impl Recent {
    fn get_or(&mut self, topic: &[u8], decide: impl FnOnce() -> bool) -> bool {
        if let Some((_, decided)) = self.topics.iter().find(|(other, _)| other == topic) {
            return *decided;
        }
        let decided = decide();
        if topic.len() > RECENT_TOPIC_MAX_BYTES {
            return decided;
        }
        if self.topics.len() < RECENT_MAX {
            self.topics.push((topic.to_vec(), decided));
        } else {
            let (bytes, old) = &mut self.topics[self.oldest];
            bytes.clear();
            bytes.extend_from_slice(topic);
            *old = decided;
            self.oldest = (self.oldest + 1) % RECENT_MAX;
        }
        decided
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_remembered_is_what_was_decided(topics in prop::collection::vec("[ab]{1,2}", 1..40)) {
            let mut grant = Grant::of_some(None, vec![Filter::new("a"), Filter::new("bb")], Vec::new(), None);
            for topic in &topics {
                prop_assert_eq!(grant.may_publish(topic.as_bytes()), topic == "a" || topic == "bb");
            }
        }
    }

    #[test]
    fn memory_of_a_connection_is_bounded() {
        let mut recent = Recent::default();
        for n in 0..1_000_usize {
            assert!(recent.get_or("x".repeat(n).as_bytes(), || true));
        }
        assert_eq!(recent.topics.len(), RECENT_MAX);
        assert!(recent.topics.iter().all(|(topic, _)| topic.len() <= RECENT_TOPIC_MAX_BYTES));
    }
}
