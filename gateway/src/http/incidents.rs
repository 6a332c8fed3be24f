//! `/api/v1/incidents`: what a person was told of, with the anomalies that it is made of.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use firmware_protocol::derived::{Anomaly, Incident, IncidentState};
use serde::{Deserialize, Serialize};

use super::App;
use crate::view;

#[derive(Debug, Deserialize)]
pub(super) struct IncidentsQuery {
    /// Without it: of all devices.
    device: Option<String>,
    /// Without it: in any state.
    state: Option<IncidentState>,
}

#[derive(Serialize)]
pub(super) struct IncidentsAnswer {
    /// Those that are open first, then newest first; as many as the page keeps.
    incidents: Vec<Told>,
}

#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    incident: Incident,
    /// Newest first, as far as they are kept.
    anomalies: Vec<Anomaly>,
}

pub(super) async fn incidents(
    State(app): State<Arc<App>>,
    Query(query): Query<IncidentsQuery>,
) -> Json<IncidentsAnswer> {
    let wanted = |incident: &&Incident| {
        query.device.as_ref().is_none_or(|device| *device == incident.device)
            && query.state.is_none_or(|state| state == incident.state)
    };
    let incidents = app.sources.view.with(|state| {
        let told = |incident: &Incident| {
            let ours =
                state.anomalies.values().rev().filter(|a| a.incident == incident.id && a.device == incident.device);
            Told { incident: incident.clone(), anomalies: ours.cloned().collect() }
        };
        listed(state).filter(wanted).map(told).collect()
    });
    Json(IncidentsAnswer { incidents })
}

/// Those that are open first, then newest first.
pub(super) fn listed(state: &view::State) -> impl Iterator<Item = &Incident> {
    let all = || state.incidents.values().rev();
    let is_open = |incident: &&Incident| incident.state == IncidentState::Open;
    all().filter(is_open).chain(all().filter(move |incident| !is_open(incident)))
}
