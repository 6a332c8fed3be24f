//! Who may come in: tokens, users, certificates and rules; and by which certificates brokers are known.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Named, is_name};
use crate::config::reader::Section;
use crate::config::secrets::{self, Keys};
use crate::config::values::Wrong;
use crate::config::{Credentials, CredentialsOf, filters};
use crate::ingest::access::tokens::TokenConfig;
use crate::ingest::access::{self, Filter, Rule};
use crate::ingest::tls::{Client, ClientAuth, ClientConfig, KeyPair, ServerConfig};

/// Each is compared with what a request brings.
const TOKENS_MAX: usize = 64;
/// Each client that connects is held against all of them.
const RULES_MAX: usize = 256;
/// Filters of one table: each message under a new topic is compared with them.
const FILTERS_MAX: usize = 32;
/// Patterns of names in one rule.
const PATTERNS_MAX: usize = 256;
/// An ALPN name has its length in a byte; a list of many is of no use.
const ALPN_MAX: usize = 8;
const ALPN_NAME_MAX_BYTES: usize = 255;

const USER: &str = "{user}";
const CLIENT_ID: &str = "{client_id}";

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
        let publish = allowed(s, "publish", &[USER]);
        let config = TokenConfig { name: name?, secret: secret?, publish };
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

/// The page and its data may be seen, and without tokens messages may be sent, by whoever reaches the address.
pub(super) fn http_is_guarded(s: &mut Section<'_, '_>, bind: SocketAddr, tokens: &[TokenConfig]) {
    let allow_anonymous = s.value("allow_anonymous", false);
    if !bind.ip().is_loopback() && tokens.is_empty() && !allow_anonymous {
        let message = format!("`bind` {bind} can be reached from outside, and nobody has to say who they are");
        let hint = "add [[http.token]] tables, bind to 127.0.0.1, or write `allow_anonymous = true` if that is wanted";
        s.fault(Some("bind"), message, hint);
    }
}

/// The keys of `[listen]` that say who may come in.
pub(super) fn listen(
    s: &mut Section<'_, '_>,
    bind: SocketAddr,
    named: &mut Named,
) -> (Option<ServerConfig>, access::Config) {
    let tls = server(s);
    let users_file = path(s, "users_file");
    let identity_from_certificate = s.value("identity_from_certificate", false);
    let allow_anonymous = s.value("allow_anonymous", false);
    let rules = s.tables("allow", RULES_MAX, rule);

    let client_auth = tls.as_ref().map_or(&ClientAuth::None, |tls| &tls.client_auth);
    if identity_from_certificate && *client_auth == ClientAuth::None {
        let message = "`identity_from_certificate` without certificates of clients";
        s.fault(Some("identity_from_certificate"), message, "set `tls_client_ca_file` and `tls_client_auth` too");
    }
    let is_proven = users_file.is_some() || matches!(client_auth, ClientAuth::Required { .. });
    if !bind.ip().is_loopback() && !is_proven && !allow_anonymous {
        let message = format!("`bind` {bind} can be reached from outside, and nobody has to say who they are");
        let hint = "set `users_file` (`gateway passwd` makes one) or `tls_client_auth = \"required\"`, \
                    or write `allow_anonymous = true` if that is wanted";
        s.fault(Some("bind"), message, hint);
    }
    if let Some(tls) = &tls {
        named.credentials.push(Credentials {
            place: s.place("tls_cert_file"),
            of: CredentialsOf::Door { door: "listen", tls: tls.clone() },
        });
    }
    if let Some(path) = &users_file {
        named
            .credentials
            .push(Credentials { place: s.place("users_file"), of: CredentialsOf::Users { path: path.clone() } });
    }
    // Where no name can be proven, the address, or the CA of a certificate, is what lets in.
    let admits_anonymous = allow_anonymous || (users_file.is_none() && !identity_from_certificate);
    (tls, access::Config { users_file, admits_anonymous, identity_from_certificate, rules })
}

/// `tls_cert_file` and the keys that go with it.
pub(super) fn server(s: &mut Section<'_, '_>) -> Option<ServerConfig> {
    let pair = pair(s);
    let ca_file = path(s, "tls_client_ca_file");
    let choices = [("none", Asked::No), ("optional", Asked::Optional), ("required", Asked::Required)];
    let asked = s.choice("tls_client_auth", Asked::No, &choices);
    let client_auth = match (ca_file, asked) {
        (None, Asked::No) => ClientAuth::None,
        (Some(_), Asked::No) => {
            let message = "`tls_client_ca_file` is set, but no client is asked for a certificate";
            s.fault(Some("tls_client_ca_file"), message, "set `tls_client_auth` to \"optional\" or \"required\"");
            ClientAuth::None
        }
        (None, Asked::Optional | Asked::Required) => {
            let message = "`tls_client_auth` asks for certificates, but no CA is named that has issued them";
            s.fault(Some("tls_client_auth"), message, "set `tls_client_ca_file`");
            ClientAuth::None
        }
        (Some(ca_file), Asked::Optional) => ClientAuth::Optional { ca_file },
        (Some(ca_file), Asked::Required) => ClientAuth::Required { ca_file },
    };
    if pair.is_none() && client_auth != ClientAuth::None {
        let message = "`tls_client_auth` without a certificate of the gateway itself";
        s.fault(Some("tls_client_auth"), message, "set `tls_cert_file` and `tls_key_file` too");
    }
    let KeyPair { cert_file, key_file } = pair?;
    Some(ServerConfig { cert_file, key_file, client_auth })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    Optional,
    Required,
}

