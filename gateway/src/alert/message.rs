//! What a message says, the same in every channel: a title, a text, and the facts for machines.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use firmware_protocol::derived::Severity;
use firmware_protocol::measurement::EventTime;
use serde_json::{Value, json};

use super::outbox::{Kind, Letter, Subject};
use super::settings::{Config, Sender};
use crate::text::{counted, utc_minute};

/// Incidents that a summary names; it counts the rest.
const LISTED_MAX: usize = 20;
/// `schema` in the JSON form.
const SCHEMA: &str = "alert/1";

#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The same for each attempt, and for this message only.
    pub(super) id: String,
    /// Of the message that told of the beginning, if this one is about the same incident.
    pub(super) answers: Option<String>,
    pub(super) kind: &'static str,
    /// One line.
    pub(super) title: String,
    /// Lines, the title first.
    pub(super) text: String,
    /// Whether it may have arrived before.
    pub(super) is_repeat: bool,
    pub(super) severity: Option<Severity>,
    /// At most [`LISTED_MAX`], the worst first.
    pub(super) incidents: Vec<(Kind, Subject)>,
    /// All that it is about.
    pub(super) count: usize,
    pub(super) sender: Sender,
    pub(super) page_url: String,
    /// The plot of the one incident.
    pub(super) svg: Option<String>,
}

impl Message {
    pub(super) fn of(letter: Letter, config: &Config, sender: &Sender) -> Self {
        let Letter { id, is_repeat, is_summary, mut items } = letter;
        let count = items.len();
        let devices = items.iter().map(|(_, subject)| &subject.device).collect::<BTreeSet<_>>().len();
        let severity = items.iter().map(|(_, subject)| subject.severity).max();
        let worst_first = |(_, a): &(Kind, Subject), (_, b): &(Kind, Subject)| {
            (b.severity, a.start_at_ms).cmp(&(a.severity, b.start_at_ms))
        };
        items.sort_by(worst_first);
        items.truncate(LISTED_MAX);
        let (kind, title, mut text) = match items.first() {
            Some((kind, subject)) if !is_summary => (kind.name(), headline(*kind, subject), details(*kind, subject)),
            Some(_) | None => {
                let (incidents, devices) = (counted(count as u64, "more incident"), counted(devices as u64, "device"));
                ("summary", format!("{incidents} on {devices}"), list(&items, count))
            }
        };
        if is_repeat {
            text += "Sent again after an interruption: you may have it already.\n";
        }
        let answers = match items.first() {
            Some((Kind::Resolved | Kind::Adopted | Kind::Withdrawn, subject)) if !is_summary => Some(&subject.id),
            Some(_) | None => None,
        };
        let whose = |id: &str| format!("{}/{}/{id}", sender.gateway, config.name);
        let answers = answers.map(|incident| whose(&format!("{incident}-opened")));
        let mut message = Self {
            id: whose(&id),
            answers,
            kind,
            text: String::new(),
            title,
            is_repeat,
            severity,
            incidents: items,
            count,
            sender: sender.clone(),
            page_url: config.page_url.clone(),
            svg: None,
        };
        message.text = message.framed(&text);
        message
    }

    /// To try a channel out.
    pub(super) fn test(config: &Config, sender: &Sender) -> Self {
        let mut message = Self {
            id: format!("{}/{}/test", sender.gateway, config.name),
            answers: None,
            kind: "test",
            title: format!("test of the alert channel {}", config.name),
            text: String::new(),
            is_repeat: false,
            severity: None,
            incidents: Vec::new(),
            count: 0,
            sender: sender.clone(),
            page_url: config.page_url.clone(),
            svg: None,
        };
        message.text = message.framed("Incidents will be told here.\n");
        message
    }

    fn framed(&self, lines: &str) -> String {
        let Self { title, sender: Sender { gateway, site }, page_url, .. } = self;
        let place = if site.is_empty() { String::new() } else { format!(", {site}") };
        let page = if page_url.is_empty() { String::new() } else { format!("{page_url}\n") };
        format!("{title}\n{lines}Gateway {gateway}{place}\n{page}")
    }

    /// For machines: what generic webhooks and MQTT get unless they have a template.
    pub(super) fn to_json(&self) -> Value {
        let mut json = json!({
            "schema": SCHEMA,
            "id": self.id,
            "kind": self.kind,
            "title": self.title,
            "text": self.text,
            "repeat": self.is_repeat,
            "severity": self.severity.map(Severity::name),
            "count": self.count,
            "gateway": self.sender.gateway,
            "site": self.sender.site,
            "page_url": self.page_url,
            "incidents": self.incidents.iter().map(|(kind, subject)| facts(*kind, subject)).collect::<Vec<_>>(),
        });
        if let Some(svg) = &self.svg {
            json["svg"] = json!(svg);
        }
        json
    }
}

fn headline(kind: Kind, subject: &Subject) -> String {
    let Subject { severity, title, .. } = subject;
    match kind {
        Kind::Opened => format!("[{}] {title}", severity.name()),
        Kind::Resolved | Kind::Over => format!("[resolved] {title}"),
        Kind::Adopted => format!("[new normal] {title}"),
        Kind::Withdrawn => format!("[false alarm] {title}"),
    }
}

