//! Whether one client that floods is noticed by the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::certificate::Certificate;
use crate::load::{Outcome, PUB_ACK_BYTES, connect, round, window};
use crate::process::{Door, Subject};
use crate::{Options, Result, Tell};

const NEIGHBOURS: u64 = 20;
/// Each sends one message in this time, as sensors do.
const PACE: Duration = Duration::from_millis(20);
const LASTS: Duration = Duration::from_secs(5);
/// What the flooding client has on its way: far more than any broker allows.
const FLOOD_WINDOW: u64 = 20_000;

/// Neighbours' time to PUBACK; `flood` is the limit of messages per second, 0 for none, if there is a flood at all.
pub(crate) fn run(tell: Tell<'_>, options: &Options, flood: Option<u32>, certificate: &Certificate) -> Result<()> {
    let limit = flood.map_or(String::new(), |limit| format!("messages_per_second_max = {limit}"));
    let Some(subject) = Subject::start(Door::Listen, &limit, &options.dir, certificate)? else { return Ok(()) };
    let over = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| -> Result<Outcome> {
        let flooding = flood.map(|_| {
            scope.spawn(|| -> std::result::Result<u64, String> {
                let mut stream = connect(subject.target(), "flood", None).map_err(|e| e.to_string())?;
                let (window, mut acks) = (window(FLOOD_WINDOW), vec![0; PUB_ACK_BYTES * FLOOD_WINDOW as usize]);
                let mut sent = 0;
                while !over.load(Ordering::Relaxed) {
                    round(&mut *stream, &window, &mut acks).map_err(|e| e.to_string())?;
                    sent += FLOOD_WINDOW;
                }
                Ok(sent)
            })
        });
        let neighbours: Vec<_> = (0..NEIGHBOURS)
            .map(|n| {
                let target = subject.target();
                scope.spawn(move || paced(target, n).map_err(|e| e.to_string()))
            })
            .collect();
        let mut windows = Vec::new();
        for neighbour in neighbours {
            windows.extend(neighbour.join().map_err(|_| "a neighbour panicked")??);
        }
        over.store(true, Ordering::Relaxed);
        if let Some(flooding) = flooding {
            let sent = flooding.join().map_err(|_| "the flood panicked")??;
            tell("flood_rate", sent as f64 / LASTS.as_secs_f64());
        }
        Ok(Outcome { messages: windows.len() as u64, took: LASTS, windows })
    })?;
    outcome.tell(tell);
    subject.stop()
}

fn paced(target: std::net::SocketAddr, n: u64) -> Result<Vec<Duration>> {
    let mut stream = connect(target, &format!("neighbour-{n}"), None)?;
    let (message, mut ack) = (window(1), [0; PUB_ACK_BYTES]);
    let began = Instant::now();
    // They do not send in step.
    let mut next = began + PACE * n as u32 / NEIGHBOURS as u32;
    let mut took = Vec::new();
    while began.elapsed() < LASTS {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += PACE;
        took.push(round(&mut *stream, &message, &mut ack)?);
    }
    Ok(took)
}