/// The keys of `[[mqtt]]` that say how a broker is known; `broker`: its name, if its address asks for TLS.
pub(super) fn client(s: &mut Section<'_, '_>, broker: Option<&str>, named: &mut Named) -> Option<Client> {
    let ca_file = path(s, "tls_ca_file");
    let certificate = pair(s);
    let server_name = Some(s.value("tls_server_name", String::new())).filter(|name| !name.is_empty());
    let alpn = s.checked("tls_alpn", Vec::new(), |names: &Vec<String>| {
        let fits = |name: &String| (1..=ALPN_NAME_MAX_BYTES).contains(&name.len());
        if names.len() > ALPN_MAX || !names.iter().all(fits) {
            let message = format!("is more than {ALPN_MAX} names of 1 to {ALPN_NAME_MAX_BYTES} bytes");
            return Err(Wrong::new(message, "name what the broker asks for, such as [\"x-amzn-mqtt-ca\"], or nothing"));
        }
        Ok(())
    });
    let config = ClientConfig { ca_file, certificate, server_name, alpn };
    let Some(broker) = broker else {
        if config != ClientConfig::default() {
            s.fault(Some("url"), "keys of TLS are set, but `url` is that of a plain connection", "write \"mqtts://…\"");
        }
        return None;
    };
    let of = CredentialsOf::Broker { name: broker.to_owned(), tls: config.clone() };
    named.credentials.push(Credentials { place: s.place("url"), of });
    Some(Client::new(config))
}

pub(super) fn pair(s: &mut Section<'_, '_>) -> Option<KeyPair> {
    match (path(s, "tls_cert_file"), path(s, "tls_key_file")) {
        (Some(cert_file), Some(key_file)) => Some(KeyPair { cert_file, key_file }),
        (None, None) => None,
        (Some(_), None) => {
            s.fault(Some("tls_cert_file"), "`tls_cert_file` without its private key", "set `tls_key_file` too");
            None
        }
        (None, Some(_)) => {
            s.fault(Some("tls_key_file"), "`tls_key_file` without its certificate", "set `tls_cert_file` too");
            None
        }
    }
}

/// `[[listen.allow]]`.
fn rule(s: &mut Section<'_, '_>) -> Rule {
    let rule = Rule {
        users: patterns(s, "users", &[]),
        client_ids: patterns(s, "client_ids", &[USER]),
        publish: allowed(s, "publish", &[USER, CLIENT_ID]),
        read: allowed(s, "read", &[USER, CLIENT_ID]),
    };
    if !s.has("publish") && !s.has("read") {
        s.fault(None, "a rule that allows nothing", "set `publish` or `read`; what no rule allows is forbidden anyway");
    }
    rule
}

/// Patterns of names, with `*`.
fn patterns(s: &mut Section<'_, '_>, key: &'static str, placeholders: &[&str]) -> Vec<String> {
    s.checked(key, Vec::new(), |patterns: &Vec<String>| {
        if patterns.len() > PATTERNS_MAX {
            let message = format!("holds {} patterns, the limit is {PATTERNS_MAX}", patterns.len());
            return Err(Wrong::new(message, "use `*`, or another table"));
        }
        patterns.iter().try_for_each(|pattern| known_placeholders(pattern, placeholders))
    })
}

/// Topic filters that something is allowed by.
fn allowed(s: &mut Section<'_, '_>, key: &'static str, placeholders: &[&str]) -> Vec<Filter> {
    let texts = s.checked(key, Vec::new(), |texts: &Vec<String>| {
        if texts.len() > FILTERS_MAX {
            let message = format!("holds {} topic filters, the limit is {FILTERS_MAX}", texts.len());
            return Err(Wrong::new(message, "use wildcards, or another table"));
        }
        let check = |text: &String| filters::check(text).and_then(|()| known_placeholders(text, placeholders));
        texts.iter().try_for_each(check)
    });
    texts.iter().map(|text| Filter::new(text)).collect()
}

/// A misspelled placeholder would never match, silently.
fn known_placeholders(text: &str, known: &[&str]) -> Result<(), Wrong> {
    let without = known.iter().fold(text.to_owned(), |text, placeholder| text.replace(placeholder, ""));
    if !without.contains(['{', '}']) {
        return Ok(());
    }
    let hint = match known {
        [] => "there are no placeholders here".to_owned(),
        known => format!("the placeholders here are {}", known.join(" and ")),
    };
    Err(Wrong::new(format!("holds {text:?} with braces that are no placeholder"), hint))
}

/// A file; `None` if the path is empty.
fn path(s: &mut Section<'_, '_>, key: &'static str) -> Option<PathBuf> {
    Some(s.value(key, PathBuf::new())).filter(|path| !path.as_os_str().is_empty())
}
