//! Who may come in: tokens, users, certificates and rules.

use super::is_name;
use crate::config::filters;
use crate::config::reader::Section;
use crate::config::secrets::{self, Keys};
use crate::config::values::Wrong;
use crate::ingest::access::Filter;
use crate::ingest::access::tokens::TokenConfig;

/// Each is compared with what a request brings.
const TOKENS_MAX: usize = 64;
/// Filters of one rule: each message under a new topic is compared with them.
const FILTERS_MAX: usize = 32;

/// `[[http.token]]`.
pub(super) fn tokens(s: &mut Section<'_, '_>) -> Vec<TokenConfig> {
    let mut seen: Vec<TokenConfig> = Vec::new();
    let read = s.tables("token", TOKENS_MAX, |s| {
        let name: Option<String> = s.required("name", "name its holder, for logs", |name: &String| is_name(name));
        let keys = Keys { file: "token_file", variable: "token_env" };
        let secret = secrets::read(s, &keys);
        if secret.is_none() && !s.has(keys.file) && !s.has(keys.variable) {
            s.fault(None, "a token without a secret", "name where it is with `token_file` or `token_env`");
        }
        let config = TokenConfig { name: name?, secret: secret?, publish: allowed(s, "publish") };
        if seen.iter().any(|other| other.name == config.name) {
            let message = format!("two tokens have the name \"{}\"", config.name);
            s.fault(Some("name"), message, "give each [[http.token]] its own `name`");
        }
        if seen.iter().any(|other| other.secret == config.secret) {
            s.fault(None, "two tokens have the same secret", "give each holder a secret of its own");
        }
        seen.push(config.clone());
        Some(config)
    });
    read.into_iter().flatten().collect()
}

/// Topic filters that something is allowed by.
fn allowed(s: &mut Section<'_, '_>, key: &'static str) -> Vec<Filter> {
    let texts = s.checked(key, Vec::new(), |texts: &Vec<String>| {
        if texts.len() > FILTERS_MAX {
            let message = format!("holds {} topic filters, the limit is {FILTERS_MAX}", texts.len());
            return Err(Wrong::new(message, "use wildcards, or another table"));
        }
        texts.iter().try_for_each(|text| filters::check(text))
    });
    texts.iter().map(|text| Filter::new(text)).collect()
}
