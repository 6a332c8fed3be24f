//! Takes what detection finds, and what senders are asked for, to those who have subscribed to it at `listen`.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tracing::debug;

use crate::clock::Clock;
use crate::frames::Asking;
use crate::ingest::Results;
use crate::queue::Door;
use crate::shutdown::Stop;
use crate::view::{Finding, View};

/// Until the stop. What comes faster than it can be told is left out: results are on their way to the sinks anyway.
pub(super) async fn tell(view: Arc<View>, results: Results, mut stop: Stop) -> Result<(), Infallible> {
    let mut found = view.follow();
    loop {
        let finding = tokio::select! {
            finding = found.recv() => finding,
            () = stop.requested() => return Ok(()),
        };
        let finding = match finding {
            Ok(finding) => finding,
            Err(RecvError::Lagged(missed)) => {
                debug!(missed, "Results came faster than they could be told.");
                continue;
            }
            Err(RecvError::Closed) => {
                stop.requested().await;
                return Ok(());
            }
        };
        if !results.has_listeners() {
            continue;
        }
        match finding {
            Finding::Window(w) => results.publish("windows", &w.device, &w.channel, json(&w)),
            Finding::Anomaly(a) => results.publish("anomalies", &a.device, &a.channel, json(&a)),
            Finding::Incident(i) => results.publish("incidents", &i.device, "", json(&i)),
        }
    }
}

/// Until the stop. Asks the senders that came in by `listen`.
pub(super) async fn ask(mut asking: Asking, clock: Clock, results: Results, mut stop: Stop) -> Result<(), Infallible> {
    loop {
        tokio::select! {
            request = asking.next() => if request.door == Door::Listen {
                let (topic, payload) = request.message(clock.shows());
                results.tell(topic, payload);
            },
            () = stop.requested() => return Ok(()),
        }
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers alone, which JSON has words for")
}