fn details(kind: Kind, subject: &Subject) -> String {
    let Subject { severity, score, summary, channels, windows, id, .. } = subject;
    let mut text = format!("{summary}\n");
    if channels.len() > 1 {
        writeln!(text, "Channels: {}", channels.join(", ")).expect("a string takes all");
    }
    let (windows, peak) = (counted(u64::from(*windows), "window"), minute(subject.peak_at_ms));
    let worst = format!("{} severity, {score:.1} decades above the threshold at its peak, {peak} UTC", severity.name());
    match kind {
        Kind::Opened => writeln!(text, "{worst}"),
        Kind::Resolved | Kind::Over | Kind::Adopted => {
            writeln!(text, "It lasted {}, {windows}; {worst}", lasted(subject.lasted()))
        }
        Kind::Withdrawn => writeln!(text, "Late readings, or the rest of the window, have shown nothing unusual."),
    }
    .expect("a string takes all");
    text + &format!("Incident {id}\n")
}

fn list(items: &[(Kind, Subject)], count: usize) -> String {
    let mut text: String = items.iter().map(|(kind, subject)| format!("- {}\n", headline(*kind, subject))).collect();
    if count > items.len() {
        text += &format!("and {} more\n", count - items.len());
    }
    text
}

/// Times as in `incident/1`, in milliseconds since 1970; numbers that are not finite are null.
fn facts(kind: Kind, subject: &Subject) -> Value {
    json!({
        "id": subject.id,
        "told": kind.name(),
        "device": subject.device,
        "state": subject.state.name(),
        "severity": subject.severity.name(),
        "title": subject.title,
        "start_at_ms": subject.start_at_ms,
        "peak_at_ms": subject.peak_at_ms,
        "end_at_ms": subject.end_at_ms,
        "duration_s": subject.lasted().as_secs(),
        "score": subject.score,
        "windows": subject.windows,
        "channels": subject.channels,
        "channel": subject.channel,
        "detector": subject.detector,
        "kind": subject.kind,
        "feature": subject.feature,
        "value": subject.value,
        "expected_low": subject.expected_low,
        "expected_high": subject.expected_high,
        "summary": subject.summary,
    })
}

pub(super) fn minute(at_ms: i64) -> String {
    utc_minute(EventTime::from_millis(at_ms))
}

/// `45 s`, `1 h 20 min`, `3 d 4 h`.
fn lasted(time: Duration) -> String {
    let (seconds, minutes, hours, days) =
        (time.as_secs(), time.as_secs() / 60, time.as_secs() / 3_600, time.as_secs() / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        (_, _, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use firmware_protocol::derived::{Incident, IncidentState};

    use super::*;
    use crate::alert::settings::{Http, Target};
    use crate::alert::testing::{config, incident, letter, sender};
    use crate::secret::Secret;

    fn message(letter: Letter) -> Message {
        let http = Http { url: Secret::new("http://x"), token: None, headers: Vec::new(), ca_file: None };
        Message::of(letter, &config("team", Target::Slack(http)), &sender())
    }

    #[test]
    fn the_end_says_how_long_it_lasted_and_how_bad_it_was() {
        let open = message(letter(vec![(Kind::Opened, incident(7, 0, IncidentState::Open))]));
        assert_eq!(
            open.text,
            "[high] pump-7: an unusual level in current\nmean 9 instead of 1 to 3\nhigh severity, 3.5 decades above the threshold at its peak, 2026-03-01 12:00 UTC\nIncident 0000000000000007\nGateway edge-1, hall 3\nhttp://edge-1:8080/\n"
        );
        let over = message(letter(vec![(Kind::Resolved, incident(7, 1, IncidentState::Closed))]));
        assert!(over.text.contains("It lasted 10 min, 1 window; high severity"), "{}", over.text);
        assert_eq!(over.answers.as_deref(), Some("edge-1/team/0000000000000007-opened"));
        let gone = message(letter(vec![(Kind::Withdrawn, incident(7, 1, IncidentState::Withdrawn))]));
        assert!(gone.title.starts_with("[false alarm] "), "{}", gone.title);
    }

    #[test]
    fn a_summary_counts_all_and_names_the_worst() {
        let of = |n: usize| {
            let severity = if n == 25 { Severity::Critical } else { Severity::Low };
            (Kind::Opened, Incident { severity, ..incident(n, 0, IncidentState::Open) })
        };
        let told = message(letter((0..30).map(of).collect()));
        assert_eq!((told.title.as_str(), told.kind), ("30 more incidents on 30 devices", "summary"));
        assert!(told.text.contains("\n- [critical] pump-25") && told.text.contains("\nand 10 more\n"), "{}", told.text);
        assert_eq!((told.count, told.severity), (30, Some(Severity::Critical)));
    }

    #[test]
    fn a_repeat_says_so() {
        let again = Letter { is_repeat: true, ..letter(vec![(Kind::Opened, incident(7, 0, IncidentState::Open))]) };
        let message = message(again);
        assert!(message.text.contains("you may have it already") && message.to_json()["repeat"] == true);
    }

    #[test]
    fn spans_are_told_in_two_units_at_most() {
        let told = [45, 600, 4_800, 273_600].map(|s| lasted(Duration::from_secs(s)));
        assert_eq!(told, ["45 s", "10 min", "1 h 20 min", "3 d 4 h"]);
    }
}
