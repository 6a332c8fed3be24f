//! `/metrics`: the registry, and the loss ledger as gauges that are computed at each look.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::App;
use crate::queue::LedgerRow;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConsumerLog {
    consumer: String,
    log: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConsumerFate {
    consumer: String,
    log: &'static str,
    fate: &'static str,
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut registry = app.sources.metrics.registry();
    add_ledger(&mut registry, &(app.sources.ledger)());
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(e) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics cannot be written as text: {e}\n")).into_response()
        }
    }
}

fn add_ledger(registry: &mut Registry, ledger: &[LedgerRow]) {
    let (backlog, balance) = (Family::<ConsumerLog, Gauge>::default(), Family::<ConsumerLog, Gauge>::default());
    let records = Family::<ConsumerFate, Gauge>::default();
    for row in ledger {
        let log = row.log.name();
        let labels = ConsumerLog { consumer: row.consumer.clone(), log };
        backlog.get_or_create(&labels).set(row.queued as i64);
        balance.get_or_create(&labels).set(i64::from(row.balances()));
        let c = &row.cursor;
        let fates = [
            ("accepted", row.accepted),
            ("delivered", c.delivered),
            ("filtered", c.filtered),
            ("expired", row.expired),
            ("dropped", row.dropped),
            ("lost", row.lost),
            ("quarantined", c.quarantined),
            ("duplicate", c.duplicate),
        ];
        for (fate, count) in fates {
            let labels = ConsumerFate { consumer: row.consumer.clone(), log, fate };
            records.get_or_create(&labels).set(count as i64);
        }
    }
    let ledger = registry.sub_registry_with_prefix("ledger");
    ledger.register("backlog_records", "Records that the consumer has before it", backlog);
    ledger.register("records", "Records by what became of them, since the consumer was registered", records);
    ledger.register("balances", "1 while accepted = queued + all fates", balance);
}
