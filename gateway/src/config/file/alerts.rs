//! `[[alert]]`: who is told of incidents.

use std::path::PathBuf;
use std::time::Duration;

use firmware_protocol::derived::Severity;

use super::{DAY, Gateway, HOUR, MINUTE, Named, SECOND, name, publishing};
use crate::alert::{Config, Headers, Http, Mail, MailTls, Mqtt, Quiet, Rules, Span, Target, Template, TemplateFault};
use crate::config::nearest::nearest;
use crate::config::reader::{Reader, Section};
use crate::config::secrets::{self, Keys};
use crate::config::values::Wrong;
use crate::ingest::csv::UtcOffset;

/// Each has a connection of its own, and is looked through for each incident.
const CHANNELS_MAX: usize = 8;
/// Patterns of names of one channel.
const PATTERNS_MAX: usize = 64;
const SPANS_MAX: usize = 16;
const RATE_MAX: u64 = 1_000;
/// Addresses of one mail: all are in its header.
const RECIPIENTS_MAX: usize = 32;
const HEADERS_MAX: usize = 16;
/// Templates are of some lines.
const TEMPLATE_MAX_BYTES: usize = 16 << 10;
const SMTP_PORT: u16 = 587;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Slack,
    Webhook,
    Smtp,
    Mqtt,
}

pub(super) fn read(reader: &mut Reader<'_>, gateway: &Gateway, named: &mut Named) -> Vec<Config> {
    let mut names: Vec<String> = Vec::new();
    let channels = reader.tables("alert", CHANNELS_MAX, |s| channel(s, gateway, named, &mut names));
    channels.into_iter().flatten().collect()
}

fn channel(s: &mut Section<'_, '_>, gateway: &Gateway, named: &mut Named, names: &mut Vec<String>) -> Option<Config> {
    let kinds = [("slack", Kind::Slack), ("webhook", Kind::Webhook), ("smtp", Kind::Smtp), ("mqtt", Kind::Mqtt)];
    if !s.has("kind") {
        s.fault(None, "[[alert]] has no `kind`", "write \"slack\", \"webhook\", \"smtp\" or \"mqtt\"");
    }
    let kind = s.choice("kind", Kind::Slack, &kinds);
    let default_name = kinds.iter().find(|(_, k)| *k == kind).map_or("alert", |(name, _)| name);
    let name = name(s, default_name);
    if names.contains(&name) {
        let message = format!("two alert channels have the name \"{name}\"");
        s.fault(Some("name"), message, "give each [[alert]] its own `name`: what it has told is kept under it");
    }
    names.push(name.clone());
    let rules = rules(s);
    let page_url = s.checked("page_url", String::new(), |url| if url.is_empty() { Ok(()) } else { address(url) });
    let timeout = s.within("timeout", 10 * SECOND, SECOND..=5 * MINUTE);
    let target = match kind {
        Kind::Slack => Target::Slack(http(s, false)?),
        Kind::Webhook => {
            let (http, template) = (http(s, true), template(s));
            let svg = s.value("svg", false);
            Target::Webhook { http: http?, template, svg }
        }
        Kind::Smtp => Target::Smtp(mail(s)?),
        Kind::Mqtt => Target::Mqtt(mqtt(s, &name, gateway, named)),
    };
    Some(Config { name, rules, page_url, timeout, target })
}

fn rules(s: &mut Section<'_, '_>) -> Rules {
    let default = Rules::default();
    let severities = Severity::ALL.map(|severity| (severity.name(), severity));
    let min_severity = s.choice("min_severity", default.min_severity, &severities);
    let devices = s.checked("devices", default.devices, |patterns: &Vec<String>| patterns_check(patterns));
    let after = s.within("after", default.after, Duration::ZERO..=DAY);
    let rate_max = s.within("rate_max", u64::from(default.rate_max), 1..=RATE_MAX) as u32;
    let spans = s.checked("quiet", Vec::new(), |spans: &Vec<String>| spans_of(spans).map(drop));
    let loud = s.choice("quiet_severity", default.quiet.loud, &severities);
    let offset = s.checked("utc_offset", UtcOffset::default().to_string(), |text: &String| {
        let wrong = |why| Wrong::new(why, "write how far your clock is ahead of UTC, such as \"+01:00\"");
        text.parse::<UtcOffset>().map(drop).map_err(wrong)
    });
    let east_s = offset.parse::<UtcOffset>().unwrap_or_default().east_s();
    let quiet = Quiet { spans: spans_of(&spans).unwrap_or_default(), loud, east_s };
    let retry_max = s.within("retry_max", default.retry_max, SECOND..=HOUR);
    Rules { min_severity, devices, after, rate_max, quiet, retry_max }
}

