//! What several tests of alerts share.

use std::time::Duration;

use firmware_protocol::derived::{Incident, IncidentState};

use super::outbox::{Kind, Letter, Subject};
use super::settings::{Config, Rules, Sender, Target};
use crate::view;

pub(super) const START_MS: i64 = 1_772_366_400_000;

pub(super) fn incident(number: usize, revision: u32, state: IncidentState) -> Incident {
    let device = format!("pump-{number}");
    Incident { id: format!("{number:016x}"), revision, state, ..view::testing::incident(&device, START_MS) }
}

pub(super) fn letter(items: Vec<(Kind, Incident)>) -> Letter {
    let items: Vec<_> = items.into_iter().map(|(kind, incident)| (kind, Subject::of(&incident))).collect();
    let (kind, subject) = &items[0];
    let id = format!("{}-{}", subject.id, kind.name());
    Letter { id, is_repeat: false, is_summary: items.len() > 1, items }
}

pub(super) fn config(name: &str, target: Target) -> Config {
    Config {
        name: name.into(),
        rules: Rules::default(),
        page_url: "http://edge-1:8080/".into(),
        timeout: Duration::from_secs(10),
        target,
    }
}

pub(super) fn sender() -> Sender {
    Sender { gateway: "edge-1".into(), site: "hall 3".into() }
}
