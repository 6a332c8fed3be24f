//! Encoding of a piece, and where it is done: encoding and compressing a large one takes a thread for milliseconds, which
//! belong to the doors.

use std::sync::Arc;

use super::blocking::elsewhere;

use crate::forward::delivery::Item;
use crate::forward::{Encoder, Times, Undeliverable};
use crate::queue::Log;

/// So few records are encoded at once: to hand them to another thread would take longer.
const AT_ONCE_MAX: usize = 256;
/// A piece ends where so many bytes of its records cannot be encoded: they all go to the quarantine, through memory.
const ASIDE_BYTES_MAX: usize = 1 << 20;

/// What the encoder made of the first records of a piece.
pub(super) struct Work<B> {
    pub(super) pushed: Vec<Result<Times, Undeliverable>>,
    pub(super) batch: Option<B>,
}

/// Encodes up to the end of the piece or the limit of bytes, on the thread that suits.
pub(super) async fn encode<E: Encoder>(
    mut encoder: E,
    log: Log,
    items: Arc<[Item]>,
    bytes_max: usize,
) -> (E, Work<E::Batch>) {
    if items.len() <= AT_ONCE_MAX {
        let work = run(&mut encoder, log, &items, bytes_max);
        return (encoder, work);
    }
    elsewhere(move || {
        let work = run(&mut encoder, log, &items, bytes_max);
        (encoder, work)
    })
    .await
}

fn run<E: Encoder>(encoder: &mut E, log: Log, items: &[Item], bytes_max: usize) -> Work<E::Batch> {
    let mut pushed = Vec::with_capacity(items.len());
    let mut aside_bytes = 0;
    for item in items {
        if encoder.pending_bytes() >= bytes_max || aside_bytes >= ASIDE_BYTES_MAX {
            break;
        }
        let outcome = encoder.push(log, item.seq, item.record());
        if outcome.is_err() {
            aside_bytes += item.record().payload.len();
        }
        pushed.push(outcome);
    }
    Work { pushed, batch: encoder.take() }
}