fn patterns_check(patterns: &[String]) -> Result<(), Wrong> {
    if patterns.is_empty() || patterns.len() > PATTERNS_MAX || patterns.iter().any(String::is_empty) {
        let message = format!("holds {} patterns, or an empty one; 1 to {PATTERNS_MAX} are allowed", patterns.len());
        return Err(Wrong::new(message, "write names of devices, `*` for any text, such as [\"pump-*\"]"));
    }
    Ok(())
}

fn spans_of(texts: &[String]) -> Result<Vec<Span>, Wrong> {
    const FORM: &str = "write spans of the day such as [\"22:00-06:00\"]";
    if texts.len() > SPANS_MAX {
        return Err(Wrong::new(format!("holds {} spans, the limit is {SPANS_MAX}", texts.len()), FORM));
    }
    texts.iter().map(|text| text.parse().map_err(|why: String| Wrong::new(why, FORM))).collect()
}

fn http(s: &mut Section<'_, '_>, is_generic: bool) -> Option<Http> {
    let keys = Keys { file: "url_file", variable: "url_env" };
    let url = secrets::read(s, &keys);
    if !s.has(keys.file) && !s.has(keys.variable) {
        let hint = "its address often is its password: name where it is with `url_file` or `url_env`";
        s.fault(None, "[[alert]] has no address", hint);
    }
    if let Some(wrong) = url.as_ref().and_then(|url| address(url.expose()).err()) {
        let key = if s.has(keys.file) { keys.file } else { keys.variable };
        s.fault(Some(key), format!("`{key}` names an address that {}", wrong.message), wrong.hint);
    }
    let ca_file = path(s, "tls_ca_file");
    let (mut token, mut headers) = (None, Headers::new());
    if is_generic {
        token = secrets::read(s, &Keys { file: "token_file", variable: "token_env" });
        let lines = s.checked("headers", Vec::new(), |lines: &Vec<String>| headers_of(lines).map(drop));
        headers = headers_of(&lines).unwrap_or_default();
    }
    Some(Http { url: url?, token, headers, ca_file })
}

/// Of a web page or a webhook; nothing of it is repeated, for it may be the secret.
fn address(text: &str) -> Result<(), Wrong> {
    const FORM: &str = "write \"https://host/path\" or \"http://host/path\"";
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        Ok(_) | Err(_) => Err(Wrong::new("is no http or https address", FORM)),
    }
}

fn headers_of(lines: &[String]) -> Result<Headers, Wrong> {
    const FORM: &str = "write [\"Name: value\"]; secrets go into `token_file` or `token_env`";
    if lines.len() > HEADERS_MAX {
        return Err(Wrong::new(format!("holds {} headers, the limit is {HEADERS_MAX}", lines.len()), FORM));
    }
    let header = |line: &String| {
        let (name, value) = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()))?;
        name.parse::<reqwest::header::HeaderName>().ok()?;
        value.parse::<reqwest::header::HeaderValue>().ok()?;
        Some((name.to_owned(), value.to_owned()))
    };
    let wrong = |line: &String| Wrong::new(format!("holds {line:?}, which is no header"), FORM);
    lines.iter().map(|line| header(line).ok_or_else(|| wrong(line))).collect()
}

fn template(s: &mut Section<'_, '_>) -> Option<Template> {
    let text = s.checked("template", String::new(), |text: &String| {
        if text.len() > TEMPLATE_MAX_BYTES {
            let message = format!("is {} bytes long, the limit is {TEMPLATE_MAX_BYTES}", text.len());
            return Err(Wrong::new(message, "write a shorter one"));
        }
        if text.is_empty() { Ok(()) } else { Template::parse(text).map(drop).map_err(template_wrong) }
    });
    Template::parse(&text).ok()
}

