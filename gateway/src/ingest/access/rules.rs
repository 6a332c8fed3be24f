//! Rules: which user with which client id may do what. What no rule allows is not allowed.

use std::sync::Arc;

use super::Denied;
use super::grant::Grant;
use super::topics::Filter;
use super::users::User;
use crate::pattern::pieces_match;

/// Read without any rule: what the gateway tells of itself, and what it asks Sparkplug's edge nodes.
const READ_BY_DEFAULT: [&str; 2] = ["gateway/#", "spBv1.0/#"];

/// One `[[listen.allow]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Patterns with `*`; empty: anyone, with or without a name.
    pub users: Vec<String>,
    /// Patterns with `*` and `{user}`; empty: any.
    pub client_ids: Vec<String>,
    pub publish: Vec<Filter>,
    pub read: Vec<Filter>,
}

#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    pub(super) fn new(rules: &[Rule]) -> Self {
        Self(rules.to_vec())
    }

    /// What all rules for this client allow together.
    ///
    /// # Errors
    /// There are rules, but none is for this user, or none with this client id.
    pub(super) fn grant(
        &self,
        user: Option<&str>,
        client_id: &str,
        proven: Option<Arc<User>>,
    ) -> Result<Grant, Denied> {
        if self.0.is_empty() {
            return Ok(Grant::of_all(user, READ_BY_DEFAULT.map(Filter::new).into(), proven));
        }
        let of_user: Vec<&Rule> = self.0.iter().filter(|rule| rule.is_for_user(user)).collect();
        let matching = of_user.iter().filter(|rule| rule.is_for_client_id(user, client_id));
        let filters = |of: fn(&Rule) -> &Vec<Filter>| -> Vec<Filter> {
            matching.clone().flat_map(|rule| of(rule)).filter_map(|f| f.of_client(user, client_id)).collect()
        };
        if of_user.is_empty() {
            return Err(Denied::NotAuthorized);
        }
        if matching.clone().next().is_none() {
            return Err(Denied::IdRejected);
        }
        Ok(Grant::of_some(user, filters(|rule| &rule.publish), filters(|rule| &rule.read), proven))
    }
}

impl Rule {
    fn is_for_user(&self, user: Option<&str>) -> bool {
        let fits = |user| self.users.iter().any(|pattern| matches(pattern, None, user));
        self.users.is_empty() || user.is_some_and(fits)
    }

    fn is_for_client_id(&self, user: Option<&str>, client_id: &str) -> bool {
        self.client_ids.is_empty() || self.client_ids.iter().any(|pattern| matches(pattern, user, client_id))
    }
}

/// Whether a pattern is for a text: `*` stands for any characters, `{user}` for the user's name as it is.
fn matches(pattern: &str, user: Option<&str>, text: &str) -> bool {
    let is_user = |piece: &str| piece.contains("{user}");
    if user.is_none() && is_user(pattern) {
        return false;
    }
    // A `*` in the name is none of the pattern: pieces are cut out before it is put in.
    let pieces = pattern.split('*').map(|piece| piece.replace("{user}", user.unwrap_or_default()));
    pieces_match(pieces, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "a"),
            ("a*", "a"),
            ("a*c", "abc"),
            ("*b*", "abc"),
            ("a", "a"),
            ("a**c", "ac"),
            ("*a*a", "aa"),
        ] {
            assert!(matches(pattern, None, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", "ab"), ("a*", "ba"), ("a*a", "a"), ("*b*c", "cb"), ("a*b*b", "ab")] {
            assert!(!matches(pattern, None, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_users_name_is_taken_as_it_is() {
        assert!(matches("{user}-*", Some("pump"), "pump-7"));
        assert!(!matches("{user}-*", Some("*"), "pump-7") && matches("{user}-*", Some("*"), "*-7"));
        assert!(!matches("{user}-*", None, "-7") && !matches("{user}", Some("pump"), "pump-7"));
    }
}
