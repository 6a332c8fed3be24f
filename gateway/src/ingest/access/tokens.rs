//! Bearer tokens: who may send by HTTP, and under which topics.
//!
//! # Invariants
//! - How long a check takes depends on the number of tokens alone: all are compared, as digests under a random key.
//! - No token is kept as text, and none is shown.
//!
//! # Not here
//! Taking the token out of the header, answering 401 or 403.

use super::digest::{Key, Keyed};
use super::topics::Filter;
use crate::secret::Secret;

/// One `[[http.token]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// For logs; it may also stand as `{user}` in `publish`.
    pub name: String,
    pub secret: Secret,
    /// Filters of the topics that the holder may send under; empty: any.
    pub publish: Vec<Filter>,
}

/// All tokens of a door.
#[derive(Clone, Debug)]
pub struct Tokens {
    key: Key,
    all: Vec<(Keyed, Token)>,
}

/// What a valid token allows.
#[derive(Clone, Debug)]
pub struct Token {
    name: String,
    /// `None`: any topic.
    publish: Option<Vec<Filter>>,
}

impl Tokens {
    pub fn new(config: &[TokenConfig]) -> Self {
        let key = Key::random();
        let token = |config: &TokenConfig| {
            let of_holder = |filter: &Filter| filter.of_client(Some(&config.name), &config.name);
            let publish = config.publish.iter().filter_map(of_holder).collect();
            Token { name: config.name.clone(), publish: (!config.publish.is_empty()).then_some(publish) }
        };
        let all = config.iter().map(|c| (key.digest(&[c.secret.expose().as_bytes()]), token(c))).collect();
        Self { key, all }
    }

    /// Without tokens there is nothing to check, and nobody is refused by this.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The token that was presented, if it is one of these.
    pub fn verify(&self, presented: &str) -> Option<&Token> {
        let presented = self.key.digest(&[presented.as_bytes()]);
        // The last one that fits, so that none ends the search.
        self.all.iter().fold(None, |found, (digest, token)| if *digest == presented { Some(token) } else { found })
    }
}

impl Token {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is held to no topics.
    pub fn may_publish_all(&self) -> bool {
        self.publish.is_none()
    }

    pub fn may_publish(&self, topic: &[u8]) -> bool {
        self.publish.as_ref().is_none_or(|filters| filters.iter().any(|filter| filter.allows(topic)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, secret: &str, publish: &[&str]) -> TokenConfig {
        let publish = publish.iter().map(|filter| Filter::new(filter)).collect();
        TokenConfig { name: name.into(), secret: Secret::new(secret), publish }
    }

    #[test]
    fn a_token_opens_for_its_holder_and_nothing_else_does() {
        let tokens = Tokens::new(&[config("plc", "hunter2", &[]), config("lab", "swordfish", &[])]);
        assert_eq!(tokens.verify("hunter2").map(Token::name), Some("plc"));
        assert_eq!(tokens.verify("swordfish").map(Token::name), Some("lab"));
        for wrong in ["", "hunter", "hunter22", "Hunter2", "plc"] {
            assert!(tokens.verify(wrong).is_none(), "{wrong}");
        }
        assert!(Tokens::new(&[]).verify("").is_none() && Tokens::new(&[]).is_empty());
    }

    #[test]
    fn a_token_with_topics_is_held_to_them() {
        let tokens = Tokens::new(&[config("any", "a", &[]), config("plc", "p", &["plant/+/x", "by/{user}/#"])]);
        let may = |secret: &str, topic: &str| tokens.verify(secret).expect("known").may_publish(topic.as_bytes());
        let may_all = |secret: &str| tokens.verify(secret).expect("known").may_publish_all();
        assert!(may_all("a") && !may_all("p"));
        assert!(may("a", "what/ever") && may("p", "plant/3/x") && may("p", "by/plc/y"));
        assert!(!may("p", "plant/3/y") && !may("p", "by/lab/y"));
    }

    #[test]
    fn no_token_is_shown() {
        let config = config("plc", "hunter2", &["a/#"]);
        let shown = format!("{config:?} {:?}", Tokens::new(std::slice::from_ref(&config)));
        assert!(shown.contains("plc") && !shown.contains("hunter2"), "{shown}");
    }
}