fn template_wrong(fault: TemplateFault) -> Wrong {
    let names: Vec<&str> = Template::placeholders().collect();
    let hint = match &fault {
        TemplateFault::Unknown { name } => match nearest(name, &names) {
            Some(known) => format!("did you mean {{{known}}}?"),
            None => format!("write one of {{{}}}, and \\u007b for a brace in a text", names.join("}, {")),
        },
        TemplateFault::NotJson { .. } => {
            "write JSON; a placeholder in quotes becomes text, without quotes a value of its own".to_owned()
        }
    };
    Wrong::new(fault.to_string(), hint)
}

fn mail(s: &mut Section<'_, '_>) -> Option<Mail> {
    let tls_choices = [("starttls", MailTls::Starttls), ("implicit", MailTls::Implicit), ("none", MailTls::None)];
    let server = s.checked("server", format!("127.0.0.1:{SMTP_PORT}"), |text: &String| server(text).map(drop));
    let (host, port) = server_or_default(&server);
    let tls = s.choice("tls", MailTls::Starttls, &tls_choices);
    let ca_file = path(s, "tls_ca_file");
    let username = s.value("username", String::new());
    let password = secrets::read(s, &Keys { file: "password_file", variable: "password_env" });
    let from = s.required("from", "write the sender's address", |text: &String| mailbox(text));
    let to = s.required("to", "write the addresses of those who are to be told", |list: &Vec<String>| {
        if list.is_empty() || list.len() > RECIPIENTS_MAX {
            let message = format!("holds {} addresses, not 1 to {RECIPIENTS_MAX}", list.len());
            return Err(Wrong::new(message, "write [\"ops@example.com\"]"));
        }
        list.iter().try_for_each(|text| mailbox(text))
    });
    let login = match (username.is_empty(), password) {
        (true, None) => None,
        (false, Some(password)) => Some((username, password)),
        (is_unnamed, _) => {
            let missing = if is_unnamed { "`username`" } else { "a password" };
            let hint = "set `username` and `password_file` or `password_env`, or none of them";
            s.fault(None, format!("[[alert]] has half of a login: {missing} is missing"), hint);
            None
        }
    };
    if login.is_some() && tls == MailTls::None && !is_this_machine(&host) {
        let message = format!("the password for {host} would cross the network in the clear");
        s.fault(Some("tls"), message, "set `tls` to \"starttls\" or \"implicit\", or take the login out");
    }
    Some(Mail { host, port, tls, ca_file, login, from: from?, to: to? })
}

fn server(text: &str) -> Result<(String, u16), Wrong> {
    const FORM: &str = "write \"host:port\": 587 for STARTTLS, 465 for TLS from the beginning, 25 for neither";
    let (host, port) = text.rsplit_once(':').ok_or_else(|| Wrong::new("names no port", FORM))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match port.parse::<u16>() {
        Ok(port) if port > 0 && !host.is_empty() && !host.contains(['/', '@', ' ']) => Ok((host.to_owned(), port)),
        Ok(_) | Err(_) => Err(Wrong::new(format!("is {text:?}, which is no host and port"), FORM)),
    }
}

fn server_or_default(text: &str) -> (String, u16) {
    server(text).unwrap_or_else(|_| ("127.0.0.1".to_owned(), SMTP_PORT))
}

fn mailbox(text: &str) -> Result<(), Wrong> {
    let wrong = |why| Wrong::new(format!("holds {text:?}, which is no address: {why}"), "write \"ops@example.com\"");
    text.parse::<lettre::message::Mailbox>().map(drop).map_err(wrong)
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn mqtt(s: &mut Section<'_, '_>, name: &str, gateway: &Gateway, named: &mut Named) -> Mqtt {
    let broker = publishing::broker(s, name, format!("{}-alerts-{name}", gateway.name), named);
    let mut topic = s.checked(
        "topic",
        String::new(),
        |topic: &String| {
            if topic.is_empty() { Ok(()) } else { publishing::topic(topic) }
        },
    );
    if topic.is_empty() {
        topic = format!("gateway/{}/alerts", gateway.name);
        s.stands_for("topic", &topic);
    }
    Mqtt { broker, topic, template: template(s) }
}

fn path(s: &mut Section<'_, '_>, key: &'static str) -> Option<PathBuf> {
    Some(s.value(key, PathBuf::new())).filter(|path| !path.as_os_str().is_empty())
}
