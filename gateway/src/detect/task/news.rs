//! Tells people what was found, once it is durable: the view, the log, the metrics.
//!
//! # Invariants
//! - One warning for each incident, when it opens, and one line when it is over; none for an anomaly.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::{debug, info, warn};

use firmware_protocol::derived::{Derived, Incident, IncidentState, Status};

use crate::metrics::{self, SeverityLabel, StateLabel, StatusLabel};
use crate::view::View;

#[derive(Debug)]
pub(super) struct News {
    view: Arc<View>,
    metrics: metrics::Detect,
    /// Device and `opened_at_ms` of the incidents that are open; detection keeps a few of each device.
    open: BTreeSet<(String, i64)>,
}

impl News {
    pub(super) fn new(view: Arc<View>, metrics: metrics::Detect) -> Self {
        Self { view, metrics, open: BTreeSet::new() }
    }

    /// Takes up incidents that an earlier run told of: they are shown, and not told again.
    pub(super) fn remember(&mut self, incidents: impl Iterator<Item = Incident>) {
        for incident in incidents {
            self.note(&incident);
            self.view.remember_incident(incident);
        }
    }

    pub(super) fn tell(&mut self, record: Derived) {
        match record {
            Derived::Window(window) => {
                let status = match window.status {
                    Status::Learning => "learning",
                    Status::Normal => "normal",
                    Status::Anomalous => "anomalous",
                };
                self.metrics.windows.get_or_create(&StatusLabel { status }).inc();
                self.view.add_window(window);
            }
            Derived::Anomaly(anomaly) => {
                let state = anomaly.state.name();
                self.metrics.anomalies.get_or_create(&StateLabel { state }).inc();
                debug!(device = anomaly.device, state, score = anomaly.score, "{}", anomaly.summary);
                self.view.add_anomaly(anomaly);
            }
            Derived::Incident(incident) => {
                if incident.revision == 0 {
                    let severity = incident.severity.name();
                    self.metrics.incidents.get_or_create(&SeverityLabel { severity }).inc();
                }
                self.log(&incident);
                self.note(&incident);
                self.view.add_incident(incident);
            }
            // Gaps are found elsewhere; detection makes none.
            Derived::Gap(_) => {}
        }
    }

    fn log(&self, incident: &Incident) {
        let Incident { id, title, severity, score, state, revision, evidence, .. } = incident;
        let (incident, severity, why) = (id, severity.name(), &evidence.summary);
        match (revision, state) {
            (0, _) => warn!(incident, severity, score, why, "{title}"),
            (_, IncidentState::Open) => debug!(incident, severity, score, why, "{title}"),
            (_, IncidentState::Closed | IncidentState::Adopted | IncidentState::Withdrawn) => {
                info!(incident, severity, score, "{title}");
            }
        }
    }

    fn note(&mut self, incident: &Incident) {
        let key = (incident.device.clone(), incident.opened_at_ms);
        match incident.state {
            IncidentState::Open => self.open.insert(key),
            IncidentState::Closed | IncidentState::Adopted | IncidentState::Withdrawn => self.open.remove(&key),
        };
        self.metrics.open_incidents.set(self.open.len() as i64);
    }
}

#[cfg(test)]
mod tests {
    use firmware_protocol::derived::Severity;

    use super::*;
    use crate::view::testing::incident;

    #[test]
    fn an_incident_counts_once_by_its_severity_at_the_opening_and_as_open_until_it_is_over() {
        let metrics = metrics::Detect::default();
        let mut news = News::new(Arc::default(), metrics.clone());
        let tell = |news: &mut News, revision, state, severity| {
            news.tell(Derived::Incident(Incident { revision, state, severity, ..incident("pump-7", 600_000) }));
        };
        let counted = |severity| metrics.incidents.get_or_create(&SeverityLabel { severity }).get();
        tell(&mut news, 0, IncidentState::Open, Severity::Low);
        tell(&mut news, 1, IncidentState::Open, Severity::High);
        assert_eq!((counted("low"), counted("high"), metrics.open_incidents.get()), (1, 0, 1));
        tell(&mut news, 2, IncidentState::Closed, Severity::High);
        assert_eq!((counted("low"), counted("high"), metrics.open_incidents.get()), (1, 0, 0));
    }

    #[test]
    fn incidents_of_an_earlier_run_are_shown_and_open_and_not_told_again() {
        let (metrics, view) = (metrics::Detect::default(), Arc::new(View::default()));
        let mut followed = view.follow();
        let mut news = News::new(view.clone(), metrics.clone());
        let over = Incident { state: IncidentState::Closed, revision: 1, ..incident("fan", 1_200_000) };
        news.remember([incident("pump-7", 600_000), over.clone()].into_iter());
        view.with(|state| assert_eq!(state.incidents.len(), 2));
        assert_eq!(metrics.open_incidents.get(), 1);
        assert!(followed.try_recv().is_err());
        assert_eq!(metrics.incidents.get_or_create(&SeverityLabel { severity: "high" }).get(), 0);
        news.tell(Derived::Incident(Incident { state: IncidentState::Closed, ..incident("pump-7", 600_000) }));
        assert_eq!(metrics.open_incidents.get(), 0);
    }
}
