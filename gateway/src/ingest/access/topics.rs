//! Topic filters as rules of access: what they allow, of topics and of other filters.
//!
//! # Invariants
//! - A filter allows exactly the topics that MQTT says it matches; wildcards at the start leave out `$…` topics.
//! - Of filters it allows only those that reach no further than itself.
//! - A name put in for `{user}` or `{client_id}` stays within one level: names with `/`, `+` or `#` get no filter.

use std::borrow::Cow;
use std::sync::Arc;

use crate::ingest::topics;

/// Stands for the name that the client has proven.
const USER: &str = "{user}";
/// Stands for the client id of its CONNECT.
const CLIENT_ID: &str = "{client_id}";

/// One topic filter, cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Arc<str>);

impl Filter {
    pub fn new(filter: &str) -> Self {
        Self(filter.into())
    }

    /// Whether it allows a topic, or a topic filter that someone wants to read.
    pub fn allows(&self, wanted: &[u8]) -> bool {
        topics::allows(self.0.as_bytes(), wanted)
    }

    /// The filter of one client; `None` if it needs a name that the client has not, or one that would reach further than
    /// its own level.
    pub(super) fn of_client(&self, user: Option<&str>, client_id: &str) -> Option<Self> {
        let mut text = Cow::Borrowed(&*self.0);
        for (placeholder, name) in [(USER, user), (CLIENT_ID, Some(client_id))] {
            if text.contains(placeholder) {
                let name = name.filter(|name| is_level(name))?;
                text = Cow::Owned(text.replace(placeholder, name));
            }
        }
        match text {
            Cow::Borrowed(_) => Some(self.clone()),
            Cow::Owned(text) => Some(Self(text.into())),
        }
    }
}

/// Braces are left out so that a name cannot bring a placeholder with it.
fn is_level(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '+', '#', '{', '}', '\0'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allows(filter: &str, wanted: &str) -> bool {
        Filter::new(filter).allows(wanted.as_bytes())
    }

    #[test]
    fn topics_are_matched_as_the_standard_says() {
        for (filter, topic) in [
            ("a/b", "a/b"),
            ("#", "a/b"),
            ("a/#", "a"),
            ("a/#", "a/b/c"),
            ("+/b", "a/b"),
            ("+/+", "/b"),
            ("a/+", "a/"),
            ("$SYS/#", "$SYS/x"),
            ("a/$b/+", "a/$b/c"),
        ] {
            assert!(allows(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in
            [("a", "a/b"), ("a/b", "a"), ("+", "a/b"), ("#", "$SYS/x"), ("+/x", "$SYS/x"), ("a/+", "a"), ("a/#", "ab")]
        {
            assert!(!allows(filter, topic), "{filter} {topic}");
        }
    }

    #[test]
    fn a_filter_that_reaches_further_is_not_allowed() {
        for (own, wanted) in [("gateway/#", "gateway/#"), ("gateway/#", "gateway/+/x"), ("a/+", "a/+"), ("#", "+/a/#")]
        {
            assert!(allows(own, wanted), "{own} {wanted}");
        }
        for (own, wanted) in [
            ("gateway/+", "gateway/#"),
            ("a/b", "a/+"),
            ("a/#", "#"),
            ("a/#", "+/b"),
            ("#", "$share/g/a"),
            ("a", "a/#"),
        ] {
            assert!(!allows(own, wanted), "{own} {wanted}");
        }
    }

    #[test]
    fn a_name_with_wildcards_or_levels_gets_no_filter() {
        let filter = Filter::new("s/{user}/{client_id}/#");
        assert_eq!(filter.of_client(Some("u"), "c"), Some(Filter::new("s/u/c/#")));
        for (user, client_id) in [
            (None, "c"),
            (Some("+"), "c"),
            (Some("u"), "#"),
            (Some("a/b"), "c"),
            (Some(""), "c"),
            (Some("{client_id}"), "c"),
        ] {
            assert_eq!(filter.of_client(user, client_id), None, "{user:?} {client_id}");
        }
        assert_eq!(Filter::new("a/b").of_client(None, "#"), Some(Filter::new("a/b")));
    }

    /// The standard's words, slowly: every way to consume the levels.
    fn slowly(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            ([], []) | (["#"], _) => true,
            (["+", filter @ ..], [_, topic @ ..]) => slowly(filter, topic),
            ([level, filter @ ..], [other, topic @ ..]) => level == other && slowly(filter, topic),
            ([], [_, ..]) | ([_, ..], []) => false,
        }
    }

    fn reference(filter: &str, topic: &str) -> bool {
        let hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
        !hidden && slowly(&filter.split('/').collect::<Vec<_>>(), &topic.split('/').collect::<Vec<_>>())
    }

    fn levels(words: &'static [&'static str]) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(words), 1..5).prop_map(|levels| levels.join("/"))
    }

    fn topic() -> impl Strategy<Value = String> {
        levels(&["a", "b", "", "$c"])
    }

    fn filter() -> impl Strategy<Value = String> {
        (levels(&["a", "b", "", "+", "$c"]), any::<bool>()).prop_map(|(f, rest)| if rest { f + "/#" } else { f })
    }

    proptest! {
        #[test]
        fn topics_are_allowed_exactly_as_by_a_slow_reference(filter in filter(), topic in topic()) {
            prop_assert_eq!(allows(&filter, &topic), reference(&filter, &topic));
        }

        #[test]
        fn what_an_allowed_filter_matches_is_allowed(own in filter(), wanted in filter(), topic in topic()) {
            if allows(&own, &wanted) && reference(&wanted, &topic) {
                prop_assert!(allows(&own, &topic));
            }
        }
    }
}
